//! What comes late: an answer that cannot be stored for longer than its lease, another server that does not finish, a server
//! that stops in the middle.

use futures::future::join;
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use tokenwell::{
    api::pb::connection::v1::GetRequest,
    model::{Action, Clock as _, Duration, Failpoints, Point},
    sandbox::{ExpiresIn, Quirks},
};
use tonic::Code;

use super::{connected, refreshes, usual};
use crate::support::{
    Acme, Database, Options, TestResult, TestServer,
    acme::{ACME, ADA, plain},
    assert_refused,
    database::Kind,
    server::get,
    steps::{until, works},
};

const FAR: i64 = 4_000_000_000_000_000;

async fn execute(database: &Database, sql: &str) {
    let db = database.connect().await;
    db.execute_unprepared(sql).await.unwrap();
    db.close().await.unwrap();
}

/// How the attempts have ended, oldest first.
async fn journal(acme: &Acme) -> Vec<String> {
    let db = acme.database.connect().await;
    let sql = "SELECT coalesce(outcome, 'open') FROM refresh_attempts ORDER BY epoch";
    let statement = sea_orm::Statement::from_string(db.get_database_backend(), sql);
    let rows = db.query_all_raw(statement).await.unwrap();
    db.close().await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

/// One more server on the same database, which fails where the test says.
async fn faulty(acme: &Acme) -> (TestServer, Failpoints) {
    let failpoints = Failpoints::default();
    let options = Options { failpoints: failpoints.clone(), ..Options::with(&acme.clock, &acme.provider) };
    let mut server = TestServer::start(&acme.database, options).await;
    server.key.clone_from(&acme.server.key);
    (server, failpoints)
}

/// A lease of a server that is somewhere else, and does not come to an end.
async fn lease_elsewhere(acme: &Acme) {
    execute(&acme.database, &format!("UPDATE connections SET lease_until = {FAR}")).await;
}

async fn an_answer_is_stored_though_its_lease_ran_out_in_the_meantime(kind: Kind) -> TestResult {
    let acme = connected(kind, plain(), "").await;
    let (first, failpoints) = faulty(&acme).await;
    acme.clock.advance(Duration::hours(1));
    // The database is away for longer than the lease, as far as the first server is concerned.
    failpoints.set(Point::RefreshBeforeCommit, Action::Fail, ..);
    let (_, token) = first.token(ACME, ADA).await?;
    execute(&acme.database, "UPDATE connections SET lease_until = 1").await;
    let back = async {
        until(async || journal(&acme).await, |lines| lines.len() == 2).await;
        failpoints.release(Point::RefreshBeforeCommit);
    };
    let (got, ()) = join(acme.token(), back).await;
    assert_eq!(got?, token.access_token);
    assert!(works(&acme.provider, &token.access_token).await);
    let book = acme.provider.sandbox.book();
    assert_eq!((book.refreshes, book.reuse_detected), (1, 0), "a spent token was shown");
    assert_eq!(journal(&acme).await, ["committed", "superseded"]);
    acme.clock.advance(Duration::hours(1));
    assert!(works(&acme.provider, &acme.token().await?).await, "its lease was kept");
    Ok(())
}

#[tokio::test]
async fn an_answer_is_stored_though_its_lease_ran_out_in_the_meantime_on_sqlite() -> TestResult {
    an_answer_is_stored_though_its_lease_ran_out_in_the_meantime(Kind::Sqlite).await
}

#[tokio::test]
async fn an_answer_is_stored_though_its_lease_ran_out_in_the_meantime_on_postgresql() -> TestResult {
    an_answer_is_stored_though_its_lease_ran_out_in_the_meantime(Kind::Postgres).await
}

#[tokio::test]
async fn a_token_that_still_works_is_served_though_another_server_does_not_finish() -> TestResult {
    let acme = usual().await;
    let old = acme.token().await?;
    acme.clock.advance(Duration::minutes(30));
    lease_elsewhere(&acme).await;
    let fresher = prost_types::Duration { seconds: 45 * 60, nanos: 0 };
    let (_, token) = acme.server.get(GetRequest { min_ttl: Some(fresher), ..get(ACME, ADA) }).await?;
    assert_eq!((token.access_token, refreshes(&acme)), (old, 0));
    Ok(())
}

#[tokio::test]
async fn a_stopping_server_ends_what_it_has_asked() -> TestResult {
    let acme = usual().await;
    let stopping = acme.replica().await;
    acme.clock.advance(Duration::hours(1));
    acme.gate.close();
    let mut client = stopping.connection(&stopping.key);
    let opener = async {
        acme.gate.arrived(1).await;
        let signalled = stopping.flows().stopping().clone();
        let opened = async {
            signalled.cancelled().await;
            acme.gate.open();
        };
        join(stopping.stop(), opened).await;
    };
    let (got, ()) = join(client.get(get(ACME, ADA)), opener).await;
    assert!(got?.into_inner().connection.is_some());
    assert_eq!((refreshes(&acme), journal(&acme).await), (1, vec!["committed".to_owned()]));
    Ok(())
}

/// It might be gone before the answer is there.
#[tokio::test]
async fn a_stopping_server_asks_nothing_more() -> TestResult {
    let acme = usual().await;
    let (stopping, failpoints) = faulty(&acme).await;
    acme.clock.advance(Duration::hours(1));
    failpoints.set(Point::RefreshBeforeCall, Action::Hold, ..);
    let mut client = stopping.connection(&stopping.key);
    let stop = async {
        failpoints.visited(Point::RefreshBeforeCall, 1).await;
        let signalled = stopping.flows().stopping().clone();
        let released = async {
            signalled.cancelled().await;
            failpoints.release(Point::RefreshBeforeCall);
        };
        join(stopping.stop(), released).await;
    };
    let (refused, ()) = join(client.get(get(ACME, ADA)), stop).await;
    let refusal = assert_refused(refused, Code::Unavailable, "SERVER_STOPPING");
    assert!(refusal.retry.is_some());
    assert_eq!((refreshes(&acme), journal(&acme).await), (0, vec!["failed".to_owned()]));
    // The others need not wait for a lease to run out.
    assert!(works(&acme.provider, &acme.token().await?).await);
    Ok(())
}

#[tokio::test]
async fn who_waits_for_another_server_does_not_keep_one_from_stopping() -> TestResult {
    let acme = usual().await;
    let stopping = acme.replica().await;
    acme.clock.advance(Duration::hours(1));
    lease_elsewhere(&acme).await;
    let mut client = stopping.connection(&stopping.key);
    let stop = async {
        // Whoever has a token set to wait for has seen the row.
        until(async || stopping.flows().under_way(), |count| *count == 1).await;
        stopping.stop().await;
    };
    let (refused, ()) = join(client.get(get(ACME, ADA)), stop).await;
    assert_refused(refused, Code::Unavailable, "SERVER_STOPPING");
    assert_eq!(refreshes(&acme), 0);
    Ok(())
}

/// What it has claimed while it stops is for the others.
#[tokio::test]
async fn a_stopping_server_gives_back_what_it_has_claimed() -> TestResult {
    let acme = connected(Kind::Postgres, plain(), "").await;
    let stopping = acme.background().await;
    let db = acme.database.connect().await;
    let lock = db.begin().await?;
    lock.execute_unprepared("LOCK TABLE connections IN EXCLUSIVE MODE").await?;
    acme.clock.advance(Duration::minutes(54));
    // The claim waits for the table.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waiting = sea_orm::Statement::from_string(db.get_database_backend(), waiting);
    let count = async || {
        db.query_one_raw(waiting.clone()).await.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap()
    };
    until(count, |count| *count > 0).await;
    let signalled = stopping.flows().stopping().clone();
    let released = async {
        signalled.cancelled().await;
        lock.commit().await.unwrap();
    };
    join(stopping.stop(), released).await;
    assert_eq!((refreshes(&acme), journal(&acme).await.len()), (0, 0));
    let _other = acme.background().await;
    until(async || refreshes(&acme), |count| *count == 1).await;
    Ok(())
}

/// Whoever wants the next token does not wait for what is asked about the last one, and that says nothing of the next.
#[tokio::test]
async fn a_slow_introspection_holds_up_no_token_and_corrects_no_other() -> TestResult {
    let more = "introspection_endpoint = \"PROVIDER/introspect\"\ndefault_expires_in = 1800\n";
    let quirks = Quirks { expires_in: ExpiresIn::Never, ..plain() };
    let acme = connected(Kind::Sqlite, quirks, more).await;
    let introspections = async || acme.provider.sandbox.book().introspections;
    acme.clock.advance(Duration::hours(1));
    acme.gate.close_at("/introspect");
    let next = async {
        acme.gate.arrived(1).await;
        acme.clock.advance(Duration::minutes(30));
        acme.answer_next(r#"{"access_token":"second","expires_in":600,"refresh_token":"r"}"#);
        let token = acme.token().await;
        acme.gate.open();
        token
    };
    let (first, second) = join(acme.token(), next).await;
    assert_eq!((first?, second?), ("second".to_owned(), "second".to_owned()));
    until(introspections, |count| *count == 2).await;
    until(async || acme.server.flows().under_way(), |count| *count == 0).await;
    let (_, token) = acme.server.token(ACME, ADA).await?;
    assert_eq!(token.expire_time.unwrap().seconds - acme.clock.now().unix_timestamp(), 600);
    Ok(())
}
