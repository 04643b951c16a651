//! `tokenwell providers import`.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    super::output::{Output, print},
    Failure,
};
use crate::provider::import::{Imported, Kind, Outcome, Source};

/// Files with fewer entries are read before a bar could be seen.
const LONG: usize = 50;

/// Arguments of `tokenwell providers import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The `providers.yaml`.
    file: PathBuf,
    /// The directory for the catalog files. It is made if it is not there.
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Write nothing: only report.
    #[arg(long)]
    dry_run: bool,
    /// Overwrite catalog files that are there already.
    #[arg(long)]
    force: bool,
    /// Fail if an entry was skipped, or a key that concerns connections was not carried over.
    #[arg(long)]
    strict: bool,
    /// How to print the report.
    #[arg(long, default_value = "text")]
    output: Output,
}

/// Runs the subcommand.
pub(super) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let name = args.file.display().to_string();
    let text = fs::read_to_string(&args.file).map_err(|error| format!("{name}: {error}"))?;
    let source = Source::read(&name, &text).map_err(|fault| fault.to_string())?;
    let bar = progress(source.len());
    let imported: Vec<_> = bar.wrap_iter(source.import()).collect();
    bar.finish_and_clear();
    if let (Some(directory), false) = (&args.out, args.dry_run) {
        write(directory, &imported, args.force)?;
    }
    report(args.output, &imported)?;
    let lost = imported.iter().filter(|it| it.lost()).count();
    if args.strict && lost > 0 {
        return Err(format!("{lost} of {} entries were not carried over as a whole", imported.len()).into());
    }
    Ok(())
}

fn progress(entries: usize) -> ProgressBar {
    if entries < LONG {
        return ProgressBar::hidden();
    }
    // It hides itself where no terminal is.
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}");
    ProgressBar::new(entries as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Writes all files, or none if one is in the way.
fn write(directory: &Path, imported: &[Imported], force: bool) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let files: Vec<_> = imported
        .iter()
        .filter_map(|it| Some((directory.join(format!("{}.toml", it.id)), it.text.as_ref()?)))
        .collect();
    let there: Vec<_> = files.iter().filter(|(path, _)| !force && path.exists()).collect();
    if let Some((path, _)) = there.first() {
        let others = match there.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} others"),
        };
        let problem =
            format!("{}{others} would be overwritten: give --force, or another --out", path.display());
        return Err(problem.into());
    }
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    for (path, text) in files {
        let mut options = fs::OpenOptions::new();
        options.write(true).truncate(force).create(force).create_new(!force);
        let written = options.open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn report(output: Output, imported: &[Imported]) -> Result<(), Failure> {
    match output {
        Output::Json => {
            let entries: Vec<_> = imported.iter().map(object).collect();
            anstream::println!("{}", serde_json::to_string_pretty(&entries)?);
        }
        Output::Text => {
            print(output, &["id", "outcome", "remarks"], imported.iter().map(row).collect())?;
            summary(imported);
        }
    }
    Ok(())
}

fn object(it: &Imported) -> serde_json::Value {
    let remarks = it
        .remarks
        .iter()
        .map(|remark| json!({ "kind": remark.kind.as_str(), "key": remark.key, "why": remark.why }));
    json!({ "id": it.id, "outcome": it.outcome().as_str(), "remarks": remarks.collect::<Vec<_>>() })
}

fn row(it: &Imported) -> Vec<String> {
    let remarks = it.remarks.iter().filter(|remark| remark.kind != Kind::Outside).map(|remark| {
        if remark.key.is_empty() { remark.why.clone() } else { format!("{}: {}", remark.key, remark.why) }
    });
    vec![it.id.clone(), it.outcome().as_str().to_owned(), remarks.collect::<Vec<_>>().join("; ")]
}

/// What there is to say of the file as a whole, beside the rows.
fn summary(imported: &[Imported]) {
    let count = |outcome| imported.iter().filter(|it| it.outcome() == outcome).count();
    let outcomes = [Outcome::Written, Outcome::WrittenWithRemarks, Outcome::Skipped];
    let counts = outcomes.map(|outcome| format!("{} {}", count(outcome), outcome.as_str()));
    anstream::eprintln!("{}", counts.join(", "));
    let mut outside: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for remark in imported.iter().flat_map(|it| &it.remarks).filter(|remark| remark.kind == Kind::Outside) {
        *outside.entry((&remark.key, &remark.why)).or_default() += 1;
    }
    for ((key, why), entries) in outside {
        let entries = if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
        anstream::eprintln!("left out of {entries}: {key}: {why}");
    }
}
