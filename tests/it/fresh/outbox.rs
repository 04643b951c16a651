//! How a server goes through the outbox of revocations: as which client, how soon again, and how many at once.

use tokenwell::{
    api::pb::{connection::v1::DeleteRequest, integration::v1::Integration},
    model::Duration,
    sandbox::Client,
};

use super::{
    ENTRY, connect, delete,
    revoke::{REVOCATION, left, stage},
};
use crate::support::{
    Acme, Database, TestResult,
    acme::{ACME, plain},
    database::Kind,
    provider::{CLIENT_SECRET, client},
    steps::{until, works},
};

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
    let entry = format!("{ENTRY}{REVOCATION}");
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
    let acme = Acme::new(plain(), &format!("{ENTRY}{REVOCATION}")).await;
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
        let integration_id = ACME.to_owned();
        let request = DeleteRequest { integration_id, connection_id, ..DeleteRequest::default() };
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
