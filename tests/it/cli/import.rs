//! `tokenwell providers import`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use super::program::{Finished, run, tokenwell};

/// Three entries that are whole, one with a remark, and two that cannot be.
const PROVIDERS: &str = r"
defaults: &defaults
    categories: [crm, Help Desk]
    docs: https://docs.acme.example.com/oauth
    auth_mode: NONE
acme:
    <<: *defaults
    display_name: Acme
    auth_mode: OAUTH2
    authorization_url: https://${connectionConfig.subdomain}.acme.com/oauth/authorize
    token_url: https://${connectionConfig.subdomain}.acme.com/oauth/token
    proxy:
        base_url: https://${connectionConfig.subdomain}.acme.com/api
    connection_config:
        subdomain:
            type: string
            title: Acme subdomain
            description: The first part of the address at which you open Acme.
            pattern: '^[a-z0-9-]+$'
acme-desk:
    alias: acme
    display_name: Acme Desk
    scope_separator: ','
acme-key:
    <<: *defaults
    display_name: Acme (API key)
    auth_mode: API_KEY
    proxy:
        base_url: https://api.acme.com
        headers:
            x-api-key: ${apiKey}
        verification:
            endpoints: [/v1/me]
acme-eu:
    <<: *defaults
    display_name: Acme (Europe)
    auth_mode: OAUTH2_CC
    token_url: https://login.${connectionConfig.siteRegion}.acme.com/token || https://login.acme.com/token
    connection_config:
        siteRegion:
            type: string
            title: Region
            enum: [eu, uk]
            optional: true
acme-anywhere:
    <<: *defaults
    display_name: Acme (your own server)
    auth_mode: OAUTH2
    authorization_url: https://${connectionConfig.hostname}/oauth/authorize
    token_url: https://${connectionConfig.hostname}/oauth/token
";

/// A directory with a file in it, and the file's path.
fn file(text: &str) -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("providers.yaml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

fn import(file: &str, out: &Path, more: &[&str]) -> Finished {
    let mut command = tokenwell(&["providers", "import", file, "--out"]);
    run(command.arg(out).args(more))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_is_imported_is_a_catalog() {
    let (directory, file) = file(PROVIDERS);
    let out = directory.path().join("made/here");
    let Finished { code, stdout, stderr } = import(&file, &out, &[]);
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<Vec<_>> = stdout.lines().map(|line| line.split('\t').collect()).collect();
    let outcomes: Vec<_> = lines.iter().map(|line| (line[0], line[1])).collect();
    assert_eq!(
        outcomes,
        [
            ("acme", "written"),
            ("acme-anywhere", "skipped"),
            ("acme-desk", "written"),
            ("acme-eu", "written with remarks"),
            ("acme-key", "written"),
            ("defaults", "skipped"),
        ]
    );
    assert!(lines[1][2].contains("`hostname`, which may be anything"), "{stdout}");
    assert_eq!(lines[3][2], "connection_config.siteRegion: is called `site_region` here");
    assert!(stderr.contains("3 written, 1 written with remarks, 2 skipped"), "{stderr}");
    assert!(stderr.contains("left out of 3 entries: proxy: "), "{stderr}");
    // No bar, where no terminal is.
    assert!(!stderr.contains('\r') && !stderr.contains('█'), "{stderr}");

    let made = files(&out);
    let names: Vec<_> = made.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["acme-desk.toml", "acme-eu.toml", "acme-key.toml", "acme.toml"]);
    let mut check = tokenwell(&["providers", "check"]);
    run(check.args(&made)).ok();
    let mut show = tokenwell(&["providers", "show", "acme-desk", "--output", "json"]);
    let fields = run(show.env("TOKENWELL_PROVIDERS_DIR", &out)).json();
    assert_eq!((&fields[0]["key"], &fields[0]["given"]), (&"subdomain".into(), &"required".into()));
}

#[test]
fn no_file_is_overwritten_unless_that_is_wanted() {
    let (directory, file) = file(PROVIDERS);
    let out = directory.path().join("out");
    fs::create_dir(&out).unwrap();
    let own = out.join("acme-key.toml");
    fs::write(&own, "mine").unwrap();
    let error = import(&file, &out, &[]).error();
    assert!(error.contains("acme-key.toml would be overwritten: give --force"), "{error}");
    // None was written.
    assert_eq!(files(&out), std::slice::from_ref(&own));
    assert_eq!(fs::read_to_string(&own).unwrap(), "mine");
    import(&file, &out, &["--force"]).ok();
    assert!(fs::read_to_string(&own).unwrap().contains("[verification]"));
    assert_eq!(files(&out).len(), 4);
}

#[test]
fn a_dry_run_writes_nothing() {
    let (directory, file) = file(PROVIDERS);
    let out = directory.path().join("out");
    let report = import(&file, &out, &["--dry-run"]).ok();
    assert!(report.contains("acme\twritten\t"), "{report}");
    assert!(!out.exists());
    run(&mut tokenwell(&["providers", "import", &file, "--dry-run"])).ok();
    let missing = run(&mut tokenwell(&["providers", "import", &file]));
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("--out"), "{}", missing.stderr);
}

#[test]
fn strict_fails_if_something_was_lost() {
    let (directory, all) = file(PROVIDERS);
    let strict = import(&all, &directory.path().join("out"), &["--strict"]);
    assert_eq!(strict.code, Some(1));
    assert!(strict.stderr.contains("2 of 6 entries were not carried over as a whole"), "{}", strict.stderr);
    // A key that is called otherwise, or is no business of a connection, is no loss.
    let whole: String = PROVIDERS
        .split("acme-anywhere:")
        .next()
        .unwrap()
        .replace("auth_mode: NONE", "auth_mode: API_KEY\n    display_name: Defaults");
    let (directory, whole) = file(&whole);
    import(&whole, &directory.path().join("out"), &["--strict"]).ok();
}

#[test]
fn the_report_is_json_if_wanted() {
    let (_directory, file) = file(PROVIDERS);
    let report = run(&mut tokenwell(&["providers", "import", &file, "--dry-run", "--output", "json"])).json();
    let of = |id: &str| report.iter().find(|it| it["id"] == id).unwrap();
    assert_eq!(of("acme")["outcome"], "written");
    assert_eq!(of("acme")["remarks"][0]["kind"], "outside");
    assert_eq!(of("acme")["remarks"][0]["key"], "proxy");
    assert_eq!(of("acme-eu")["remarks"][0]["kind"], "changed");
    let skipped = &of("acme-anywhere")["remarks"][0];
    assert_eq!((&skipped["kind"], &skipped["key"]), (&Value::from("lost"), &Value::from("")));
}

#[test]
fn a_file_that_cannot_be_read_is_said() {
    let (directory, malformed) = file("acme:\n    display_name: Acme\n  auth_mode: [\n");
    let out = directory.path().join("out");
    let error = import(&malformed, &out, &[]).error();
    assert!(error.contains("providers.yaml:3: ") || error.contains("providers.yaml:4: "), "{error}");
    let (_directory, list) = file("- acme\n");
    assert!(import(&list, &out, &[]).error().contains("is not a mapping from ids to providers"));
    assert!(import("/no/such.yaml", &out, &[]).error().contains("/no/such.yaml: "));
    assert!(!out.exists());
}
