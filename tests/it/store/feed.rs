//! Events: written with what they tell, and read in one order that no later commit changes.

use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use tokenwell::{
    model::{Duration, Event, EventType},
    store::{EventFilter, FeedBounds},
};

use super::{
    fixture::{House, add_project, at_once, integration, integration_id, metadata, new_id, start},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    every_change_is_told_once_and_reading_is_none,
    the_feed_is_read_from_a_place_on,
    events_are_told_apart,
    many_readers_give_each_event_one_place,
    old_events_go_and_leave_word,
);

/// What is in the feed after this place.
async fn feed(house: &House, after: i64) -> Vec<Event> {
    house.store.place_events().await.unwrap();
    house.store.list_events(&house.project, &EventFilter::default(), after, 1_000).await.unwrap()
}

fn types(events: &[Event]) -> Vec<EventType> {
    events.iter().map(|event| event.event_type).collect()
}

async fn every_change_is_told_once_and_reading_is_none(kind: Kind) {
    let house = House::new(kind).await;
    let ada = house.grant("ada", "one", start()).await;
    house.store.put_metadata(&ada, &metadata("plan", "gold"), start()).await.unwrap();
    // Over a version that is no more: nothing happens, and nothing is told.
    house.store.put_metadata(&ada, &metadata("plan", "iron"), start()).await.unwrap();
    for _ in 0..3 {
        house.get("ada").await;
    }
    house.grant("ada", "two", start() + Duration::SECOND).await;
    house.delete("ada").await;
    let events = feed(&house, 0).await;
    assert_eq!(
        types(&events),
        [EventType::Created, EventType::Updated, EventType::Updated, EventType::Deleted]
    );
    let [first, .., last] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&first.connection_id, &first.integration_id), (&ada.id, &ada.integration_id));
    assert_eq!((&first.provider_id, first.reason.as_deref()), (&ada.provider_id, None));
    assert_eq!((first.time, last.time), (start(), start()));
    assert!(events.iter().all(|event| event.project_id == house.project));
}

async fn the_feed_is_read_from_a_place_on(kind: Kind) {
    let house = House::new(kind).await;
    for name in ["ada", "bob", "cyd"] {
        house.grant(name, "one", start()).await;
    }
    let all = feed(&house, 0).await;
    assert_eq!(all.iter().map(|event| event.position).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(feed(&house, all[0].position).await, all[1..]);
    assert_eq!(feed(&house, all[2].position).await, []);
    assert_eq!(house.store.feed_bounds().await.unwrap(), FeedBounds { purged: 0, end: 3 });
    house.grant("dan", "one", start()).await;
    assert_eq!(feed(&house, 3).await[0].position, 4);
    let page = house.store.list_events(&house.project, &EventFilter::default(), 1, 2).await.unwrap();
    assert_eq!(page, all[1..]);
}

async fn events_are_told_apart(kind: Kind) {
    let house = House::new(kind).await;
    let other = integration(&house.project, "shopify");
    house.store.insert_integration(&other).await.unwrap();
    let ada = house.grant("ada", "one", start()).await;
    house.grant("bob", "one", start()).await;
    house.delete("bob").await;
    house.store.place_events().await.unwrap();
    let count = |filter: EventFilter| {
        let (store, project) = (house.store.clone(), house.project.clone());
        async move { store.list_events(&project, &filter, 0, 100).await.unwrap().len() }
    };
    let of = |id: &str| EventFilter { integration_id: Some(integration_id(id)), ..EventFilter::default() };
    assert_eq!((count(of("zendesk")).await, count(of("shopify")).await), (3, 0));
    let adas = EventFilter { connection_id: Some(ada.id), ..EventFilter::default() };
    assert_eq!(count(adas).await, 1);
    let types = vec![EventType::Deleted, EventType::Refreshed];
    assert_eq!(count(EventFilter { types, ..EventFilter::default() }).await, 1);
    let foreign = add_project(&house.store, "other").await;
    assert_eq!(house.store.list_events(&foreign, &EventFilter::default(), 0, 100).await.unwrap(), []);
}

/// Readers on all replicas give places at once, while others write.
async fn many_readers_give_each_event_one_place(kind: Kind) {
    let house = std::sync::Arc::new(House::new(kind).await);
    at_once(12, |index| {
        let house = house.clone();
        async move {
            if index % 3 == 0 {
                house.grant(&format!("user-{index}"), "one", start()).await;
            }
            // Another one that gives places may be in the way: it has then done the work.
            house.store.place_events().await.ok();
        }
    })
    .await;
    let positions: Vec<_> = feed(&house, 0).await.iter().map(|event| event.position).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
}

async fn old_events_go_and_leave_word(kind: Kind) {
    let house = House::new(kind).await;
    for (name, days) in [("ada", 0), ("bob", 1), ("cyd", 2)] {
        house.grant(name, "one", start() + Duration::days(days)).await;
    }
    // What has no place yet has been read by nobody, and stays.
    assert_eq!(house.store.purge_events(start() + Duration::days(9), 100).await.unwrap(), 0);
    assert_eq!(feed(&house, 0).await.len(), 3);
    assert_eq!(house.store.purge_events(start() + Duration::days(2), 1).await.unwrap(), 1);
    assert_eq!(house.store.purge_events(start() + Duration::days(2), 100).await.unwrap(), 1);
    assert_eq!(house.store.feed_bounds().await.unwrap(), FeedBounds { purged: 2, end: 3 });
    // Even when all are gone, places go on where they were.
    assert_eq!(house.store.purge_events(start() + Duration::days(9), 100).await.unwrap(), 1);
    house.grant("dan", "one", start()).await;
    assert_eq!(feed(&house, 0).await[0].position, 4);
}

/// A transaction that began earlier and ends later than others must not be missed by who has read theirs.
#[tokio::test]
async fn what_is_committed_late_is_still_read() {
    let house = House::new(Kind::Postgres).await;
    let ada = house.grant("ada", "one", start()).await;
    let db = house.database.connect().await;
    let late = db.begin().await.unwrap();
    let sql = format!(
        "INSERT INTO events (id, project_id, type, integration_id, connection_id, connection_row_id, provider_id, time) \
         VALUES ('{}', 'acme', 'connection.updated', 'zendesk', 'late', '{}', 'zendesk', 1)",
        new_id(),
        ada.row_id
    );
    late.execute_unprepared(&sql).await.unwrap();
    // Its number is lower than that of what comes now.
    house.grant("bob", "one", start()).await;
    let read = feed(&house, 0).await;
    assert_eq!(read.len(), 2);
    late.commit().await.unwrap();
    let rest = feed(&house, read[1].position).await;
    assert_eq!(rest.iter().map(|event| event.connection_id.as_str()).collect::<Vec<_>>(), ["late"]);
}
