//! Following one flow.

use tokenwell::{
    api::pb::{
        auth::v1::{BeginResponse, WatchRequest, WatchResponse, watch_response::Status as FlowStatus},
        error::v1::ErrorReason,
        project::v1::{Completion, Settings},
    },
    model::Duration,
    sandbox::{Failure, Quirks},
};
use tokio::time::timeout;
use tonic::{Code, Streaming};

use super::PATIENCE;
use crate::support::{
    Browser, Database, Gate, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused,
    server::begin,
    steps::{confirm, other_project, param, walk},
};

const RETURN_URL: &str = "https://app.example.com/done";

async fn watch(server: &TestServer, flow_id: &str) -> Streaming<WatchResponse> {
    let request = WatchRequest { flow_id: flow_id.to_owned() };
    server.auth(&server.key).watch(request).await.unwrap().into_inner()
}

/// The next message, if the stream has not ended.
async fn next(stream: &mut Streaming<WatchResponse>) -> Option<WatchResponse> {
    timeout(PATIENCE, stream.message()).await.expect("nothing came").unwrap()
}

/// Everything up to the end but that the code is being redeemed, which is told only if it takes long enough.
async fn rest(stream: &mut Streaming<WatchResponse>) -> Vec<(FlowStatus, ErrorReason)> {
    let mut told = Vec::new();
    while let Some(message) = next(stream).await {
        told.push((message.status(), message.reason()));
    }
    told.retain(|(status, _)| *status != FlowStatus::Completing);
    told
}

/// Begins a flow and follows it until the gateway has answered its callback, whatever it says.
async fn play(server: &TestServer, decision: &str) -> (BeginResponse, Vec<(FlowStatus, ErrorReason)>) {
    let begun = server.begin(begin("sandbox", "u1")).await.unwrap();
    let mut stream = watch(server, &begun.flow_id).await;
    let first = next(&mut stream).await.unwrap();
    assert_eq!((first.status(), first.reason()), (FlowStatus::Pending, ErrorReason::Unspecified));
    assert_eq!((&*first.flow_id, &*first.connection_id), (&*begun.flow_id, "u1"));
    assert_eq!((&*first.integration_id, first.expire_time), ("sandbox", begun.expire_time));
    let mut browser = Browser::new();
    let back = server.consent(&mut browser, &begun.connect_url, decision).await;
    browser.get(back.location().unwrap().as_str()).await;
    (begun, rest(&mut stream).await)
}

#[tokio::test]
async fn a_flow_is_followed_to_its_connection() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let (begun, told) = play(&server, "approve").await;
    assert_eq!(told, [(FlowStatus::Connected, ErrorReason::Unspecified)]);
    // Who asks later is told at once, also when the flow would have expired.
    server.clock.advance(Duration::hours(1));
    let told = rest(&mut watch(&server, &begun.flow_id).await).await;
    assert_eq!(told, [(FlowStatus::Connected, ErrorReason::Unspecified)]);
    Ok(())
}

#[tokio::test]
async fn a_flow_that_fails_says_why() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let (_, told) = play(&server, "deny").await;
    assert_eq!(told, [(FlowStatus::Failed, ErrorReason::AuthorizationDenied)]);
    let refusal =
        |code: &str| Failure::Error { status: 400, code: code.to_owned(), description: "no".to_owned() };
    for (failure, reason) in [
        (refusal("invalid_grant"), ErrorReason::ProviderRejectedCode),
        (refusal("invalid_client"), ErrorReason::ClientRejected),
        (Failure::Status(503), ErrorReason::ProviderUnavailable),
        (Failure::Html, ErrorReason::ProviderResponseInvalid),
    ] {
        provider.sandbox.fail_next(failure);
        let (_, told) = play(&server, "approve").await;
        assert_eq!(told, [(FlowStatus::Failed, reason)]);
    }
    Ok(())
}

#[tokio::test]
async fn a_flow_that_nobody_ends_expires() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let begun = server.begin(begin("sandbox", "u1")).await?;
    let mut stream = watch(&server, &begun.flow_id).await;
    assert_eq!(next(&mut stream).await.unwrap().status(), FlowStatus::Pending);
    server.clock.advance(Duration::minutes(10));
    let expired = [(FlowStatus::Expired, ErrorReason::Unspecified)];
    assert_eq!(rest(&mut stream).await, expired);
    assert_eq!(rest(&mut watch(&server, &begun.flow_id).await).await, expired);
    Ok(())
}

#[tokio::test]
async fn a_flow_waits_for_its_confirmation_and_then_goes_on() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let settings = Settings {
        allowed_return_urls: vec![RETURN_URL.to_owned()],
        completion: Completion::Confirm.into(),
        ..Settings::default()
    };
    server.update_settings(settings, &["allowed_return_urls", "completion"]).await;
    for confirmed in [true, false] {
        let mut request = begin("sandbox", "u1");
        RETURN_URL.clone_into(&mut request.return_url);
        let mut browser = Browser::new();
        let (begun, callback) = walk(&server, &mut browser, request).await;
        let mut stream = watch(&server, &begun.flow_id).await;
        assert_eq!(next(&mut stream).await.unwrap().status(), FlowStatus::Pending);
        let back = browser.get(callback.as_str()).await.location().unwrap();
        let waits = next(&mut stream).await.unwrap();
        assert_eq!(waits.status(), FlowStatus::AwaitingConfirmation);
        let code = param(&back, "tokenwell_confirmation");
        // A minute is left, and no longer what Begin has said.
        assert_ne!(waits.expire_time, begun.expire_time);
        // What does not end the flow changes nothing.
        let wrong = confirm(&server, &server.key, &begun.flow_id, "wrong").await;
        assert_refused(wrong, Code::NotFound, "FLOW_NOT_FOUND");
        if confirmed {
            confirm(&server, &server.key, &begun.flow_id, &code).await?;
        } else {
            server.clock.advance(Duration::minutes(1));
        }
        let end = if confirmed { FlowStatus::Connected } else { FlowStatus::Expired };
        assert_eq!(rest(&mut stream).await, [(end, ErrorReason::Unspecified)]);
    }
    Ok(())
}

/// The provider takes its time, and the watcher is at another server.
#[tokio::test]
async fn a_flow_is_followed_on_another_server() -> TestResult {
    let clock = ManualClock::new();
    let gate = Gate::new();
    let provider = TestProvider::plain_with(Quirks::default(), &clock, |router| gate.before(router)).await;
    let database = Database::postgres().await;
    let first = TestServer::start(&database, Options::with(&clock, &provider)).await;
    let mut second = TestServer::start(&database, Options::with(&clock, &provider)).await;
    second.key.clone_from(&first.key);
    first.create_integration("sandbox", "sandbox").await;

    let mut browser = Browser::new();
    let (begun, callback) = walk(&first, &mut browser, begin("sandbox", "u1")).await;
    let mut stream = watch(&second, &begun.flow_id).await;
    assert_eq!(next(&mut stream).await.unwrap().status(), FlowStatus::Pending);
    gate.close();
    let work = tokio::spawn(async move { browser.get(callback.as_str()).await });
    assert_eq!(next(&mut stream).await.unwrap().status(), FlowStatus::Completing);
    // Who comes in between sees the same.
    let mut late = watch(&second, &begun.flow_id).await;
    assert_eq!(next(&mut late).await.unwrap().status(), FlowStatus::Completing);
    gate.open();
    for stream in [&mut stream, &mut late] {
        assert_eq!(next(stream).await.unwrap().status(), FlowStatus::Connected);
        assert_eq!(next(stream).await, None);
    }
    assert_eq!(work.await?.result("data-status"), "success");
    Ok(())
}

#[tokio::test]
async fn a_flow_of_another_project_is_none() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let other = other_project(&server, "other").await;
    let begun = server.begin(begin("sandbox", "u1")).await?;
    let ask = async |key: &str, flow_id: &str| {
        let request = WatchRequest { flow_id: flow_id.to_owned() };
        server.auth(key).watch(request).await.map(|_| ())
    };
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    for (key, flow_id) in [(&other, &*begun.flow_id), (&other, unknown), (&server.key, unknown)] {
        let refusal = assert_refused(ask(key, flow_id).await, Code::NotFound, "FLOW_NOT_FOUND");
        assert!(refusal.metadata.is_empty(), "{refusal:?}");
    }
    for malformed in ["", "u1", "*"] {
        let refused = ask(&server.key, malformed).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["flow_id"]);
    }
    Ok(())
}
