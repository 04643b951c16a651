//! TLS: 1.2 or newer, with a certificate that is valid, of the host, and signed by somebody whom we know.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use rcgen::{CertificateParams, date_time_ymd};
use tokenwell::oauth::{Failure, HttpOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use super::{HOST, fetch, impatient};
use crate::support::tls::{self, OneAddress};

fn certificate(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

/// What comes of a call to a host with this certificate, and how many requests came there.
async fn call(certificate: CertificateParams, trusted: bool) -> (Result<u16, Failure>, usize) {
    let came = Arc::new(AtomicUsize::new(0));
    let counted = came.clone();
    let router =
        Router::new().route("/", get(async move || counted.fetch_add(1, Ordering::SeqCst).to_string()));
    let (address, authority, task) = tls::serve_as(router, certificate).await;
    let http = HttpOptions {
        extra_roots: trusted.then_some(authority).into_iter().collect(),
        resolver: Some(Arc::new(OneAddress(address))),
        timeout: Duration::from_secs(10),
        ..impatient()
    };
    let called = fetch(&http, &format!("https://{HOST}/")).await;
    task.abort();
    (called, came.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_ends_the_call() {
    assert_eq!(call(certificate(HOST), true).await, (Ok(200), 1));
    let at = |not_before, not_after| {
        let mut params = certificate(HOST);
        (params.not_before, params.not_after) = (not_before, not_after);
        params
    };
    for (what, params, trusted) in [
        ("expired", at(date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1)), true),
        ("not yet valid", at(date_time_ymd(4000, 1, 1), date_time_ymd(4001, 1, 1)), true),
        ("another host's", certificate("elsewhere.example"), true),
        ("a host's below", certificate("www.provider.example"), true),
        ("its own word", certificate(HOST), false),
    ] {
        let (called, came) = call(params, trusted).await;
        let problem = called.unwrap_err().to_string();
        assert_eq!((problem.as_str(), came), ("its certificate could not be verified", 0), "{what}");
    }
}

#[tokio::test]
async fn nothing_older_than_tls_1_2_is_spoken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = HttpOptions {
        resolver: Some(Arc::new(OneAddress(listener.local_addr().unwrap()))),
        timeout: Duration::from_secs(10),
        ..impatient()
    };
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 8192];
        let read = stream.read(&mut hello).await.unwrap();
        hello.truncate(read);
        // A ServerHello of TLS 1.1 (RFC 4346, section 7.4.1.3), with a cipher suite that the client has offered.
        let mut answer = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
        answer.extend([7; 32]);
        answer.extend([0, 0xc0, 0x2f, 0]);
        stream.write_all(&answer).await.unwrap();
        let mut said = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut said)).await.unwrap().unwrap();
        (hello, said)
    });
    let failure = fetch(&http, &format!("https://{HOST}/")).await.unwrap_err();
    assert!(matches!(failure, Failure::Unavailable { unclear: false, .. }), "{failure:?}");
    let (hello, said) = server.await.unwrap();
    // The extension `supported_versions` (RFC 8446, section 4.2.1): 1.3 and 1.2, and no other.
    let versions = [0, 43, 0, 5, 4, 3, 4, 3, 3];
    assert!(hello.windows(versions.len()).any(|part| part == versions), "{hello:?}");
    // A fatal alert, `protocol_version`, and nothing else.
    assert!(said.len() == 7 && said[0] == 21 && said[5..] == [2, 70], "{said:?}");
}
