//! Tokens that nobody needs any more are revoked at the provider, sooner or later.

use sea_orm::ConnectionTrait as _;
use tokenwell::{
    api::pb::{
        connection::v1::DeleteRequest,
        integration::v1::{DeleteRequest as IntegrationDelete, Integration},
    },
    model::Duration,
    sandbox::{Book, Client},
};
use tonic::Code;

use super::{connect, connected, delete};
use crate::support::{
    Acme, Database, TestResult,
    acme::{ACME, ADA, plain},
    assert_refused,
    database::Kind,
    provider::{CLIENT_SECRET, client},
    steps::{complete, in_outbox, until, works},
};

const REVOCATION: &str = "revocation_endpoint = \"PROVIDER/revoke\"\n";

async fn stage(kind: Kind) -> Acme {
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

/// Neither a provider that is away nor a restart, nor the end of the integration, lets the outbox forget.
#[tokio::test]
async fn what_cannot_be_revoked_now_is_revoked_later() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    let token = acme.token().await?;
    acme.detour.answer("/revoke", 503, "{}");
    delete(&acme).await?;
    until(async || left(&acme).await, |left| *left == 1).await;
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

/// Waits until nobody goes through the outbox.
async fn settled(acme: &Acme) {
    until(async || acme.server.flows().under_way(), |count| *count == 0).await;
}

/// To another client the provider says that there is nothing to revoke, and the token lives on.
#[tokio::test]
async fn tokens_are_revoked_by_the_client_that_they_were_issued_to() -> TestResult {
    let (id, secret) = ("another-client", "canary-another-secret-7Qm");
    let another =
        Client { client_id: id.to_owned(), client_secret: Some(secret.into()), ..Client::default() };
    let entry = format!("{}{REVOCATION}", super::ENTRY);
    let acme = Acme::of(Database::sqlite(), vec![client(), another], plain(), &entry).await;
    acme.connect(&[]).await;
    let token = acme.token().await?;
    acme.detour.answer("/revoke", 503, "{}");
    delete(&acme).await?;
    settled(&acme).await;
    let (client_id, client_secret) = (id.to_owned(), secret.to_owned());
    acme.update_integration(Integration { client_id, client_secret, ..Integration::default() }).await?;
    acme.detour.end("/revoke");
    acme.clock.advance(Duration::hours(1));
    assert_eq!(acme.server.flows().revoke_due().await?, 1);
    assert_eq!((acme.provider.sandbox.book().revocations, left(&acme).await), (1, 0));
    assert!(!works(&acme.provider, &token).await);
    Ok(())
}

/// What has changed of the same client counts: its old secret may be worth nothing.
#[tokio::test]
async fn tokens_are_revoked_with_the_present_secret() -> TestResult {
    let acme = Acme::new(plain(), &format!("{}{REVOCATION}", super::ENTRY)).await;
    acme.connect(&[]).await;
    let client_secret = "canary-wrong-secret-3Xk".to_owned();
    acme.update_integration(Integration { client_secret, ..Integration::default() }).await?;
    delete(&acme).await?;
    settled(&acme).await;
    assert_eq!((acme.provider.sandbox.book().revocations, left(&acme).await), (0, 1));
    let client_secret = CLIENT_SECRET.to_owned();
    acme.update_integration(Integration { client_secret, ..Integration::default() }).await?;
    acme.clock.advance(Duration::hours(1));
    assert_eq!(acme.server.flows().revoke_due().await?, 1);
    assert_eq!((acme.provider.sandbox.book().revocations, left(&acme).await), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_provider_that_wants_to_be_left_alone_is() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    acme.detour.retry_after("/revoke", "3000");
    delete(&acme).await?;
    settled(&acme).await;
    acme.detour.end("/revoke");
    acme.clock.advance(Duration::seconds(2_999));
    assert_eq!((acme.server.flows().revoke_due().await?, left(&acme).await), (0, 1));
    acme.clock.advance(Duration::SECOND);
    assert_eq!((acme.server.flows().revoke_due().await?, left(&acme).await), (1, 0));
    Ok(())
}

/// However many are deleted at once, one goes through the outbox, and goes on until it is empty.
#[tokio::test]
async fn many_deletions_do_not_overrun_the_provider() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    let names: Vec<_> = (1..20).map(|number| format!("user-{number}")).collect();
    for name in &names {
        connect(&acme, name).await;
    }
    acme.gate.close_at("/revoke");
    delete(&acme).await?;
    acme.gate.arrived(1).await;
    for connection_id in names {
        let request = DeleteRequest { integration_id: ACME.to_owned(), connection_id };
        acme.server.connection(&acme.server.key).delete(request).await?;
    }
    assert_eq!(acme.server.flows().under_way(), 2, "one is at it, and one comes after it");
    assert_eq!((acme.gate.count(), left(&acme).await), (1, 20));
    acme.gate.open();
    // By no clock, and by no other server.
    until(async || left(&acme).await, |left| *left == 0).await;
    assert_eq!(acme.provider.sandbox.book().revocations, 20);
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
    connect(&acme, "bob").await;
    acme.detour.answer("/revoke", 503, "{}");
    delete(&acme).await?;
    let request = DeleteRequest { integration_id: ACME.to_owned(), connection_id: "bob".to_owned() };
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
    let request = DeleteRequest { integration_id: ACME.to_owned(), connection_id: ADA.to_owned() };
    acme.server.connection(&acme.server.key).delete(request).await?;
    assert_eq!((left(&acme).await, acme.count("/revoke")), (0, 0));
    Ok(())
}
