//! Secrets: shown once, rotated without an outage, sealed.

use sea_orm::{ConnectionTrait as _, Statement};
use tokenwell::{
    api::pb::webhook::v1::{GetRequest, ListRequest, RotateSecretRequest},
    model::Duration,
};

use super::Stage;
use crate::support::{TestResult, database::Kind};

/// Rotates the secret. Gives the new one.
async fn rotate(stage: &Stage) -> String {
    let request = RotateSecretRequest { webhook_id: stage.webhook.webhook_id.clone() };
    let rotated = stage.server.webhook(&stage.server.key).rotate_secret(request).await.unwrap().into_inner();
    assert_eq!(rotated.webhook.unwrap().webhook_id, stage.webhook.webhook_id);
    rotated.secret
}

/// Which of these secrets signed the one request that came.
async fn signers<const N: usize>(stage: &Stage, secrets: [&str; N]) -> [bool; N] {
    stage.update().await;
    assert_eq!(stage.rounds().await, 1);
    let received = stage.receiver.take_one();
    let signers = secrets.map(|secret| received.is_signed_with(secret));
    assert_eq!(received.signatures().len(), signers.iter().filter(|signs| **signs).count());
    signers
}

async fn the_secret_before_signs_for_a_day(kind: Kind) {
    let stage = Stage::on(kind).await;
    let first = stage.secret.clone();
    let second = rotate(&stage).await;
    assert_ne!(first, second);
    assert!(stage.webhook().await.previous_secret_expire_time.is_some());
    assert_eq!(signers(&stage, [&first, &second]).await, [true, true]);
    stage.update().await;
    stage.rounds().await;
    let received = stage.receiver.take_one();
    let expected = crate::support::receiver::signature(
        &second,
        received.id(),
        received.header("webhook-timestamp"),
        &received.body,
    );
    assert_eq!(received.signatures()[0], expected, "the present one comes first");

    stage.server.clock.advance(Duration::hours(24) - Duration::MICROSECOND);
    assert_eq!(signers(&stage, [&first, &second]).await, [true, true]);
    stage.server.clock.advance(Duration::MICROSECOND);
    assert_eq!(signers(&stage, [&first, &second]).await, [false, true]);
    assert_eq!(stage.webhook().await.previous_secret_expire_time, None);

    // It is not kept either.
    let kept = async || {
        let db = stage.database.connect().await;
        let sql = "SELECT COUNT(*) AS n FROM webhooks WHERE previous_secret IS NOT NULL";
        let statement = Statement::from_string(db.get_database_backend(), sql);
        db.query_one_raw(statement).await.unwrap().unwrap().try_get::<i64>("", "n").unwrap()
    };
    assert_eq!(kept().await, 1);
    stage.server.flows().purge().await.unwrap();
    assert_eq!(kept().await, 0);
    assert_eq!(signers(&stage, [&first, &second]).await, [false, true]);
}

#[tokio::test]
async fn the_secret_before_signs_for_a_day_on_sqlite() {
    the_secret_before_signs_for_a_day(Kind::Sqlite).await;
}

#[tokio::test]
async fn the_secret_before_signs_for_a_day_on_postgresql() {
    the_secret_before_signs_for_a_day(Kind::Postgres).await;
}

#[tokio::test]
async fn a_second_rotation_ends_the_oldest_secret() {
    let stage = Stage::new().await;
    let first = stage.secret.clone();
    let second = rotate(&stage).await;
    stage.server.clock.advance(Duration::hours(23));
    let third = rotate(&stage).await;
    assert_eq!(signers(&stage, [&first, &second, &third]).await, [false, true, true]);
    stage.server.clock.advance(Duration::hours(23));
    assert_eq!(signers(&stage, [&first, &second, &third]).await, [false, true, true]);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_lies_sealed() -> TestResult {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let stage = Stage::on(kind).await;
        let second = rotate(&stage).await;
        let mut client = stage.server.webhook(&stage.server.key);
        let request = GetRequest { webhook_id: stage.webhook.webhook_id.clone() };
        let shown = format!(
            "{:?} {:?}",
            client.get(request).await?.into_inner(),
            client.list(ListRequest::default()).await?.into_inner()
        );
        let contents = stage.database.contents().await;
        let contents = String::from_utf8_lossy(&contents);
        for secret in [&stage.secret, &second] {
            let bare = secret.strip_prefix("whsec_").unwrap();
            assert!(!shown.contains(bare), "{shown}");
            assert!(!contents.contains(bare), "it lies in clear");
        }
        assert!(contents.contains(&stage.receiver.url()), "the search did not look at the row");
    }
    Ok(())
}

/// A ciphertext that was moved opens nothing, and holds up no other webhook.
#[tokio::test]
async fn a_secret_that_does_not_open_holds_up_nobody() {
    let stage = Stage::new().await;
    let url = format!("{}?other", stage.receiver.url());
    let webhook = tokenwell::api::pb::webhook::v1::Webhook { url, ..Default::default() };
    let (other, secret) = super::create(&stage.server, webhook).await;
    let db = stage.database.connect().await;
    db.execute_unprepared(&format!(
        "UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE url LIKE '%other') \
         WHERE url = '{}'",
        stage.receiver.url()
    ))
    .await
    .unwrap();
    db.close().await.unwrap();
    stage.update().await;
    assert_eq!(stage.rounds().await, 1);
    assert!(stage.receiver.take_one().is_signed_with(&secret), "{}", other.webhook_id);
    assert_eq!(stage.delivery().await.attempts, 0);
    stage.server.clock.advance(Duration::minutes(10));
    assert_eq!(stage.rounds().await, 0);
}
