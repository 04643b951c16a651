//! What is wrong with a callers file, and where.

use super::*;
use crate::model::{Identity, TokenAlgorithm};

const ISSUER: &str = "[[issuer]]\nissuer = \"https://id.example\"\naudience = \"tokenwell\"\n";
const CALLER: &str = "[[caller]]\ndisplay_name = \"A\"\nproject = \"default\"\npermissions = [\"read\"]\n";

fn parse(text: &str) -> Result<Callers, Vec<String>> {
    let file = CallersFile { path: "callers.toml".into(), certificates: true };
    let read = |path: &Path| {
        if path.ends_with("ca.crt") {
            Ok(Zeroizing::new(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_vec()))
        } else {
            Err("No such file".to_owned())
        }
    };
    file.parse(text.as_bytes(), read).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn a_file_names_callers_and_issuers() {
    let text = format!(
        "{CALLER}spiffe_id = \"spiffe://td/a\"\n{CALLER}dns_name = \"A.Example\"\n\
         {CALLER}issuer = \"https://id.example\"\nsubject = \"ada\"\n{ISSUER}allow_private_addresses = true\n"
    );
    let callers = parse(&text).unwrap();
    assert_eq!(callers.count(), 3);
    let issuer = "https://id.example".to_owned();
    let token = Identity::Token { issuer: issuer.clone(), subject: "ada".to_owned() };
    for identity in [Identity::spiffe("spiffe://td/a").unwrap(), Identity::dns("a.example"), token] {
        assert_eq!(callers.find(&identity).unwrap().display_name, "A", "{identity}");
    }
    let [known] = callers.issuers() else { panic!("{callers:?}") };
    assert_eq!((&known.issuer, known.audience.as_str()), (&issuer, "tokenwell"));
    assert_eq!(known.algorithms, TokenAlgorithm::DEFAULT);
    assert!(known.allow_private_addresses && known.jwks_uri.is_none() && known.authorities.is_none());
    assert_eq!(parse("").unwrap().count(), 0);
}

#[test]
fn faults_name_their_line_and_key() {
    let caller = |from: &str, to: &str| format!("{CALLER}dns_name = \"a.example\"\n").replace(from, to);
    let issuer = |more: &str| format!("{ISSUER}{more}\n");
    for (text, fault) in [
        (caller("\"A\"", "\"\""), "callers.toml:2: `caller[0].display_name`"),
        (caller("\"A\"", "7"), "callers.toml:2: "),
        (caller("\"default\"", "\"No Id\""), "callers.toml:3: `caller[0].project`"),
        (caller("project = \"default\"\n", ""), "callers.toml:1: missing field `project`"),
        (caller("\"read\"", ""), "callers.toml:4: `caller[0].permissions`"),
        (caller("\"read\"", "\"read\", \"all\""), "callers.toml:4: `caller[0].permissions`"),
        (caller("a.example", "*.example"), "callers.toml:5: `caller[0].dns_name`"),
        (caller("a.example", "a..example"), "callers.toml:5: `caller[0].dns_name`"),
        (
            caller("dns_name = \"a.example\"", "spiffe_id = \"spiffe://td\""),
            "callers.toml:5: `caller[0].spiffe_id`",
        ),
        (caller("dns_name = \"a.example\"", ""), "callers.toml:1: `caller[0]` needs one of"),
        (caller("a.example\"", "a.example\"\nsubject = \"a\""), "callers.toml:1: `caller[0]` needs one of"),
        (caller("dns_name", "issuer"), "callers.toml:1: `caller[0]` needs one of"),
        (
            caller("dns_name = \"a.example\"", "issuer = \"https://id.example\"\nsubject = \"a\""),
            "callers.toml:5: `caller[0].issuer`",
        ),
        (caller("dns_name", "dnsname"), "callers.toml:5: unknown field `dnsname`"),
        (format!("{0}\n{0}", caller("", "")), "callers.toml:7: `caller[1]` shows the same as `caller[0]`"),
        (issuer("").replace("https:", "http:"), "callers.toml:2: `issuer[0].issuer`"),
        (issuer("").replace("id.example", "id.example?a"), "callers.toml:2: `issuer[0].issuer`"),
        (issuer("").replace("id.example", "a@id.example"), "callers.toml:2: `issuer[0].issuer`"),
        (issuer("").replace("\"tokenwell\"", "\"\""), "callers.toml:3: `issuer[0].audience`"),
        (issuer("").replace("audience = \"tokenwell\"\n", ""), "callers.toml:1: missing field `audience`"),
        (issuer("jwks_uri = \"http://id.example\""), "callers.toml:4: `issuer[0].jwks_uri`"),
        (issuer("algorithms = []"), "callers.toml:4: `issuer[0].algorithms`"),
        (issuer("algorithms = [\"HS256\"]"), "callers.toml:4: `issuer[0].algorithms`"),
        (issuer("algorithms = [\"none\"]"), "callers.toml:4: `issuer[0].algorithms`"),
        (
            issuer("ca_file = \"/no/such\""),
            "callers.toml:4: `issuer[0].ca_file` cannot be read: No such file",
        ),
        (issuer("allow_private_addresses = 1"), "callers.toml:4: "),
        (issuer(ISSUER), "callers.toml:5: `issuer[1].issuer` is there twice"),
        ("[[caller]\n".to_owned(), "callers.toml:1: "),
    ] {
        let faults = parse(&text).expect_err(&text);
        assert!(faults.len() == 1 && faults[0].starts_with(fault), "{fault}: {faults:?}");
    }
}

#[test]
fn the_documented_file_is_in_order() {
    let page = include_str!("../../../docs/callers.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let callers = parse(example).unwrap();
    assert_eq!((callers.count(), callers.issuers().len()), (3, 1));
}

#[test]
fn all_faults_are_told_at_once() {
    let text = format!("{CALLER}{}{}", CALLER.replace("\"read\"", ""), ISSUER.replace("https", "ftp"));
    let faults = parse(&text).unwrap_err();
    let lines: Vec<_> = faults.iter().map(|fault| fault.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["callers.toml:1:", "callers.toml:8:", "callers.toml:10:"], "{faults:?}");
}
