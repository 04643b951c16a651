//! Webhooks that send nothing: because somebody said so, because the endpoint is gone, because nothing works.

use tokenwell::{
    api::pb::webhook::v1::{DeliveryStatus, DisableReason, Webhook},
    model::Duration,
};

use super::Stage;
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

    stage.update().await;
    stage.server.clock.advance(Duration::days(1));
    assert_eq!(stage.rounds().await, 0);
    stage.receiver.answer(200);
    let webhook = stage.change(enabled(), &["disabled"]).await;
    assert_eq!((webhook.disabled, webhook.disable_reason()), (false, DisableReason::Unspecified));
    assert_eq!((webhook.disable_time, webhook.first_failure_time), (None, None));
    assert_eq!(stage.rounds().await, 2);
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

#[tokio::test]
async fn a_webhook_that_fails_for_five_days_is_disabled() {
    let stage = Stage::new().await;
    stage.receiver.answer(500);
    stage.update().await;
    stage.round().await;
    let since = stage.webhook().await.first_failure_time;
    assert!(since.is_some());
    for _ in 0..4 {
        stage.server.clock.advance(Duration::days(1));
        stage.update().await;
        assert!(stage.rounds().await > 0);
        let webhook = stage.webhook().await;
        assert_eq!((webhook.disabled, webhook.first_failure_time), (false, since));
    }
    stage.server.clock.advance(Duration::days(1));
    stage.update().await;
    assert_eq!(stage.rounds().await, 1, "it is disabled by the first failure after five days");
    let webhook = stage.webhook().await;
    assert_eq!((webhook.disabled, webhook.disable_reason()), (true, DisableReason::Failing));
    assert!(stage.deliveries(DeliveryStatus::Pending).await.len() > 1);

    // Enabled again, it begins anew.
    stage.change(enabled(), &["disabled"]).await;
    assert!(stage.rounds().await > 1);
    let webhook = stage.webhook().await;
    assert!(!webhook.disabled && webhook.first_failure_time.is_some());
    assert_ne!(webhook.first_failure_time, since);
}

#[tokio::test]
async fn one_success_is_enough_to_stay_enabled() {
    let stage = Stage::new().await;
    for day in 0..8 {
        stage.receiver.answer(if day == 3 { 200 } else { 500 });
        stage.update().await;
        stage.rounds().await;
        let webhook = stage.webhook().await;
        assert!(!webhook.disabled, "day {day}");
        assert_eq!(webhook.first_failure_time.is_none(), day == 3);
        stage.server.clock.advance(Duration::days(1));
    }
}
