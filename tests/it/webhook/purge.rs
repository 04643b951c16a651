//! How long deliveries are kept.

use tokenwell::{
    api::pb::webhook::v1::{DeliveryStatus, RedeliverRequest, Webhook, redeliver_request::Which},
    model::Duration,
};

use super::Stage;
use crate::support::database::Kind;

async fn purge(stage: &Stage) -> usize {
    stage.server.flows().purge().await.unwrap();
    stage.deliveries(DeliveryStatus::Unspecified).await.len()
}

async fn deliveries_are_kept_for_their_time(kind: Kind) {
    let stage = Stage::on(kind).await;
    // One that is delivered, one that dies, one that waits.
    stage.update().await;
    stage.round().await;
    stage.receiver.answer(410);
    stage.update().await;
    stage.round().await;
    stage.change(Webhook::default(), &["disabled"]).await;
    stage.update().await;
    stage.server.flows().store().place_events().await.unwrap();
    stage.change(Webhook { disabled: true, ..Webhook::default() }, &["disabled"]).await;

    assert_eq!(purge(&stage).await, 3);
    stage.server.clock.advance(Duration::days(7));
    assert_eq!(purge(&stage).await, 3);
    stage.server.clock.advance(Duration::SECOND);
    assert_eq!(purge(&stage).await, 2);
    assert!(stage.deliveries(DeliveryStatus::Delivered).await.is_empty());
    stage.server.clock.advance(Duration::days(23) - Duration::SECOND);
    assert_eq!(purge(&stage).await, 2);

    // What is sent once more begins anew.
    let which = Some(Which::AllDead(true));
    let request = RedeliverRequest { webhook_id: stage.webhook.webhook_id.clone(), which };
    stage.server.webhook(&stage.server.key).redeliver(request).await.unwrap();
    stage.server.clock.advance(Duration::SECOND);
    assert_eq!(purge(&stage).await, 1);
    stage.server.clock.advance(Duration::days(30));
    assert_eq!(purge(&stage).await, 0);
}

#[tokio::test]
async fn deliveries_are_kept_for_their_time_on_sqlite() {
    deliveries_are_kept_for_their_time(Kind::Sqlite).await;
}

#[tokio::test]
async fn deliveries_are_kept_for_their_time_on_postgresql() {
    deliveries_are_kept_for_their_time(Kind::Postgres).await;
}

/// An event is purged long before the delivery of it that died.
#[tokio::test]
async fn a_dead_delivery_outlives_its_event() {
    let stage = Stage::new().await;
    stage.receiver.answer(410);
    stage.update().await;
    stage.round().await;
    let first = stage.receiver.take_one();
    stage.server.clock.advance(Duration::days(29));
    assert_eq!(purge(&stage).await, 1);
    assert!(stage.server.flows().store().feed_bounds().await.unwrap().purged > 0, "the event is still there");
    stage.receiver.answer(200);
    stage.change(Webhook::default(), &["disabled"]).await;
    let which = Some(Which::DeliveryId(stage.delivery().await.delivery_id));
    let request = RedeliverRequest { webhook_id: stage.webhook.webhook_id.clone(), which };
    stage.server.webhook(&stage.server.key).redeliver(request).await.unwrap();
    assert_eq!(stage.round().await, 1);
    let second = stage.receiver.take_one();
    assert_eq!((second.id(), &second.body), (first.id(), &first.body));
}
