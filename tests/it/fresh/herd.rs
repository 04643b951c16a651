//! Many tokens that expire together: how many requests the provider has at a time, and what becomes of those that fail together.

use std::time::Duration;

use futures::future::{join, join_all};
use tokenwell::{config::RefreshArgs, sandbox::Failure};
use tokio::time::timeout;
use tonic::Code;

use super::{NAMES, expired};
use crate::support::{
    Acme, Options, TestResult, TestServer,
    acme::{ACME, plain},
    assert_refused,
    server::get,
    steps::works,
};

/// A server on the same database that has so many refreshes under way.
async fn narrow(acme: &Acme, refresh_concurrency: u16) -> TestServer {
    let refresh = RefreshArgs { refresh_concurrency, refresh_patience: Duration::ZERO };
    let options = Options { refresh, ..Options::with(&acme.clock, &acme.provider) };
    let mut server = TestServer::start(&acme.database, options).await;
    server.key.clone_from(&acme.server.key);
    server
}

#[tokio::test]
async fn a_provider_is_asked_by_a_few_at_a_time() -> TestResult {
    let acme = expired(plain(), "").await;
    let server = narrow(&acme, 3).await;
    acme.gate.close();
    let calls = join_all(NAMES.map(|name| server.token(ACME, name)));
    let watching = async {
        acme.gate.arrived(3).await;
        let leased = "SELECT count(*) FROM connections WHERE lease_until IS NOT NULL";
        // A fourth would have come within that time; it can only come too late for this test to see it.
        let fourth = timeout(Duration::from_secs(1), acme.gate.arrived(4)).await;
        assert!(fourth.is_err(), "more than three are under way");
        assert_eq!(acme.database.number(leased).await, 3, "who waits for a turn holds up no other server");
        acme.gate.open();
    };
    let (answers, ()) = join(calls, watching).await;
    for answer in answers {
        assert!(works(&acme.provider, &answer?.1.access_token).await);
    }
    Ok(())
}

/// Those who waited for a turn look again before they ask.
#[tokio::test]
async fn who_waits_for_a_turn_does_not_ask_a_provider_that_wants_to_be_left_alone() -> TestResult {
    let acme = expired(plain(), "").await;
    let server = narrow(&acme, 1).await;
    acme.gate.close();
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "60".to_owned()));
    let calls = join_all(NAMES.map(|name| server.token(ACME, name)));
    let before = acme.token_requests().len();
    let watching = async {
        acme.gate.arrived(1).await;
        acme.gate.open();
    };
    let (answers, ()) = join(calls, watching).await;
    for answer in answers {
        assert_refused(answer, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    }
    assert_eq!(acme.token_requests().len() - before, 1);
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_turn_at_a_server_that_stops_is_sent_to_another() {
    let acme = expired(plain(), "").await;
    let server = narrow(&acme, 1).await;
    let mut connections = NAMES.map(|_| server.connection(&server.key));
    acme.gate.close();
    let calls = connections.iter_mut().zip(NAMES).map(|(connection, name)| connection.get(get(ACME, name)));
    let stop = async {
        acme.gate.arrived(1).await;
        let stopping = server.flows().stopping().clone();
        let opening = async {
            stopping.cancelled().await;
            acme.gate.open();
        };
        join(server.stop(), opening).await;
    };
    let (answers, ()) = join(join_all(calls), stop).await;
    let (answered, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(answered.len(), 1, "what was asked ends");
    for refused in refused {
        assert_refused(refused, Code::Unavailable, "SERVER_STOPPING");
    }
}

/// They are one failure of the provider, and not so many in a row.
#[tokio::test]
async fn those_who_fail_together_are_one_pause() {
    let acme = expired(plain(), "").await;
    for _ in 0..2 {
        acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "1".to_owned()));
    }
    acme.gate.close();
    let early = acme.server.token(ACME, "a");
    let watching = async {
        acme.gate.arrived(1).await;
        acme.gate.pass_next();
        let refused = acme.server.token(ACME, "b").await;
        assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
        // Only now is there an answer for the one who has asked before.
        acme.gate.open();
    };
    let (refused, ()) = join(early, watching).await;
    assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert_eq!(acme.database.number("SELECT pauses FROM integrations").await, 1);
}
