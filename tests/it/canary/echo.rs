//! Providers that echo secrets: what they say is shown, but never with a token in it.

use tokenwell::{
    api::pb::auth::v1::{Callback, CompleteRequest, complete_request::End},
    sandbox::Failure,
};
use tonic::{Code, Status};

use super::Canaries;
use crate::support::{Browser, TestProvider, TestServer, assert_refused, server::begin};

const TOKEN: &str = "sandbox_rt_Q3xTgV0kZ8mYw5nRb1LcJd7HsF2aUe9P";

/// A flow whose code's exchange fails like this.
async fn exchange(server: &TestServer, provider: &TestProvider, failure: Failure) -> Status {
    let begun = server.begin(begin("sandbox", "ada")).await.unwrap();
    let back = server.consent(&mut Browser::new(), &begun.connect_url, "approve").await;
    let query = back.location().unwrap().query().unwrap().to_owned();
    provider.sandbox.fail_next(failure);
    let request = CompleteRequest { end: Some(End::Callback(Callback { query, ..Callback::default() })) };
    server.auth(&server.key).complete(request).await.unwrap_err()
}

#[track_caller]
fn assert_silent(status: &Status, what: &str) {
    let canaries = Canaries::new();
    canaries.assert_absent(&format!("the message after {what}"), status.message().as_bytes());
    canaries.assert_absent(&format!("the details after {what}"), status.details());
}

#[tokio::test]
async fn an_ordinary_description_is_shown() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let failure = described("The code was issued to another client (yours is unknown)");
    let status = exchange(&server, &provider, failure).await;
    assert!(status.message().contains("The code was issued to another client (yours is unknown)"));
    let refusal = assert_refused(Err::<(), _>(status), Code::FailedPrecondition, "PROVIDER_REJECTED_CODE");
    assert_eq!(refusal.metadata["oauth_error"], "invalid_grant");
}

#[tokio::test]
async fn a_token_in_a_description_is_taken_out() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    for description in [
        TOKEN.to_owned(),
        format!("the refresh token {TOKEN} is dead"),
        format!("refresh_token={TOKEN}"),
        format!("\"{TOKEN}\""),
        format!("(<{TOKEN}>)"),
        format!("dead:{TOKEN}."),
        format!("dead\n{TOKEN}\tdead"),
        format!("dead\u{a0}{TOKEN}"),
    ] {
        let status = exchange(&server, &provider, described(&description)).await;
        assert_silent(&status, &description);
    }
}

#[tokio::test]
async fn a_token_at_the_end_of_a_description_is_not_cut_but_taken_out() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    for before in 180..200 {
        let description = format!("{} {TOKEN}", "no ".repeat(70).get(..before - 1).unwrap());
        let status = exchange(&server, &provider, described(&description)).await;
        assert_silent(&status, &format!("{before} characters"));
    }
}

#[tokio::test]
async fn a_token_in_place_of_an_error_code_is_not_shown() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    for failure in [
        Failure::Error { status: 400, code: TOKEN.to_owned(), description: String::new() },
        Failure::Error { status: 400, code: format!("dead {TOKEN}"), description: String::new() },
        Failure::Error {
            status: 400,
            code: format!("{}{TOKEN}", "no ".repeat(17)),
            description: String::new(),
        },
        Failure::Garbage(format!("{{\"error\":{{\"code\":\"{TOKEN}\",\"message\":\"{TOKEN}\"}}}}")),
    ] {
        let what = format!("{failure:?}");
        let status = exchange(&server, &provider, failure).await;
        assert_silent(&status, &what);
    }
}

/// All codes of the RFCs are shown as they are.
#[tokio::test]
async fn error_codes_are_shown() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    for code in [
        "invalid_request",
        "unsupported_grant_type",
        "invalid_scope",
        "authorization_pending",
        "invalid_redirect_uri",
        "org_oauth_app_restricted_by_policy",
        "AADSTS70008",
    ] {
        let failure = Failure::Error { status: 400, code: code.to_owned(), description: String::new() };
        let status = exchange(&server, &provider, failure).await;
        let refusal =
            assert_refused(Err::<(), _>(status), Code::FailedPrecondition, "PROVIDER_REJECTED_CODE");
        assert_eq!(refusal.metadata["oauth_error"], code);
    }
}

fn described(description: &str) -> Failure {
    Failure::Error { status: 400, code: "invalid_grant".to_owned(), description: description.to_owned() }
}
