//! Flows that wait for a confirmation: no code is redeemed before the app's backend has said who came back.

use tokenwell::{
    api::pb::{
        auth::v1::{BeginRequest, complete_response::Outcome},
        project::v1::{Completion, Settings},
    },
    model::Duration,
};
use tonic::Code;
use url::Url;

use crate::support::{
    Browser, Database, TestProvider, TestResult, TestServer, assert_refused,
    server::begin,
    steps::{complete, confirm, other_project, param, params, walk},
};

const RETURN_URL: &str = "https://app.example.com/done";

async fn confirming() -> (TestServer, TestProvider, Database) {
    let (server, provider, database) = TestServer::with_sandbox().await;
    let settings = Settings {
        allowed_return_urls: vec![RETURN_URL.to_owned()],
        completion: Completion::Confirm.into(),
        ..Settings::default()
    };
    server.update_settings(settings, &["allowed_return_urls", "completion"]).await;
    (server, provider, database)
}

fn returning(connection_id: &str) -> BeginRequest {
    BeginRequest { return_url: RETURN_URL.to_owned(), ..begin("sandbox", connection_id) }
}

/// A flow that waits: its id and where the browser was sent.
async fn park(server: &TestServer, connection_id: &str) -> (String, Url) {
    let mut browser = Browser::new();
    let (begun, callback) = walk(server, &mut browser, returning(connection_id)).await;
    let answer = browser.get(callback.as_str()).await;
    assert_eq!(answer.status.as_u16(), 303, "{}", answer.body);
    (begun.flow_id, answer.location().unwrap())
}

#[tokio::test]
async fn a_flow_waits_for_its_confirmation() -> TestResult {
    let (server, provider, _database) = confirming().await;
    let (flow_id, back) = park(&server, "u1").await;
    assert!(back.as_str().starts_with(RETURN_URL), "{back}");
    assert_eq!(param(&back, "tokenwell_status"), "confirm");
    assert_eq!(param(&back, "tokenwell_flow_id"), flow_id);
    assert_eq!(param(&back, "tokenwell_integration_id"), "sandbox");
    assert_eq!(param(&back, "tokenwell_connection_id"), "u1");
    assert!(params(&back, "code").is_empty() && params(&back, "state").is_empty(), "{back}");
    assert_eq!(provider.sandbox.book().token_requests, []);
    assert_refused(server.token("sandbox", "u1").await, Code::NotFound, "CONNECTION_NOT_FOUND");

    let code = param(&back, "tokenwell_confirmation");
    let completed = confirm(&server, &server.key, &flow_id, &code).await?;
    assert_eq!((completed.outcome(), completed.connection_id.as_str()), (Outcome::Connected, "u1"));
    assert_eq!((completed.return_url.as_str(), completed.confirmation.as_str()), (RETURN_URL, ""));
    assert_eq!(provider.sandbox.book().exchanges, 1);
    server.token("sandbox", "u1").await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_confirmation_is_refused_and_costs_nothing() -> TestResult {
    let (server, provider, _database) = confirming().await;
    let other = other_project(&server, "other").await;
    let (flow_id, back) = park(&server, "u1").await;
    let (another, _) = park(&server, "u2").await;
    let code = param(&back, "tokenwell_confirmation");
    for (key, flow, code) in [
        (&server.key, flow_id.as_str(), "wrong"),
        (&server.key, flow_id.as_str(), ""),
        (&server.key, another.as_str(), code.as_str()),
        (&other, flow_id.as_str(), code.as_str()),
    ] {
        let refused =
            assert_refused(confirm(&server, key, flow, code).await, Code::NotFound, "FLOW_NOT_FOUND");
        assert!(!refused.metadata.contains_key("connection_id"), "{refused:?}");
    }
    let malformed = confirm(&server, &server.key, "not-a-flow", &code).await;
    let malformed = assert_refused(malformed, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(malformed.fields, ["confirmation.flow_id"]);
    assert_eq!(provider.sandbox.book().token_requests, []);
    confirm(&server, &server.key, &flow_id, &code).await?;
    Ok(())
}

#[tokio::test]
async fn a_confirmation_is_used_once() -> TestResult {
    let (server, provider, _database) = confirming().await;
    let (flow_id, back) = park(&server, "u1").await;
    let code = param(&back, "tokenwell_confirmation");
    let calls = (0..20).map(|_| confirm(&server, &server.key, &flow_id, &code));
    let mut connected = 0;
    for answer in futures::future::join_all(calls).await {
        match answer {
            Ok(_) => connected += 1,
            refused => drop(assert_refused(refused, Code::NotFound, "FLOW_NOT_FOUND")),
        }
    }
    assert_eq!((connected, provider.sandbox.book().token_requests.len()), (1, 1));
    let again = confirm(&server, &server.key, &flow_id, &code).await;
    assert_refused(again, Code::NotFound, "FLOW_NOT_FOUND");
    server.token("sandbox", "u1").await?;
    Ok(())
}

#[tokio::test]
async fn a_confirmation_is_of_use_for_a_minute() -> TestResult {
    let (server, provider, _database) = confirming().await;
    let (in_time, first) = park(&server, "in-time").await;
    server.clock.advance(Duration::seconds(1));
    let (late, second) = park(&server, "late").await;
    server.clock.advance(Duration::seconds(58));
    confirm(&server, &server.key, &in_time, &param(&first, "tokenwell_confirmation")).await?;
    server.clock.advance(Duration::seconds(2));
    let refused = confirm(&server, &server.key, &late, &param(&second, "tokenwell_confirmation")).await;
    let refused = assert_refused(refused, Code::FailedPrecondition, "FLOW_EXPIRED");
    assert_eq!(refused.metadata["flow_id"], late);
    assert_eq!(provider.sandbox.book().token_requests.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_second_callback_does_not_disturb_a_flow_that_waits() -> TestResult {
    let (server, provider, _database) = confirming().await;
    let mut browser = Browser::new();
    let (begun, callback) = walk(&server, &mut browser, returning("u1")).await;
    let back = browser.get(callback.as_str()).await.location().unwrap();
    let again = browser.get(callback.as_str()).await;
    assert_eq!((again.status.as_u16(), again.result("data-error")), (400, "FLOW_NOT_FOUND"));
    let raw = complete(&server, &server.key, callback.query().unwrap()).await;
    assert_refused(raw, Code::NotFound, "FLOW_NOT_FOUND");
    assert_eq!(provider.sandbox.book().token_requests, []);
    confirm(&server, &server.key, &begun.flow_id, &param(&back, "tokenwell_confirmation")).await?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_needs_no_confirmation() -> TestResult {
    let (server, provider, _database) = confirming().await;
    let mut browser = Browser::new();
    let begun = server.begin(returning("u1")).await?;
    let callback = server.consent(&mut browser, &begun.connect_url, "deny").await.location().unwrap();
    let back = browser.get(callback.as_str()).await.location().unwrap();
    assert!(back.as_str().starts_with(RETURN_URL), "{back}");
    assert_eq!(param(&back, "tokenwell_status"), "error");
    assert_eq!(param(&back, "tokenwell_error"), "AUTHORIZATION_DENIED");
    assert_eq!(param(&back, "tokenwell_oauth_error"), "access_denied");
    assert_eq!(param(&back, "tokenwell_flow_id"), begun.flow_id);
    assert!(params(&back, "tokenwell_confirmation").is_empty(), "{back}");
    assert_eq!(provider.sandbox.book().token_requests, []);
    Ok(())
}

#[tokio::test]
async fn a_flow_keeps_the_completion_that_it_began_with() -> TestResult {
    let (server, provider, _database) = confirming().await;
    let mut browser = Browser::new();
    let (_, waits) = walk(&server, &mut browser, returning("u1")).await;
    let automatic = Settings { completion: Completion::Automatic.into(), ..Settings::default() };
    server.update_settings(automatic, &["completion"]).await;
    let (_, goes) = walk(&server, &mut browser, returning("u2")).await;
    let back = browser.get(waits.as_str()).await.location().unwrap();
    assert_eq!(param(&back, "tokenwell_status"), "confirm");
    assert_eq!(provider.sandbox.book().token_requests, []);
    let back = browser.get(goes.as_str()).await.location().unwrap();
    assert_eq!(param(&back, "tokenwell_status"), "success");
    Ok(())
}

#[tokio::test]
async fn a_project_that_confirms_needs_somewhere_to_send_the_browser() {
    let (server, _provider, _database) = confirming().await;
    let refused =
        assert_refused(server.begin(begin("sandbox", "u1")).await, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refused.fields, ["return_url"]);
}
