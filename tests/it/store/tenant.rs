//! Every lookup is pinned to a project: what belongs to one is not there for another.

use tokenwell::{
    model::{
        ApiKey, Connection, ConnectionState, Duration, Integration, KeyKind, OsRandom, Permission,
        ReauthorizationReason,
    },
    store::{AttemptOutcome, EventFilter, RefreshedTokens, Written},
};

use super::{
    fixture::{House, add_project, integration, metadata, page, start, tokens, words},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    another_project_finds_no_connection,
    another_project_cannot_write_a_connection,
    another_project_finds_no_integration,
    another_project_finds_no_api_key,
    two_projects_may_use_the_same_names,
);

async fn another_project_finds_no_connection(kind: Kind) {
    let house = House::new(kind).await;
    let ada = house.grant("ada", "one", start()).await;
    let other = add_project(&house.store, "other").await;
    let (store, id) = (&house.store, &house.integration.id);
    assert_eq!(store.get_connection(&other, id, &ada.id).await.unwrap(), None);
    assert!(store.get_credentials(&other, id, &ada.id).await.unwrap().is_none());
    assert!(store.list_connections(&other, None, &page(0, "")).await.unwrap().items.is_empty());
    assert!(store.list_connections(&other, Some(id), &page(0, "")).await.unwrap().items.is_empty());
    assert!(store.list_events(&other, &EventFilter::default(), 0, 10).await.unwrap().is_empty());
    assert_eq!(house.get("ada").await.0, ada);
}

/// Even whoever knows the row does not write it under another project.
async fn another_project_cannot_write_a_connection(kind: Kind) {
    let house = House::new(kind).await;
    let ada = house.grant("ada", "one", start()).await;
    let project_id = add_project(&house.store, "other").await;
    let (store, forged) = (&house.store, Connection { project_id, ..ada.clone() });
    assert_eq!(store.put_metadata(&forged, &metadata("by", "other"), start()).await.unwrap(), None);
    let (_, credentials) = house.get("ada").await;
    assert!(!store.delete_connection(&forged, credentials.generation, None, start()).await.unwrap());
    assert!(!store.put_expired(&forged, &credentials, start()).await.unwrap());
    let minute = Duration::minutes(1);
    let take = |connection: &Connection| {
        let (store, connection, credentials) = (store.clone(), connection.clone(), credentials.clone());
        async move { store.take_lease(&connection, &credentials, minute, "r", start()).await.unwrap() }
    };
    assert_eq!(take(&forged).await, None);
    let lease = take(&ada).await.unwrap();
    let tokens = tokens("forged", start());
    let refreshed =
        RefreshedTokens { tokens: &tokens, granted_scopes: None, due_time: None, refresh_time: start() };
    let written = store.put_refreshed(&forged, &lease, &refreshed, start()).await.unwrap();
    assert_eq!(written, Written::Gone);
    let reason = ReauthorizationReason::GrantRefused;
    assert!(!store.put_needs_reauthorization(&forged, &lease, reason, start()).await.unwrap());
    store.release_lease(&forged, &lease, Some(AttemptOutcome::Failed), start()).await.unwrap();

    let (after, credentials) = house.get("ada").await;
    let leased: i64 = house.value("SELECT count(*) FROM connections WHERE lease_until IS NOT NULL").await;
    assert_eq!((words(&credentials).0, leased), ("access-one", 1));
    assert_eq!((&after, after.state), (&ada, ConnectionState::Active));
}

async fn another_project_finds_no_integration(kind: Kind) {
    let house = House::new(kind).await;
    let other = add_project(&house.store, "other").await;
    let (store, mine) = (&house.store, &house.integration);
    assert!(store.get_integration(&other, &mine.id).await.unwrap().is_none());
    assert!(store.get_integration_row(&other, mine.row_id).await.unwrap().is_none());
    assert!(store.list_integrations(&other, &page(0, "")).await.unwrap().items.is_empty());
    assert!(!store.delete_integration(&other, &mine.id).await.unwrap());
    let forged = Integration { project_id: other, client_id: "forged".to_owned(), ..mine.clone() };
    assert!(!store.put_integration(&forged, &forged).await.unwrap());
    let still = store.get_integration(&house.project, &mine.id).await.unwrap().unwrap();
    assert_eq!(still.client_id, "client");
}

async fn another_project_finds_no_api_key(kind: Kind) {
    let house = House::new(kind).await;
    let other = add_project(&house.store, "other").await;
    let (mine, secret) = ApiKey::generate(
        &OsRandom,
        start(),
        house.project.clone(),
        String::new(),
        KeyKind::Publishable,
        vec![Permission::Begin],
        None,
    )
    .unwrap();
    house.store.insert_api_key(&mine, &secret).await.unwrap();
    assert_eq!(house.store.revoke_api_key(&other, mine.id, start()).await.unwrap(), None);
    assert!(house.store.list_api_keys(&other, &page(0, "")).await.unwrap().items.is_empty());
    let listed = house.store.list_api_keys(&house.project, &page(0, "")).await.unwrap();
    assert_eq!(listed.items, [mine], "it must not be revoked");
}

async fn two_projects_may_use_the_same_names(kind: Kind) {
    let house = House::new(kind).await;
    house.grant("ada", "one", start()).await;
    let project = add_project(&house.store, "other").await;
    let integration = integration(&project, "zendesk");
    house.store.insert_integration(&integration).await.unwrap();
    let other = House { database: house.database, store: house.store.clone(), project, integration };
    other.grant("ada", "two", start()).await;

    assert_eq!(words(&other.get("ada").await.1).0, "access-two");
    let first = house
        .store
        .get_credentials(&house.project, &house.integration.id, &other.get("ada").await.0.id)
        .await;
    assert_eq!(words(&first.unwrap().unwrap().1).0, "access-one");
}
