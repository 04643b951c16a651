//! What ends a stream, and how many there may be.

use std::time::{Duration, Instant};

use tokenwell::api::pb::{
    auth::v1::WatchRequest as FlowRequest,
    connection::v1::WatchRequest,
    project::v1::{Permission, RevokeApiKeyRequest},
};
use tokio::time::timeout;
use tonic::{Code, IntoRequest as _, Request, Status};

use super::{Feed, PATIENCE, touch};
use crate::support::{
    Database, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused, server::begin,
    steps::other_project,
};

#[track_caller]
fn assert_ended(status: Status, code: Code, reason: &str) -> crate::support::Refusal {
    assert_refused(Err::<(), _>(status), code, reason)
}

#[tokio::test]
async fn a_revoked_key_ends_its_streams_and_no_others() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "u1").await;
    let (key, secret) = server.create_key(&[Permission::Read]).await;
    let flow_id = server.begin(begin("sandbox", "u2")).await?.flow_id;
    let mut theirs = Feed::open(&server, &secret, WatchRequest::default()).await?;
    let mut flow = server.auth(&secret).watch(FlowRequest { flow_id }).await?.into_inner();
    let mut ours = Feed::all(&server).await;
    assert!(flow.message().await?.is_some());

    let request = RevokeApiKeyRequest { api_key_id: key.api_key_id };
    server.project(&server.key).revoke_api_key(request).await?;
    let revoked = Instant::now();
    assert_ended(theirs.end().await, Code::Unauthenticated, "API_KEY_INVALID");
    let end = timeout(PATIENCE, flow.message()).await?.unwrap_err();
    assert_ended(end, Code::Unauthenticated, "API_KEY_INVALID");
    assert!(revoked.elapsed() < Duration::from_secs(15), "{:?}", revoked.elapsed());
    touch(&server, &server.key, "u1").await;
    ours.event().await;
    Ok(())
}

/// The server's limit is for the beginning of an answer; the caller's own is for all of it.
#[tokio::test]
async fn a_stream_outlasts_the_servers_deadline_but_not_its_callers() -> TestResult {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let second = Duration::from_secs(1);
    let options = Options { deadline: second, heartbeat: second, ..Options::with(&clock, &provider) };
    let server = TestServer::start(&database, options).await;
    let mut feed = Feed::all(&server).await;
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(feed.next().await?.event, None);
    }
    assert!(begun.elapsed() > 2 * second, "the server speaks too often: {:?}", begun.elapsed());

    let mut request = WatchRequest::default().into_request();
    request.set_timeout(2 * second);
    let begun = Instant::now();
    let stream = server.connection(&server.key).watch(request).await?.into_inner();
    let mut feed = Feed { stream, cursor: String::new() };
    assert_ended(feed.end().await, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    let taken = begun.elapsed();
    assert!(taken > second && taken < 10 * second, "{taken:?}");
    assert!(!feed.cursor.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams_at_once() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "u1").await;
    let flow_id = server.begin(begin("sandbox", "u2")).await?.flow_id;
    let mut feed = Feed::all(&server).await;
    let mut flow = server.auth(&server.key).watch(FlowRequest { flow_id }).await?.into_inner();
    assert!(flow.message().await?.is_some());
    let begun = Instant::now();
    let ends = futures::future::join(feed.end(), timeout(PATIENCE, flow.message()));
    let ((feed, flow), ()) = futures::future::join(ends, server.stop()).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "the drain waited: {:?}", begun.elapsed());
    for end in [feed, flow?.unwrap_err()] {
        let refusal = assert_ended(end, Code::Unavailable, "SERVER_STOPPING");
        assert_eq!(refusal.retry, Some(Duration::from_secs(1)));
    }
    Ok(())
}

#[tokio::test]
async fn a_project_can_have_a_hundred_streams_and_leaves_some_to_others() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let other = other_project(&server, "other").await;
    let flow_id = server.begin(begin("sandbox", "u1")).await?.flow_id;
    let (mut connection, mut auth) = (server.connection(&server.key), server.auth(&server.key));
    let mut feeds = Vec::new();
    let mut flows = Vec::new();
    for _ in 0..100 {
        feeds.push(connection.watch(WatchRequest::default()).await?.into_inner());
        flows.push(auth.watch(FlowRequest { flow_id: flow_id.clone() }).await?.into_inner());
    }
    let refused = connection.watch(WatchRequest::default()).await.map(|_| ());
    let refusal = assert_refused(refused, Code::ResourceExhausted, "WATCH_LIMIT");
    assert!(refusal.retry.is_some() && refusal.message.contains("100"), "{refusal:?}");
    let refused = auth.watch(FlowRequest { flow_id: flow_id.clone() }).await.map(|_| ());
    assert_refused(refused, Code::ResourceExhausted, "WATCH_LIMIT");
    Feed::open(&server, &other, WatchRequest::default()).await?;

    // One that its client gives up counts no more.
    feeds.pop();
    flows.pop();
    let again = async {
        while connection.watch(WatchRequest::default()).await.is_err() {}
        while auth.watch(Request::new(FlowRequest { flow_id: flow_id.clone() })).await.is_err() {}
    };
    timeout(PATIENCE, again).await?;
    Ok(())
}
