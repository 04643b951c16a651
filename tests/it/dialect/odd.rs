//! Odd token responses: each is read in one way that is written here, or refused; none is half believed.

use tokenwell::{
    model::{Duration, ExposeSecret as _, OffsetDateTime},
    oauth::{Failure, Grant, fuzzing::token_response},
    provider::{Catalog, Transport},
};

const ENTRY: &str = "display_name = \"Acme\"\ncategories = [\"crm\"]\ndocumentation = \"https://acme.com/\"\n\
                     authorization_endpoint = \"https://acme.com/a\"\ntoken_endpoint = \"https://acme.com/t\"\n\
                     hosts = [\"acme.com\"]\n";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
/// Ten years: what a provider promises beyond that, it does not mean.
const LONGEST: i64 = 10 * 366 * 24 * 3600;

fn read(content_type: &'static str, body: &str) -> Result<Grant, Failure> {
    let mut catalog = Catalog::default();
    catalog.add("acme.toml", ENTRY, Transport::Strict).unwrap();
    let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
    token_response(catalog.iter().next().unwrap(), 200, content_type, body.as_bytes(), now)
}

/// The grant of an answer with an access token and these members.
fn grant(members: &str) -> Grant {
    let body = format!("{{\"access_token\":\"at\"{}{members}}}", if members.is_empty() { "" } else { "," });
    read(JSON, &body).unwrap_or_else(|failure| panic!("{body}: {failure}"))
}

#[test]
fn lifetimes_are_whole_seconds_or_unsaid() {
    for (written, seconds) in [
        ("3600", Some(3600)),
        ("3600.9", Some(3600)),
        ("3.6e3", Some(3600)),
        ("\"3600\"", Some(3600)),
        ("\" 3600 \"", Some(3600)),
        ("\"3600.9\"", Some(3600)),
        // Beyond an `i32`, an `i64`, an `f64`'s whole numbers, and any time.
        ("2147483648", Some(LONGEST)),
        ("9223372036854775808", Some(LONGEST)),
        ("1e300", Some(LONGEST)),
        ("\"99999999999999999999\"", Some(LONGEST)),
        ("0", None),
        ("0.9", None),
        ("-0.0", None),
        ("-1", None),
        ("-9223372036854775809", None),
        ("-1e300", None),
        ("\"-3600\"", None),
        ("\"NaN\"", None),
        ("\"inf\"", None),
        ("\"\"", None),
        ("\"an hour\"", None),
        ("\"1h\"", None),
        ("null", None),
        ("true", None),
        ("[3600]", None),
        ("{\"seconds\":3600}", None),
    ] {
        for (member, of) in [
            ("expires_in", (|grant: &Grant| grant.expires_in) as fn(&Grant) -> _),
            ("refresh_token_expires_in", |grant: &Grant| grant.refresh_token_expires_in),
        ] {
            let grant = grant(&format!("\"{member}\":{written}"));
            assert_eq!(of(&grant).map(Duration::whole_seconds), seconds, "{member}: {written}");
        }
    }
}

/// RFC 8259, section 4, leaves it open; the last one counts, as to most who read it.
#[test]
fn of_a_member_that_is_there_twice_the_last_counts() {
    let twice =
        read(JSON, "{\"access_token\":\"a\",\"expires_in\":1,\"access_token\":\"b\",\"expires_in\":\"2\"}");
    let twice = twice.unwrap();
    assert_eq!(twice.access_token.expose_secret(), "b");
    assert_eq!(twice.expires_in.unwrap().whole_seconds(), 2);
    assert!(read(JSON, "{\"access_token\":\"a\",\"access_token\":null}").is_err());
    // An error beside it counts whatever is said before.
    assert!(read(JSON, "{\"error\":\"\",\"access_token\":\"a\",\"error\":\"invalid_grant\"}").is_err());
    let form = read(FORM, "access_token=a&expires_in=1&access_token=b&expires_in=2").unwrap();
    assert_eq!((form.access_token.expose_secret(), form.expires_in.unwrap().whole_seconds()), ("b", 2));
}

#[test]
fn a_type_that_is_missing_is_bearer() {
    for (members, expected) in [
        ("", "Bearer"),
        ("\"token_type\":null", "Bearer"),
        ("\"token_type\":\"\"", "Bearer"),
        ("\"token_type\":\"\\u0000\\n\"", "Bearer"),
        ("\"token_type\":\" \"", "Bearer"),
        ("\"token_type\":7", "Bearer"),
        ("\"token_type\":[\"mac\"]", "Bearer"),
        ("\"token_type\":\"bearer\"", "Bearer"),
        ("\"token_type\":\"BEARER\"", "Bearer"),
        ("\"token_type\":\"mac\"", "mac"),
    ] {
        assert_eq!(grant(members).token_type, expected, "{members}");
    }
}

#[test]
fn scopes_are_a_list_however_they_are_written() {
    for (written, scopes) in [
        ("\"read write\"", Some(vec!["read", "write"])),
        ("\" read  write\\n\"", Some(vec!["read", "write"])),
        ("[\"read\",\"write\"]", Some(vec!["read", "write"])),
        ("[\"read\",7,null,[\"admin\"],\"write\"]", Some(vec!["read", "write"])),
        ("[\"read write\"]", Some(vec!["read", "write"])),
        ("\"\"", None),
        ("[]", None),
        ("[\"\"]", None),
        ("null", None),
        ("7", None),
        ("{\"read\":true}", None),
    ] {
        let granted = grant(&format!("\"scope\":{written}")).scopes;
        let granted = granted.as_ref().map(|scopes| scopes.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(granted, scopes, "{written}");
    }
}

#[test]
fn what_holds_no_token_that_can_be_sent_is_refused() {
    for body in [
        "",
        "  ",
        "null",
        "[]",
        "\"at\"",
        "{}",
        "{\"access_token\":null}",
        "{\"access_token\":\"\"}",
        "{\"access_token\":7}",
        "{\"access_token\":true}",
        "{\"access_token\":[\"canary\"]}",
        "{\"access_token\":{\"value\":\"canary\"}}",
        "{\"access_token\":\"canary\\r\\nX-Admin: 1\"}",
        "{\"access_token\":\"canary\\u0000\"}",
        "{\"access_token\":\"canary\"",
        "{\"access_token\":\"canary\"} x",
        "{\"access_token\":\"canary\",}",
        "{\"access_token\":'canary'}",
        "{\"access_token\":\"canary\",\"expires_in\":NaN}",
        "{\"access_token\":\"canary\",\"expires_in\":1e400}",
        "\u{feff}{\"access_token\":\"canary\"}",
        "access_token=canary",
    ] {
        let failure = read(JSON, body).expect_err(body);
        assert!(matches!(failure, Failure::Invalid { .. }), "{body}: {failure:?}");
        assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
    }
    // A refresh token that is none leaves the access token as it is.
    for token in ["null", "7", "\"\"", "[\"rt\"]"] {
        assert!(grant(&format!("\"refresh_token\":{token}")).refresh_token.is_none(), "{token}");
    }
}
