//! What is too large, wherever it comes in.

use std::collections::BTreeMap;

use prost_types::{Struct, Value, value::Kind};
use reqwest::Method;
use tokenwell::{api::pb::connection::v1::SetMetadataRequest, config::LimitArgs};
use tokio::net::TcpStream;
use tonic::Code;

use super::{assert_alive, bare};
use crate::support::{
    Browser, TestResult, TestServer, assert_refused, raw::dribble, server::begin, steps::basic,
};

#[tokio::test]
async fn a_message_is_too_large_for_every_method() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "u1").await;
    let large = "x".repeat(300 * 1024);
    // Begin is read by the layer that verifies its signature, the others by tonic.
    let request =
        tokenwell::api::pb::auth::v1::BeginRequest { return_url: large.clone(), ..begin("sandbox", "u2") };
    let refusal = assert_refused(server.begin(request).await, Code::InvalidArgument, "FIELD_INVALID");
    assert!(refusal.message.contains("too large"), "{}", refusal.message);
    let fields = BTreeMap::from([("x".to_owned(), Value { kind: Some(Kind::StringValue(large)) })]);
    let request = SetMetadataRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "u1".to_owned(),
        metadata: Some(Struct { fields }),
        ..SetMetadataRequest::default()
    };
    let mut client = server.connection(&server.key);
    let refused = client.set_metadata(request).await;
    let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert!(refusal.message.contains("too large"), "{}", refusal.message);
    assert_eq!(refusal.fields, ["request"]);
    basic(&server, "sandbox", "u1").await?;
    Ok(())
}

/// It is refused before any layer sees it, so that it has an HTTP status and no reason.
#[tokio::test]
async fn metadata_of_a_call_are_too_large_and_the_next_call_is_taken() -> TestResult {
    let (server, _database) = bare(LimitArgs::default()).await;
    let tcp = TcpStream::connect(server.addresses.grpc).await?;
    let (mut calls, connection) = h2::client::handshake(tcp).await?;
    tokio::spawn(connection);
    for (bytes, status) in [(20 * 1024, 431), (8 * 1024, 200)] {
        let request = http::Request::post("http://tokenwell/grpc.health.v1.Health/Check")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-large", "x".repeat(bytes))
            .body(())?;
        calls = calls.ready().await?;
        let (answer, _) = calls.send_request(request, true)?;
        assert_eq!(answer.await?.status().as_u16(), status, "{bytes}");
    }
    Ok(())
}

#[tokio::test]
async fn the_head_of_a_request_is_too_large() {
    let (server, _database) = bare(LimitArgs::default()).await;
    let url = format!("{}/oauth/callback?state=s&code=", server.gateway());
    let header = |bytes: usize| "x".repeat(bytes);
    let mut browser = Browser::new();
    for (url, cookie, status) in [
        (url.clone(), header(12 * 1024), 400),
        (url.clone(), header(17 * 1024), 431),
        (format!("{url}{}", header(15 * 1024)), header(12 * 1024), 400),
        // As long as the largest form is when it is sealed.
        (format!("{url}{}", header(24 * 1024)), header(12 * 1024), 400),
        (format!("{url}{}", header(28 * 1024)), String::new(), 414),
    ] {
        let answer = browser.send_with(Method::GET, &url, &[("cookie", &cookie)]).await;
        assert_eq!(answer.status.as_u16(), status, "{} {}", url.len(), cookie.len());
        // It is one of our pages, as safe as the others.
        assert_eq!(answer.result("data-status"), "error");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

/// So much is not even read, so that its client may find the connection reset before it finds the answer.
#[tokio::test]
async fn a_head_without_end_is_not_read() {
    let (server, _database) = bare(LimitArgs::default()).await;
    for (bytes, status) in [(12 * 1024, "200"), (120 * 1024, "431")] {
        let large = "x".repeat(bytes);
        let head = format!(
            "GET /healthz HTTP/1.1\r\nhost: tokenwell\r\nconnection: close\r\nx-large: {large}\r\n\r\n"
        );
        for address in [server.addresses.gateway, server.addresses.admin] {
            let answer = dribble(address, head.as_bytes(), b"").await;
            let told = answer.split(' ').nth(1);
            assert!(told == Some(status) || (told.is_none() && status == "431"), "{bytes}: {answer}");
            assert_alive(address).await;
        }
    }
}

/// Nobody looks for the flow of a form that has more than a callback can have.
#[tokio::test]
async fn a_form_is_too_large() {
    let (server, _database) = bare(LimitArgs::default()).await;
    for path in ["/oauth/callback", "/oauth/callback/default/sandbox"] {
        let url = format!("{}{path}", server.gateway());
        for (bytes, status) in [(15 * 1024, 405), (17 * 1024, 413)] {
            let form = [("state", "s"), ("code", &"x".repeat(bytes))];
            let answer = Browser::new().post(&url, &form).await;
            assert_eq!(answer.status.as_u16(), status, "{path} {bytes}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
}
