//! Many tokens that expire together: how many requests the provider has at a time, and what becomes of those that fail together.

use std::time::Duration;

use futures::future::{join, join_all};
use tokenwell::{api::pb::connection::v1::GetRequest, config::RefreshArgs, model, sandbox::Failure};
use tokio::time::timeout;
use tonic::Code;

use super::{NAMES, expired, refreshes};
use crate::support::{
    Acme, Options, TestResult, TestServer,
    acme::{ACME, plain},
    assert_refused,
    server::get,
    steps::{until, works},
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

/// While it waits, another server may bring what it needs.
#[tokio::test]
async fn who_waits_for_a_turn_sees_what_others_bring() -> TestResult {
    let acme = expired(plain(), "").await;
    let server = narrow(&acme, 1).await;
    acme.gate.close();
    let others = async {
        acme.gate.arrived(1).await;
        let waiting = server.token(ACME, "b");
        let elsewhere = async {
            acme.gate.pass_next();
            acme.server.token(ACME, "b").await
        };
        let (waited, brought) = timeout(Duration::from_secs(30), join(waiting, elsewhere)).await?;
        assert_eq!(waited?.1.access_token, brought?.1.access_token);
        acme.gate.open();
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    let (first, others) = join(server.token(ACME, "a"), others).await;
    first?;
    others
}

/// Who has a token that works still waits in no line before those who have none.
#[tokio::test]
async fn what_nobody_waits_for_is_done_when_there_is_a_turn_to_spare() -> TestResult {
    let acme = super::usual().await;
    for name in NAMES {
        super::connect(&acme, name).await;
    }
    // Within the last fifth of an hour.
    acme.clock.advance(model::Duration::minutes(50));
    let server = narrow(&acme, 1).await;
    acme.gate.close();
    let forced = GetRequest { force_refresh: true, ..get(ACME, "a") };
    let rest = async {
        acme.gate.arrived(1).await;
        for name in &NAMES[1..] {
            server.token(ACME, name).await?;
        }
        acme.gate.open();
        Ok::<_, tonic::Status>(())
    };
    let (first, rest) = join(server.get(forced), rest).await;
    first?;
    rest?;
    assert_eq!(refreshes(&acme), 1);
    let renewed = async || {
        server.token(ACME, "h").await.unwrap();
        refreshes(&acme)
    };
    let renewed = until(renewed, |refreshes| *refreshes > 1).await;
    assert_eq!(renewed, 2, "only the one that was asked for since");
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
