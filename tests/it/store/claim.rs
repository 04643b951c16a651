//! Claims: no more rows than were asked for, none that somebody else has in hand, and none that makes no sense.

use std::time::Duration as StdDuration;

use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use tokenwell::{
    model::{Delivery, StringMap, Webhook},
    store::{Due, DueLimits, NewGrant},
};
use tokio::time::timeout;

use super::{
    fixture::{House, grant, secret, start, tokens},
    on_both_databases,
    webhook::webhook,
};
use crate::support::database::Kind;

on_both_databases!(
    a_claim_takes_no_more_than_it_may,
    a_webhook_that_makes_no_sense_costs_no_other_its_deliveries,
    a_delivery_that_makes_no_sense_holds_up_no_other,
    a_claim_knows_the_token_set_of_its_row,
);

const MOST: u64 = 4;

/// Makes this many connections that are due, and a delivery for each.
async fn busy(kind: Kind, count: usize) -> (House, Webhook) {
    let house = House::new(kind).await;
    let webhook = house.add_webhook().await;
    for index in 0..count {
        let flow = house.flow(&format!("user-{index}"));
        let (config, scopes, tokens) = (StringMap::new(), vec![], tokens("one", start()));
        let grant = NewGrant { due_time: Some(start()), ..grant(&flow, &config, &scopes, &tokens) };
        house.store.put_grant(&grant, start()).await.unwrap();
    }
    house.store.place_events().await.unwrap();
    (house, webhook)
}

async fn claim_due(house: &House) -> Vec<Due> {
    let limits = DueLimits { rows: MOST, claim: tokenwell::model::Duration::MINUTE };
    house.store.claim_due(&house.project, limits, start()).await.unwrap()
}

/// PostgreSQL plans by what it has counted some time ago. If nothing was due then, it runs a subquery in `IN` for each row.
async fn a_claim_takes_no_more_than_it_may(kind: Kind) {
    let (house, webhook) = busy(kind, 40).await;
    for sql in [
        "UPDATE connections SET due_time = due_time + 1000000000000",
        "UPDATE webhook_deliveries SET next_time = next_time + 1000000000000",
        "ANALYZE",
        "UPDATE connections SET due_time = due_time - 1000000000000",
        "UPDATE webhook_deliveries SET next_time = next_time - 1000000000000",
    ] {
        let db = house.database.connect().await;
        db.execute_unprepared(sql).await.unwrap();
        db.close().await.unwrap();
    }
    assert_eq!(claim_due(&house).await.len(), 4);
    assert_eq!(house.claim(&webhook, start()).await.len(), 4);
}

/// SQLite has one writer: there nobody can look while somebody else claims.
#[tokio::test]
async fn a_claim_passes_over_what_somebody_else_claims_in_that_moment() {
    let (house, webhook) = busy(Kind::Postgres, 6).await;
    let db = house.database.connect().await;
    let other = db.begin().await.unwrap();
    for lock in [
        "SELECT id FROM connections ORDER BY due_time LIMIT 2 FOR UPDATE",
        "SELECT id FROM webhook_deliveries ORDER BY next_time, id LIMIT 2 FOR UPDATE",
    ] {
        other.execute_unprepared(lock).await.unwrap();
    }
    let claims = async { (claim_due(&house).await.len(), house.claim(&webhook, start()).await.len()) };
    let claimed = timeout(StdDuration::from_secs(10), claims).await;
    assert_eq!(claimed.expect("it waited for the other one"), (4, 4));
    other.rollback().await.unwrap();
    assert_eq!((claim_due(&house).await.len(), house.claim(&webhook, start()).await.len()), (2, 2));
}

async fn a_webhook_that_makes_no_sense_costs_no_other_its_deliveries(kind: Kind) {
    let house = House::new(kind).await;
    let good = house.add_webhook().await;
    let broken = Webhook { display_name: "broken".to_owned(), ..webhook(&house.project) };
    house.store.insert_webhook(&broken, &secret("whsec_one")).await.unwrap();
    house.execute("UPDATE webhooks SET event_types = 'nonsense' WHERE display_name = 'broken'").await;
    house.grant("ada", "one", start()).await;
    assert_eq!(house.store.place_events().await.unwrap(), 1);
    assert_eq!(house.deliveries(&good).await.len(), 1);
    assert!(house.deliveries(&broken).await.is_empty());
}

async fn a_delivery_that_makes_no_sense_holds_up_no_other(kind: Kind) {
    let (house, webhook) = busy(kind, 3).await;
    house.execute("UPDATE webhook_deliveries SET status = 'nonsense' WHERE connection_id = 'user-1'").await;
    let claimed = house.claim(&webhook, start()).await;
    let name = |it: &Delivery| it.subject.as_ref().unwrap().connection_id.to_string();
    let mut names: Vec<_> = claimed.iter().map(name).collect();
    names.sort_unstable();
    assert_eq!(names, ["user-0", "user-2"]);
    // Nor does an event that makes no sense hold up the feed.
    house.grant("ada", "one", start()).await;
    house.grant("bob", "one", start()).await;
    house.execute(&format!("UPDATE events SET time = {} WHERE connection_id = 'ada'", i64::MAX)).await;
    assert_eq!(house.store.place_events().await.unwrap(), 2);
    let claimed = house.claim(&webhook, start()).await;
    assert_eq!(claimed.iter().map(name).collect::<Vec<_>>(), ["bob"]);
}

async fn a_claim_knows_the_token_set_of_its_row(kind: Kind) {
    let (house, _) = busy(kind, 1).await;
    let due = claim_due(&house).await.remove(0);
    assert_eq!(due.generation, house.get("user-0").await.1.generation);
}
