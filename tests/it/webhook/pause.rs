//! The pauses that an endpoint asks for: whose they are, and what ends them.

use tokenwell::{api::pb::webhook::v1::Webhook, model::Duration};

use super::Stage;
use crate::support::{Receiver, database::Kind, steps::until};

/// Two are under way at once: the first to arrive is answered late.
async fn both(stage: &Stage, late: (u16, &str), soon: (u16, &str)) {
    let headers = |value| [("retry-after", value)];
    stage.update_times(2).await;
    stage.receiver.answer_next_late(late.0, &headers(late.1));
    stage.receiver.answer_next(soon.0, &headers(soon.1));
    let started = stage.server.flows().start_deliveries().await.unwrap();
    assert_eq!(started.len(), 2);
    until(async || stage.webhook().await.first_failure_time, Option::is_some).await;
    stage.receiver.release();
    for delivery in started {
        delivery.await.unwrap();
    }
}

async fn a_success_beside_it_ends_no_pause(kind: Kind) {
    let stage = Stage::on(kind).await;
    both(&stage, (200, "0"), (429, "120")).await;
    assert_eq!(stage.webhook().await.first_failure_time, None);
    stage.update().await;
    assert_eq!(stage.rounds().await, 0);
    // Nor does a change that has nothing to do with it.
    stage.change(Webhook { display_name: "hook".to_owned(), ..Webhook::default() }, &["display_name"]).await;
    stage.server.clock.advance(Duration::seconds(119));
    assert_eq!(stage.rounds().await, 0);
    stage.server.clock.advance(Duration::SECOND);
    assert_eq!(stage.rounds().await, 2);
}

#[tokio::test]
async fn a_success_beside_it_ends_no_pause_on_sqlite() {
    a_success_beside_it_ends_no_pause(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_success_beside_it_ends_no_pause_on_postgresql() {
    a_success_beside_it_ends_no_pause(Kind::Postgres).await;
}

async fn of_two_pauses_the_longer_one_counts(kind: Kind) {
    for (late, soon) in [("60", "120"), ("120", "60")] {
        let stage = Stage::on(kind).await;
        both(&stage, (503, late), (429, soon)).await;
        stage.server.clock.advance(Duration::seconds(119));
        assert_eq!(stage.rounds().await, 0, "{late} came late");
        stage.server.clock.advance(Duration::SECOND);
        assert_eq!(stage.rounds().await, 2, "{late} came late");
    }
}

#[tokio::test]
async fn of_two_pauses_the_longer_one_counts_on_sqlite() {
    of_two_pauses_the_longer_one_counts(Kind::Sqlite).await;
}

#[tokio::test]
async fn of_two_pauses_the_longer_one_counts_on_postgresql() {
    of_two_pauses_the_longer_one_counts(Kind::Postgres).await;
}

/// A change of the URL ends the pause, and a late answer of the old one says nothing about the new one.
#[tokio::test]
async fn a_pause_is_that_of_an_address() {
    let stage = Stage::new().await;
    stage.update().await;
    stage.receiver.answer_next_late(429, &[("retry-after", "3600")]);
    let started = stage.server.flows().start_deliveries().await.unwrap();
    stage.receiver.arrived(1).await;
    let elsewhere = Receiver::start().await;
    stage.change(Webhook { url: elsewhere.url(), ..Webhook::default() }, &["url"]).await;
    stage.receiver.release();
    for delivery in started {
        delivery.await.unwrap();
    }
    assert_eq!(stage.webhook().await.first_failure_time, None);
    stage.update().await;
    assert_eq!((stage.rounds().await, elsewhere.take().len()), (1, 1));

    elsewhere.answer_next(429, &[("retry-after", "3600")]);
    stage.update().await;
    assert_eq!(stage.rounds().await, 1);
    stage.update().await;
    assert_eq!(stage.rounds().await, 0);
    stage.change(Webhook { url: stage.receiver.url(), ..Webhook::default() }, &["url"]).await;
    assert_eq!(stage.rounds().await, 1);
}

#[tokio::test]
async fn a_late_success_of_another_address_says_nothing_about_this_one() {
    let stage = Stage::new().await;
    stage.update().await;
    stage.receiver.answer_next_late(200, &[]);
    let started = stage.server.flows().start_deliveries().await.unwrap();
    stage.receiver.arrived(1).await;
    let elsewhere = Receiver::start().await;
    elsewhere.answer(500);
    stage.change(Webhook { url: elsewhere.url(), ..Webhook::default() }, &["url"]).await;
    stage.update().await;
    assert_eq!(stage.round().await, 1);
    stage.receiver.release();
    for delivery in started {
        delivery.await.unwrap();
    }
    assert!(stage.webhook().await.first_failure_time.is_some());
}
