//! Cursors: what a client that comes back is told, and what it is refused.

use std::{collections::BTreeSet, time::Duration};

use tokenwell::{
    api::pb::connection::v1::{EventType, WatchRequest, connection_service_client::ConnectionServiceClient},
    model::{Clock as _, ConnectionId, Duration as Span, IntegrationId, Metadata, ProjectId},
};
use tonic::{
    Code, Request,
    metadata::{Ascii, MetadataValue},
    transport::Endpoint,
};

use super::{Feed, PATIENCE, store_of, touch};
use crate::support::{Database, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused};

/// A server on SQLite that says every second that it is there, with the connection `u1`.
async fn talkative() -> (TestServer, TestProvider, Database) {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let options = Options { heartbeat: Duration::from_secs(1), ..Options::with(&clock, &provider) };
    let server = TestServer::start(&database, options).await;
    server.create_integration("sandbox", "sandbox").await;
    server.connect("sandbox", "u1").await;
    (server, provider, database)
}

#[tokio::test]
async fn nothing_is_missed_and_nothing_comes_twice_though_the_server_restarts() -> TestResult {
    let (server, provider, database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "u1").await;
    let (clock, key) = (server.clock.clone(), server.key.clone());
    let mut feed = Feed::all(&server).await;
    let start = feed.cursor.clone();
    let mut seen = Vec::new();
    for _ in 0..5 {
        touch(&server, &key, "u1").await;
    }
    for _ in 0..3 {
        seen.push(feed.event().await.event_id);
    }
    let cursor = feed.cursor.clone();
    server.stop().await;

    // What happens while nobody streams is told, too.
    let mut server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.key.clone_from(&key);
    for _ in 0..5 {
        touch(&server, &key, "u1").await;
    }
    let mut feed = Feed::after(&server, &cursor).await?;
    touch(&server, &key, "u1").await;
    while seen.len() < 11 {
        seen.push(feed.event().await.event_id);
    }
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 11, "an event came twice: {seen:?}");

    // From the very beginning it is the same list.
    let mut again = Feed::after(&server, &start).await?;
    for event_id in seen {
        assert_eq!(again.event().await.event_id, event_id);
    }
    Ok(())
}

#[tokio::test]
async fn a_cursor_taken_before_anything_happened_leads_to_all_of_it() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    // The connection is made before, and not told.
    server.connect("sandbox", "u1").await;
    let cursor = Feed::all(&server).await.cursor;
    let mut later = Feed::all(&server).await;
    touch(&server, &server.key, "u1").await;
    assert_eq!(later.told(1).await, [(EventType::Updated, "u1".to_owned())]);
    let mut feed = Feed::after(&server, &cursor).await?;
    assert_eq!(feed.told(1).await, [(EventType::Updated, "u1".to_owned())]);
    assert_eq!(feed.cursor, later.cursor);
    Ok(())
}

#[tokio::test]
async fn a_cursor_from_before_the_oldest_event_is_refused() -> TestResult {
    let (server, _provider, database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "u1").await;
    let mut feed = Feed::all(&server).await;
    let before = feed.cursor.clone();
    touch(&server, &server.key, "u1").await;
    feed.event().await;
    let after = feed.cursor.clone();
    Feed::after(&server, &before).await?;

    let later = server.clock.now() + Span::days(8);
    assert_eq!(store_of(&database).await.purge_events(later, 1_000).await?, 2);
    let refused = Feed::after(&server, &before).await.map(|_| ());
    let refusal = assert_refused(refused, Code::OutOfRange, "CURSOR_EXPIRED");
    assert!(refusal.message.contains("list again"), "{}", refusal.message);
    let mut feed = Feed::after(&server, &after).await?;
    touch(&server, &server.key, "u1").await;
    assert_eq!(feed.told(1).await, [(EventType::Updated, "u1".to_owned())]);

    // One of a database that has come further, such as this one before it was restored.
    let (fresh, _provider, _database) = TestServer::with_sandbox().await;
    let refused = Feed::after(&fresh, &after).await.map(|_| ());
    assert_refused(refused, Code::OutOfRange, "CURSOR_EXPIRED");
    Ok(())
}

/// A client that was told nothing for a week has missed nothing.
#[tokio::test]
async fn a_cursor_stays_fresh_though_the_filter_lets_nothing_through() -> TestResult {
    let (server, _provider, database) = talkative().await;
    let request = WatchRequest { event_types: vec![EventType::Deleted.into()], ..WatchRequest::default() };
    let mut feed = Feed::open(&server, &server.key, request.clone()).await?;
    let first = feed.cursor.clone();
    let mut all = Feed::all(&server).await;
    for _ in 0..3 {
        touch(&server, &server.key, "u1").await;
    }
    all.told(3).await;
    let moved = async {
        while feed.cursor == first {
            assert_eq!(feed.next().await.unwrap().event, None);
        }
    };
    tokio::time::timeout(PATIENCE, moved).await?;
    store_of(&database).await.purge_events(server.clock.now() + Span::days(8), 1_000).await?;
    let resume = |cursor: &str| WatchRequest { cursor: cursor.to_owned(), ..request.clone() };
    Feed::open(&server, &server.key, resume(&feed.cursor)).await?;
    let refused = Feed::open(&server, &server.key, resume(&first)).await.map(|_| ());
    assert_refused(refused, Code::OutOfRange, "CURSOR_EXPIRED");
    Ok(())
}

/// A stream whose client takes only a few kilobytes before it reads.
async fn narrow(server: &TestServer) -> Result<Feed, Box<dyn std::error::Error + Send + Sync>> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.addresses.grpc))?;
    let channel = endpoint.initial_stream_window_size(16_384).connect().await?;
    let mut request = Request::new(WatchRequest::default());
    let key: MetadataValue<Ascii> = format!("Bearer {}", server.key).parse()?;
    request.metadata_mut().insert("authorization", key);
    let stream = ConnectionServiceClient::new(channel).watch(request).await?.into_inner();
    let mut feed = Feed { stream, cursor: String::new() };
    feed.next().await?;
    Ok(feed)
}

#[tokio::test]
async fn a_client_that_does_not_read_misses_nothing_and_holds_up_nobody() -> TestResult {
    const EVENTS: usize = 350;

    let (server, _provider, database) = TestServer::with_sandbox().await;
    // Long names make large messages: many more of them than the client's window holds.
    let name = "u".repeat(255);
    server.connect("sandbox", &name).await;
    let (mut stalled, mut quick) = (narrow(&server).await?, Feed::all(&server).await);
    let store = store_of(&database).await;
    let (project, integration) = (ProjectId::parse("default")?, IntegrationId::parse("sandbox")?);
    let id = ConnectionId::parse(&name)?;
    for _ in 0..EVENTS {
        let connection = store.get_connection(&project, &integration, &id).await?.unwrap();
        let metadata = Metadata::new(serde_json::Map::new())?;
        store.put_metadata(&connection, &metadata, server.clock.now()).await?;
    }
    let mut ids = Vec::new();
    for _ in 0..EVENTS {
        ids.push(quick.event().await.event_id);
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), EVENTS);
    for event_id in ids {
        assert_eq!(stalled.event().await.event_id, event_id);
    }
    Ok(())
}
