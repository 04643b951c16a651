//! Trying again: when, how often, and what is left in the end.

use std::collections::BTreeSet;

use tokenwell::{
    api::pb::webhook::v1::{DeliveryStatus, RedeliverRequest, Webhook, redeliver_request::Which},
    model::Duration,
};
use tonic::{Code, Status};

use super::{Stage, create};
use crate::support::{TestResult, assert_refused, database::Kind};

/// The documented waits, in seconds.
const WAITS: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

async fn redeliver(stage: &Stage, which: Which) -> Result<i64, Status> {
    let request = RedeliverRequest { webhook_id: stage.webhook.webhook_id.clone(), which: Some(which) };
    let mut client = stage.server.webhook(&stage.server.key);
    Ok(client.redeliver(request).await?.into_inner().redelivered)
}

/// Tries a delivery until it is dead: for three days and some hours. Nothing else disables its webhook.
pub(super) async fn die(stage: &Stage) {
    stage.receiver.answer(500);
    assert_eq!(stage.round().await, 1);
    for wait in WAITS {
        assert!(!stage.webhook().await.disabled, "it is disabled before {wait} s");
        stage.server.clock.advance(Duration::seconds(wait + wait / 10 + 1));
        assert_eq!(stage.round().await, 1, "nothing was tried after {wait} s");
    }
}

async fn a_delivery_is_tried_on_schedule_until_it_is_dead(kind: Kind) {
    let stage = Stage::on(kind).await;
    stage.receiver.answer(500);
    stage.update().await;
    assert_eq!(stage.round().await, 1);
    for (attempts, wait) in (1..).zip(WAITS) {
        let delivery = stage.delivery().await;
        assert_eq!((delivery.status(), delivery.attempts), (DeliveryStatus::Pending, attempts));
        stage.server.clock.advance(Duration::seconds(wait) - Duration::MICROSECOND);
        assert_eq!(stage.round().await, 0, "it was tried before {wait} s were over");
        // The jitter is a tenth at the most.
        stage.server.clock.advance(Duration::seconds(wait / 10 + 1));
        assert_eq!(stage.round().await, 1, "it was not tried after {wait} s");
    }
    let dead = stage.deliveries(DeliveryStatus::Dead).await;
    assert_eq!((dead.len(), dead[0].attempts, dead[0].response_status), (1, 10, 500));
    assert_eq!(dead[0].problem, "it answered with status 500");
    assert!(dead[0].next_attempt_time.is_none() && dead[0].end_time.is_some());
    stage.server.clock.advance(Duration::days(1));
    assert_eq!(stage.round().await, 0, "the dead are left alone");

    let tries = stage.receiver.take();
    let distinct = |of: &dyn Fn(usize) -> String| (0..tries.len()).map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(tries.len(), 10);
    assert_eq!(distinct(&|index| tries[index].id().to_owned()), 1, "the id stays the same");
    assert_eq!(distinct(&|index| tries[index].body.clone()), 1, "the body stays the same");
    assert_eq!(distinct(&|index| tries[index].timestamp().to_string()), 10, "the time is that of the try");
    assert!(tries.iter().all(|it| it.is_signed_with(&stage.secret)));

    stage.receiver.answer(200);
    assert_eq!(redeliver(&stage, Which::DeliveryId(dead[0].delivery_id.clone())).await.unwrap(), 1);
    assert_eq!(stage.delivery().await.status(), DeliveryStatus::Pending);
    assert_eq!(stage.round().await, 1);
    assert_eq!(stage.receiver.take_one().id(), tries[0].id());
    let delivery = stage.delivery().await;
    assert_eq!((delivery.status(), delivery.attempts), (DeliveryStatus::Delivered, 1));
}

#[tokio::test]
async fn a_delivery_is_tried_on_schedule_until_it_is_dead_on_sqlite() {
    a_delivery_is_tried_on_schedule_until_it_is_dead(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_delivery_is_tried_on_schedule_until_it_is_dead_on_postgresql() {
    a_delivery_is_tried_on_schedule_until_it_is_dead(Kind::Postgres).await;
}

#[tokio::test]
async fn what_is_redelivered_has_all_its_tries_before_it() {
    let stage = Stage::new().await;
    stage.update().await;
    die(&stage).await;
    // A success, so that the webhook is not one that fails for days.
    stage.receiver.answer(200);
    stage.update().await;
    assert_eq!(stage.round().await, 1);
    redeliver(&stage, Which::AllDead(true)).await.unwrap();
    assert!(stage.deliveries(DeliveryStatus::Dead).await.is_empty());
    die(&stage).await;
    assert_eq!(stage.deliveries(DeliveryStatus::Dead).await[0].attempts, 10);
}

#[tokio::test]
async fn all_dead_ones_are_redelivered_and_no_others() -> TestResult {
    let stage = Stage::new().await;
    // One is taken, three die, and one of another webhook does.
    stage.update().await;
    stage.round().await;
    let other = Webhook { url: stage.receiver.url(), ..Webhook::default() };
    let (other, _) = create(&stage.server, other).await;
    stage.receiver.answer(500);
    stage.update_times(3).await;
    for wait in WAITS.into_iter().chain([1]) {
        stage.rounds().await;
        stage.server.clock.advance(Duration::seconds(wait + wait / 10 + 1));
    }
    stage.rounds().await;
    assert_eq!(stage.deliveries(DeliveryStatus::Dead).await.len(), 3);
    stage.receiver.take();
    stage.receiver.answer(200);
    assert_eq!(redeliver(&stage, Which::AllDead(true)).await?, 3);
    assert_eq!(redeliver(&stage, Which::AllDead(true)).await?, 0);
    assert_eq!((stage.rounds().await, stage.receiver.take().len()), (3, 3));
    assert_eq!(stage.deliveries(DeliveryStatus::Delivered).await.len(), 4);

    // One that was taken may be wanted once more. One under way goes on as it was.
    let taken = stage.deliveries(DeliveryStatus::Delivered).await.remove(3);
    let which = || Which::DeliveryId(taken.delivery_id.clone());
    assert_eq!(redeliver(&stage, which()).await?, 1);
    assert_eq!(redeliver(&stage, which()).await?, 0);
    assert_eq!(stage.rounds().await, 1);
    assert_eq!(stage.receiver.take_one().id(), taken.event_id);

    let elsewhere = RedeliverRequest { webhook_id: other.webhook_id, which: Some(which()) };
    let mut client = stage.server.webhook(&stage.server.key);
    let refused = client.redeliver(elsewhere).await;
    let refusal = assert_refused(refused, Code::NotFound, "DELIVERY_NOT_FOUND");
    assert_eq!(refusal.metadata["delivery_id"], taken.delivery_id);
    for which in [None, Some(Which::AllDead(false)), Some(Which::DeliveryId("x".to_owned()))] {
        let request = RedeliverRequest { webhook_id: stage.webhook.webhook_id.clone(), which };
        assert_refused(client.redeliver(request).await, Code::InvalidArgument, "FIELD_INVALID");
    }
    Ok(())
}

/// An endpoint that asks for a pause gets it, for everything.
#[tokio::test]
async fn retry_after_holds_for_the_whole_webhook() {
    for status in [429, 503] {
        let stage = Stage::new().await;
        stage.update_times(2).await;
        stage.receiver.answer_next(status, &[("retry-after", "120")]);
        stage.receiver.answer_next(200, &[]);
        assert_eq!(stage.round().await, 2, "{status}");
        stage.update().await;
        stage.server.clock.advance(Duration::seconds(119));
        // The success beside it says that the endpoint works, not that it wants more.
        assert_eq!(stage.rounds().await, 0, "{status}");
        stage.server.clock.advance(Duration::seconds(1));
        assert_eq!(stage.rounds().await, 2, "{status}");
    }
    for status in [429, 503] {
        let stage = Stage::new().await;
        stage.update().await;
        stage.receiver.answer_next(status, &[("retry-after", "120")]);
        assert_eq!(stage.round().await, 1);
        stage.update().await;
        stage.server.clock.advance(Duration::seconds(119));
        assert_eq!(stage.rounds().await, 0, "{status}: it was not left alone");
        stage.server.clock.advance(Duration::seconds(1));
        assert_eq!(stage.rounds().await, 2, "{status}");
    }
}

/// The other form, by the clock of the server.
#[tokio::test]
async fn retry_after_may_be_a_date() {
    let stage = Stage::new().await;
    stage.update().await;
    // The clock of tests stands at 1,790,000,000.
    stage.receiver.answer_next(503, &[("retry-after", "Mon, 21 Sep 2026 14:43:20 GMT")]);
    assert_eq!(stage.round().await, 1);
    stage.server.clock.advance(Duration::minutes(30) - Duration::SECOND);
    assert_eq!(stage.rounds().await, 0);
    stage.server.clock.advance(Duration::SECOND);
    assert_eq!(stage.rounds().await, 1);
}

#[tokio::test]
async fn retry_after_makes_no_wait_shorter_and_counts_for_no_other_status() {
    let stage = Stage::new().await;
    stage.update().await;
    stage.receiver.answer_next(503, &[("retry-after", "1")]);
    assert_eq!(stage.round().await, 1);
    stage.server.clock.advance(Duration::seconds(4));
    assert_eq!(stage.rounds().await, 0);
    stage.receiver.answer_next(500, &[("retry-after", "3000")]);
    stage.server.clock.advance(Duration::seconds(2));
    assert_eq!(stage.rounds().await, 1);
    stage.server.clock.advance(Duration::seconds(331));
    assert_eq!(stage.rounds().await, 1, "a 500 has no Retry-After");
}
