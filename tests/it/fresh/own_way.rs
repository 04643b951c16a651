//! Providers that revoke in a way of their own, with an access token: one that has run out is renewed for that.

use sea_orm::{ConnectionTrait as _, Statement};
use tokenwell::{
    model::{Clock as _, Duration},
    sandbox::{Failure, Quirks, ResourceQuirks},
};

use super::{connected, delete, refreshes, revoke::left};
use crate::support::{
    Acme, TestResult,
    acme::plain,
    database::Kind,
    provider::{CLIENT_ID, CLIENT_SECRET},
    steps::until,
};

const PATH: &str = "/end";
/// As Dropbox has it.
const BY_TOKEN: &str = "[revocation]\nurl = \"PROVIDER/end\"\n";
/// As GitHub has it.
const BY_CLIENT: &str = r#"
[revocation]
url = "PROVIDER/end"
method = "DELETE"
basic = "{client_id}:{client_secret}"
json = { access_token = "{access_token}" }
"#;

fn pair(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn ending(resource: ResourceQuirks) -> Quirks {
    let resource = ResourceQuirks { path: PATH.to_owned(), revokes: true, ..resource };
    Quirks { resources: vec![resource], ..plain() }
}

fn by_token() -> Quirks {
    let headers = pair("authorization", "Bearer {access_token}");
    ending(ResourceQuirks { headers, ..ResourceQuirks::default() })
}

fn by_client() -> Quirks {
    ending(ResourceQuirks {
        method: "DELETE".to_owned(),
        basic: Some(format!("{CLIENT_ID}:{CLIENT_SECRET}")),
        json: pair("access_token", "{access_token}"),
        ..ResourceQuirks::default()
    })
}

/// A connection whose access token has run out, and whose refresh tokens rotate.
async fn stage(kind: Kind, quirks: Quirks, revocation: &str) -> Acme {
    let acme = connected(kind, quirks, revocation).await;
    acme.clock.advance(Duration::hours(2));
    acme
}

/// Goes through the outbox until the grant has ended.
async fn revoked(acme: &Acme) {
    let try_again = async || {
        acme.clock.advance(Duration::minutes(5));
        acme.server.flows().revoke_due().await.unwrap();
        acme.provider.sandbox.book().revocations
    };
    until(try_again, |count| *count == 1).await;
    until(async || left(acme).await, |left| *left == 0).await;
}

#[tokio::test]
async fn an_access_token_that_has_run_out_is_renewed_and_then_revoked() -> TestResult {
    for (quirks, revocation) in [(by_token(), BY_TOKEN), (by_client(), BY_CLIENT)] {
        let acme = stage(Kind::Sqlite, quirks, revocation).await;
        delete(&acme).await?;
        until(async || acme.provider.sandbox.book().revocations, |count| *count == 1).await;
        until(async || left(&acme).await, |left| *left == 0).await;
        let book = acme.provider.sandbox.book();
        assert_eq!((book.refreshes, book.reuse_detected), (1, 0), "{revocation}");
    }
    Ok(())
}

#[tokio::test]
async fn an_access_token_that_works_is_not_renewed() -> TestResult {
    let acme = connected(Kind::Sqlite, by_token(), BY_TOKEN).await;
    delete(&acme).await?;
    until(async || acme.provider.sandbox.book().revocations, |count| *count == 1).await;
    assert_eq!(refreshes(&acme), 0);
    Ok(())
}

/// The renewed refresh token exists nowhere else: the old one would end as a token that was stolen.
async fn what_a_renewal_brings_is_kept_until_it_is_revoked(kind: Kind) -> TestResult {
    let acme = stage(kind, by_token(), BY_TOKEN).await;
    acme.detour.answer(PATH, 401, "{}");
    delete(&acme).await?;
    until(async || waits(&acme).await, |waits| *waits).await;
    assert_eq!((left(&acme).await, refreshes(&acme)), (1, 1));
    acme.detour.end(PATH);
    revoked(&acme).await;
    assert_eq!(acme.provider.sandbox.book().reuse_detected, 0);
    Ok(())
}

#[tokio::test]
async fn what_a_renewal_brings_is_kept_until_it_is_revoked_on_sqlite() -> TestResult {
    what_a_renewal_brings_is_kept_until_it_is_revoked(Kind::Sqlite).await
}

#[tokio::test]
async fn what_a_renewal_brings_is_kept_until_it_is_revoked_on_postgresql() -> TestResult {
    what_a_renewal_brings_is_kept_until_it_is_revoked(Kind::Postgres).await
}

/// Whether the one revocation was tried and put off: sooner than its claim would run out.
async fn waits(acme: &Acme) -> bool {
    let db = acme.database.connect().await;
    let sql = "SELECT next_time FROM revocations";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    db.close().await.unwrap();
    let next: i64 = row.unwrap().try_get_by_index(0).unwrap();
    let now = acme.clock.now().unix_timestamp();
    (now + 1..=now + 60).contains(&(next / 1_000_000))
}

#[tokio::test]
async fn a_grant_that_has_ended_is_not_tried_again() -> TestResult {
    let acme = stage(Kind::Sqlite, by_token(), BY_TOKEN).await;
    acme.provider.sandbox.revoke_all();
    delete(&acme).await?;
    until(async || left(&acme).await, |left| *left == 0).await;
    let book = acme.provider.sandbox.book();
    assert_eq!((book.refreshes, book.revocations, acme.token_requests().len()), (0, 0, 2));
    Ok(())
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_again() -> TestResult {
    let acme = stage(Kind::Sqlite, by_token(), BY_TOKEN).await;
    acme.provider.sandbox.fail_next(Failure::Status(503));
    delete(&acme).await?;
    until(async || waits(&acme).await, |waits| *waits).await;
    assert_eq!((left(&acme).await, refreshes(&acme)), (1, 0));
    revoked(&acme).await;
    assert_eq!(refreshes(&acme), 1);
    Ok(())
}
