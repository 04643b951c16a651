//! The feed of events, and what is told of flows.

use std::collections::BTreeMap;

use tokenwell::{
    model::{Event, EventType, FlowOutcome, FlowProgress},
    store::{EventFilter, NewGrant},
};

use super::fixture::{
    House, add_project, at_once, config, connection_id, grant, metadata, new_id, start, tokens,
};
use crate::support::database::Kind;

super::on_both_databases! {
    a_reader_misses_nothing_while_many_write,
    projects_with_events_are_known,
    a_type_of_a_later_release_is_passed_over,
    a_flow_ends_once,
}

const WRITERS: usize = 6;
const WRITES: usize = 10;

impl House {
    /// All events of the project from this place on.
    async fn events(&self, after: i64) -> Vec<Event> {
        let filter = EventFilter::default();
        self.store.list_events(&self.project, &filter, after, 1_000).await.unwrap()
    }
}

/// Numbers that the database gives become visible out of their order; places do not.
async fn a_reader_misses_nothing_while_many_write(kind: Kind) {
    let house = House::new(kind).await;
    for writer in 0..WRITERS {
        house.grant(&format!("u{writer}"), "first", start()).await;
    }
    let (store, project, integration) =
        (house.store.clone(), house.project.clone(), house.integration.id.clone());
    let writing = tokio::spawn(at_once(WRITERS, move |writer| {
        let (store, project, integration) = (store.clone(), project.clone(), integration.clone());
        async move {
            let name = connection_id(&format!("u{writer}"));
            for _ in 0..WRITES {
                let found = store.get_connection(&project, &integration, &name).await.unwrap().unwrap();
                store.put_metadata(&found, &metadata("a", "b"), start()).await.unwrap();
            }
        }
    }));
    let total = WRITERS * (WRITES + 1);
    let mut read: Vec<Event> = Vec::new();
    while read.len() < total {
        // Several give places at once.
        let store = house.store.clone();
        at_once(3, move |_| {
            let store = store.clone();
            async move { store.place_events().await.unwrap() }
        })
        .await;
        let end = house.store.feed_bounds().await.unwrap().end;
        let after = read.last().map_or(0, |event| event.position);
        let new = house.events(after).await;
        assert!(after == end || new.last().is_some_and(|event| event.position >= end), "{after} {end}");
        read.extend(new);
    }
    writing.await.unwrap();
    let positions: Vec<_> = read.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=i64::try_from(total).unwrap()).collect::<Vec<_>>());
    let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in &read {
        by_name.entry(event.connection_id.to_string()).or_default().push(event.event_type);
    }
    for (name, types) in by_name {
        assert_eq!((types.len(), types[0]), (WRITES + 1, EventType::Created), "{name}");
        assert!(types[1..].iter().all(|it| *it == EventType::Updated), "{name}: {types:?}");
    }
    assert_eq!(house.store.place_events().await.unwrap(), 0);
}

async fn projects_with_events_are_known(kind: Kind) {
    let house = House::new(kind).await;
    let store = &house.store;
    add_project(store, "quiet").await;
    house.grant("u1", "first", start()).await;
    house.grant("u1", "second", start()).await;
    assert_eq!(store.list_event_projects(0).await.unwrap(), []);
    store.place_events().await.unwrap();
    assert_eq!(store.list_event_projects(0).await.unwrap(), [(house.project.clone(), 2)]);
    assert_eq!(store.list_event_projects(1).await.unwrap(), [(house.project.clone(), 2)]);
    assert_eq!(store.list_event_projects(2).await.unwrap(), []);
}

/// While servers are replaced by newer ones, both are there.
async fn a_type_of_a_later_release_is_passed_over(kind: Kind) {
    let house = House::new(kind).await;
    for name in ["u1", "u2", "u3"] {
        house.grant(name, "first", start()).await;
    }
    while house.store.place_events().await.unwrap() > 0 {}
    house.execute("UPDATE events SET type = 'connection.painted' WHERE connection_id = 'u2'").await;
    let filter = EventFilter::default();
    let page = house.store.list_events(&house.project, &filter, 0, 2).await.unwrap();
    let names: Vec<_> = page.iter().map(|event| event.connection_id.as_str()).collect();
    assert_eq!(names, ["u1", "u3"], "a page is full though something was passed over");
}

async fn a_flow_ends_once(kind: Kind) {
    let house = House::new(kind).await;
    let store = &house.store;
    let flows = [house.flow("u1"), house.flow("u2"), house.flow("u3")];
    for flow in &flows {
        house.begin(flow, flow.connection_id.as_str(), false).await;
    }
    let [connected, failed, waiting] = &flows;
    assert!(store.take_flow(connected).await.unwrap() && store.take_flow(failed).await.unwrap());
    let taken = store.get_flow_status(&house.project, connected.id).await.unwrap().unwrap();
    assert_eq!(taken.progress, FlowProgress::Completing);
    let (config, scopes, tokens) = (config("subdomain", "a"), Vec::new(), tokens("first", start()));
    let grant = NewGrant { flow_id: Some(connected.id), ..grant(connected, &config, &scopes, &tokens) };
    store.put_grant(&grant, start()).await.unwrap();
    store.fail_flow(connected.id, "INTERNAL", start()).await.unwrap();
    store.fail_flow(failed.id, "CLIENT_REJECTED", start()).await.unwrap();
    store.fail_flow(failed.id, "INTERNAL", start()).await.unwrap();

    let ids = [waiting.id, new_id(), failed.id, connected.id];
    let mut found = store.list_flow_statuses(&ids).await.unwrap();
    found.sort_by_key(|status| status.connection_id.to_string());
    let progress: Vec<_> = found.into_iter().map(|status| status.progress).collect();
    let ended = |reason: &str| FlowProgress::Ended(FlowOutcome::Failed(reason.to_owned()));
    let expected =
        [FlowProgress::Ended(FlowOutcome::Connected), ended("CLIENT_REJECTED"), FlowProgress::Pending];
    assert_eq!(progress, expected);
    let other = add_project(store, "other").await;
    assert_eq!(store.get_flow_status(&other, failed.id).await.unwrap(), None);
}
