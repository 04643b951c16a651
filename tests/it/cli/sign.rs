//! `tokenwell sign`, against a server that asks for signatures.

use std::{
    ffi::OsStr,
    io::Write as _,
    os::unix::ffi::OsStrExt as _,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tempfile::TempDir;
use tokenwell::{
    api::pb::{
        auth::v1::BeginRequest,
        project::v1::{HmacSettings, Settings},
    },
    model::{HmacKey, Signed, StringMap},
};
use tonic::Code;

use super::program::{Finished, run, tokenwell};
use crate::support::{
    Database, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused, server::begin,
};

const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

fn sign(arguments: &[&str]) -> Command {
    let mut command = tokenwell(&[&["sign"], arguments].concat());
    command.env("TOKENWELL_HMAC_KEY", STANDARD.encode(KEY));
    command
}

fn with_stdin(mut command: Command, text: &[u8]) -> Finished {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A server of the system's time whose project requires signatures by the key.
async fn strict() -> (TestServer, TestProvider, Database) {
    let clock = ManualClock::at_present();
    let mut provider = TestProvider::plain(&clock).await;
    provider.entry.as_mut().unwrap().1.push_str("user_scope_param = \"user_scope\"\n");
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;
    let hmac = HmacSettings { required: true, keys: vec![KEY.to_vec()], ..HmacSettings::default() };
    let allowed_return_urls = vec!["https://app.example.com".to_owned()];
    let settings = Settings { hmac: Some(hmac), allowed_return_urls, ..Settings::default() };
    server.update_settings(settings, &["hmac", "allowed_return_urls"]).await;
    (server, provider, database)
}

fn full(signature: &str) -> BeginRequest {
    let text = |text: &str| text.to_owned();
    BeginRequest {
        authorization_params: [(text("login_hint"), text("a=b")), (text("ui"), text("zoë"))].into(),
        scopes: vec![text("write"), text("read")],
        user_scopes: vec![text("me")],
        return_url: text("https://app.example.com/done?x=1"),
        signature: signature.trim().to_owned(),
        ..begin("sandbox", "user 1")
    }
}

const FULL: [&str; 14] = [
    "sandbox",
    "user 1",
    "--authorization-param",
    "ui=zoë",
    "--authorization-param=login_hint=a=b",
    "--scope",
    "write",
    "--scope=read",
    "--user-scope",
    "me",
    "--return-url",
    "https://app.example.com/done?x=1",
    "--expires-in",
    "600",
];

#[tokio::test]
async fn what_it_signs_a_server_takes_once() -> TestResult {
    let (server, _provider, _database) = strict().await;
    let signature = run(&mut sign(&FULL)).ok();
    server.begin(full(&signature)).await?;
    assert_refused(server.begin(full(&signature)).await, Code::AlreadyExists, "SIGNATURE_REPLAYED");
    // Each is another one, though it may be of the same second.
    server.begin(full(&run(&mut sign(&FULL)).ok())).await?;

    let changed = [&FULL[..], &["--scope", "admin"]].concat();
    let refused = server.begin(full(&run(&mut sign(&changed)).ok())).await;
    assert_refused(refused, Code::Unauthenticated, "SIGNATURE_INVALID");
    let other = [&FULL[..], &["--project", "other"]].concat();
    let refused = server.begin(full(&run(&mut sign(&other)).ok())).await;
    assert_refused(refused, Code::Unauthenticated, "SIGNATURE_INVALID");

    let v1 = run(&mut sign(&["sandbox", "user 1", "--scheme", "v1"])).ok();
    server.begin(full(&v1)).await?;
    // A connection that the server names.
    let signature = run(&mut sign(&["sandbox"])).ok().trim().to_owned();
    server.begin(BeginRequest { signature, ..begin("sandbox", "") }).await?;
    Ok(())
}

#[test]
fn it_signs_config_and_prints_json() {
    let arguments = ["desk", "u1", "--config", "subdomain=acme", "--expiry", "1790000600", "--nonce", "n-1"];
    let expected = Signed {
        project_id: "default",
        integration_id: "desk",
        connection_id: "u1",
        connection_config: &StringMap::from([("subdomain".to_owned(), "acme".to_owned())]),
        authorization_params: &StringMap::new(),
        scopes: &[],
        user_scopes: &[],
        return_url: "",
    };
    let key: HmacKey = KEY.to_vec().into();
    let signature = expected.sign_v2(&key, 1_790_000_600, "n-1");
    assert_eq!(run(&mut sign(&arguments)).ok(), format!("{signature}\n"));
    let printed = run(&mut sign(&[&arguments[..], &["--output", "json"]].concat())).ok();
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let all = serde_json::json!({ "signature": signature, "expiry": 1_790_000_600, "nonce": "n-1" });
    assert_eq!(printed, all);
}

#[test]
fn the_key_comes_from_a_file_a_variable_or_standard_input() {
    let v1 = ["desk", "u1", "--scheme", "v1"];
    let expected = run(&mut sign(&v1)).ok();
    let directory = TempDir::new().unwrap();
    for (encoding, text) in [
        ("base64", STANDARD.encode(KEY).into_bytes()),
        ("base64", STANDARD.encode(KEY).replacen("MDEy", "MDEy\n  ", 1).into_bytes()),
        ("hex", hex::encode(KEY).into_bytes()),
        ("text", KEY.to_vec()),
    ] {
        let line = [&text[..], b"\n"].concat();
        let file = directory.path().join(encoding);
        std::fs::write(&file, &line).unwrap();
        let encoded = [&["sign"], &v1[..], &["--key-encoding", encoding]].concat();
        // A file goes before the variable.
        let mut by_file = tokenwell(&[&encoded[..], &["--key-file", file.to_str().unwrap()]].concat());
        assert_eq!(run(by_file.env("TOKENWELL_HMAC_KEY", "x")).ok(), expected, "{encoding}");
        let mut by_variable = tokenwell(&encoded);
        by_variable.env("TOKENWELL_HMAC_KEY", std::str::from_utf8(&text).unwrap());
        assert_eq!(run(&mut by_variable).ok(), expected, "{encoding}");
        assert_eq!(with_stdin(tokenwell(&encoded), &line).ok(), expected, "{encoding}");
        let dash = tokenwell(&[&encoded[..], &["--key-file", "-"]].concat());
        assert_eq!(with_stdin(dash, &text).ok(), expected, "{encoding}");
    }
}

#[test]
fn a_key_is_no_argument_and_in_no_error() {
    let help = run(&mut tokenwell(&["sign", "--help"])).ok();
    for flag in
        ["--key-file", "--key-encoding", "--scheme", "--expires-in", "--nonce", "--config", "--return-url"]
    {
        assert!(help.contains(flag), "{flag}");
    }
    assert!(help.contains("TOKENWELL_HMAC_KEY"), "{help}");
    assert_eq!(run(&mut tokenwell(&["sign", "desk", "u1", "--key", "canary"])).code, Some(2));
    for (key, problem) in [("canary!", "encoding"), ("Y2FuYXJ5", "too short"), ("", "too short")] {
        let mut command = tokenwell(&["sign", "desk", "u1"]);
        let error = run(command.env("TOKENWELL_HMAC_KEY", key)).error();
        assert!(error.contains(problem) && !error.contains("anary") && !error.contains("Y2Fu"), "{error}");
    }
    // A variable that cannot be read is not one that is not there: the key would be asked for on standard input.
    let mut garbled = tokenwell(&["sign", "desk", "u1"]);
    garbled.env("TOKENWELL_HMAC_KEY", OsStr::from_bytes(b"canary\xff"));
    let error = run(&mut garbled).error();
    assert!(error.contains("TOKENWELL_HMAC_KEY is not UTF-8") && !error.contains("anary"), "{error}");
    let error = run(&mut tokenwell(&["sign", "desk", "u1", "--key-file", "/nowhere"])).error();
    assert!(error.contains("/nowhere"), "{error}");
}

#[test]
fn what_no_signature_can_have_is_refused() {
    for wrong in [
        &["desk", "u1", "--nonce", "a,b"][..],
        &["desk", "u1", "--nonce", ""],
        &["desk", "u1", "--config", "acme"],
        &["desk", "u1", "--expires-in", "3601"],
        &["desk", "u1", "--expires-in", "60", "--expiry", "1790000600"],
        &["desk", "u1", "--scheme", "v3"],
        &[],
    ] {
        assert_eq!(run(&mut sign(wrong)).code, Some(2), "{wrong:?}");
    }
    for wrong in [
        &["de:sk", "u1"][..],
        &["desk", " u1"],
        &["desk", "u1", "--project", "A"],
        &["desk", "u1", "--config", "a=1", "--config", "a=2"],
        // It would look covered, and would not be.
        &["desk", "u1", "--scheme", "v1", "--return-url", "https://app.example.com/"],
        &["desk", "u1", "--scheme", "v1", "--expires-in", "60"],
        &["desk", "u1", "--scheme", "v1", "--project", "default"],
    ] {
        run(&mut sign(wrong)).error();
    }
}
