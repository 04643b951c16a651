//! What a provider's token endpoint may answer to a code, and what Complete makes of it. Nothing of it is ever stored, and
//! nothing that was stored is lost.

use std::{io::ErrorKind, net::TcpListener, time::Duration as StdDuration};

use tokenwell::{model::Duration, oauth::HttpOptions, sandbox::Failure};
use tonic::Code;

use crate::support::{
    Browser, Database, ManualClock, Options, Refusal, TestProvider, TestResult, TestServer, assert_refused,
    server::begin,
    steps::{basic, complete, walk, works},
};

const CANARY: &str = "canary_rt_5f1c9b7e2d4a68035f1c9b7e2d4a6803";
const RETRY: StdDuration = StdDuration::from_secs(1);

type Place = (TestServer, TestProvider, Database);

/// Completes a flow of an existing connection and of a new one while the token endpoint fails. Gives what was said.
async fn fail((server, provider, _): &Place, failure: Failure, code: Code, reason: &str) -> Refusal {
    let mut browser = Browser::new();
    server.connect("sandbox", "old").await;
    let (before, token) = server.token("sandbox", "old").await.unwrap();

    let (_, callback) = walk(server, &mut browser, begin("sandbox", "old")).await;
    provider.sandbox.fail_next(failure.clone());
    let seen = provider.sandbox.book().token_requests.len();
    let page = browser.get(callback.as_str()).await;
    assert_eq!((page.result("data-status"), page.result("data-error")), ("error", reason), "{}", page.body);
    assert!(!page.body.contains(CANARY), "{}", page.body);
    assert_eq!(provider.sandbox.book().token_requests.len(), seen + 1, "a code is sent once");
    let (after, same) = server.token("sandbox", "old").await.unwrap();
    assert_eq!((after, same.access_token.as_str()), (before, token.access_token.as_str()));
    assert!(works(provider, &same.access_token).await);

    let new = format!("new-{seen}");
    let (begun, callback) = walk(server, &mut browser, begin("sandbox", &new)).await;
    provider.sandbox.fail_next(failure);
    let completed = complete(server, &server.key, callback.query().unwrap()).await;
    let refused = assert_refused(completed, code, reason);
    assert_eq!(refused.metadata["provider_id"], "sandbox");
    assert_eq!(refused.metadata["flow_id"], begun.flow_id);
    assert!(!format!("{refused:?}").contains(CANARY), "{refused:?}");
    assert_refused(basic(server, "sandbox", &new).await, Code::NotFound, "CONNECTION_NOT_FOUND");
    let again = complete(server, &server.key, callback.query().unwrap()).await;
    assert_refused(again, Code::NotFound, "FLOW_NOT_FOUND");

    server.connect("sandbox", &new).await;
    refused
}

async fn invalid(place: &Place, failure: Failure) -> Refusal {
    fail(place, failure, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID").await
}

async fn unavailable(place: &Place, failure: Failure) -> Refusal {
    fail(place, failure, Code::Unavailable, "PROVIDER_UNAVAILABLE").await
}

fn error(status: u16, code: &str, description: &str) -> Failure {
    Failure::Error { status, code: code.to_owned(), description: description.to_owned() }
}

#[tokio::test]
async fn an_html_page_is_no_token_response() {
    let place = TestServer::with_sandbox().await;
    let refused = invalid(&place, Failure::Html).await;
    assert!(!refused.message.contains("Down"), "{}", refused.message);
}

#[tokio::test]
async fn an_empty_answer_is_no_token_response() {
    let place = TestServer::with_sandbox().await;
    invalid(&place, Failure::Empty).await;
}

#[tokio::test]
async fn garbage_is_no_token_response_and_is_not_repeated() {
    let place = TestServer::with_sandbox().await;
    for text in [
        CANARY.to_owned(),
        format!("{{\"access_token\":\"{CANARY}\""),
        format!("[\"{CANARY}\"]"),
        format!("{{\"refresh_token\":\"{CANARY}\"}}"),
        format!("{{\"access_token\":{{\"x\":\"{CANARY}\"}}}}"),
        "{\"access_token\":\"\"}".to_owned(),
        "{\"access_token\":\"a\\r\\nb\"}".to_owned(),
    ] {
        invalid(&place, Failure::Garbage(text)).await;
    }
}

#[tokio::test]
async fn ten_megabytes_are_not_read() {
    let place = TestServer::with_sandbox().await;
    invalid(&place, Failure::Huge(10_000_000)).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let place = TestServer::with_sandbox().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}/token", listener.local_addr().unwrap());
    invalid(&place, Failure::Redirect(elsewhere)).await;
    // A connection that was made would be in the listener's queue by now: the answer came after it.
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "the redirect was followed");
}

#[tokio::test]
async fn server_errors_and_rate_limits_are_to_be_tried_again() {
    let place = TestServer::with_sandbox().await;
    for status in [500, 502, 429] {
        assert_eq!(unavailable(&place, Failure::Status(status)).await.retry, Some(RETRY), "{status}");
    }
    // The test's clock stands at 2026-09-21T14:13:20Z. A date comes in any of three forms (RFC 9110, section 5.6.7).
    for (status, header, expected) in [
        (429, "7", 7),
        (503, "120", 120),
        (503, "999999", 3600),
        (503, "99999999999999999999999999", 3600),
        (429, "Mon, 21 Sep 2026 14:13:50 GMT", 30),
        (503, "Monday, 21-Sep-26 14:14:20 GMT", 60),
        (503, "Mon Sep 21 14:13:27 2026", 7),
        (503, "Tue, 22 Sep 2026 14:13:20 GMT", 3600),
        (503, "Mon, 21 Sep 2026 14:13:19 GMT", 0),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (503, "Mon, 21 Sep 2026 14:13:50 +0200", 1),
        (503, "soon", 1),
        (503, "-5", 1),
        (503, "+5", 1),
        (503, "1.5", 1),
    ] {
        let refused = unavailable(&place, Failure::RetryAfter(status, header.to_owned())).await;
        assert_eq!(refused.retry, Some(StdDuration::from_secs(expected)), "{status} {header}");
    }
}

#[tokio::test]
async fn a_refused_code_needs_a_new_flow() {
    let place = TestServer::with_sandbox().await;
    for status in [400, 200] {
        let failure = error(status, "invalid_grant", "the code is too old");
        let refused = fail(&place, failure, Code::FailedPrecondition, "PROVIDER_REJECTED_CODE").await;
        assert_eq!(refused.metadata["oauth_error"], "invalid_grant");
        assert!(refused.message.contains("the code is too old"), "{}", refused.message);
    }
}

#[tokio::test]
async fn a_refused_client_is_the_integrations_fault() {
    let place = TestServer::with_sandbox().await;
    for (status, code) in [(401, "invalid_client"), (400, "unauthorized_client"), (200, "invalid_client")] {
        let refused =
            fail(&place, error(status, code, ""), Code::FailedPrecondition, "CLIENT_REJECTED").await;
        assert_eq!(refused.metadata["oauth_error"], code);
    }
}

#[tokio::test]
async fn a_temporary_oauth_error_is_to_be_tried_again() {
    let place = TestServer::with_sandbox().await;
    for code in ["temporarily_unavailable", "server_error"] {
        assert!(unavailable(&place, error(400, code, "later")).await.retry.is_some());
    }
}

#[tokio::test]
async fn an_error_never_repeats_a_token_of_the_provider() {
    let place = TestServer::with_sandbox().await;
    let padding = "no ".repeat(63);
    for description in [
        format!("the token {CANARY} is dead"),
        format!("refresh_token={CANARY}&x=1"),
        format!("\"{CANARY}\""),
        CANARY.to_owned(),
        // Cut off where the words end, a part of it would be left.
        format!("{padding}{CANARY}"),
    ] {
        let failure = error(400, "invalid_grant", &description);
        let refused = fail(&place, failure, Code::FailedPrecondition, "PROVIDER_REJECTED_CODE").await;
        let said = format!("{refused:?}");
        assert!(!said.contains(&CANARY[..8]), "{description}: {said}");
    }
}

#[tokio::test]
async fn the_words_of_a_provider_are_cut_and_cleaned() {
    let place = TestServer::with_sandbox().await;
    let description = format!("<b>bad</b>\r\n\u{1b}[31mred\u{202e} {}", "long ".repeat(1000));
    let failure = error(400, "invalid_grant", &description);
    let refused = fail(&place, failure, Code::FailedPrecondition, "PROVIDER_REJECTED_CODE").await;
    assert!(refused.message.len() < 400, "{}", refused.message.len());
    assert!(refused.message.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{:?}", refused.message);
}

#[tokio::test]
async fn a_token_response_with_an_error_that_says_nothing_is_one() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    for nothing in ["null", "false", "\"\""] {
        let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
        let text =
            format!(r#"{{"access_token":"at","token_type":"bearer","expires_in":"3600","error":{nothing}}}"#);
        provider.sandbox.fail_next(Failure::Garbage(text));
        complete(&server, &server.key, callback.query().unwrap()).await?;
        let (_, token) = server.token("sandbox", "u1").await?;
        assert_eq!((token.access_token.as_str(), token.token_type.as_str()), ("at", "Bearer"), "{nothing}");
    }
    Ok(())
}

#[tokio::test]
async fn a_code_that_is_too_old_for_the_provider_is_refused() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let (_, callback) = walk(&server, &mut Browser::new(), begin("sandbox", "u1")).await;
    server.clock.advance(Duration::seconds(61));
    let refused = complete(&server, &server.key, callback.query().unwrap()).await;
    let refused = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_REJECTED_CODE");
    assert_eq!(refused.metadata["oauth_error"], "invalid_grant");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_in_time_is_unavailable() {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let http = HttpOptions { timeout: StdDuration::from_secs(1), ..HttpOptions::default() };
    let server = TestServer::start(&database, Options { http, ..Options::with(&clock, &provider) }).await;
    server.create_integration("sandbox", "sandbox").await;
    let hang = Failure::Hang(StdDuration::from_mins(10));
    let refused = unavailable(&(server, provider, database), hang).await;
    assert_eq!(refused.retry, Some(RETRY));
    assert!(refused.message.contains("in time"), "{}", refused.message);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_unavailable() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    let address = provider.address;
    drop(provider);
    closed(address).await;
    let refused = complete(&server, &server.key, callback.query().unwrap()).await;
    let refused = assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert_eq!((refused.metadata["provider_id"].as_str(), refused.retry), ("sandbox", Some(RETRY)));
    assert!(!refused.message.contains("127.0.0.1"), "{}", refused.message);
    assert_refused(basic(&server, "sandbox", "u1").await, Code::NotFound, "CONNECTION_NOT_FOUND");
}

/// Waits until nobody listens there any more.
async fn closed(address: std::net::SocketAddr) {
    while let Ok(stream) = tokio::net::TcpStream::connect(address).await {
        // Ends when the listener that has taken the connection is dropped.
        drop(stream.readable().await);
    }
}
