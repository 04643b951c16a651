//! The right to refresh: one holder, who writes under the epoch that the lease gave, or not at all.

use tokenwell::{
    model::{Connection, ConnectionState, Duration, OffsetDateTime},
    store::RefreshedTokens,
};

use super::{
    fixture::{House, at_once, metadata, start, tokens, words},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    one_of_many_takers_gets_the_lease,
    a_lease_holds_until_it_expires,
    a_lease_that_is_given_back_can_be_taken,
    an_old_holder_cannot_give_back_the_lease_of_the_next,
    a_refresh_writes_credentials_and_nothing_else,
    a_refresh_keeps_what_it_does_not_bring,
    a_refresh_under_an_old_epoch_changes_nothing,
    a_refresh_of_a_grant_that_was_replaced_changes_nothing,
    a_refresh_of_a_deleted_connection_changes_nothing,
    a_dead_grant_is_marked_under_the_lease_only,
);

const LEASE: Duration = Duration::seconds(45);

async fn take(house: &House, connection: &Connection, epoch: i64, now: OffsetDateTime) -> Option<i64> {
    house.store.take_lease(connection, epoch, now, now + LEASE).await.unwrap()
}

async fn refresh(house: &House, connection: &Connection, epoch: i64, word: &str) -> bool {
    let tokens = tokens(word, start());
    let refreshed = RefreshedTokens { tokens: &tokens, granted_scopes: None };
    house.store.put_refreshed(connection, epoch, &refreshed, start()).await.unwrap()
}

async fn one_of_many_takers_gets_the_lease(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    let taken = at_once(20, |_| {
        let (store, connection) = (house.store.clone(), connection.clone());
        async move { store.take_lease(&connection, 1, start(), start() + LEASE).await.unwrap() }
    })
    .await;
    assert_eq!(taken.iter().flatten().collect::<Vec<_>>(), [&2]);
    let (_, credentials) = house.get("ada").await;
    assert_eq!((credentials.epoch, credentials.lease_until), (2, Some(start() + LEASE)));
}

async fn a_lease_holds_until_it_expires(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    assert_eq!(take(&house, &connection, 1, start()).await, Some(2));
    // Neither with the epoch from before nor with the present one, not a microsecond too early.
    let before = start() + LEASE - Duration::MICROSECOND;
    assert_eq!(take(&house, &connection, 1, before).await, None);
    assert_eq!(take(&house, &connection, 2, before).await, None);

    let expired = start() + LEASE;
    assert_eq!(take(&house, &connection, 1, expired).await, None);
    assert_eq!(take(&house, &connection, 2, expired).await, Some(3));
    // The holder that was too slow finds that the epoch has gone on.
    assert!(!refresh(&house, &connection, 2, "slow").await);
    assert!(refresh(&house, &connection, 3, "two").await);
    assert_eq!(words(&house.get("ada").await.1), ("access-two", Some("refresh-two")));
}

async fn a_lease_that_is_given_back_can_be_taken(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    assert_eq!(take(&house, &connection, 1, start()).await, Some(2));
    house.store.release_lease(&connection, 2).await.unwrap();
    let (_, credentials) = house.get("ada").await;
    assert_eq!((words(&credentials).0, credentials.lease_until), ("access-one", None));
    assert_eq!(take(&house, &connection, credentials.epoch, start()).await, Some(credentials.epoch + 1));
}

async fn an_old_holder_cannot_give_back_the_lease_of_the_next(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    let expired = start() + LEASE;
    assert_eq!(take(&house, &connection, 1, start()).await, Some(2));
    assert_eq!(take(&house, &connection, 2, expired).await, Some(3));
    house.store.release_lease(&connection, 2).await.unwrap();
    assert_eq!(house.get("ada").await.1.lease_until, Some(expired + LEASE));
}

async fn a_refresh_writes_credentials_and_nothing_else(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    assert_eq!(take(&house, &connection, 1, start()).await, Some(2));
    // While the provider is asked, a caller writes metadata; the refresh does not undo it.
    house.store.put_metadata(&connection, &metadata("plan", "gold"), start()).await.unwrap();

    let later = start() + Duration::minutes(2);
    let mut tokens = tokens("two", later);
    "DPoP".clone_into(&mut tokens.token_type);
    let scopes = vec!["less".to_owned()];
    let refreshed = RefreshedTokens { tokens: &tokens, granted_scopes: Some(&scopes) };
    assert!(house.store.put_refreshed(&connection, 2, &refreshed, later).await.unwrap());

    let (after, credentials) = house.get("ada").await;
    assert_eq!(words(&credentials), ("access-two", Some("refresh-two")));
    assert_eq!(credentials.tokens.token_type, "DPoP");
    assert_eq!(credentials.tokens.expire_time, Some(later + Duration::hours(1)));
    assert_eq!(credentials.tokens.refresh_token_expire_time, Some(later + Duration::days(90)));
    assert_eq!(credentials.lease_until, None);
    assert!(credentials.epoch > 2, "the epoch has to go on: {}", credentials.epoch);
    assert_eq!((&after.config, &after.granted_scopes), (&connection.config, &scopes));
    assert_eq!((after.metadata, after.metadata_version), (metadata("plan", "gold"), 2));
    assert_eq!((after.create_time, after.refresh_time), (start(), later));
    // What was committed once is not committed twice.
    assert!(!house.store.put_refreshed(&connection, 2, &refreshed, later).await.unwrap());
}

async fn a_refresh_keeps_what_it_does_not_bring(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    assert_eq!(take(&house, &connection, 1, start()).await, Some(2));
    let mut tokens = tokens("two", start());
    (tokens.refresh_token, tokens.refresh_token_expire_time, tokens.expire_time) = (None, None, None);
    let refreshed = RefreshedTokens { tokens: &tokens, granted_scopes: None };
    assert!(house.store.put_refreshed(&connection, 2, &refreshed, start()).await.unwrap());

    let (after, credentials) = house.get("ada").await;
    assert_eq!((after.config, after.granted_scopes), (connection.config, connection.granted_scopes));
    assert_eq!(words(&credentials), ("access-two", None));
    assert_eq!(credentials.tokens.expire_time, None);
    assert_eq!(credentials.tokens.refresh_token_expire_time, None);
}

async fn a_refresh_under_an_old_epoch_changes_nothing(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    assert_eq!(take(&house, &connection, 1, start()).await, Some(2));
    for wrong in [0, 1, 3] {
        assert!(!refresh(&house, &connection, wrong, "two").await, "epoch {wrong}");
    }
    let (after, credentials) = house.get("ada").await;
    assert_eq!(after, connection);
    assert_eq!(words(&credentials), ("access-one", Some("refresh-one")));
    assert_eq!((credentials.epoch, credentials.lease_until), (2, Some(start() + LEASE)));
}

async fn a_refresh_of_a_grant_that_was_replaced_changes_nothing(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    assert_eq!(take(&house, &connection, 1, start()).await, Some(2));
    house.grant("ada", "anew", start()).await;
    assert!(!refresh(&house, &connection, 2, "late").await);
    assert!(!house.store.put_needs_reauthorization(&connection, 2, start()).await.unwrap());
    let (after, credentials) = house.get("ada").await;
    assert_eq!((words(&credentials).0, after.state), ("access-anew", ConnectionState::Active));
    // The lease on the old grant does not keep anybody from refreshing the new one.
    assert!(take(&house, &after, credentials.epoch, start()).await.is_some());
}

async fn a_refresh_of_a_deleted_connection_changes_nothing(kind: Kind) {
    let house = House::new(kind).await;
    let old = house.grant("ada", "one", start()).await;
    assert_eq!(take(&house, &old, 1, start()).await, Some(2));
    assert!(house.store.delete_connection(&house.project, &house.integration.id, &old.id).await.unwrap());
    // Its namesake is another row, though its epoch is the same.
    let new = house.grant("ada", "new", start()).await;
    assert_eq!(take(&house, &new, 1, start()).await, Some(2));
    assert!(!refresh(&house, &old, 2, "late").await);
    assert_eq!(words(&house.get("ada").await.1).0, "access-new");
}

async fn a_dead_grant_is_marked_under_the_lease_only(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    assert_eq!(take(&house, &connection, 1, start()).await, Some(2));
    let later = start() + Duration::seconds(1);
    for wrong in [1, 3] {
        assert!(!house.store.put_needs_reauthorization(&connection, wrong, later).await.unwrap());
    }
    assert_eq!(house.get("ada").await.0.state, ConnectionState::Active);

    assert!(house.store.put_needs_reauthorization(&connection, 2, later).await.unwrap());
    let (dead, credentials) = house.get("ada").await;
    assert_eq!((dead.state, dead.update_time), (ConnectionState::NeedsReauthorization, later));
    assert_eq!(credentials.lease_until, None);
    // The holder cannot bring it back to life with tokens of the same try.
    assert!(!refresh(&house, &connection, 2, "two").await);
}
