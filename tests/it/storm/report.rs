//! What a storm came to, as a row of a table: printed, and after a long one written into the documentation.

use std::{fs, path::Path};

use super::{caller::Seen, judge::Verdict, world::REPLICAS};

const DOCUMENT: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- storm: begin -->";
const END: &str = "<!-- storm: end -->";
const HEAD: &str = "| storm | replicas | connections | callers | seconds | token lifetime | servers ended | faults | tokens handed out | of them never tried | failed calls | refreshes | \
                    most redemptions of one refresh token | reuse detected | refused tokens | connections lost | \
                    p50, p99, longest Get |\n|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|\n";

impl Verdict {
    /// Prints the row, and puts a long storm's into the documentation.
    pub fn record(&self) {
        let row = self.row();
        println!("{HEAD}{row}");
        let Seen { expired, replaced, errors, .. } = &self.seen;
        println!("calls that failed, by their reason: {errors:?}; faults of the proxy: {:?}", self.faults);
        let ended = replaced + self.ended as u64;
        println!(
            "tokens that ended before they were tried: {expired}; that a refresh had ended: {ended}; that the"
        );
        println!(
            "provider had handed out a second time, with a lifetime they had no longer: {}",
            self.replayed
        );
        if self.size.long {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, with_row(&text, self.name, &row)).unwrap();
        }
    }

    fn row(&self) -> String {
        let mut latencies = self.seen.latencies.clone();
        latencies.sort_unstable();
        let at = |part: usize| latencies.get((latencies.len() * part / 1000).min(latencies.len() - 1));
        let millis = |part| at(part).map_or(0, |micros| micros / 1000);
        let faults: u64 =
            self.faults.iter().filter(|(name, _)| **name != "passed").map(|(_, count)| count).sum();
        // That the journal names them all, and no others, has been asserted.
        let lost = match self.lost.len() {
            0 => "0".to_owned(),
            lost => format!("{lost}, each named by the journal"),
        };
        let cells = [
            self.name.to_owned(),
            REPLICAS.to_string(),
            self.size.connections.to_string(),
            self.size.callers.to_string(),
            self.size.span.as_secs().to_string(),
            format!("{} s", self.size.ttl),
            (self.seen.kills + self.seen.stops).to_string(),
            faults.to_string(),
            self.seen.tokens.to_string(),
            (self.seen.expired + self.seen.untried).to_string(),
            self.seen.errors.values().sum::<u64>().to_string(),
            self.book.redeemed.len().to_string(),
            self.book.redeemed.values().max().copied().unwrap_or_default().to_string(),
            self.book.revoked.to_string(),
            self.seen.refused.len().to_string(),
            lost,
            format!("{}, {}, {} ms", millis(500), millis(990), millis(1000)),
        ];
        format!("| {} |\n", cells.join(" | "))
    }
}

/// The text with this row between the markers, in the place of the one of the same name.
fn with_row(text: &str, name: &str, row: &str) -> String {
    let (before, rest) = text.split_once(BEGIN).expect("the document has no place for the storm");
    let (table, after) = rest.split_once(END).expect("the document has no place for the storm");
    let others = table.lines().filter(|line| {
        line.starts_with("| ") && !line.starts_with("| storm |") && !line.starts_with(&format!("| {name} |"))
    });
    let mut rows: Vec<_> = others.map(|line| format!("{line}\n")).collect();
    rows.push(row.to_owned());
    rows.sort();
    format!("{before}{BEGIN}\n{HEAD}{}{END}{after}", rows.concat())
}

#[test]
fn a_row_takes_the_place_of_the_one_of_its_name() {
    let empty = format!("# T\n{BEGIN}\n{END}\nmore\n");
    let one = with_row(&empty, "calm", "| calm | 1 |\n");
    let two = with_row(&one, "faults", "| faults | 2 |\n");
    let three = with_row(&two, "calm", "| calm | 3 |\n");
    assert_eq!(three, format!("# T\n{BEGIN}\n{HEAD}| calm | 3 |\n| faults | 2 |\n{END}\nmore\n"));
}
