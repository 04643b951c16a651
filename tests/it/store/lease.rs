//! The right to refresh: one holder at a time, a line in the journal for each, and tokens that are written in the place of those
//! that they replace, or not at all.

use tokenwell::{
    model::{
        Connection, ConnectionState, Credentials, Duration, FailureKind, OffsetDateTime,
        ReauthorizationReason, RefreshFailure, TokenSet,
    },
    store::{AttemptOutcome, Lease, RefreshedTokens, Setback, Written},
};

use super::{
    fixture::{House, at_once, metadata, start, tokens, words},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    one_of_many_takers_gets_the_lease,
    a_lease_holds_until_it_runs_out,
    a_lease_needs_the_row_as_it_was_read,
    a_lease_that_is_given_back_can_be_taken,
    a_takeover_that_is_given_up_is_taken_over,
    an_old_holder_cannot_give_back_the_lease_of_the_next,
    a_refresh_writes_credentials_and_nothing_else,
    a_refresh_keeps_what_it_does_not_bring,
    a_commit_that_was_not_confirmed_is_known_again,
    an_answer_that_comes_after_its_lease_is_written_if_nobody_else_was_faster,
    an_answer_that_comes_after_another_is_not_written,
    a_refresh_of_a_grant_that_was_replaced_changes_nothing,
    a_refresh_of_a_deleted_connection_changes_nothing,
    a_dead_grant_is_marked_under_the_lease_only,
    a_failure_is_counted_under_the_lease_only,
    a_refresh_forgets_the_failures_before_it,
    the_journal_tells_what_was_interrupted,
    the_journal_is_purged_from_its_beginning,
);

const LEASE: Duration = Duration::seconds(45);

pub async fn take(house: &House, connection: &Connection, credentials: &Credentials) -> Option<Lease> {
    house.store.take_lease(connection, credentials, LEASE, "replica-1", start()).await.unwrap()
}

/// A connection whose lease is taken.
pub async fn taken(house: &House) -> (Connection, Lease) {
    let connection = house.grant("ada", "one", start()).await;
    let (_, credentials) = house.get("ada").await;
    let lease = take(house, &connection, &credentials).await.unwrap();
    (connection, lease)
}

pub async fn refresh(house: &House, connection: &Connection, lease: &Lease, word: &str) -> Written {
    put(house, connection, lease, &tokens(word, start()), start()).await
}

async fn put(
    house: &House,
    connection: &Connection,
    lease: &Lease,
    tokens: &TokenSet,
    now: OffsetDateTime,
) -> Written {
    let refreshed = RefreshedTokens { tokens, granted_scopes: None, due_time: None, refresh_time: now };
    house.store.put_refreshed(connection, lease, &refreshed, now).await.unwrap()
}

/// Lets the lease of the only connection run out, by the database's clock.
pub async fn run_out(house: &House) {
    house.execute("UPDATE connections SET lease_until = 1 WHERE lease_until IS NOT NULL").await;
}

async fn is_leased(house: &House) -> bool {
    house.value::<i64>("SELECT count(*) FROM connections WHERE lease_until IS NOT NULL").await == 1
}

/// How the attempts have ended, oldest first.
pub async fn journal(house: &House) -> Vec<String> {
    house.values("SELECT coalesce(outcome, 'open') FROM refresh_attempts ORDER BY epoch").await
}

pub async fn events(house: &House) -> Vec<String> {
    house.values("SELECT type FROM events ORDER BY seq").await
}

async fn one_of_many_takers_gets_the_lease(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    let (_, credentials) = house.get("ada").await;
    let taken = at_once(20, |_| {
        let (store, connection, credentials) = (house.store.clone(), connection.clone(), credentials.clone());
        async move { store.take_lease(&connection, &credentials, LEASE, "r", start()).await.unwrap() }
    })
    .await;
    let taken: Vec<_> = taken.iter().flatten().collect();
    assert_eq!(taken.iter().map(|lease| (lease.epoch, lease.generation)).collect::<Vec<_>>(), [(2, 1)]);
    assert_eq!(house.get("ada").await.1.epoch, 2);
    assert_eq!(journal(&house).await, ["open"]);
}

async fn a_lease_holds_until_it_runs_out(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, first) = taken(&house).await;
    let (_, credentials) = house.get("ada").await;
    assert_eq!(take(&house, &connection, &credentials).await, None);
    // The server's own clock is no matter.
    let years = start() + Duration::days(4000);
    let early = house.store.take_lease(&connection, &credentials, LEASE, "replica-2", years).await.unwrap();
    assert_eq!(early, None);

    run_out(&house).await;
    let second = take(&house, &connection, &credentials).await.unwrap();
    assert_eq!((second.epoch, second.generation), (first.epoch + 1, first.generation));
    assert_eq!(journal(&house).await, ["interrupted", "open"]);
}

async fn a_lease_needs_the_row_as_it_was_read(kind: Kind) {
    let house = House::new(kind).await;
    let connection = house.grant("ada", "one", start()).await;
    let (_, credentials) = house.get("ada").await;
    for wrong in [
        Credentials { epoch: credentials.epoch - 1, ..credentials.clone() },
        Credentials { epoch: credentials.epoch + 1, ..credentials.clone() },
        Credentials { generation: credentials.generation + 1, ..credentials.clone() },
    ] {
        assert_eq!(take(&house, &connection, &wrong).await, None, "{wrong:?}");
    }
    assert_eq!((journal(&house).await.len(), is_leased(&house).await), (0, false));
}

async fn a_lease_that_is_given_back_can_be_taken(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    assert!(is_leased(&house).await);
    house.store.release_lease(&connection, &lease, Some(AttemptOutcome::Failed), start()).await.unwrap();
    assert!(!is_leased(&house).await);
    let (_, credentials) = house.get("ada").await;
    assert_eq!(words(&credentials).0, "access-one");
    assert_eq!(take(&house, &connection, &credentials).await.unwrap().epoch, lease.epoch + 1);
    assert_eq!(journal(&house).await, ["failed", "open"]);
}

/// Whoever was to wait for the answer of a dead server, and stops, leaves that to the next one.
async fn a_takeover_that_is_given_up_is_taken_over(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, _) = taken(&house).await;
    run_out(&house).await;
    let (_, credentials) = house.get("ada").await;
    let second = take(&house, &connection, &credentials).await.unwrap();
    assert!(second.interrupts);
    house.store.release_lease(&connection, &second, None, start()).await.unwrap();
    assert!(!is_leased(&house).await);
    let (_, credentials) = house.get("ada").await;
    assert!(take(&house, &connection, &credentials).await.unwrap().interrupts);
    assert_eq!(journal(&house).await, ["interrupted", "interrupted", "open"]);
}

async fn an_old_holder_cannot_give_back_the_lease_of_the_next(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, first) = taken(&house).await;
    run_out(&house).await;
    let (_, credentials) = house.get("ada").await;
    take(&house, &connection, &credentials).await.unwrap();
    house.store.release_lease(&connection, &first, Some(AttemptOutcome::Failed), start()).await.unwrap();
    assert!(is_leased(&house).await);
}

async fn a_refresh_writes_credentials_and_nothing_else(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    // While the provider is asked, a caller writes metadata; the refresh does not undo it.
    house.store.put_metadata(&connection, &metadata("plan", "gold"), start()).await.unwrap();

    let later = start() + Duration::minutes(2);
    let refresh_time = later - Duration::seconds(3);
    let mut tokens = tokens("two", later);
    "DPoP".clone_into(&mut tokens.token_type);
    let scopes = vec!["less".to_owned()];
    let due_time = later + Duration::minutes(50);
    let refreshed = RefreshedTokens {
        tokens: &tokens,
        granted_scopes: Some(&scopes),
        due_time: Some(due_time),
        refresh_time,
    };
    let written = house.store.put_refreshed(&connection, &lease, &refreshed, later).await.unwrap();
    assert_eq!(written, Written::Committed);

    let (after, credentials) = house.get("ada").await;
    assert_eq!(words(&credentials), ("access-two", Some("refresh-two")));
    assert_eq!(credentials.tokens.token_type, "DPoP");
    assert_eq!(credentials.tokens.expire_time, Some(later + Duration::hours(1)));
    assert_eq!(credentials.tokens.refresh_token_expire_time, Some(later + Duration::days(90)));
    assert!(!is_leased(&house).await);
    assert!(credentials.epoch > lease.epoch, "the epoch has to go on: {}", credentials.epoch);
    assert_eq!(credentials.generation, lease.generation + 1);
    assert_eq!((&after.config, &after.granted_scopes), (&connection.config, &scopes));
    assert_eq!((after.metadata, after.metadata_version), (metadata("plan", "gold"), 2));
    assert_eq!((after.create_time, after.refresh_time), (start(), refresh_time));
    let due: i64 = house.value("SELECT due_time FROM connections").await;
    assert_eq!(i128::from(due) * 1_000, due_time.unix_timestamp_nanos());
    assert_eq!(journal(&house).await, ["committed"]);
    assert_eq!(events(&house).await, ["connection.created", "connection.updated", "connection.refreshed"]);
}

async fn a_refresh_keeps_what_it_does_not_bring(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    let mut tokens = tokens("two", start());
    (tokens.refresh_token, tokens.refresh_token_expire_time, tokens.expire_time) = (None, None, None);
    assert_eq!(put(&house, &connection, &lease, &tokens, start()).await, Written::Committed);

    let (after, credentials) = house.get("ada").await;
    assert_eq!((after.config, after.granted_scopes), (connection.config, connection.granted_scopes));
    assert_eq!(words(&credentials), ("access-two", None));
    assert_eq!(credentials.tokens.expire_time, None);
    assert_eq!(credentials.tokens.refresh_token_expire_time, None);
}

async fn a_commit_that_was_not_confirmed_is_known_again(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    assert_eq!(refresh(&house, &connection, &lease, "two").await, Written::Committed);
    // Whoever tries again because no confirmation came has written nothing twice, and revokes nothing.
    assert_eq!(refresh(&house, &connection, &lease, "two").await, Written::Committed);
    assert_eq!(house.get("ada").await.1.generation, lease.generation + 1);
    assert_eq!(events(&house).await, ["connection.created", "connection.refreshed"]);
}

async fn an_answer_that_comes_after_its_lease_is_written_if_nobody_else_was_faster(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, slow) = taken(&house).await;
    run_out(&house).await;
    let (_, credentials) = house.get("ada").await;
    let next = take(&house, &connection, &credentials).await.unwrap();
    // It is the newest that there is: the token that the next holder shows has been replaced by it.
    assert_eq!(refresh(&house, &connection, &slow, "slow").await, Written::Committed);
    assert_eq!(words(&house.get("ada").await.1), ("access-slow", Some("refresh-slow")));
    // And so its refusal says nothing.
    let reason = ReauthorizationReason::GrantRefused;
    assert!(!house.store.put_needs_reauthorization(&connection, &next, reason, start()).await.unwrap());
    assert_eq!(house.get("ada").await.0.state, ConnectionState::Active);
    assert_eq!(journal(&house).await, ["committed", "superseded"]);
}

async fn an_answer_that_comes_after_another_is_not_written(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, slow) = taken(&house).await;
    run_out(&house).await;
    let (_, credentials) = house.get("ada").await;
    let next = take(&house, &connection, &credentials).await.unwrap();
    assert_eq!(refresh(&house, &connection, &next, "two").await, Written::Committed);
    assert_eq!(refresh(&house, &connection, &slow, "slow").await, Written::Renewed);
    assert_eq!(words(&house.get("ada").await.1), ("access-two", Some("refresh-two")));
    assert_eq!(journal(&house).await, ["superseded", "committed"]);
}

async fn a_refresh_of_a_grant_that_was_replaced_changes_nothing(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    house.grant("ada", "anew", start()).await;
    assert_eq!(refresh(&house, &connection, &lease, "late").await, Written::Replaced);
    let reason = ReauthorizationReason::GrantRefused;
    assert!(!house.store.put_needs_reauthorization(&connection, &lease, reason, start()).await.unwrap());
    let (after, credentials) = house.get("ada").await;
    assert_eq!((words(&credentials).0, after.state), ("access-anew", ConnectionState::Active));
    // The lease on the old grant does not keep anybody from refreshing the new one.
    assert!(take(&house, &after, &credentials).await.is_some());
}

async fn a_refresh_of_a_deleted_connection_changes_nothing(kind: Kind) {
    let house = House::new(kind).await;
    let (old, lease) = taken(&house).await;
    house.delete("ada").await;
    // Its namesake is another row, though its epoch is the same.
    let new = house.grant("ada", "new", start()).await;
    let (_, credentials) = house.get("ada").await;
    assert!(take(&house, &new, &credentials).await.is_some());
    assert_eq!(refresh(&house, &old, &lease, "late").await, Written::Gone);
    assert_eq!(words(&house.get("ada").await.1).0, "access-new");
}

async fn a_dead_grant_is_marked_under_the_lease_only(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    let later = start() + Duration::seconds(1);
    let reason = ReauthorizationReason::GrantRefused;
    for wrong in [lease.epoch - 1, lease.epoch + 1] {
        let wrong = Lease { epoch: wrong, ..lease };
        assert!(!house.store.put_needs_reauthorization(&connection, &wrong, reason, later).await.unwrap());
    }
    assert_eq!(house.get("ada").await.0.state, ConnectionState::Active);

    assert!(house.store.put_needs_reauthorization(&connection, &lease, reason, later).await.unwrap());
    let (dead, _) = house.get("ada").await;
    assert_eq!((dead.state, dead.reason), (ConnectionState::NeedsReauthorization, Some(reason)));
    assert_eq!(dead.update_time, later);
    assert!(!is_leased(&house).await);
    // Once is enough.
    assert!(!house.store.put_needs_reauthorization(&connection, &lease, reason, later).await.unwrap());
    assert_eq!(events(&house).await, ["connection.created", "connection.needs_reauthorization"]);
}

async fn a_failure_is_counted_under_the_lease_only(kind: Kind) {
    let house = House::new(kind).await;
    let (mut connection, mut lease) = taken(&house).await;
    let setback = |minutes| Setback {
        kind: FailureKind::ProviderUnavailable,
        unknown: false,
        oauth_error: Some("server_error".to_owned()),
        outcome: AttemptOutcome::Unanswered,
        retry_time: start() + Duration::minutes(minutes),
    };
    let wrong = Lease { epoch: lease.epoch + 1, ..lease };
    assert!(!house.store.put_refresh_failure(&connection, &wrong, &setback(1), start()).await.unwrap());
    assert_eq!(house.get("ada").await.0.failure, None);
    for count in 1..=3 {
        let now = start() + Duration::seconds(count);
        assert!(house.store.put_refresh_failure(&connection, &lease, &setback(count), now).await.unwrap());
        let (after, credentials) = house.get("ada").await;
        let kind = FailureKind::ProviderUnavailable;
        let retry_time = start() + Duration::minutes(count);
        let since = start() + Duration::SECOND;
        let oauth_error = Some("server_error".to_owned());
        assert_eq!(
            after.failure,
            Some(RefreshFailure { kind, oauth_error, count, since, retry_time, unknown: None })
        );
        assert_eq!(after.state, ConnectionState::Active);
        assert!(!is_leased(&house).await);
        lease = take(&house, &after, &credentials).await.unwrap();
        connection = after;
    }
    // It is told once.
    assert_eq!(events(&house).await, ["connection.created", "connection.refresh_failed"]);
}

async fn a_refresh_forgets_the_failures_before_it(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    let setback = Setback {
        kind: FailureKind::ClientRejected,
        unknown: false,
        oauth_error: None,
        outcome: AttemptOutcome::Failed,
        retry_time: start(),
    };
    assert!(house.store.put_refresh_failure(&connection, &lease, &setback, start()).await.unwrap());
    let (failing, credentials) = house.get("ada").await;
    let lease = take(&house, &failing, &credentials).await.unwrap();
    assert_eq!(refresh(&house, &failing, &lease, "two").await, Written::Committed);
    assert_eq!(house.get("ada").await.0.failure, None);
    let told = events(&house).await;
    assert_eq!(told[1..], ["connection.refresh_failed", "connection.refreshed", "connection.recovered"]);
}

async fn the_journal_tells_what_was_interrupted(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    assert!(!lease.interrupts && !house.store.was_unclear(&connection, lease.generation).await.unwrap());
    run_out(&house).await;
    let (_, credentials) = house.get("ada").await;
    let next = take(&house, &connection, &credentials).await.unwrap();
    assert!(next.interrupts && house.store.was_unclear(&connection, next.generation).await.unwrap());
    assert!(!house.store.was_unclear(&connection, next.generation + 1).await.unwrap());
    let reason = ReauthorizationReason::RotationLost;
    assert!(house.store.put_needs_reauthorization(&connection, &next, reason, start()).await.unwrap());
    assert_eq!(journal(&house).await, ["lost", "refused"]);
    let replica: String = house.value("SELECT replica FROM refresh_attempts LIMIT 1").await;
    assert_eq!(replica, "replica-1");
}

async fn the_journal_is_purged_from_its_beginning(kind: Kind) {
    let house = House::new(kind).await;
    let (connection, lease) = taken(&house).await;
    refresh(&house, &connection, &lease, "two").await;
    assert_eq!(house.store.purge_attempts(start(), 10).await.unwrap(), 0);
    assert_eq!(house.store.purge_attempts(start() + Duration::SECOND, 10).await.unwrap(), 1);
}
