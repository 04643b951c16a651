//! Too many calls at once: those that are too many are refused at once, before anything is done for them.

use futures::future::join;
use tokenwell::{api::pb::connection::v1::WatchRequest, config::LimitArgs, model::Duration, sandbox::Quirks};
use tonic::{Code, Status};

use super::assert_healthy;
use crate::support::{
    Browser, Database, Gate, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused,
    server::begin,
    steps::{basic, until},
};

/// A server that bears so many calls, with the connections `u1` and `u2`, whose tokens have expired.
async fn stage(max_calls: u32) -> (TestServer, TestProvider, Gate, Database) {
    let (clock, gate) = (ManualClock::new(), Gate::new());
    let provider = TestProvider::plain_with(Quirks::default(), &clock, |router| gate.before(router)).await;
    let database = Database::sqlite();
    let limits = LimitArgs { max_calls, ..LimitArgs::default() };
    let server = TestServer::start(&database, Options { limits, ..Options::with(&clock, &provider) }).await;
    server.create_integration("sandbox", "sandbox").await;
    for name in ["u1", "u2"] {
        server.connect("sandbox", name).await;
    }
    clock.advance(Duration::hours(1));
    (server, provider, gate, database)
}

fn is_overloaded(status: &Status) -> bool {
    status.message().contains("as many calls in progress")
}

#[tokio::test]
async fn what_a_server_does_not_bear_is_refused_at_once() -> TestResult {
    let (server, _provider, gate, _database) = stage(2).await;
    let connect_url = server.begin(begin("sandbox", "u3")).await?.connect_url;
    let mut browser = Browser::new();
    let back = server.consent(&mut browser, &connect_url, "approve").await.location().unwrap();
    gate.close();
    let calls = join(server.token("sandbox", "u1"), server.token("sandbox", "u2"));
    let others = async {
        gate.arrived(2).await;
        let refusal = assert_refused(basic(&server, "sandbox", "u1").await, Code::Unavailable, "OVERLOADED");
        assert_eq!(refusal.retry, Some(std::time::Duration::from_secs(1)));
        // Nobody has looked at who calls.
        let unknown = server.connection("tw_sk_unknown").watch(WatchRequest::default()).await.map(drop);
        assert_refused(unknown, Code::Unavailable, "OVERLOADED");
        // Whoever balances load must not take it for dead.
        assert_healthy(server.addresses.grpc).await;
        // A browser comes through the same door, and has lost nothing.
        let page = browser.get(back.as_str()).await;
        assert_eq!((page.status.as_u16(), page.result("data-error")), (503, "OVERLOADED"), "{}", page.body);
        gate.open();
    };
    let ((first, second), ()) = join(calls, others).await;
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(browser.get(back.as_str()).await.result("data-status"), "success");
    basic(&server, "sandbox", "u1").await?;
    Ok(())
}

#[tokio::test]
async fn a_call_that_its_caller_gives_up_makes_room() {
    let (server, _provider, gate, _database) = stage(1).await;
    gate.close();
    tokio::select! {
        answer = server.token("sandbox", "u1") => panic!("{answer:?} came through a closed gate"),
        () = gate.arrived(1) => {}
    }
    let answer = until(
        async || basic(&server, "sandbox", "u1").await,
        |answer| !answer.as_ref().is_err_and(is_overloaded),
    );
    assert!(answer.await.is_ok());
    gate.open();
}

#[tokio::test]
async fn a_stream_counts_until_it_has_begun() -> TestResult {
    let (server, _provider, _gate, _database) = stage(1).await;
    let mut connection = server.connection(&server.key);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(connection.watch(WatchRequest::default()).await?.into_inner());
    }
    basic(&server, "sandbox", "u1").await?;
    Ok(())
}
