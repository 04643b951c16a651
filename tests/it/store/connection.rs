//! Connections: granting, granting again, metadata, lists.

use tokenwell::model::{ConnectionState, Duration, Metadata};

use super::{
    fixture::{House, at_once, config, connection_id, integration, metadata, page, start, words},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    a_grant_makes_a_connection,
    a_second_grant_replaces_credentials_and_keeps_the_rest,
    a_second_grant_with_metadata_replaces_it,
    a_grant_heals,
    grants_of_one_name_at_once_make_one_row,
    metadata_is_written_only_over_the_version_that_was_read,
    only_one_of_many_writers_of_one_version_writes,
    a_deleted_connection_is_gone,
    lists_go_page_by_page_oldest_first,
    names_differ_by_every_byte,
);

async fn a_grant_makes_a_connection(kind: Kind) {
    let house = House::new(kind).await;
    let mut flow = house.flow("ada");
    flow.metadata = Some(metadata("plan", "gold"));
    house.grant_flow(&flow, "one", start()).await;

    let (connection, credentials) = house.get("ada").await;
    assert_eq!(connection.project_id, house.project);
    assert_eq!(connection.integration_row_id, house.integration.row_id);
    assert_eq!(connection.integration_id, house.integration.id);
    assert_eq!(connection.provider_id, house.integration.provider_id);
    assert_eq!(connection.id, connection_id("ada"));
    assert_eq!(connection.state, ConnectionState::Active);
    assert_eq!(connection.config, config("subdomain", "one"));
    assert_eq!(connection.granted_scopes, ["scope-one"]);
    assert_eq!((connection.metadata, connection.metadata_version), (metadata("plan", "gold"), 1));
    assert_eq!(
        (connection.create_time, connection.update_time, connection.refresh_time),
        (start(), start(), start())
    );
    assert_eq!(words(&credentials), ("access-one", Some("refresh-one")));
    assert_eq!(credentials.tokens.token_type, "Bearer");
    assert_eq!(credentials.tokens.expire_time, Some(start() + Duration::hours(1)));
    assert_eq!(credentials.tokens.refresh_token_expire_time, Some(start() + Duration::days(90)));
    assert_eq!((credentials.epoch, credentials.generation), (1, 1));
}

async fn a_second_grant_replaces_credentials_and_keeps_the_rest(kind: Kind) {
    let house = House::new(kind).await;
    let mut flow = house.flow("ada");
    flow.metadata = Some(metadata("plan", "gold"));
    house.grant_flow(&flow, "one", start()).await;
    let (first, _) = house.get("ada").await;

    let later = start() + Duration::days(1);
    let second = house.grant("ada", "two", later).await;
    let (_, credentials) = house.get("ada").await;
    assert_eq!(second.row_id, first.row_id);
    assert_eq!(second.config, config("subdomain", "two"));
    assert_eq!(second.granted_scopes, ["scope-two"]);
    assert_eq!((second.metadata, second.metadata_version), (metadata("plan", "gold"), 1));
    assert_eq!((second.create_time, second.update_time, second.refresh_time), (start(), later, later));
    assert_eq!(words(&credentials), ("access-two", Some("refresh-two")));
    assert_eq!(credentials.tokens.expire_time, Some(later + Duration::hours(1)));
    assert_eq!(credentials.epoch, 2);
}

async fn a_second_grant_with_metadata_replaces_it(kind: Kind) {
    let house = House::new(kind).await;
    let first = house.grant("ada", "one", start()).await;
    assert_eq!((first.metadata.clone(), first.metadata_version), (Metadata::default(), 1));

    let mut flow = house.flow("ada");
    flow.metadata = Some(metadata("plan", "gold"));
    house.grant_flow(&flow, "two", start()).await;
    let (second, _) = house.get("ada").await;
    assert_eq!((second.metadata, second.metadata_version), (metadata("plan", "gold"), 2));
    // Who read before the grant does not write over it.
    assert_eq!(house.store.put_metadata(&first, &metadata("plan", "iron"), start()).await.unwrap(), None);
}

async fn a_grant_heals(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    let (_, credentials) = house.get("ada").await;
    assert!(house.store.put_expired(&connection, &credentials, start()).await.unwrap());
    assert_eq!(house.get("ada").await.0.state, ConnectionState::NeedsReauthorization);

    let healed = house.grant("ada", "two", start()).await;
    assert_eq!((healed.state, healed.reason), (ConnectionState::Active, None));
    let events = house.values("SELECT type FROM events ORDER BY seq").await;
    assert_eq!(
        events,
        [
            "connection.created",
            "connection.needs_reauthorization",
            "connection.updated",
            "connection.recovered"
        ]
    );
    // What is marked as expired must be what was read.
    assert!(!house.store.put_expired(&healed, &credentials, start()).await.unwrap());
}

async fn grants_of_one_name_at_once_make_one_row(kind: Kind) {
    let house = std::sync::Arc::new(House::new(kind).await);
    at_once(6, |index| {
        let house = house.clone();
        async move { house.grant_flow(&house.flow("ada"), &index.to_string(), start()).await }
    })
    .await;

    let listed = house.store.list_connections(&house.project, None, &page(0, "")).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    let (connection, credentials) = house.get("ada").await;
    // One has inserted and each of the others has renewed: none was lost.
    assert_eq!(credentials.epoch, 6);
    // Tokens, config and scopes are of one and the same grant.
    let word = connection.config["subdomain"].clone();
    assert_eq!(words(&credentials).0, format!("access-{word}"));
    assert_eq!(words(&credentials).1.unwrap(), format!("refresh-{word}"));
    assert_eq!(connection.granted_scopes, [format!("scope-{word}")]);
}

async fn metadata_is_written_only_over_the_version_that_was_read(kind: Kind) {
    let house = House::new(kind).await;
    let first = house.grant("ada", "one", start()).await;
    let later = start() + Duration::minutes(1);
    assert_eq!(house.store.put_metadata(&first, &metadata("plan", "gold"), later).await.unwrap(), Some(2));
    assert_eq!(house.store.put_metadata(&first, &metadata("plan", "iron"), later).await.unwrap(), None);

    let (second, credentials) = house.get("ada").await;
    assert_eq!((second.metadata.clone(), second.metadata_version), (metadata("plan", "gold"), 2));
    assert_eq!((second.update_time, second.refresh_time), (later, start()));
    assert_eq!((words(&credentials).0, credentials.epoch), ("access-one", 1));
    assert_eq!(house.store.put_metadata(&second, &Metadata::default(), later).await.unwrap(), Some(3));
    assert_eq!(house.get("ada").await.0.metadata, Metadata::default());
}

async fn only_one_of_many_writers_of_one_version_writes(kind: Kind) {
    let house = House::new(kind).await;
    let read = house.grant("ada", "one", start()).await;
    let written = at_once(20, |index| {
        let (store, read) = (house.store.clone(), read.clone());
        async move { store.put_metadata(&read, &metadata("by", &index.to_string()), start()).await.unwrap() }
    })
    .await;
    assert_eq!(written.iter().flatten().collect::<Vec<_>>(), [&2]);
    assert_eq!(house.get("ada").await.0.metadata_version, 2);
}

async fn a_deleted_connection_is_gone(kind: Kind) {
    let house = House::new(kind).await;
    let ada = connection_id("ada");
    house.grant("ada", "one", start()).await;
    house.grant("bob", "two", start()).await;
    let (connection, credentials) = house.get("ada").await;
    let delete = |generation: i64| {
        let (store, connection) = (house.store.clone(), connection.clone());
        async move { store.delete_connection(&connection, generation, None, start()).await.unwrap() }
    };
    // With other tokens than those that are there, nobody would revoke these.
    assert!(!delete(2).await);
    assert!(delete(credentials.generation).await);
    assert!(!delete(credentials.generation).await);
    let found = house.store.get_connection(&house.project, &house.integration.id, &ada).await.unwrap();
    assert_eq!(found, None);
    assert_eq!(words(&house.get("bob").await.1).0, "access-two");
}

async fn lists_go_page_by_page_oldest_first(kind: Kind) {
    let house = House::new(kind).await;
    let other = integration(&house.project, "shopify");
    house.store.insert_integration(&other).await.unwrap();
    for (index, name) in ["e", "d", "c", "b", "a"].into_iter().enumerate() {
        let mut flow = house.flow(name);
        if name == "c" {
            (flow.integration_id, flow.integration_row_id) = (other.id.clone(), other.row_id);
        }
        let now = start() + Duration::seconds(i64::try_from(index).unwrap());
        house.grant_flow(&flow, name, now).await;
    }
    let mut names = Vec::new();
    let mut sizes = Vec::new();
    let mut token = String::new();
    loop {
        let listed = house.store.list_connections(&house.project, None, &page(2, &token)).await.unwrap();
        sizes.push(listed.items.len());
        names.extend(listed.items.iter().map(|it| it.id.to_string()));
        match listed.next {
            Some(next) => token = next.into_string(),
            None => break,
        }
    }
    assert_eq!((names.concat().as_str(), sizes.as_slice()), ("edcba", [2, 2, 1].as_slice()));

    let one = house.store.list_connections(&house.project, Some(&other.id), &page(0, "")).await.unwrap();
    assert_eq!(one.items.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(one.next, None);
}

/// Ids are the caller's own: what looks alike to a database's collation is still two users.
async fn names_differ_by_every_byte(kind: Kind) {
    let house = House::new(kind).await;
    let long = "x".repeat(255);
    let names = ["ada", "Ada", "ada'; --", "a%", "a_", "\u{e9}", "e\u{301}", "\u{1f511}", &long];
    for name in names {
        house.grant(name, name, start()).await;
    }
    for name in names {
        assert_eq!(words(&house.get(name).await.1).0, format!("access-{name}"));
    }
    let listed = house.store.list_connections(&house.project, None, &page(0, "")).await.unwrap();
    assert_eq!(listed.items.len(), names.len());
}
