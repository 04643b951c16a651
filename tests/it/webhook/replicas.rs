//! Several servers on one database: each delivery is sent by one of them, and none is lost with its server.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait as _;
use tokenwell::{api::pb::webhook::v1::DeliveryStatus, model::Duration};

use super::Stage;
use crate::support::{Options, TestServer, database::Kind};

const EVENTS: usize = 60;

async fn each_delivery_is_sent_once(kind: Kind) {
    let stage = Stage::on(kind).await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let options = Options::with(&stage.server.clock, &stage.provider);
        servers.push(TestServer::start(&stage.database, options).await);
    }
    servers.push(stage.server);
    for _ in 0..EVENTS {
        super::update(servers.last().unwrap(), &servers.last().unwrap().key).await;
    }
    let mut all = tokio::task::JoinSet::new();
    for server in &servers {
        let flows = server.flows().clone();
        all.spawn(async move {
            let mut sent = 0;
            loop {
                // SQLite may be in somebody's way for a moment.
                match flows.deliver_webhooks().await {
                    Ok(0) => return sent,
                    Ok(count) => sent += count,
                    Err(error) => assert!(error.to_string().contains("not available"), "{error}"),
                }
            }
        });
    }
    let sent = all.join_all().await;
    assert_eq!(sent.iter().sum::<usize>(), EVENTS, "{sent:?}");
    let requests = stage.receiver.requests();
    let ids: BTreeSet<_> = requests.iter().map(|it| it.id().to_owned()).collect();
    assert_eq!((requests.len(), ids.len()), (EVENTS, EVENTS));
    let sequences: BTreeSet<_> =
        requests.iter().map(|it| it.json()["data"]["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequences.len(), EVENTS, "two events have one place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_delivery_is_sent_once_on_sqlite() {
    each_delivery_is_sent_once(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_delivery_is_sent_once_on_postgresql() {
    each_delivery_is_sent_once(Kind::Postgres).await;
}

/// The endpoint has taken it, but the database does not take note: it is sent once more, and is known by its id.
#[tokio::test]
async fn what_could_not_be_noted_is_sent_again() {
    let stage = Stage::on(Kind::Postgres).await;
    let db = stage.database.connect().await;
    for sql in [
        "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'trouble' USING ERRCODE = '57P01'; END $$",
        "CREATE TRIGGER trouble BEFORE UPDATE OF status ON webhook_deliveries \
         FOR EACH ROW EXECUTE FUNCTION trouble()",
    ] {
        db.execute_unprepared(sql).await.unwrap();
    }
    stage.update().await;
    assert_eq!(stage.round().await, 1);
    let first = stage.receiver.take_one();
    assert_eq!(stage.delivery().await.status(), DeliveryStatus::Pending);
    db.execute_unprepared("DROP TRIGGER trouble ON webhook_deliveries").await.unwrap();
    db.close().await.unwrap();

    stage.server.clock.advance(Duration::seconds(59));
    assert_eq!(stage.round().await, 0, "its server may still be at it");
    stage.server.clock.advance(Duration::seconds(1));
    assert_eq!(stage.round().await, 1);
    let second = stage.receiver.take_one();
    assert_eq!((first.id(), &first.body), (second.id(), &second.body));
    let delivery = stage.delivery().await;
    assert_eq!((delivery.status(), delivery.attempts), (DeliveryStatus::Delivered, 2));
}

/// A failure that is noted late changes nothing that a later try has brought about, a success does.
#[tokio::test]
async fn a_late_note_does_not_undo_a_later_one() {
    for (late, other, expected) in
        [(500, 200, DeliveryStatus::Delivered), (200, 500, DeliveryStatus::Delivered)]
    {
        let stage = Stage::new().await;
        stage.update().await;
        stage.receiver.answer_next(late, &[]);
        stage.receiver.hold();
        let started = stage.server.flows().start_deliveries().await.unwrap();
        stage.receiver.arrived(1).await;
        // The server counts as dead, and another one takes over.
        stage.server.clock.advance(Duration::minutes(2));
        stage.receiver.answer_next(other, &[]);
        let options = Options::with(&stage.server.clock, &stage.provider);
        let second = TestServer::start(&stage.database, options).await;
        let also = second.flows().start_deliveries().await.unwrap();
        assert_eq!((started.len(), also.len()), (1, 1));
        stage.receiver.arrived(2).await;
        stage.receiver.release();
        for delivery in started.into_iter().chain(also) {
            delivery.await.unwrap();
        }
        let delivery = stage.delivery().await;
        assert_eq!(delivery.status(), expected, "{late} came late, {other} did not");
    }
}
