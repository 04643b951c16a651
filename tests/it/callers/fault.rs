//! Files with faults: a start ends, and a running server says so and goes on.

use std::{fs, path::Path};

use rcgen::{CertificateParams, date_time_ymd};
use tempfile::TempDir;
use tokenwell::app::Addresses;

use super::{Authority, BILLING, CALLERS, Pair, read};
use crate::{
    cli::program::{Server, key_in, run, serve, served, tokenwell},
    support::TestServer,
};

const TLS_STAYS: &str = "the certificates of the gRPC listener have a fault: the last good ones stay";
const TLS_RELOADED: &str = "reloaded the certificates of the gRPC listener";
const FAULT: &str = "the callers file has a fault";
const STAYS: &str = "the callers file has faults: the last good one stays";
const RELOADED: &str = "reloaded the callers file";

/// A directory of good files.
fn files(authority: &Authority) -> TempDir {
    let directory = TempDir::new().unwrap();
    let pair = authority.server();
    let write = |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
    write("server.pem", &pair.certificate);
    write("server.key", &pair.key);
    write("clients.pem", &authority.pem());
    write("revoked.pem", &authority.revoked(&[]));
    write("callers.toml", CALLERS);
    directory
}

fn command(data: &Path, files: &Path) -> std::process::Command {
    let mut command = serve(data);
    for (flag, file) in [
        ("--grpc-tls-cert-file", "server.pem"),
        ("--grpc-tls-key-file", "server.key"),
        ("--grpc-client-ca-file", "clients.pem"),
        ("--grpc-client-crl-file", "revoked.pem"),
        ("--callers-file", "callers.toml"),
    ] {
        command.arg(flag).arg(files.join(file));
    }
    command
}

/// A certificate for the server, with another validity.
fn at(authority: &Authority, from: i32, to: i32) -> Pair {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    authority.issue(params)
}

/// What may be wrong with the files of TLS: the file, what it holds, and what is said of it.
fn wrong(authority: &Authority) -> Vec<(&'static str, String, &'static str)> {
    let other = authority.server();
    let (expired, early) = (at(authority, 2019, 2020), at(authority, 4000, 4001));
    let broken = "-----BEGIN CERTIFICATE-----\nc2VjcmV0LW9mLXRoZS10ZXN0\n-----END CERTIFICATE-----\n";
    let broken_key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LW9mLXRoZS10ZXN0\n-----END PRIVATE KEY-----\n";
    let broken_list = "-----BEGIN X509 CRL-----\nc2VjcmV0LW9mLXRoZS10ZXN0\n-----END X509 CRL-----\n";
    vec![
        ("server.pem", String::new(), "it holds no certificate"),
        ("server.pem", "secret-of-the-test".to_owned(), "it holds no certificate"),
        ("server.pem", other.key.clone(), "it holds no certificate"),
        ("server.pem", broken.to_owned(), "is not an X.509 certificate"),
        ("server.pem", "-----BEGIN secret-of-the-test".to_owned(), "it holds no certificate"),
        ("server.pem", expired.certificate, "its certificate has expired"),
        ("server.pem", early.certificate, "its certificate is not valid yet"),
        ("server.pem", "A".repeat(1024 * 1024 + 1), "it is larger than 1024 KiB"),
        ("server.key", String::new(), "it holds no private key"),
        ("server.key", other.certificate.clone(), "it holds no private key"),
        ("server.key", broken_key.to_owned(), "its key cannot sign"),
        ("server.key", other.key, "its key is not that of the certificate"),
        ("clients.pem", "secret-of-the-test".to_owned(), "it holds no certificate"),
        ("clients.pem", broken.to_owned(), "one of its certificates cannot be an authority"),
        ("revoked.pem", String::new(), "it holds no list of revoked certificates"),
        ("revoked.pem", other.certificate, "it holds no list of revoked certificates"),
        ("revoked.pem", broken_list.to_owned(), "one of its lists is not a list of revoked certificates"),
    ]
}

#[track_caller]
fn assert_says_nothing(text: &str) {
    for secret in ["secret-of-the-test", "c2VjcmV0LW9mLXRoZS10ZXN0", "AAAAAAAA"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

#[test]
fn a_start_ends_with_a_fault_that_names_its_file() {
    let authority = Authority::new("all");
    let data = TempDir::new().unwrap();
    for (file, text, problem) in wrong(&authority) {
        let files = files(&authority);
        fs::write(files.path().join(file), text).unwrap();
        let error = run(&mut command(data.path(), files.path())).error();
        assert!(error.contains(file) && error.contains(problem), "{problem}: {error}");
        assert_says_nothing(&error);
    }
    for file in ["server.pem", "server.key", "clients.pem", "revoked.pem", "callers.toml"] {
        let files = files(&authority);
        fs::remove_file(files.path().join(file)).unwrap();
        let error = run(&mut command(data.path(), files.path())).error();
        assert!(error.contains(file) && error.contains("No such file"), "{error}");
        fs::create_dir(files.path().join(file)).unwrap();
        let error = run(&mut command(data.path(), files.path())).error();
        assert!(error.contains(file) && error.contains("it is no file"), "{error}");
    }
}

#[test]
fn flags_that_need_others_say_so() {
    let authority = Authority::new("all");
    let (data, files) = (TempDir::new().unwrap(), files(&authority));
    let path = |file: &str| files.path().join(file).to_str().unwrap().to_owned();
    let (certificate, key, clients) = (path("server.pem"), path("server.key"), path("clients.pem"));
    for (flags, problem) in [
        (vec!["--grpc-tls-cert-file", &certificate], "need each other"),
        (vec!["--grpc-tls-key-file", &key], "need each other"),
        (vec!["--grpc-client-ca-file", &clients], "needs --grpc-tls-cert-file"),
        (vec!["--grpc-client-auth", "required"], "need --grpc-client-ca-file"),
        (vec!["--grpc-client-crl-file", &clients], "need --grpc-client-ca-file"),
    ] {
        let error = run(serve(data.path()).args(&flags)).error();
        assert!(error.contains(problem), "{flags:?}: {error}");
    }
    let callers = path("callers.toml");
    let error = run(serve(data.path()).args(["--callers-file", &callers])).error();
    assert!(error.contains("callers.toml:2: `caller[0]` is known by a certificate"), "{error}");
}

#[test]
fn a_listener_without_tls_beyond_this_machine_is_warned_of() {
    let data = TempDir::new().unwrap();
    let plaintext = "the gRPC listener speaks plaintext beyond this machine: give it --grpc-tls-cert-file, or a mesh in front";
    assert!(!Server::start(&mut serve(data.path())).stop().stderr.contains(plaintext));
    let mut everywhere = tokenwell(&["serve", "--grpc-listen", "0.0.0.0:0"]);
    for listener in ["GATEWAY", "ADMIN"] {
        everywhere.env(format!("TOKENWELL_{listener}_LISTEN"), "127.0.0.1:0");
    }
    everywhere.env("TOKENWELL_DATA_DIR", data.path()).env("TOKENWELL_LOG_FORMAT", "json");
    assert!(Server::start(&mut everywhere).stop().stderr.contains(plaintext));
    let files = files(&Authority::new("all"));
    everywhere.arg("--grpc-tls-cert-file").arg(files.path().join("server.pem"));
    everywhere.arg("--grpc-tls-key-file").arg(files.path().join("server.key"));
    assert!(!Server::start(&mut everywhere).stop().stderr.contains(plaintext));
}

/// It ends in order only while the clients' connections are served, too: a test has threads for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_stays_with_what_is_good() {
    let authority = Authority::new("all");
    let ((data, key), files) = (served(), files(&authority));
    let mut server = Server::start(&mut command(data.path(), files.path()));
    let address = |listener: &str| server.address(listener).parse().unwrap();
    let addresses = Addresses { grpc: address("grpc"), gateway: address("gateway"), admin: address("admin") };
    let clients = TestServer::elsewhere(addresses, key.clone());
    let billing = authority.client(&[BILLING]);
    let good = async || {
        let channel = clients.channel_with(Some(authority.brings(Some(&billing))));
        read(&channel, None).await.unwrap();
        read(&channel, Some(&key)).await.unwrap();
    };
    let write = |file: &str, text: &str| {
        let written = files.path().join("written");
        fs::write(&written, text).unwrap();
        fs::rename(written, files.path().join(file)).unwrap();
    };
    good().await;
    for (file, text, problem) in wrong(&authority) {
        let before = fs::read_to_string(files.path().join(file)).unwrap();
        write(file, &text);
        let line = server.wait_for(TLS_STAYS);
        let fault = line["fault"].as_str().unwrap();
        assert!(fault.contains(file) && fault.contains(problem), "{problem}: {fault}");
        good().await;
        write(file, &before);
        server.wait_for(TLS_RELOADED);
    }
    for (text, line, problem) in [
        ("[[caller]]\nsecret-of-the-test", 2, ""),
        ("[[caler]]\n", 1, "unknown field"),
        ("\n\n[[caller]]\ndisplay_name = \"A\"\nproject = \"P\"\npermissions = []\n", 5, "project"),
    ] {
        write("callers.toml", text);
        let fault = server.wait_for(FAULT)["fault"].as_str().unwrap().to_owned();
        let place = format!("callers.toml:{line}:");
        assert!(fault.contains(&place) && fault.contains(problem), "{fault}");
        assert_eq!(server.wait_for(STAYS)["faults"], 1);
        good().await;
    }
    // Who asks gets an answer, though nothing is new.
    server.signal("-HUP");
    server.wait_for(STAYS);
    write("callers.toml", CALLERS);
    server.wait_for(RELOADED);
    server.signal("-HUP");
    assert_eq!(server.wait_for(RELOADED)["callers"], 2);
    good().await;

    drop(clients);
    let stopped = server.stop();
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert!(key_in(&stopped.stderr).is_none());
    assert_says_nothing(&stopped.stderr);
}
