//! Served at once, renewed behind the caller's back; and an answer that is handed out before it is stored.

use tokenwell::{
    api::pb::connection::v1::GetRequest,
    model::{Action, Duration, Failpoints, Point},
    sandbox::{Failure, IssuesRefreshToken, Quirks},
};
use tonic::Code;

use super::{connected, forced, refreshes, usual};
use crate::support::{
    Database, ManualClock, Options, TestProvider, TestResult, TestServer,
    acme::{ACME, ADA, plain},
    assert_refused,
    database::Kind,
    server::get,
    steps::{until, works},
};

#[tokio::test]
async fn in_its_last_fifth_a_token_is_served_at_once_and_renewed_behind() -> TestResult {
    let acme = usual().await;
    let old = acme.token().await?;
    acme.clock.advance(Duration::minutes(47));
    assert_eq!(acme.token().await?, old);
    acme.clock.advance(Duration::minutes(1));
    // The provider takes its time. Nobody waits for it, and it is asked once.
    acme.gate.close();
    for _ in 0..5 {
        assert_eq!(acme.token().await?, old);
    }
    acme.gate.arrived(1).await;
    assert_eq!(acme.token().await?, old);
    assert_eq!(acme.gate.count(), 1);
    acme.gate.open();
    let new = until(async || acme.token().await.unwrap(), |token| *token != old).await;
    assert!(works(&acme.provider, &new).await);
    assert_eq!(refreshes(&acme), 1);
    Ok(())
}

#[tokio::test]
async fn a_renewal_behind_that_fails_is_not_the_callers_matter() -> TestResult {
    let acme = usual().await;
    let old = acme.token().await?;
    acme.clock.advance(Duration::minutes(50));
    acme.provider.sandbox.fail_next(Failure::Status(503));
    assert_eq!(acme.token().await?, old);
    let failing = until(async || acme.basic().await.unwrap(), |it| it.refresh_failure.is_some()).await;
    assert_eq!(failing.refresh_failure.unwrap().count, 1);
    // While the provider is left alone, nobody asks it.
    assert_eq!(acme.token().await?, old);
    assert_eq!(acme.token_requests().len(), 2);
    acme.clock.wait_out();
    assert_eq!(acme.token().await?, old);
    let well = until(async || acme.basic().await.unwrap(), |it| it.refresh_failure.is_none()).await;
    assert_ne!(acme.token().await?, old);
    assert_ne!(well.refresh_time, well.create_time);
    Ok(())
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_served_to_its_end() -> TestResult {
    let quirks = Quirks { issues_refresh_token: IssuesRefreshToken::Never, ..plain() };
    let acme = connected(Kind::Sqlite, quirks, "").await;
    acme.clock.advance(Duration::minutes(59));
    let token = acme.token().await?;
    assert!(works(&acme.provider, &token).await);
    acme.clock.advance(Duration::minutes(1));
    let refused = acme.server.get(get(ACME, ADA)).await;
    let refusal = assert_refused(refused, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(refusal.metadata["reauthorization_reason"], "CREDENTIALS_EXPIRED");
    assert_eq!(acme.token_requests().len(), 1, "there was nothing to ask for");
    Ok(())
}

/// The rotated token exists nowhere but in this server's memory.
#[tokio::test]
async fn a_token_that_cannot_be_stored_yet_is_handed_out_and_not_asked_for_again() -> TestResult {
    let (clock, database) = (ManualClock::new(), Database::sqlite());
    let provider = TestProvider::plain(&clock).await;
    let failpoints = Failpoints::default();
    let options = Options { failpoints: failpoints.clone(), ..Options::with(&clock, &provider) };
    let server = TestServer::start(&database, options).await;
    server.create_integration("sandbox", "sandbox").await;
    server.connect("sandbox", "u1").await;
    clock.advance(Duration::hours(1));

    failpoints.set(Point::RefreshBeforeCommit, Action::Fail, 1..=6);
    let (_, first) = server.token("sandbox", "u1").await?;
    assert!(works(&provider, &first.access_token).await);
    // Whoever insists on a newer one gets the newest that there is.
    let insisting = GetRequest { force_refresh: true, ..get("sandbox", "u1") };
    let (_, same) = server.get(insisting).await?;
    assert_eq!(same.access_token, first.access_token);
    let book = provider.sandbox.book();
    assert_eq!((book.refreshes, book.reuse_detected), (1, 0));
    failpoints.visited(Point::RefreshBeforeCommit, 7).await;
    let (_, stored) = server.token("sandbox", "u1").await?;
    assert_eq!(stored.access_token, first.access_token);

    // It is in the database now: a server that knows nothing of it goes on with it.
    let stored = async || {
        let mut other = TestServer::start(&database, Options::with(&clock, &provider)).await;
        other.key.clone_from(&server.key);
        let (_, token) = other.token("sandbox", "u1").await.unwrap();
        other.stop().await;
        token.access_token
    };
    assert_eq!(stored().await, first.access_token);
    clock.advance(Duration::hours(1));
    let next = stored().await;
    assert!(works(&provider, &next).await);
    assert_eq!(provider.sandbox.book().reuse_detected, 0);
    Ok(())
}

#[tokio::test]
async fn a_forced_refresh_waits_for_a_new_token_even_in_the_last_fifth() -> TestResult {
    let acme = usual().await;
    let old = acme.token().await?;
    acme.clock.advance(Duration::minutes(50));
    let (_, new) = acme.server.get(forced()).await?;
    assert_ne!(new.access_token, old);
    assert_eq!(refreshes(&acme), 1);
    Ok(())
}
