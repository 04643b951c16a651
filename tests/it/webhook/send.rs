//! What is sent, to whom, and that nothing of the answer but its status counts.

use std::time::Duration as StdDuration;

use serde_json::json;
use time::format_description::well_known::Rfc3339;
use tokenwell::{
    api::pb::{
        connection::v1::{DeleteRequest, GetRequest},
        webhook::v1::{DeliveryStatus, TestRequest, Webhook},
    },
    model::Clock as _,
};

use super::{Stage, create, update};
use crate::support::{
    Database, ManualClock, Options, Receiver, TestProvider, TestResult,
    database::Kind,
    receiver::{Received, signature},
    server::get,
};

/// The receiver itself, by the vector that the libraries of the specification test themselves with.
#[test]
fn the_receiver_knows_the_specification() {
    let (secret, id) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek");
    let signed = signature(secret, id, "1614265330", r#"{"test": 2432232314}"#);
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

async fn an_event_is_sent_signed(kind: Kind) {
    let stage = Stage::on(kind).await;
    let happened = stage.server.clock.now();
    stage.update().await;
    stage.server.clock.advance(tokenwell::model::Duration::seconds(7));
    assert_eq!((stage.round().await, stage.round().await), (1, 0));

    let received = stage.receiver.take_one();
    let json = received.json();
    let sequence = json["data"]["sequence"].as_i64().unwrap();
    let data = json!({
        "project_id": "default", "sequence": sequence, "integration_id": "sandbox", "connection_id": "u1",
        "provider_id": "sandbox",
    });
    let expected = json!({
        "type": "connection.updated", "timestamp": happened.format(&Rfc3339).unwrap(), "data": data,
    });
    assert_eq!(json, expected, "it holds more or less than it says");
    assert!(sequence > 0 && json["timestamp"].as_str().unwrap().ends_with('Z'), "{json}");
    assert_eq!(received.timestamp(), (happened.unix_timestamp()) + 7, "not the time of the try");
    assert_eq!(received.signatures().len(), 1);
    assert!(received.is_signed_with(&stage.secret));
    let (_, other) = create(&stage.server, Webhook { url: stage.receiver.url(), ..Webhook::default() }).await;
    assert!(!received.is_signed_with(&other));
    assert_eq!(received.header("content-type"), "application/json");
    assert!(received.header("user-agent").starts_with("tokenwell/"));

    let delivery = stage.delivery().await;
    assert_eq!((delivery.status(), delivery.attempts), (DeliveryStatus::Delivered, 1));
    assert_eq!((delivery.response_status, delivery.problem.as_str()), (200, ""));
    assert_eq!((delivery.event_id.as_str(), delivery.sequence), (received.id(), sequence));
    assert_eq!(delivery.event_type, "connection.updated");
    assert_eq!((delivery.integration_id.as_str(), delivery.connection_id.as_str()), ("sandbox", "u1"));
    assert!(delivery.end_time.is_some() && delivery.next_attempt_time.is_none());
}

#[tokio::test]
async fn an_event_is_sent_signed_on_sqlite() {
    an_event_is_sent_signed(Kind::Sqlite).await;
}

#[tokio::test]
async fn an_event_is_sent_signed_on_postgresql() {
    an_event_is_sent_signed(Kind::Postgres).await;
}

/// Every change of a connection's life is told, in growing numbers; reading it is not.
#[tokio::test]
async fn a_whole_life_is_told() -> TestResult {
    let stage = Stage::new().await;
    let server = &stage.server;
    server.connect("sandbox", "u2").await;
    server.token("sandbox", "u2").await?;
    server.get(GetRequest { force_refresh: true, ..get("sandbox", "u2") }).await?;
    let request = DeleteRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "u2".to_owned(),
        ..DeleteRequest::default()
    };
    server.connection(&server.key).delete(request).await?;
    assert_eq!(stage.rounds().await, 3);
    let mut told: Vec<_> = stage.receiver.take().iter().map(Received::json).collect();
    told.sort_by_key(|it| it["data"]["sequence"].as_i64());
    let types: Vec<_> = told.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["connection.created", "connection.refreshed", "connection.deleted"]);
    assert!(told.iter().all(|it| it["data"]["connection_id"] == "u2"));
    Ok(())
}

#[tokio::test]
async fn each_webhook_gets_what_it_wants() {
    let stage = Stage::new().await;
    let [picky, sleeping, foreign] =
        [Receiver::start().await, Receiver::start().await, Receiver::start().await];
    let wants = vec!["connection.created".to_owned(), "connection.deleted".to_owned()];
    create(&stage.server, Webhook { url: picky.url(), event_types: wants, ..Webhook::default() }).await;
    create(&stage.server, Webhook { url: sleeping.url(), disabled: true, ..Webhook::default() }).await;
    let other = stage.server.create_project("other").await;
    let request = tokenwell::api::pb::webhook::v1::CreateRequest {
        webhook: Some(Webhook { url: foreign.url(), ..Webhook::default() }),
    };
    stage.server.webhook(&other).create(request).await.unwrap();

    stage.update().await;
    stage.server.connect("sandbox", "u2").await;
    assert_eq!(stage.rounds().await, 3);
    assert_eq!(stage.receiver.requests().len(), 2);
    assert_eq!(picky.take_one().json()["type"], "connection.created");
    assert!(sleeping.requests().is_empty() && foreign.requests().is_empty());

    // The same event has the same id wherever it goes.
    stage.server.connect("sandbox", "u3").await;
    stage.receiver.take();
    stage.rounds().await;
    assert_eq!(stage.receiver.take_one().id(), picky.take_one().id());
}

#[tokio::test]
async fn a_test_is_sent_whatever_the_webhook_wants() {
    let stage = Stage::new().await;
    stage
        .change(
            Webhook { event_types: vec!["connection.deleted".to_owned()], ..Webhook::default() },
            &["event_types"],
        )
        .await;
    update(&stage.server, &stage.server.key).await;
    let request = TestRequest { webhook_id: stage.webhook.webhook_id.clone() };
    let made = stage.server.webhook(&stage.server.key).test(request).await.unwrap().into_inner();
    let made = made.delivery.unwrap();
    assert_eq!((made.status(), made.event_type.as_str()), (DeliveryStatus::Pending, "webhook.test"));
    assert_eq!(stage.rounds().await, 1);
    let received = stage.receiver.take_one();
    let expected = json!({ "project_id": "default", "webhook_id": stage.webhook.webhook_id });
    assert_eq!(received.json()["data"], expected);
    assert!(received.is_signed_with(&stage.secret) && received.id() == made.event_id);
    assert_eq!(stage.delivery().await.status(), DeliveryStatus::Delivered);
}

#[tokio::test]
async fn any_2xx_is_a_success_and_nothing_else() {
    for (status, expected) in [
        (200, DeliveryStatus::Delivered),
        (204, DeliveryStatus::Delivered),
        (299, DeliveryStatus::Delivered),
        (304, DeliveryStatus::Pending),
        (400, DeliveryStatus::Pending),
        (404, DeliveryStatus::Pending),
        (500, DeliveryStatus::Pending),
    ] {
        let stage = Stage::new().await;
        stage.receiver.answer(status);
        stage.update().await;
        stage.round().await;
        let delivery = stage.delivery().await;
        assert_eq!((delivery.status(), delivery.response_status), (expected, i32::from(status)));
        assert_eq!(
            delivery.problem.is_empty(),
            expected == DeliveryStatus::Delivered,
            "{}",
            delivery.problem
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let stage = Stage::new().await;
    let elsewhere = Receiver::start().await;
    let redirects = [301, 302, 303, 307, 308];
    for status in redirects {
        stage.receiver.answer_next(status, &[("location", &elsewhere.url())]);
        stage.update().await;
        assert_eq!(stage.round().await, 1);
    }
    let mut answers: Vec<_> =
        stage.deliveries(DeliveryStatus::Pending).await.iter().map(|it| it.response_status).collect();
    answers.sort_unstable();
    assert_eq!(answers, redirects.map(i32::from));
    assert_eq!((elsewhere.requests().len(), stage.receiver.requests().len()), (0, 5));
}

/// An endpoint that goes on talking is not listened to.
#[tokio::test]
async fn the_body_of_an_answer_is_not_read() {
    let stage = Stage::new().await;
    stage.receiver.answer_endlessly();
    stage.update().await;
    let sent = tokio::time::timeout(StdDuration::from_secs(10), stage.round()).await;
    assert_eq!(sent, Ok(1), "it listened to the end");
    assert_eq!(stage.delivery().await.status(), DeliveryStatus::Delivered);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_has_failed() {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let mut options = Options::with(&clock, &provider);
    options.http.timeout = StdDuration::from_millis(500);
    let stage = Stage::with(Database::sqlite(), provider, options).await;
    stage.receiver.hold();
    stage.update().await;
    assert_eq!(stage.round().await, 1);
    let delivery = stage.delivery().await;
    assert_eq!((delivery.status(), delivery.response_status), (DeliveryStatus::Pending, 0));
    assert_eq!(delivery.problem, "it did not answer in time");

    let nowhere = stage.receiver.address;
    drop(stage.receiver);
    while tokio::net::TcpStream::connect(nowhere).await.is_ok() {}
    clock.advance(tokenwell::model::Duration::MINUTE);
    assert_eq!(stage.server.flows().deliver_webhooks().await.unwrap(), 1);
    let listed = stage.server.webhook(&stage.server.key);
    let request = tokenwell::api::pb::webhook::v1::ListDeliveriesRequest {
        webhook_id: stage.webhook.webhook_id.clone(),
        ..Default::default()
    };
    let mut listed = { listed }.list_deliveries(request).await.unwrap().into_inner().deliveries;
    assert_eq!(listed.remove(0).problem, "it could not be reached");
}
