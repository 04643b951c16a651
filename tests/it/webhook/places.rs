//! Who is served when: a slow endpoint has a few places, and the others go on.

use tokenwell::api::pb::webhook::v1::Webhook;
use tokio::time::{Duration, timeout};

use super::{Stage, create};
use crate::support::{Database, ManualClock, Options, Receiver, TestProvider};

/// A stage whose server sends by itself.
async fn lively() -> Stage {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let options = Options { background: true, ..Options::with(&clock, &provider) };
    Stage::with(Database::sqlite(), provider, options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_sends_by_itself() {
    let stage = lively().await;
    stage.update_times(3).await;
    stage.receiver.arrived(3).await;
    assert!(stage.receiver.requests().iter().all(|it| it.is_signed_with(&stage.secret)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_endpoint_holds_up_no_other() {
    let stage = lively().await;
    let quick = Receiver::start().await;
    create(&stage.server, Webhook { url: quick.url(), ..Webhook::default() }).await;
    stage.receiver.hold();
    stage.update_times(12).await;
    quick.arrived(12).await;
    stage.receiver.arrived(4).await;
    stage.update().await;
    quick.arrived(13).await;
    assert_eq!(stage.receiver.requests().len(), 4, "one webhook has four places");

    stage.receiver.release();
    stage.receiver.arrived(13).await;
    assert!(stage.receiver.most_at_once() <= 4 && quick.most_at_once() <= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_endpoint_is_asked_by_one_at_a_time() {
    let stage = Stage::new().await;
    stage.receiver.answer(500);
    stage.update_times(6).await;
    assert_eq!(stage.round().await, 4);
    assert_eq!(stage.round().await, 1);
    stage.receiver.answer(200);
    assert_eq!(stage.round().await, 1);
    stage.server.clock.advance(tokenwell::model::Duration::MINUTE);
    assert_eq!(stage.round().await, 4, "it works again");
}

/// A stopping server waits for what it sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_finishes_what_is_under_way() {
    let stage = lively().await;
    stage.receiver.hold();
    stage.update().await;
    stage.receiver.arrived(1).await;
    let Stage { server, database, receiver, provider, webhook, .. } = stage;
    let mut stopping = tokio::spawn(server.stop());
    assert!(timeout(Duration::from_millis(300), &mut stopping).await.is_err(), "it did not wait");
    receiver.release();
    stopping.await.unwrap();

    let clock = ManualClock::new();
    let again = crate::support::TestServer::start(&database, Options::with(&clock, &provider)).await;
    let project = tokenwell::model::ProjectId::parse("default").unwrap();
    let page = tokenwell::model::PageRequest::parse(0, "", "test").unwrap();
    let id = webhook.webhook_id.parse().unwrap();
    let listed = again.flows().list_deliveries(&project, id, None, &page).await.unwrap().items;
    assert_eq!((listed.len(), listed[0].status.as_str()), (1, "delivered"));
}
