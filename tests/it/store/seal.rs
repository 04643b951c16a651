//! What is secret lies sealed: not to be read past the store, not to be moved, not to be opened with another key.

use tokenwell::{
    config::StorageArgs,
    model::{Error, ExposeSecret as _, Result, Settings},
};

use super::{
    fixture::{House, add_project, connection_id, integration, open, secret, start, state, words},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    no_secret_lies_in_clear,
    a_token_that_was_moved_to_another_row_does_not_open,
    a_token_that_was_moved_to_another_column_does_not_open,
    a_row_that_was_moved_to_another_project_does_not_open,
    an_altered_ciphertext_does_not_open,
    a_secret_of_another_integration_does_not_open,
    an_hmac_key_that_was_moved_does_not_open,
    a_flow_with_the_url_of_another_does_not_open,
    a_store_with_another_key_opens_no_secret,
    a_store_with_a_new_key_before_the_old_one_opens_all,
);

fn is_internal<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Internal(_)))
}

/// Whether `ada`'s credentials are refused, while what is not secret can still be read.
async fn ada_is_shut(house: &House) -> bool {
    let (project, id, ada) = (&house.project, &house.integration.id, connection_id("ada"));
    assert!(house.store.get_connection(project, id, &ada).await.unwrap().is_some());
    is_internal(&house.store.get_credentials(project, id, &ada).await)
}

async fn two_connections(kind: Kind) -> House {
    let house = House::new(kind).await;
    house.grant("ada", "one", start()).await;
    house.grant("bob", "two", start()).await;
    assert!(!ada_is_shut(&house).await);
    house
}

fn with_keys(house: &House, keys: &str) -> StorageArgs {
    StorageArgs { sealing_keys: Some(keys.into()), ..house.database.storage() }
}

async fn no_secret_lies_in_clear(kind: Kind) {
    let house = House::new(kind).await;
    let key = b"an hmac key of a good 32 bytes..";
    let old = house.store.get_settings(&house.project).await.unwrap().unwrap();
    let new = Settings { hmac_keys: vec![key.to_vec().into(), key.to_vec().into()], ..old.clone() };
    assert!(house.store.put_settings(&house.project, &old, &new).await.unwrap());
    house.grant("ada", "one", start()).await;
    let flow = house.flow("ada");
    house.begin(&flow, "a", true).await;
    let query = secret("code=canary");
    assert!(house.store.park_flow(&flow, &query, &secret("confirm"), start()).await.unwrap());

    for (sql, plain) in [
        ("SELECT access_token FROM connections", b"access-one".as_slice()),
        ("SELECT refresh_token FROM connections", b"refresh-one"),
        ("SELECT client_secret FROM integrations", b"client-secret"),
        ("SELECT further_client_secrets FROM integrations", b"further-one"),
        ("SELECT further_client_secrets FROM integrations", b"further-two"),
        ("SELECT hmac_key_1 FROM projects", key),
        ("SELECT hmac_key_2 FROM projects", key),
        ("SELECT code_verifier FROM flows", b"verifier"),
        ("SELECT authorization_url FROM flows", b"provider.example.com"),
        ("SELECT parked_query FROM flows", b"canary"),
    ] {
        let sealed: Vec<u8> = house.value(sql).await;
        assert!(sealed.len() > plain.len() + 28, "{sql}: no room for a nonce and a tag");
        assert!(!sealed.windows(plain.len()).any(|window| window == plain), "{sql}");
    }
    for (sql, plain) in [
        ("SELECT state_digest FROM flows", state("a")),
        ("SELECT connect_digest FROM flows", secret("connect-a")),
        ("SELECT confirmation_digest FROM flows", secret("confirm")),
    ] {
        let digest: String = house.value(sql).await;
        assert_eq!(digest, tokenwell::model::digest(plain.expose_secret()), "{sql}");
    }
    let first: Vec<u8> = house.value("SELECT hmac_key_1 FROM projects").await;
    let second: Vec<u8> = house.value("SELECT hmac_key_2 FROM projects").await;
    assert_ne!(first, second, "two equal secrets must not look equal");
}

async fn a_token_that_was_moved_to_another_row_does_not_open(kind: Kind) {
    for column in ["access_token", "refresh_token"] {
        let house = two_connections(kind).await;
        let bobs = format!("SELECT {column} FROM connections WHERE connection_id = 'bob'");
        let sql = format!("UPDATE connections SET {column} = ({bobs}) WHERE connection_id = 'ada'");
        house.execute(&sql).await;
        assert!(ada_is_shut(&house).await, "{column}");
        assert_eq!(words(&house.get("bob").await.1).0, "access-two");
    }
}

async fn a_token_that_was_moved_to_another_column_does_not_open(kind: Kind) {
    let house = two_connections(kind).await;
    house.execute("UPDATE connections SET access_token = refresh_token").await;
    assert!(ada_is_shut(&house).await);
}

async fn a_row_that_was_moved_to_another_project_does_not_open(kind: Kind) {
    let house = two_connections(kind).await;
    let other = add_project(&house.store, "other").await;
    house.execute("UPDATE connections SET project_id = 'other' WHERE connection_id = 'ada'").await;
    let found = house.store.get_credentials(&other, &house.integration.id, &connection_id("ada")).await;
    assert!(is_internal(&found));
}

async fn an_altered_ciphertext_does_not_open(kind: Kind) {
    let shorter = match kind {
        Kind::Sqlite => "substr(access_token, 1, length(access_token) - 1)",
        Kind::Postgres => "substring(access_token from 1 for length(access_token) - 1)",
    };
    let empty = match kind {
        Kind::Sqlite => "x''",
        Kind::Postgres => "''::bytea",
    };
    for altered in [shorter, empty] {
        let house = two_connections(kind).await;
        house.execute(&format!("UPDATE connections SET access_token = {altered}")).await;
        assert!(ada_is_shut(&house).await, "{altered}");
    }
}

async fn a_secret_of_another_integration_does_not_open(kind: Kind) {
    let house = House::new(kind).await;
    let mut other = integration(&house.project, "shopify");
    other.client_secret = Some(secret("another"));
    house.store.insert_integration(&other).await.unwrap();
    let theirs = "SELECT client_secret FROM integrations WHERE integration_id = 'shopify'";
    let own = &house.integration;
    for column in ["further_client_secrets", "client_secret"] {
        let theirs = theirs.replace("client_secret", column);
        house
            .execute(&format!(
                "UPDATE integrations SET {column} = ({theirs}) WHERE integration_id = 'zendesk'"
            ))
            .await;
        assert!(is_internal(&house.store.get_integration(&house.project, &own.id).await), "{column}");
        assert!(house.store.put_integration(own, own).await.unwrap());
        assert!(house.store.get_integration(&house.project, &own.id).await.unwrap().is_some(), "{column}");
    }
    assert!(house.store.get_integration(&house.project, &other.id).await.unwrap().is_some());
}

async fn an_hmac_key_that_was_moved_does_not_open(kind: Kind) {
    for sql in [
        "UPDATE projects SET hmac_key_2 = hmac_key_1 WHERE id = 'acme'",
        "UPDATE projects SET hmac_key_1 = (SELECT hmac_key_1 FROM projects WHERE id = 'other') WHERE id = 'acme'",
    ] {
        let house = House::new(kind).await;
        let other = add_project(&house.store, "other").await;
        for (project, byte) in [(&house.project, 1), (&other, 2)] {
            let old = house.store.get_settings(project).await.unwrap().unwrap();
            let new = Settings { hmac_keys: vec![vec![byte; 32].into()], ..old.clone() };
            assert!(house.store.put_settings(project, &old, &new).await.unwrap());
        }
        house.execute(sql).await;
        assert!(is_internal(&house.store.get_settings(&house.project).await), "{sql}");
        assert!(house.store.get_settings(&other).await.is_ok());
    }
}

async fn a_flow_with_the_url_of_another_does_not_open(kind: Kind) {
    let house = House::new(kind).await;
    for name in ["ada", "bob"] {
        house.begin(&house.flow(name), name, true).await;
    }
    let theirs = "SELECT authorization_url FROM flows WHERE connection_id = 'bob'";
    house
        .execute(&format!("UPDATE flows SET authorization_url = ({theirs}) WHERE connection_id = 'ada'"))
        .await;
    assert!(is_internal(&house.store.get_flow_by_state("state-ada").await));
    assert!(house.store.get_flow_by_state("state-bob").await.unwrap().is_some());
}

async fn a_store_with_another_key_opens_no_secret(kind: Kind) {
    let house = two_connections(kind).await;
    let (project, id, ada) = (&house.project, &house.integration.id, connection_id("ada"));
    // A key of another name, and another key of the same name.
    for name in ["other", "test"] {
        let keys = format!("{name}:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQI=");
        let store = open(&with_keys(&house, &keys)).await;
        assert!(is_internal(&store.get_credentials(project, id, &ada).await), "{name}");
        assert!(is_internal(&store.get_integration(project, id).await), "{name}");
        assert!(store.get_connection(project, id, &ada).await.unwrap().is_some());
    }
}

async fn a_store_with_a_new_key_before_the_old_one_opens_all(kind: Kind) {
    let house = two_connections(kind).await;
    let storage = house.database.storage();
    let old = storage.sealing_keys.unwrap();
    let new = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQI=";
    let both = open(&with_keys(&house, &format!("{new},{}", old.expose_secret()))).await;
    let rotated = House { store: both, ..house };
    assert_eq!(words(&rotated.get("ada").await.1).0, "access-one");

    // What is sealed from now on needs the new key only.
    rotated.grant("ada", "three", start()).await;
    let store = open(&with_keys(&rotated, new)).await;
    let (project, id) = (&rotated.project, &rotated.integration.id);
    let (_, ada) = store.get_credentials(project, id, &connection_id("ada")).await.unwrap().unwrap();
    assert_eq!(words(&ada).0, "access-three");
    assert!(is_internal(&store.get_credentials(project, id, &connection_id("bob")).await));
}
