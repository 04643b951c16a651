//! Several servers on one database.

use std::collections::BTreeMap;

use tokenwell::api::pb::connection::v1::EventType;

use super::{Feed, touch};
use crate::support::{Database, ManualClock, Options, TestProvider, TestResult, TestServer, database::Kind};

const CONNECTIONS: usize = 8;
const TOUCHES: usize = 12;

/// Two servers on one database, with connections `u0`, `u1`, ...
async fn two(kind: Kind) -> (TestServer, TestServer, TestProvider, Database) {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::new(kind).await;
    let first = TestServer::start(&database, Options::with(&clock, &provider)).await;
    let mut second = TestServer::start(&database, Options::with(&clock, &provider)).await;
    second.key.clone_from(&first.key);
    first.create_integration("sandbox", "sandbox").await;
    for index in 0..CONNECTIONS {
        first.connect("sandbox", &format!("u{index}")).await;
    }
    (first, second, provider, database)
}

/// Every event is told by both servers, once and in the same order, whichever of them did what it tells; also to a client
/// that goes from one to the other after each few events.
async fn events_of_all_servers_are_told_in_one_order(kind: Kind) {
    let (first, second, _provider, _database) = two(kind).await;
    let (first, second) = (&first, &second);
    let (mut here, mut there) = (Feed::all(first).await, Feed::all(second).await);
    let start = here.cursor.clone();
    let work = (0..CONNECTIONS).map(|index| async move {
        let name = format!("u{index}");
        for turn in 0..TOUCHES {
            let server = if (index + turn) % 2 == 0 { first } else { second };
            touch(server, &server.key, &name).await;
        }
        super::delete(if index % 2 == 0 { first } else { second }, &name).await;
    });
    let total = CONNECTIONS * (TOUCHES + 1);
    let (_, told, as_well) = futures::future::join3(
        futures::future::join_all(work),
        ids(&mut here, total),
        ids(&mut there, total),
    )
    .await;
    assert_eq!(told, as_well);
    let mut by_connection: BTreeMap<&str, Vec<EventType>> = BTreeMap::new();
    for (_, event_type, connection_id) in &told {
        by_connection.entry(connection_id).or_default().push(*event_type);
    }
    let mut expected = vec![EventType::Updated; TOUCHES];
    expected.push(EventType::Deleted);
    assert_eq!(by_connection.len(), CONNECTIONS);
    for (name, types) in by_connection {
        assert_eq!(types, expected, "{name}");
    }

    let mut wandering = Vec::new();
    let mut cursor = start;
    for (server, count) in [first, second].into_iter().cycle().zip([1, 7, 2, 13].into_iter().cycle()) {
        let mut feed = Feed::after(server, &cursor).await.unwrap();
        wandering.extend(ids(&mut feed, count.min(total - wandering.len())).await);
        cursor.clone_from(&feed.cursor);
        if wandering.len() == total {
            break;
        }
    }
    assert_eq!(wandering, told);
}

async fn ids(feed: &mut Feed, count: usize) -> Vec<(String, EventType, String)> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let event = feed.event().await;
        ids.push((event.event_id.clone(), event.r#type(), event.connection_id));
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    events_of_all_servers_are_told_in_one_order(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    events_of_all_servers_are_told_in_one_order(Kind::Postgres).await;
}

#[tokio::test]
async fn a_client_goes_on_at_another_server_when_one_stops() -> TestResult {
    let (first, second, _provider, _database) = two(Kind::Postgres).await;
    let mut feed = Feed::all(&first).await;
    touch(&second, &second.key, "u1").await;
    assert_eq!(feed.told(1).await, [(EventType::Updated, "u1".to_owned())]);
    let (end, ()) = futures::future::join(feed.end(), first.stop()).await;
    crate::support::assert_refused(Err::<(), _>(end), tonic::Code::Unavailable, "SERVER_STOPPING");
    touch(&second, &second.key, "u2").await;
    let mut feed = Feed::after(&second, &feed.cursor).await?;
    assert_eq!(feed.told(1).await, [(EventType::Updated, "u2".to_owned())]);
    Ok(())
}
