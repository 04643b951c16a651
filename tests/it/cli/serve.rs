//! `tokenwell serve` and `tokenwell demo`.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;
use tempfile::TempDir;
use tokenwell::{
    api::{Client, pb::connection::v1::ListRequest},
    model::SecretString,
};

use super::program::{Server, key_in, on, run, serve, tokenwell};
use crate::support::Browser;

const KEY: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Whether a server takes this key.
async fn takes(server: &Server, key: &str) -> bool {
    let client =
        Client::new(&format!("http://{}", server.address("grpc")), &SecretString::from(key)).unwrap();
    client.connection.clone().list(ListRequest::default()).await.is_ok()
}

#[test]
fn the_demo_plays_a_whole_flow_once() {
    let shown = run(&mut tokenwell(&["demo", "--once"])).ok();
    let mut rest = shown.as_str();
    for step in ["\nBegin", "\nBrowser", "\nConsent", "\nComplete", "\nGet", "\nExpiry", "\nGet"] {
        let found = rest.split_once(step);
        rest = found.unwrap_or_else(|| panic!("{step:?} is not where it belongs in:\n{shown}")).1;
    }
    let value = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
    let tokens: Vec<_> = shown.lines().filter(|line| line.contains("access_token")).map(value).collect();
    assert_eq!(tokens.len(), 2, "{shown}");
    assert_ne!(tokens[0], tokens[1]);
    assert!(shown.contains("S256"), "{shown}");
    assert!(shown.contains("refused by the provider (401)"), "{shown}");
    assert_eq!(shown.matches("ada@example.com").count(), 2, "each token is tried out:\n{shown}");
    // Output that no terminal shows has no colours.
    assert!(!shown.contains('\u{1b}'));
}

#[tokio::test]
async fn the_first_start_prints_a_key_and_the_second_does_not() {
    let directory = TempDir::new().unwrap();
    let server = Server::start(&mut serve(directory.path()));
    let file = directory.path().join("sealing.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let sealing_key = fs::read_to_string(&file).unwrap();
    let stopped = server.stop();
    let key = key_in(&stopped.stdout).expect("the first start prints a key");
    assert_eq!(stopped.stdout.matches(&key).count(), 1);
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);

    let server = Server::start(&mut serve(directory.path()));
    assert!(takes(&server, &key).await);
    assert!(!takes(&server, &format!("{}x", &key[..key.len() - 1])).await);
    assert_eq!(fs::read_to_string(&file).unwrap(), sealing_key);
    let again = server.stop();
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), ""));

    // The log is for machines and never has a key, however much of it is asked for.
    let sealing_key = sealing_key.trim().split_once(':').unwrap().1;
    for log in [&stopped.stderr, &again.stderr] {
        assert!(!log.contains(&key) && !log.contains(sealing_key), "{log}");
        assert!(log.lines().count() >= 3, "{log}");
        assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
        assert!(log.contains("stopped"), "{log}");
    }
}

#[tokio::test]
async fn not_even_the_most_talkative_log_has_a_key() {
    let directory = TempDir::new().unwrap();
    let mut command = serve(directory.path());
    let server = Server::start(command.env("TOKENWELL_LOG", "trace").env("TOKENWELL_SEALING_KEYS", KEY));
    let stopped = server.stop();
    let key = key_in(&stopped.stdout).unwrap();
    let server = Server::start(&mut command);
    assert!(takes(&server, &key).await);
    let log = [stopped.stderr, server.stop().stderr].concat();
    assert!(log.contains(r#""level":"TRACE""#), "{log}");
    for secret in [&key, &key["tw_sk_".len()..], KEY.split_once(':').unwrap().1] {
        assert!(!log.contains(secret), "the log has {secret}");
    }
    assert!(!directory.path().join("sealing.key").exists(), "no key is made where one is given");
}

#[tokio::test]
async fn a_server_answers_health_where_it_says() {
    let directory = TempDir::new().unwrap();
    let server = Server::start(&mut serve(directory.path()));
    let mut browser = Browser::new();
    for (listener, path) in [("admin", "healthz"), ("admin", "readyz"), ("gateway", "healthz")] {
        let answer = browser.get(&format!("http://{}/{path}", server.address(listener))).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "ok\n"), "{listener} {path}");
    }
    assert_eq!(server.serving["public_url"], format!("http://{}", server.address("gateway")));
    // What is for operators is not where browsers are.
    let answer = browser.get(&format!("http://{}/readyz", server.address("gateway"))).await;
    assert_eq!(answer.status.as_u16(), 404);
    assert_eq!(server.stop().code, Some(0));
}

/// Whoever reads that it serves may stop it: the signal does not come too early for it to end in order.
#[test]
fn a_server_can_be_stopped_as_soon_as_it_serves() {
    let directory = TempDir::new().unwrap();
    for round in 0..8 {
        let stopped = Server::start(&mut serve(directory.path())).stop();
        assert_eq!(stopped.code, Some(0), "round {round}: {}", stopped.stderr);
        assert!(stopped.stderr.contains("\"stopped\""), "{}", stopped.stderr);
    }
}

#[test]
fn a_public_url_is_https_or_loopback() {
    let directory = TempDir::new().unwrap();
    for bad in [
        "http://connect.example.com",
        "http://127.0.0.1.example.com",
        "https://connect.example.com/path",
        "https://user@connect.example.com",
        "ftp://connect.example.com",
        "connect.example.com",
    ] {
        let error = run(serve(directory.path()).args(["--public-url", bad])).error();
        assert!(error.contains("the public URL"), "{error}");
    }
    // Without one, browsers would be sent to an address that is none, by http.
    let data = directory.path().to_str().unwrap();
    let mut everywhere = tokenwell(&["serve", "--data-dir", data, "--gateway-listen", "0.0.0.0:0"]);
    let error =
        run(everywhere.args(["--grpc-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])).error();
    assert!(error.contains("the public URL is missing"), "{error}");
    let server =
        Server::start(serve(directory.path()).args(["--public-url", "https://connect.example.com/"]));
    assert_eq!(server.serving["public_url"], "https://connect.example.com");
    // None of the starts that failed has used up the first key.
    assert!(key_in(&server.stop().stdout).is_some());
}

#[test]
fn an_occupied_port_is_named() {
    let directory = TempDir::new().unwrap();
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupied.local_addr().unwrap().to_string();
    for listener in ["GRPC", "GATEWAY", "ADMIN"] {
        let mut command = tokenwell(&["serve"]);
        for other in ["GRPC", "GATEWAY", "ADMIN"] {
            let address = if other == listener { address.as_str() } else { "127.0.0.1:0" };
            command.env(format!("TOKENWELL_{other}_LISTEN"), address);
        }
        let error = run(command.env("TOKENWELL_DATA_DIR", directory.path())).error();
        assert!(error.contains(&format!("cannot listen on {address}")), "{error}");
    }
    let server = Server::start(&mut serve(directory.path()));
    assert!(key_in(&server.stop().stdout).is_some(), "a start that failed has used up the first key");
}

#[test]
fn a_bad_sealing_key_is_refused_and_not_shown() {
    let directory = TempDir::new().unwrap();
    let zeros = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let twice = format!("{KEY},{KEY}");
    for (keys, problem) in [
        ("k1:c2hvcnQtc2VjcmV0", "malformed"),
        ("c2hvcnQtc2VjcmV0", "malformed"),
        (zeros, "all of one byte"),
        (twice.as_str(), "id of another one"),
        (" ", "there is no sealing key"),
    ] {
        let error = run(serve(directory.path()).env("TOKENWELL_SEALING_KEYS", keys)).error();
        assert!(error.contains(problem), "{keys}: {error}");
        assert!(!error.contains("c2hvcnQtc2VjcmV0") && !error.contains(&KEY[3..]), "{error}");
    }
    let file = directory.path().join("bad.key");
    fs::write(&file, format!("# a comment\n{KEY}\nk2:c2hvcnQtc2VjcmV0\n")).unwrap();
    let error = run(serve(directory.path()).arg("--sealing-key-file").arg(&file)).error();
    assert!(error.contains("sealing key 2 is malformed") && !error.contains("c2hvcnQ"), "{error}");
    let error = run(serve(directory.path()).args(["--sealing-key-file", "/no/such/file"])).error();
    assert!(error.contains("sealing key file"), "{error}");
}

#[test]
fn a_postgres_url_needs_a_key_and_does_not_show_its_password() {
    let directory = TempDir::new().unwrap();
    let url = "postgres://tokenwell:hunter2-of-the-test@127.0.0.1:1/tokenwell";
    let error = run(serve(directory.path()).args(["--database-url", url])).error();
    assert!(error.contains("there is no sealing key"), "{error}");
    assert!(error.contains("tokenwell keys generate-sealing-key"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is made beside PostgreSQL");

    let mut command = serve(directory.path());
    let error = run(command.env("TOKENWELL_SEALING_KEYS", KEY).env("TOKENWELL_DATABASE_URL", url)).error();
    assert!(error.contains("the database is not available"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_server_that_may_not_migrate_wants_a_migrated_database() {
    let directory = TempDir::new().unwrap();
    let error = run(serve(directory.path()).arg("--no-migrate")).error();
    assert!(error.contains("run `tokenwell migrate`"), "{error}");
    on(directory.path(), &["migrate"]).ok();
    let server = Server::start(serve(directory.path()).arg("--no-migrate"));
    assert!(key_in(&server.stop().stdout).is_some());
}

#[test]
fn help_names_every_variable() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rest = fs::read_dir(root.join("src/config")).unwrap().map(|file| file.unwrap().path());
    let files = rest.chain([root.join("src/config.rs")]).map(|file| fs::read_to_string(file).unwrap());
    let source = files.collect::<String>();
    let variables: Vec<_> =
        source.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(variables.len() > 15, "{variables:?}");
    let mut command = tokenwell(&["serve", "--help"]);
    let help =
        run(command.env("TOKENWELL_SEALING_KEYS", KEY).env("TOKENWELL_DATABASE_URL", "postgres://hunter2"))
            .ok();
    for variable in variables {
        assert!(variable.starts_with("TOKENWELL_"), "{variable}");
        assert!(help.contains(&format!("[env: {variable}")), "{variable} is not in:\n{help}");
    }
    assert!(!help.contains(&KEY[3..]) && !help.contains("hunter2"), "help shows a secret:\n{help}");
    let overview = run(&mut tokenwell(&["--help"])).ok();
    for command in ["serve", "demo", "migrate", "keys", "providers", "connections"] {
        assert!(overview.contains(&format!("\n  {command} ")), "{command} is not in:\n{overview}");
    }
}
