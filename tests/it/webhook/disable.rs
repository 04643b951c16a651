//! Webhooks that send nothing: because somebody said so, because the endpoint is gone, because nothing works.

use tokenwell::{
    api::pb::webhook::v1::{DeliveryStatus, DisableReason, Webhook},
    model::Duration,
};

use super::{Stage, retry::die};
use crate::support::database::Kind;

fn enabled() -> Webhook {
    Webhook::default()
}

#[tokio::test]
async fn what_waits_goes_on_when_a_webhook_is_enabled_again() {
    let stage = Stage::new().await;
    stage.update().await;
    stage.server.flows().store().place_events().await.unwrap();
    let disabled = stage.change(Webhook { disabled: true, ..Webhook::default() }, &["disabled"]).await;
    assert_eq!((disabled.disabled, disabled.disable_reason()), (true, DisableReason::Unspecified));
    assert_eq!(disabled.disable_time, None);
    stage.update().await;
    assert_eq!(stage.rounds().await, 0);
    stage.server.clock.advance(Duration::days(1));
    assert_eq!(stage.rounds().await, 0);

    assert!(!stage.change(enabled(), &["disabled"]).await.disabled);
    assert_eq!(stage.rounds().await, 1, "what happened meanwhile is not kept");
    stage.update().await;
    assert_eq!(stage.rounds().await, 1);
}

async fn gone_disables(kind: Kind) {
    let stage = Stage::on(kind).await;
    // One at a time, so that it is seen that the others stay.
    stage.receiver.answer(500);
    stage.update().await;
    stage.round().await;
    stage.receiver.take();
    stage.update_times(2).await;
    stage.receiver.answer(410);
    assert_eq!((stage.rounds().await, stage.receiver.take().len()), (1, 1));
    let webhook = stage.webhook().await;
    assert_eq!((webhook.disabled, webhook.disable_reason()), (true, DisableReason::Gone));
    assert!(webhook.disable_time.is_some());
    let dead = stage.deliveries(DeliveryStatus::Dead).await;
    assert_eq!((dead.len(), dead[0].response_status), (1, 410));
    assert_eq!(stage.deliveries(DeliveryStatus::Pending).await.len(), 2);

    // What happens meanwhile waits with them: nobody has said that it is not wanted.
    stage.update().await;
    stage.server.clock.advance(Duration::days(1));
    assert_eq!(stage.rounds().await, 0);
    assert_eq!(stage.deliveries(DeliveryStatus::Pending).await.len(), 3);
    stage.receiver.answer(200);
    let webhook = stage.change(enabled(), &["disabled"]).await;
    assert_eq!((webhook.disabled, webhook.disable_reason()), (false, DisableReason::Unspecified));
    assert_eq!((webhook.disable_time, webhook.first_failure_time), (None, None));
    assert_eq!(stage.rounds().await, 3);
}

#[tokio::test]
async fn gone_disables_on_sqlite() {
    gone_disables(Kind::Sqlite).await;
}

#[tokio::test]
async fn gone_disables_on_postgresql() {
    gone_disables(Kind::Postgres).await;
}

/// The answer is that of an address that the webhook no longer has.
#[tokio::test]
async fn a_late_gone_of_another_address_disables_nothing() {
    let stage = Stage::new().await;
    stage.receiver.answer(410);
    stage.receiver.hold();
    stage.update().await;
    let started = stage.server.flows().start_deliveries().await.unwrap();
    stage.receiver.arrived(1).await;
    let url = format!("{}/new", stage.receiver.url());
    stage.change(Webhook { url, ..Webhook::default() }, &["url"]).await;
    stage.receiver.release();
    for delivery in started {
        delivery.await.unwrap();
    }
    assert!(!stage.webhook().await.disabled);
    assert_eq!(stage.deliveries(DeliveryStatus::Dead).await.len(), 1);
}

/// All tries of a delivery take three days and some hours.
#[tokio::test]
async fn a_webhook_that_fails_for_five_days_is_disabled_by_a_delivery_that_dies() {
    let stage = Stage::new().await;
    stage.update().await;
    die(&stage).await;
    let webhook = stage.webhook().await;
    let since = webhook.first_failure_time;
    assert!(!webhook.disabled && since.is_some(), "it has not failed for so long");
    stage.update().await;
    die(&stage).await;
    let webhook = stage.webhook().await;
    assert_eq!((webhook.disabled, webhook.disable_reason()), (true, DisableReason::Failing));
    assert_eq!((webhook.first_failure_time, stage.receiver.take().len()), (since, 20));

    // What happens now waits. Enabled again, it begins anew.
    stage.update_times(2).await;
    assert_eq!(stage.rounds().await, 0);
    stage.change(enabled(), &["disabled"]).await;
    assert_eq!(stage.rounds().await, 2);
    let webhook = stage.webhook().await;
    assert!(!webhook.disabled && webhook.first_failure_time.is_some());
    assert_ne!(webhook.first_failure_time, since);
}

/// A failure long ago and one now are two failures, not a failure of everything in between.
#[tokio::test]
async fn a_webhook_that_was_quiet_is_not_disabled_by_one_failure() {
    let stage = Stage::new().await;
    stage.update().await;
    die(&stage).await;
    stage.server.clock.advance(Duration::days(6));
    stage.update().await;
    assert_eq!(stage.round().await, 1);
    let webhook = stage.webhook().await;
    assert!(!webhook.disabled && webhook.first_failure_time.is_some());
    stage.receiver.answer(200);
    stage.server.clock.advance(Duration::seconds(6));
    assert_eq!(stage.round().await, 1);
    assert_eq!(stage.webhook().await.first_failure_time, None);
}

#[tokio::test]
async fn one_success_is_enough_to_stay_enabled() {
    let stage = Stage::new().await;
    stage.update().await;
    die(&stage).await;
    stage.receiver.answer(200);
    stage.update().await;
    assert_eq!(stage.round().await, 1);
    assert_eq!(stage.webhook().await.first_failure_time, None);
    stage.update().await;
    die(&stage).await;
    let webhook = stage.webhook().await;
    assert!(!webhook.disabled && webhook.first_failure_time.is_some());
}
