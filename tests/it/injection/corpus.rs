//! Hostile values, known ones and arbitrary ones, on every config field of every provider.

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};

use toml::Table;

use super::{House, text};

/// What was tried on others: ways out of a host's place in a URL, and other spellings of addresses.
const WAYS_OUT: &[&str] = &[
    "evil.com/#",
    "evil.com/?",
    "evil.com\\",
    "evil.com#",
    "evil.com?",
    "evil.com/",
    "evil.com//",
    "evil.com/x",
    "x@evil.com",
    "x:y@evil.com",
    "evil.com:443",
    "evil.com:443/",
    "evil.com:443#",
    "acme:443",
    "acme:80",
    "acme:443@evil.com",
    "acme@evil.com#",
    "..",
    ".",
    "./",
    "../",
    "../../evil.com",
    "%2e",
    "%2e%2e",
    "%2f",
    "evil.com%2f",
    "evil.com%23",
    "evil.com%00",
    "evil%2ecom",
    "evil。com",
    "evil.com。",
    "evil.com．",
    "evil｡com",
    "evil.com／x",
    "acme。evil.com",
    "\0",
    "acme\0",
    "acme\0.evil.com",
    "evil.com\0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::1]#",
    "0x7f.1",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "127.0.0.1",
    "127.0.0.1#",
    "2130706433",
    "169.254.169.254",
    "localhost",
    "localhost#",
    "a.b.c",
    "a.b",
    "acme.",
    ".acme",
    "acme..",
    "acme.com.",
    "-acme",
    "acme-",
    "acme_x",
    "ac me",
    "ac\tme",
    "ac\r\nme",
    "acme\r\nHost: evil.com",
    "acme\u{a0}x",
    "ac\u{ad}me",
    "ac\u{200b}me",
    "ac\u{202e}me",
    "аcme",
    "ｅvil.com",
    "ßacme.evil.com",
    "xn--",
    "//evil.com",
    "///evil.com",
    "\\\\evil.com",
    "/\\evil.com",
    "https:evil.com",
    "https:/evil.com",
    "https://evil.com",
    "https://evil.com/",
    "https://evil.com#",
    "https://evil.com?",
    "https://evil.com\\",
    "http://evil.com",
    "ftp://evil.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/html,x",
    "{subdomain}",
    "{login_host}",
    "{}",
    "}",
    "$(id)",
    "'--",
];

/// Those, and what is too long for a label or for anything.
fn corpus() -> Vec<String> {
    let mut values: Vec<String> = WAYS_OUT.iter().map(|value| (*value).to_owned()).collect();
    values.push("a".repeat(64));
    values.push("a".repeat(4096));
    values.push(format!("{}.evil.com", "a".repeat(63)));
    values
}

/// The corpus, and each of its values before, behind and in between what a provider would take.
fn hostile(pin: &str, example: &str) -> Vec<String> {
    let suffix = pin.trim_start_matches('.');
    let mut values = corpus();
    for value in corpus() {
        values.push(format!("{value}.{suffix}"));
        values.push(format!("{value}{suffix}"));
        values.push(format!("{suffix}.{value}"));
        values.push(format!("{suffix}{value}"));
        values.push(format!("https://{value}.{suffix}"));
        values.push(format!("https://{suffix}{value}"));
        values.push(format!("{example}{value}"));
        values.push(format!("{example}.{value}"));
        values.push(format!("{value}{example}"));
    }
    values
}

#[test]
fn no_value_of_the_corpus_leads_away() {
    let house = House::new();
    let mut tried = 0;
    for id in house.files.keys() {
        for (name, field) in house.fields(id) {
            for pin in house.pins(id) {
                for value in hostile(pin, text(field, "example")) {
                    house.try_value(id, name, field, &value).unwrap_or_else(|fault| {
                        panic!("{id}.{name} took {value:?}: {fault}");
                    });
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 10_000, "only {tried}");
}

/// None of the corpus is a label, a host of a provider, or one of its choices. What is only a part of a path or a parameter
/// may be any word that its pattern allows: the test before this one shows that it leads nowhere.
#[test]
fn every_value_of_the_corpus_is_refused() {
    let house = House::new();
    // A label may be any word, of digits, too: these would be somebody's, in front of the provider's own suffix.
    let words = ["localhost", "xn--", "2130706433", "0x7f000001"];
    for id in house.files.keys() {
        for (name, field) in house.fields(id) {
            let format = text(field, "format");
            let of_host = ["label", "hostname", "uri"].contains(&format) || field.contains_key("enum");
            for value in corpus().iter().filter(|_| of_host && house.is_in_address(id, name)) {
                let label = format == "label" && words.contains(&value.as_str());
                let taken = house.try_value(id, name, field, value).unwrap();
                assert!(!taken || label, "{id}.{name} took {value:?}");
            }
            // The same ways take what is right, so that the refusals mean something.
            let example = text(field, "example");
            let secret = example.is_empty() && field.contains_key("secret");
            assert!(secret || house.try_value(id, name, field, example) == Ok(true), "{id}.{name}");
        }
    }
}

/// Text of every kind, and pieces of URLs in every order: those of the field's own world, and ways out of it.
fn values(house: &House, id: &str, field: &Table) -> impl Strategy<Value = String> + use<> {
    let ways_out = [
        "/", "//", "\\", "@", ":", ":443", "#", "?", "%", "%2e", "%2f", "%00", ".", "..", "-", "_", " ",
        "\t", "\r\n", "\0", "。", "．", "｡", "[", "]", "{", "}", "https://", "http://", "HTTPS://", "x",
        "acme", "ACME", "1", "0x7f", "evil.com", "xn--", "é", "ß", "\u{ad}", "\u{200d}", "com", "&", "=",
        ";", "+",
    ]
    .map(str::to_owned);
    let mut own: Vec<String> = house.pins(id).into_iter().map(str::to_owned).collect();
    own.extend(field.get("hosts").map(super::texts).unwrap_or_default().into_iter().map(str::to_owned));
    own.extend(["example", "suffix", "prefix"].map(|key| text(field, key).to_owned()));
    let piece = prop_oneof![3 => select(ways_out.to_vec()), 1 => select(own)];
    prop_oneof![
        1 => any::<String>(),
        1 => "[a-z0-9-]{1,70}",
        1 => "[!-~]{0,30}",
        5 => vec(piece, 1..7).prop_map(|pieces| pieces.concat()),
    ]
}

#[test]
fn no_value_whatever_leads_away() {
    let house = House::new();
    let taken = std::cell::Cell::new(0_u32);
    for id in house.files.keys() {
        for (name, field) in house.fields(id) {
            let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
            let outcome = TestRunner::new(config).run(&values(&house, id, field), |value| {
                match house.try_value(id, name, field, &value) {
                    Ok(accepted) => {
                        taken.set(taken.get() + u32::from(accepted));
                        Ok(())
                    }
                    Err(fault) => Err(TestCaseError::fail(format!("{id}.{name} took {value:?}: {fault}"))),
                }
            });
            outcome.unwrap();
        }
    }
    // Where everything is refused, nothing is proved.
    assert!(taken.get() > 1_000, "only {} values were taken", taken.get());
}
