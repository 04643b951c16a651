//! Tokens that nobody needs any more are revoked at the provider, sooner or later.

use std::{fs, pin::pin};

use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;
use tokenwell::{
    api::pb::{connection::v1::DeleteRequest, integration::v1::DeleteRequest as IntegrationDelete},
    model::{Duration, ExposeSecret as _},
    sandbox::Book,
};
use tokio::time::timeout;
use tonic::Code;

use super::{connected, delete};
use crate::{
    cli::program::{run, tokenwell},
    support::{
        Acme, TestResult,
        acme::{ACME, ADA, plain},
        assert_refused,
        database::Kind,
        steps::{complete, in_outbox, until, works},
    },
};

pub(super) const REVOCATION: &str = "revocation_endpoint = \"PROVIDER/revoke\"\n";

pub(super) async fn stage(kind: Kind) -> Acme {
    connected(kind, plain(), REVOCATION).await
}

async fn revocations(acme: &Acme, count: u64) {
    until(async || acme.provider.sandbox.book().revocations, |done| *done == count).await;
}

/// How many are left in the outbox.
pub(super) async fn left(acme: &Acme) -> i64 {
    in_outbox(&acme.database).await
}

async fn a_deleted_connection_is_revoked(kind: Kind) -> TestResult {
    let acme = stage(kind).await;
    let token = acme.token().await?;
    delete(&acme).await?;
    revocations(&acme, 1).await;
    assert!(!works(&acme.provider, &token).await, "its access token went with it");
    until(async || left(&acme).await, |left| *left == 0).await;
    assert_refused(delete(&acme).await, Code::NotFound, "CONNECTION_NOT_FOUND");
    Ok(())
}

#[tokio::test]
async fn a_deleted_connection_is_revoked_on_sqlite() -> TestResult {
    a_deleted_connection_is_revoked(Kind::Sqlite).await
}

#[tokio::test]
async fn a_deleted_connection_is_revoked_on_postgresql() -> TestResult {
    a_deleted_connection_is_revoked(Kind::Postgres).await
}

/// The grant may be of use to the user's other connections. It stays, also if a refresh is under way.
async fn a_grant_is_spared_if_the_caller_says_so(kind: Kind) -> TestResult {
    for refreshing in [false, true] {
        let acme = stage(kind).await;
        let request = DeleteRequest {
            integration_id: ACME.to_owned(),
            connection_id: ADA.to_owned(),
            skip_revocation: true,
        };
        let mut client = acme.server.connection(&acme.server.key);
        let token = if refreshing {
            acme.gate.close();
            let deleting = async {
                acme.gate.arrived(1).await;
                let mut deleting = pin!(client.delete(request));
                let early = timeout(Duration::SECOND.unsigned_abs(), &mut deleting).await;
                assert!(early.is_err(), "it did not wait for the refresh: {early:?}");
                acme.gate.open();
                deleting.await
            };
            let (got, deleted) = tokio::join!(acme.server.get(super::forced()), deleting);
            deleted?;
            got?.1.access_token
        } else {
            let token = acme.token().await?;
            client.delete(request).await?;
            token
        };
        assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
        acme.server.flows().revoke_due().await?;
        assert_eq!((left(&acme).await, acme.count("/revoke")), (0, 0));
        assert!(works(&acme.provider, &token).await, "nobody has revoked it");
    }
    Ok(())
}

#[tokio::test]
async fn a_grant_is_spared_if_the_caller_says_so_on_sqlite() -> TestResult {
    a_grant_is_spared_if_the_caller_says_so(Kind::Sqlite).await
}

#[tokio::test]
async fn a_grant_is_spared_if_the_caller_says_so_on_postgresql() -> TestResult {
    a_grant_is_spared_if_the_caller_says_so(Kind::Postgres).await
}

/// Neither a provider that is away nor a restart, nor the end of the integration, lets the outbox forget.
#[tokio::test]
async fn what_cannot_be_revoked_now_is_revoked_later() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    let token = acme.token().await?;
    acme.detour.answer("/revoke", 503, "{}");
    delete(&acme).await?;
    until(async || left(&acme).await, |left| *left == 1).await;
    // What the outbox needs, sealed, is all that is left of it.
    assert_eq!(acme.database.number("SELECT count(*) FROM connections").await, 0);
    let request = IntegrationDelete { integration_id: ACME.to_owned() };
    acme.server.integration(&acme.server.key).delete(request).await?;
    assert!(works(&acme.provider, &token).await);

    acme.detour.end("/revoke");
    let server = acme.background().await;
    acme.clock.advance(Duration::hours(1));
    revocations(&acme, 1).await;
    assert!(!works(&acme.provider, &token).await);
    until(async || left(&acme).await, |left| *left == 0).await;
    server.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_revoked_for_a_week_is_given_up() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    acme.detour.answer("/revoke", 503, "{}");
    delete(&acme).await?;
    let _server = acme.background().await;
    acme.clock.advance(Duration::days(6));
    assert_eq!(left(&acme).await, 1);
    acme.clock.advance(Duration::days(2));
    until(async || left(&acme).await, |left| *left == 0).await;
    Ok(())
}

#[tokio::test]
async fn the_late_answer_for_a_deleted_connection_is_revoked() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    acme.clock.advance(Duration::hours(1));
    // The old tokens are not revoked yet when the new ones come.
    acme.detour.answer("/revoke", 503, "{}");
    acme.gate.close();
    let deleting = async {
        acme.gate.arrived(1).await;
        delete(&acme).await.unwrap();
        until(async || left(&acme).await, |left| *left == 1).await;
        acme.gate.open();
    };
    let (got, ()) = tokio::join!(acme.server.token(ACME, ADA), deleting);
    assert_refused(got, Code::NotFound, "CONNECTION_NOT_FOUND");
    until(async || left(&acme).await, |left| *left == 2).await;
    acme.detour.end("/revoke");
    let _server = acme.background().await;
    acme.clock.advance(Duration::hours(1));
    until(async || left(&acme).await, |left| *left == 0).await;
    let Book { refreshes, revocations, .. } = acme.provider.sandbox.book();
    assert_eq!((refreshes, revocations > 0), (1, true));
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    Ok(())
}

/// The old grant's late tokens are revoked when the end user has connected anew, unless that would end the new grant.
#[tokio::test]
async fn the_late_answer_for_an_old_grant_is_revoked_if_that_spares_the_new_one() -> TestResult {
    for (more, revoked) in [("", 1), ("revocation_ends_all_grants = true\n", 0)] {
        let acme = connected(Kind::Sqlite, plain(), &format!("{REVOCATION}{more}")).await;
        acme.clock.advance(Duration::hours(1));
        let (_, callback) = acme.callback(&[]).await;
        acme.gate.close();
        let reconnecting = async {
            acme.gate.arrived(1).await;
            acme.gate.pass_next();
            let query = callback.query().unwrap();
            complete(&acme.server, &acme.server.key, query).await.unwrap();
            acme.gate.open();
        };
        let (got, ()) = tokio::join!(acme.token(), reconnecting);
        let token = got?;
        assert!(works(&acme.provider, &token).await, "the new grant's token is handed out");
        revocations(&acme, revoked).await;
        assert!(works(&acme.provider, &acme.token().await?).await);
        acme.clock.advance(Duration::hours(1));
        assert!(works(&acme.provider, &acme.token().await?).await, "and can be renewed");
    }
    Ok(())
}

/// Tokens that could not be made a connection of are not left lying about at the provider.
#[tokio::test]
async fn tokens_of_a_flow_that_fails_after_the_exchange_are_revoked() {
    let lookup = "[config.account]\ntitle = \"Account\"\ncapture = [{ lookup = \"/id\" }]\n\
                  [lookup]\nurl = \"PROVIDER/account\"\n";
    let acme = Acme::new(plain(), &format!("{}{REVOCATION}{lookup}", super::ENTRY)).await;
    acme.detour.answer("/account", 404, "{}");
    let answer = acme.try_connect(&[]).await;
    assert_eq!(answer.result("data-status"), "error", "{}", answer.body);
    revocations(&acme, 1).await;
}

/// One that makes no sense holds up none of the others.
#[tokio::test]
async fn a_revocation_that_does_not_open_holds_nobody_up() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    super::connect(&acme, "bob").await;
    acme.detour.answer("/revoke", 503, "{}");
    delete(&acme).await?;
    let request = DeleteRequest {
        integration_id: ACME.to_owned(),
        connection_id: "bob".to_owned(),
        ..DeleteRequest::default()
    };
    acme.server.connection(&acme.server.key).delete(request).await?;
    let db = acme.database.connect().await;
    db.execute_unprepared("UPDATE revocations SET payload = x'00' WHERE connection_id = 'ada'").await?;
    acme.detour.end("/revoke");
    let try_again = async || {
        acme.clock.advance(Duration::hours(1));
        acme.server.flows().revoke_due().await.unwrap();
        acme.provider.sandbox.book().revocations
    };
    until(try_again, |count| *count == 1).await;
    until(async || left(&acme).await, |left| *left == 1).await;
    // Its key may be missing, and come back: it stays.
    acme.clock.advance(Duration::hours(1));
    assert_eq!((acme.server.flows().revoke_due().await?, left(&acme).await), (0, 1));
    Ok(())
}

/// Where the entry knows of no way, there is nothing to do.
#[tokio::test]
async fn without_a_way_nothing_is_left_to_do() -> TestResult {
    let acme = connected(Kind::Sqlite, plain(), "").await;
    let request = DeleteRequest {
        integration_id: ACME.to_owned(),
        connection_id: ADA.to_owned(),
        ..DeleteRequest::default()
    };
    acme.server.connection(&acme.server.key).delete(request).await?;
    assert_eq!((left(&acme).await, acme.count("/revoke")), (0, 0));
    Ok(())
}

/// The command line knows the providers of a directory, too.
#[tokio::test]
async fn a_connection_that_is_deleted_offline_is_revoked_unless_told_otherwise() {
    for (flags, revoked) in [(&["--skip-revocation"][..], false), (&[], true)] {
        let acme = stage(Kind::Sqlite).await;
        let providers = TempDir::new().unwrap();
        let (file, entry) = acme.provider.entry.as_ref().unwrap();
        fs::write(providers.path().join(file), entry).unwrap();
        let mut command = tokenwell(&["connections", "delete", ACME, ADA]);
        command
            .args(flags)
            .env("TOKENWELL_DATA_DIR", acme.database.directory())
            .env("TOKENWELL_SEALING_KEYS", acme.database.storage().sealing_keys.unwrap().expose_secret())
            .env("TOKENWELL_PROVIDERS_DIR", providers.path())
            .env("TOKENWELL_DEV_LOOPBACK_PROVIDERS", "true");
        assert_eq!(run(&mut command).ok(), "deleted `ada` of `acme`\n");
        // In the outbox, or revoked already.
        let done = acme.provider.sandbox.book().revocations > 0;
        assert_eq!(done || left(&acme).await > 0, revoked, "{flags:?}");
    }
}
