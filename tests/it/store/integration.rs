//! Integrations: no two of one id, no write over somebody else's, no deletion under connections.

use tokenwell::model::{Config, ConnectionId, Duration, Error, ExposeSecret, Integration, Revocation, Uuid};

use super::{
    fixture::{House, add_project, at_once, integration, new_id, page, secret, start},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    an_integration_comes_back_as_it_went_in,
    a_second_integration_of_one_id_is_refused,
    one_of_many_creations_of_one_id_succeeds,
    a_write_over_an_integration_that_has_changed_is_refused,
    a_revocation_reaches_as_far_as_its_integration,
    one_of_many_writers_writes,
    an_integration_with_connections_is_not_deleted,
    integrations_are_listed_by_id,
);

async fn get(house: &House, id: &str) -> Option<Integration> {
    let id = super::fixture::integration_id(id);
    house.store.get_integration(&house.project, &id).await.unwrap()
}

fn client_secret(integration: &Integration) -> Option<&str> {
    integration.client_secret.as_ref().map(ExposeSecret::expose_secret)
}

async fn an_integration_comes_back_as_it_went_in(kind: Kind) {
    let house = House::new(kind).await;
    let sent = &house.integration;
    let by_row = house.store.get_integration_row(&house.project, sent.row_id).await.unwrap();
    for got in [get(&house, "zendesk").await.unwrap(), by_row.unwrap()] {
        let secrets: Vec<_> = got.client_secrets().map(ExposeSecret::expose_secret).collect();
        assert_eq!(secrets, ["client-secret", "further-one", "further-two"]);
        assert_eq!((got.row_id, &got.project_id, &got.id), (sent.row_id, &sent.project_id, &sent.id));
        assert_eq!((&got.provider_id, &got.client_id), (&sent.provider_id, &sent.client_id));
        assert_eq!((&got.scopes, &got.user_scopes), (&sent.scopes, &sent.user_scopes));
        assert_eq!((got.create_time, got.update_time), (start(), start()));
    }
    assert!(get(&house, "Zendesk").await.is_none());
    assert!(house.store.get_integration_row(&house.project, new_id()).await.unwrap().is_none());
}

async fn a_second_integration_of_one_id_is_refused(kind: Kind) {
    let house = House::new(kind).await;
    let mut twin = integration(&house.project, "zendesk");
    "twin".clone_into(&mut twin.client_id);
    let refused = house.store.insert_integration(&twin).await;
    assert!(matches!(refused, Err(Error::IntegrationAlreadyExists(id)) if id == twin.id));
    assert_eq!(get(&house, "zendesk").await.unwrap().client_id, "client");
    // Another project may use the id.
    let other = add_project(&house.store, "other").await;
    house.store.insert_integration(&integration(&other, "zendesk")).await.unwrap();
}

async fn one_of_many_creations_of_one_id_succeeds(kind: Kind) {
    let house = House::new(kind).await;
    let made = at_once(10, |_| {
        let (store, new) = (house.store.clone(), integration(&house.project, "shopify"));
        async move { store.insert_integration(&new).await }
    })
    .await;
    let (good, bad): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 1);
    assert!(bad.iter().all(|it| matches!(it, Err(Error::IntegrationAlreadyExists(_)))), "{bad:?}");
}

async fn a_write_over_an_integration_that_has_changed_is_refused(kind: Kind) {
    let house = House::new(kind).await;
    let old = get(&house, "zendesk").await.unwrap();
    let new = Integration {
        client_id: "new".to_owned(),
        client_secret: None,
        scopes: Vec::new(),
        user_scopes: vec!["u".to_owned()],
        allow_private_addresses: true,
        update_time: start() + Duration::seconds(1),
        ..old.clone()
    };
    assert!(house.store.put_integration(&old, &new).await.unwrap());
    let late = Integration { client_secret: Some(secret("late")), ..new.clone() };
    assert!(!house.store.put_integration(&old, &late).await.unwrap());

    let got = get(&house, "zendesk").await.unwrap();
    assert_eq!((got.client_id.as_str(), client_secret(&got)), ("new", None));
    assert!(got.allow_private_addresses && !old.allow_private_addresses);
    assert_eq!((got.scopes, got.user_scopes), (Vec::new(), vec!["u".to_owned()]));
    assert_eq!((got.create_time, got.update_time), (start(), new.update_time));
}

/// What was issued by a provider in a private network is revoked there, whatever becomes of the integration.
async fn a_revocation_reaches_as_far_as_its_integration(kind: Kind) {
    let house = House::new(kind).await;
    for (index, allow_private_addresses) in [false, true].into_iter().enumerate() {
        let client = Integration { allow_private_addresses, ..house.integration.clone() };
        let revocation = Revocation {
            id: Uuid::from_u128(index as u128 + 1),
            project_id: client.project_id.clone(),
            integration_row_id: client.row_id,
            integration_id: client.id.clone(),
            provider_id: client.provider_id.clone(),
            connection_id: ConnectionId::parse("ada").unwrap(),
            access_token: secret("at"),
            refresh_token: None,
            config: Config::default(),
            client,
            attempts: 0,
        };
        house.store.put_revocation(&revocation, start()).await.unwrap();
        let claimed = house.store.claim_revocations(1, start(), start() + Duration::hours(1)).await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].0.client.allow_private_addresses, allow_private_addresses);
    }
}

async fn one_of_many_writers_writes(kind: Kind) {
    let house = House::new(kind).await;
    let written = at_once(20, |index| {
        let (store, old) = (house.store.clone(), house.integration.clone());
        let update_time = start() + Duration::MICROSECOND;
        let new = Integration { client_id: format!("client-{index}"), update_time, ..old.clone() };
        async move { store.put_integration(&old, &new).await.unwrap() }
    })
    .await;
    assert_eq!(written.into_iter().filter(|written| *written).count(), 1);
}

async fn an_integration_with_connections_is_not_deleted(kind: Kind) {
    let house = House::new(kind).await;
    let other = integration(&house.project, "shopify");
    house.store.insert_integration(&other).await.unwrap();
    house.grant("ada", "one", start()).await;

    let id = &house.integration.id;
    assert!(!house.store.delete_integration(&house.project, id).await.unwrap());
    assert!(get(&house, "zendesk").await.is_some());
    // Only its own connections count.
    assert!(house.store.delete_integration(&house.project, &other.id).await.unwrap());
    assert!(get(&house, "shopify").await.is_none());

    house.delete("ada").await;
    assert!(house.store.delete_integration(&house.project, id).await.unwrap());
    assert!(!house.store.delete_integration(&house.project, id).await.unwrap());
}

async fn integrations_are_listed_by_id(kind: Kind) {
    let house = House::new(kind).await;
    for id in ["b", "a-1", "B"] {
        house.store.insert_integration(&integration(&house.project, id)).await.unwrap();
    }
    let first = house.store.list_integrations(&house.project, &page(3, "")).await.unwrap();
    let token = first.next.unwrap().into_string();
    let second = house.store.list_integrations(&house.project, &page(3, &token)).await.unwrap();
    assert_eq!(second.next, None);
    let ids: Vec<_> = first.items.iter().chain(&second.items).map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["B", "a-1", "b", "zendesk"]);
}
