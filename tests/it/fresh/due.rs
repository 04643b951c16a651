//! What servers do unasked.

use futures::future::join_all;
use sea_orm::ConnectionTrait as _;
use tokenwell::{
    api::pb::connection::v1::{Connection, ReauthorizationReason, State},
    model::Duration,
    sandbox::{ExpiresIn, Failure, IssuesRefreshToken, Quirks},
};
use tonic::Status;

use super::{connect, connected, refreshes};
use crate::support::{
    TestResult,
    acme::{ACME, plain},
    database::Kind,
    steps::{basic, due_in, until, works},
};

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

async fn tokens_are_renewed_before_anybody_asks(kind: Kind) -> TestResult {
    let acme = connected(kind, plain(), "").await;
    let due = due_in(&acme.database, &acme.clock).await;
    assert!((45..=54).contains(&due), "due in {due} minutes");
    // Two servers look after them, and each is renewed once.
    for name in NAMES {
        connect(&acme, name).await;
    }
    let (_one, _two) = (acme.background().await, acme.background().await);
    acme.clock.advance(Duration::minutes(54));
    let all = NAMES.len() as u64 + 1;
    until(async || refreshes(&acme), |count| *count == all).await;
    let renewed = async || join_all(NAMES.map(|name| basic(&acme.server, ACME, name))).await;
    let fresh = |connections: &Vec<Result<Connection, Status>>| {
        connections.iter().flatten().all(|it| it.refresh_time != it.create_time)
    };
    until(renewed, fresh).await;
    for name in NAMES {
        let (_, token) = acme.server.token(ACME, name).await?;
        assert!(works(&acme.provider, &token.access_token).await);
    }
    let book = acme.provider.sandbox.book();
    assert_eq!((book.refreshes, book.reuse_detected), (all, 0), "a Get finds it done");
    assert!(book.redemptions.values().all(|count| *count == 1), "{:?}", book.redemptions);
    Ok(())
}

#[tokio::test]
async fn tokens_are_renewed_before_anybody_asks_on_sqlite() -> TestResult {
    tokens_are_renewed_before_anybody_asks(Kind::Sqlite).await
}

#[tokio::test]
async fn tokens_are_renewed_before_anybody_asks_on_postgresql() -> TestResult {
    tokens_are_renewed_before_anybody_asks(Kind::Postgres).await
}

#[tokio::test]
async fn a_refresh_token_that_dies_of_idleness_is_kept_alive() -> TestResult {
    // The access token lives too long to be renewed in time for its refresh token.
    let quirks = Quirks { expires_in: ExpiresIn::Never, ..plain() };
    let more = "refresh_token_idle_expires_in = 2592000\ndefault_expires_in = 31536000\n";
    let acme = connected(Kind::Sqlite, quirks, more).await;
    let days = due_in(&acme.database, &acme.clock).await / (24 * 60);
    assert!((15..=21).contains(&days), "due in {days} days");
    let _server = acme.background().await;
    acme.clock.advance(Duration::days(22));
    until(async || refreshes(&acme), |count| *count == 1).await;
    Ok(())
}

#[tokio::test]
async fn what_has_expired_and_cannot_be_renewed_is_marked() -> TestResult {
    let quirks = Quirks { issues_refresh_token: IssuesRefreshToken::Never, ..plain() };
    let acme = connected(Kind::Sqlite, quirks, "").await;
    let _server = acme.background().await;
    acme.clock.advance(Duration::hours(1));
    let gone = |it: &Connection| it.state() == State::NeedsReauthorization;
    let connection = until(async || acme.basic().await.unwrap(), gone).await;
    assert_eq!(connection.reauthorization_reason(), ReauthorizationReason::CredentialsExpired);
    assert_eq!(acme.token_requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_has_failed_is_tried_again_unasked() -> TestResult {
    let acme = connected(Kind::Sqlite, plain(), "").await;
    acme.provider.sandbox.fail_next(Failure::Status(500));
    let _server = acme.background().await;
    acme.clock.advance(Duration::minutes(54));
    let failing = until(async || acme.basic().await.unwrap(), |it| it.refresh_failure.is_some()).await;
    assert_eq!(failing.state(), State::Active);
    acme.clock.wait_out();
    until(async || acme.basic().await.unwrap(), |it| it.refresh_failure.is_none()).await;
    assert_eq!(refreshes(&acme), 1);
    Ok(())
}

/// One that makes no sense holds up none of the others.
#[tokio::test]
async fn a_connection_that_does_not_open_holds_nobody_up() -> TestResult {
    let acme = connected(Kind::Sqlite, plain(), "").await;
    connect(&acme, "bob").await;
    let db = acme.database.connect().await;
    let broken = "UPDATE connections SET refresh_token = access_token WHERE connection_id = 'ada'";
    db.execute_unprepared(broken).await?;
    db.close().await?;
    let _server = acme.background().await;
    acme.clock.advance(Duration::minutes(54));
    let renewed = |it: &Connection| it.refresh_time != it.create_time;
    until(async || basic(&acme.server, ACME, "bob").await.unwrap(), renewed).await;
    assert_eq!(refreshes(&acme), 1);
    Ok(())
}

/// Between the claim and the look at the row somebody else has renewed it: it is not renewed once more.
#[tokio::test]
async fn a_row_that_has_moved_on_since_it_was_claimed_is_left_alone() -> TestResult {
    let acme = connected(Kind::Sqlite, plain(), "").await;
    let db = acme.database.connect().await;
    // As if: what a claim gives is what the row was before this.
    let meanwhile = "CREATE TRIGGER meanwhile AFTER UPDATE OF due_time ON connections BEGIN
                     UPDATE connections SET generation = generation + 1; END";
    db.execute_unprepared(meanwhile).await?;
    acme.clock.advance(Duration::minutes(54));
    assert_eq!(acme.server.flows().look_after_due().await?, 1);
    acme.server.flows().drain().await;
    assert_eq!(refreshes(&acme), 0);

    db.execute_unprepared("DROP TRIGGER meanwhile").await?;
    acme.clock.advance(Duration::minutes(5));
    let server = acme.replica().await;
    assert_eq!(server.flows().look_after_due().await?, 1);
    server.flows().drain().await;
    assert_eq!(refreshes(&acme), 1);
    Ok(())
}
