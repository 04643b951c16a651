//! A Get whose token has expired waits for a provider that is left alone for a moment, and its caller notices nothing.

use std::time::Duration;

use futures::future::{join, join_all};
use tokenwell::{api::pb::connection::v1::GetRequest, config::RefreshArgs, model, sandbox::Failure};
use tokio::time::timeout;
use tonic::{Code, Request};

use super::{NAMES, expired};
use crate::support::{
    Acme, Options, TestResult, TestServer,
    acme::{ACME, plain},
    assert_refused,
    server::get,
    steps::{until, works},
};

/// Longer than any of these tests has.
const LONG: Duration = Duration::from_mins(1);

/// A server on the same database whose Gets wait for so long.
async fn patient(acme: &Acme, refresh_patience: Duration) -> TestServer {
    let refresh = RefreshArgs { refresh_patience, ..RefreshArgs::default() };
    let options = Options { refresh, ..Options::with(&acme.clock, &acme.provider) };
    let mut server = TestServer::start(&acme.database, options).await;
    server.key.clone_from(&acme.server.key);
    server
}

async fn pauses(acme: &Acme) -> i64 {
    acme.database.number("SELECT pauses FROM integrations").await
}

#[tokio::test]
async fn a_short_pause_is_waited_for_by_all() -> TestResult {
    let acme = expired(plain(), "").await;
    // Shorter than whoever goes first after a pause has for that.
    let server = patient(&acme, LONG / 4).await;
    acme.gate.slow(Duration::from_secs(1));
    let before = acme.token_requests().len();
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "2".to_owned()));
    let first = async {
        let (_, token) = server.token(ACME, "a").await?;
        assert!(works(&acme.provider, &token.access_token).await);
        Ok::<_, tonic::Status>(())
    };
    let others = async {
        until(async || pauses(&acme).await, |pauses| *pauses == 1).await;
        let waiting = join_all(NAMES[1..].iter().map(|name| server.token(ACME, name)));
        let time = async { acme.clock.advance(model::Duration::seconds(2)) };
        join(waiting, time).await.0.into_iter().collect::<Result<Vec<_>, _>>()
    };
    let (first, others) = timeout(LONG, join(first, others)).await?;
    first?;
    assert_eq!(others?.len(), NAMES.len() - 1);
    assert_eq!(acme.token_requests().len() - before, NAMES.len() + 1, "nobody has asked in vain");
    Ok(())
}

#[tokio::test]
async fn a_failure_without_a_wish_is_tried_again() -> TestResult {
    let acme = expired(plain(), "").await;
    let server = patient(&acme, LONG).await;
    acme.provider.sandbox.fail_next(Failure::Status(503));
    let time = async {
        let failed = "SELECT count(*) FROM connections WHERE failures = 1";
        until(async || acme.database.number(failed).await, |failed| *failed == 1).await;
        acme.clock.advance(model::Duration::seconds(1));
    };
    let (got, ()) = join(server.token(ACME, "a"), time).await;
    assert!(works(&acme.provider, &got?.1.access_token).await);
    Ok(())
}

/// Whoever wants newer tokens than those that it found has them when somebody has brought some meanwhile.
#[tokio::test]
async fn many_who_insist_and_wait_cause_one_refresh() -> TestResult {
    let acme = expired(plain(), "").await;
    let server = patient(&acme, LONG).await;
    let before = acme.token_requests().len();
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "2".to_owned()));
    let insist = || server.get(GetRequest { force_refresh: true, ..get(ACME, "a") });
    let later = async {
        until(async || pauses(&acme).await, |pauses| *pauses == 1).await;
        // It looks again a little later than the others do.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let time = async { acme.clock.advance(model::Duration::seconds(2)) };
        join(insist(), time).await.0
    };
    let (first, later) = join(insist(), later).await;
    assert_eq!(first?.1.access_token, later?.1.access_token);
    assert_eq!(acme.token_requests().len() - before, 2);
    Ok(())
}

/// What would take longer than the server's patience is told at once.
#[tokio::test]
async fn a_long_pause_is_not_waited_for() -> TestResult {
    let acme = expired(plain(), "").await;
    let server = patient(&acme, LONG).await;
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "61".to_owned()));
    for name in &NAMES[..2] {
        let refused = timeout(LONG / 2, server.token(ACME, name)).await?;
        let refusal = assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
        assert_eq!(refusal.retry, Some(Duration::from_secs(61)));
    }
    Ok(())
}

/// The caller learns what is wrong before it gives up.
#[tokio::test]
async fn nobody_waits_past_the_callers_deadline() {
    let acme = expired(plain(), "").await;
    let server = patient(&acme, LONG).await;
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "1".to_owned()));
    let mut request = Request::new(get(ACME, "a"));
    request.set_timeout(Duration::from_secs(4));
    let refused = server.connection(&server.key).get(request).await;
    assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
}

/// A stopping server keeps nobody.
#[tokio::test]
async fn nobody_waits_at_a_server_that_stops() {
    let acme = expired(plain(), "").await;
    let server = patient(&acme, LONG).await;
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "30".to_owned()));
    let mut connection = server.connection(&server.key);
    let stop = async {
        until(async || pauses(&acme).await, |pauses| *pauses == 1).await;
        timeout(LONG / 4, server.stop()).await.expect("it waits for the pause");
    };
    let (refused, ()) = join(connection.get(get(ACME, "a")), stop).await;
    assert_refused(refused, Code::Unavailable, "SERVER_STOPPING");
}
