//! `tokenwell migrate`, `tokenwell providers` and `tokenwell connections`.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;
use tokenwell::model::ExposeSecret as _;
use tonic::Code;

use super::program::{Finished, on, run, tokenwell};
use crate::support::{TestServer, assert_refused, database::Database};

#[test]
fn migrating_says_what_it_did() {
    let directory = TempDir::new().unwrap();
    let first = on(directory.path(), &["migrate"]).ok();
    assert!(first.starts_with("applied ") && first.contains("migration"), "{first}");
    assert_eq!(on(directory.path(), &["migrate"]).ok(), "the schema is up to date\n");
}

#[test]
fn a_mistyped_directory_is_said_and_not_made() {
    let directory = TempDir::new().unwrap();
    let typo = directory.path().join("dta");
    for command in [&["keys", "list"][..], &["connections", "list"]] {
        let error = on(&typo, command).error();
        assert!(error.contains("there is no database at"), "{error}");
        assert!(!typo.exists(), "{command:?} made {}", typo.display());
    }
}

#[test]
fn the_catalog_is_listed_with_grant_types_and_required_config() {
    let listed = run(&mut tokenwell(&["providers", "list", "--output", "json"])).json();
    let ids: Vec<_> = listed.iter().map(|row| row["id"].as_str().unwrap()).collect();
    for id in ["gorgias", "qualtrics", "salesforce", "shopify", "zendesk", "zoho"] {
        assert!(ids.contains(&id), "{id}");
    }
    assert!(listed.iter().all(|row| row["name"] != "" && row["categories"] != ""), "{listed:?}");
    let zendesk = listed.iter().find(|row| row["id"] == "zendesk").unwrap();
    assert_eq!(zendesk["required config"], "subdomain");
    assert_eq!(zendesk["grant types"], "authorization_code");

    let shown = run(&mut tokenwell(&["providers", "show", "zendesk", "--output", "json"])).json();
    assert!(shown.iter().any(|row| row["key"] == "subdomain" && row["given"] == "required"), "{shown:?}");
    let error = run(&mut tokenwell(&["providers", "show", "nobody"])).error();
    assert!(error.contains("the catalog has no provider `nobody`"), "{error}");
}

/// Editors check catalog files by the schema that is written down: it is the one of the program.
#[test]
fn the_schema_of_catalog_files_is_the_one_in_docs() {
    let printed: Value = serde_json::from_str(&run(&mut tokenwell(&["providers", "schema"])).ok()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/provider.schema.json");
    let written: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(printed == written, "renew it: tokenwell providers schema > docs/provider.schema.json");
    let properties = printed["properties"].as_object().unwrap();
    assert!(properties.values().all(|key| key["description"].is_string() || key["$ref"].is_string()));
    assert_eq!(printed["additionalProperties"], false);
}

const GOOD: &str = r#"display_name = "Acme"
categories = ["crm"]
documentation = "https://acme.example.com/docs"
authorization_endpoint = "https://acme.example.com/authorize"
token_endpoint = "https://acme.example.com/token"
hosts = ["acme.example.com"]
token_endpoint_auth_method = "client_secret_basic"
"#;

#[test]
fn a_good_catalog_file_is_ok() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("acme.toml");
    fs::write(&file, GOOD).unwrap();
    let name = file.to_str().unwrap();
    assert_eq!(run(&mut tokenwell(&["providers", "check", name])).ok(), format!("{name}: ok\n"));

    let mut command = tokenwell(&["providers", "list", "--output", "json"]);
    let listed = run(command.env("TOKENWELL_PROVIDERS_DIR", directory.path())).json();
    assert!(listed.iter().any(|row| row["id"] == "acme"), "{listed:?}");
}

#[test]
fn a_fault_in_a_catalog_file_is_named_with_file_and_line() {
    let directory = TempDir::new().unwrap();
    let bad = |name: &str, from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        let file = directory.path().join(name);
        fs::write(&file, GOOD.replacen(from, to, 1)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = directory.path().join("acme.toml");
    fs::write(&good, GOOD).unwrap();
    let cases = [
        (bad("unknown.toml", "categories", "catgories"), Some(2)),
        (bad("syntax.toml", "hosts = [", "hosts = = ["), Some(6)),
        (bad("type.toml", "\"https://acme.example.com/token\"", "7"), Some(5)),
        (bad("method.toml", "client_secret_basic", "shout"), Some(7)),
        (bad("http.toml", "https://acme.example.com/token", "http://acme.example.com/token"), Some(5)),
        (bad("host.toml", "https://acme.example.com/token", "https://evil.example.com/token"), Some(5)),
    ];
    for (file, line) in &cases {
        let Finished { code, stdout, stderr } = run(&mut tokenwell(&["providers", "check", file]));
        assert_eq!(code, Some(1), "{stdout}");
        let place = line.map_or_else(|| format!("{file}:"), |line| format!("{file}:{line}: "));
        assert!(stdout.starts_with(&place), "{stdout}");
        // A key that is misspelt is one that is missing, too.
        let count = if file.ends_with("unknown.toml") { "2 faults" } else { "1 fault" };
        assert_eq!(stderr.trim_end(), format!("error: {count}"), "{stdout}");
    }
    // One bad file does not hide the others.
    let good = good.to_str().unwrap();
    let mut all = vec!["providers", "check", good];
    all.extend(cases.iter().map(|(file, _)| file.as_str()));
    let checked = run(&mut tokenwell(&all));
    assert!(checked.stdout.contains(&format!("{good}: ok\n")), "{}", checked.stdout);
    assert!(cases.iter().all(|(file, _)| checked.stdout.contains(file.as_str())), "{}", checked.stdout);
    assert!(checked.stderr.contains("7 faults"), "{}", checked.stderr);
    let missing = run(&mut tokenwell(&["providers", "check", "/no/such.toml"]));
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("/no/such.toml"), "{}", missing.stderr);
}

fn connections(database: &Database, arguments: &[&str]) -> Finished {
    let keys = database.storage().sealing_keys.unwrap();
    let mut command = tokenwell(&["connections"]);
    command.args(arguments).env("TOKENWELL_SEALING_KEYS", keys.expose_secret());
    run(command.env("TOKENWELL_DATA_DIR", database.directory()))
}

#[tokio::test]
async fn connections_are_listed_without_tokens_and_deleted() {
    let (server, _provider, database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "ada").await;
    server.connect("sandbox", "bob").await;
    let (_, token) = server.token("sandbox", "ada").await.unwrap();

    let listed = connections(&database, &["list", "--output", "json"]).ok();
    assert!(!listed.contains(&token.access_token) && !listed.contains("_at_"), "{listed}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(rows.len(), 2, "{listed}");
    let ada = rows.iter().find(|row| row["connection"] == "ada").unwrap();
    assert_eq!((&ada["integration"], &ada["provider"]), (&"sandbox".into(), &"sandbox".into()));
    assert_eq!(ada["state"], "active");
    assert_eq!(connections(&database, &["list", "--integration", "other"]).ok(), "");

    assert_eq!(connections(&database, &["delete", "sandbox", "ada"]).ok(), "deleted `ada` of `sandbox`\n");
    let gone = server.token("sandbox", "ada").await;
    assert_refused(gone, Code::NotFound, "CONNECTION_NOT_FOUND");
    server.token("sandbox", "bob").await.unwrap();
    let error = connections(&database, &["delete", "sandbox", "ada"]).error();
    assert!(error.contains("there is no connection `ada` in integration `sandbox`"), "{error}");
    // Another project has none of it.
    assert_eq!(connections(&database, &["list", "--project", "other"]).ok(), "");
    let error = connections(&database, &["--project", "other", "delete", "sandbox", "bob"]).error();
    assert!(error.contains("there is no connection `bob`"), "{error}");
}
