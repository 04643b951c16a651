//! Writes that meet others: what was read is not what is there any more, and what is tried again has been done already.

use tokenwell::{
    model::{Connection, ConnectionState, Duration, FailureKind, ReauthorizationReason},
    store::{AttemptOutcome, Lease, NewGrant, Setback, Written},
};

use super::{
    fixture::{House, config, connection_id, grant, start, tokens, words},
    lease::{events, journal, refresh, run_out, take, taken},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    a_recovery_is_told_by_what_the_row_says,
    a_late_answer_heals_what_was_given_up,
    who_has_read_the_row_before_a_failure_gets_no_lease,
    a_grant_that_is_tried_again_undoes_no_refresh,
    a_grant_that_is_tried_again_brings_nothing_back,
);

async fn fail(house: &House, connection: &Connection, lease: &Lease) {
    let setback = Setback {
        kind: FailureKind::ProviderUnavailable,
        unknown: false,
        oauth_error: None,
        outcome: AttemptOutcome::Failed,
        retry_time: start() + Duration::SECOND,
    };
    assert!(house.store.put_refresh_failure(connection, lease, &setback, start()).await.unwrap());
}

/// A connection, read when it was well, with two leases on it: the first has run out.
async fn overtaken(house: &House) -> (Connection, Lease, Lease) {
    let (connection, slow) = taken(house).await;
    run_out(house).await;
    let next = take(house, &connection, &house.get("ada").await.1).await.unwrap();
    (connection, slow, next)
}

async fn a_recovery_is_told_by_what_the_row_says(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, slow, next) = overtaken(&house).await;
    fail(&house, &connection, &next).await;
    assert_eq!(refresh(&house, &connection, &slow, "slow").await, Written::Committed);
    assert_eq!(house.get("ada").await.0.failure, None);
    let told = events(&house).await;
    assert_eq!(told[1..], ["connection.refresh_failed", "connection.refreshed", "connection.recovered"]);
}

async fn a_late_answer_heals_what_was_given_up(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, slow, next) = overtaken(&house).await;
    let reason = ReauthorizationReason::RotationLost;
    assert!(house.store.put_needs_reauthorization(&connection, &next, reason, start()).await.unwrap());
    assert_eq!(refresh(&house, &connection, &slow, "slow").await, Written::Committed);
    let (healed, credentials) = house.get("ada").await;
    assert_eq!((healed.state, healed.reason), (ConnectionState::Active, None));
    assert_eq!(words(&credentials).0, "access-slow");
    let told = events(&house).await;
    assert_eq!(
        told[1..],
        ["connection.needs_reauthorization", "connection.refreshed", "connection.recovered"]
    );
    assert_eq!(journal(&house).await, ["committed", "refused"]);
}

async fn who_has_read_the_row_before_a_failure_gets_no_lease(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    let (_, read_before) = house.get("ada").await;
    fail(&house, &connection, &lease).await;
    assert_eq!(take(&house, &connection, &read_before).await, None, "it knows of no back-off");
    let (failing, credentials) = house.get("ada").await;
    assert!(take(&house, &failing, &credentials).await.is_some());
}

/// A flow `ada` that was taken, and what it brings, which is put twice: the first time, no confirmation came.
async fn puts_twice(house: &House, meanwhile: impl AsyncFnOnce()) {
    let flow = house.flow("ada");
    house.begin(&flow, "one", false).await;
    assert!(house.store.take_flow(&flow).await.unwrap());
    let (config, scopes, tokens) = (config("subdomain", "a"), Vec::new(), tokens("one", start()));
    let grant = NewGrant { flow_id: Some(flow.id), ..grant(&flow, &config, &scopes, &tokens) };
    house.store.put_grant(&grant, start()).await.unwrap();
    meanwhile().await;
    house.store.put_grant(&grant, start()).await.unwrap();
}

async fn a_grant_that_is_tried_again_undoes_no_refresh(kind: Kind) {
    let house = House::new(kind).await;
    puts_twice(&house, async || {
        let (connection, credentials) = house.get("ada").await;
        let lease = take(&house, &connection, &credentials).await.unwrap();
        assert_eq!(refresh(&house, &connection, &lease, "two").await, Written::Committed);
    })
    .await;
    assert_eq!(words(&house.get("ada").await.1), ("access-two", Some("refresh-two")));
    assert_eq!(events(&house).await, ["connection.created", "connection.refreshed"]);
}

async fn a_grant_that_is_tried_again_brings_nothing_back(kind: Kind) {
    let house = House::new(kind).await;
    puts_twice(&house, async || house.delete("ada").await).await;
    let ada = connection_id("ada");
    let found = house.store.get_connection(&house.project, &house.integration.id, &ada).await.unwrap();
    assert_eq!(found, None);
    assert_eq!(events(&house).await, ["connection.created", "connection.deleted"]);
}
