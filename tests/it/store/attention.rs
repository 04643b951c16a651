//! Answers that nobody understands: counted, and told when they are many for long.

use tokenwell::{
    model::{ConnectionState, Duration, FailureKind, OffsetDateTime, ReauthorizationReason, UnknownAnswers},
    store::{AttemptOutcome, Setback, Written},
};

use super::{
    fixture::{House, start},
    lease::{events, refresh, take},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    many_answers_that_nobody_understands_need_attention_after_a_day,
    a_few_over_a_long_time_do_not,
    a_provider_that_is_away_never_does,
    a_refresh_that_succeeds_ends_it,
    a_refusal_or_a_new_grant_ends_it,
    an_earlier_release_ends_it_without_knowing,
);

const HOUR: Duration = Duration::hours(1);

/// A refresh fails in this way. Gives the state afterwards.
async fn fail(house: &House, unknown: bool, now: OffsetDateTime) -> ConnectionState {
    let (connection, credentials) = house.get("ada").await;
    let lease = take(house, &connection, &credentials).await.unwrap();
    let kind = if unknown { FailureKind::ProviderResponseInvalid } else { FailureKind::ProviderUnavailable };
    let failure = Setback {
        kind,
        oauth_error: None,
        unknown,
        outcome: AttemptOutcome::Failed,
        retry_time: now + Duration::MINUTE,
    };
    assert!(house.store.put_refresh_failure(&connection, &lease, &failure, now).await.unwrap());
    house.get("ada").await.0.state
}

/// A connection that needs attention since a day after the start.
async fn attended(kind: Kind) -> House {
    let house = House::new(kind).await;
    house.grant("ada", "one", start()).await;
    for hour in 0..25 {
        let state = fail(&house, true, start() + HOUR * hour).await;
        assert_eq!(state == ConnectionState::NeedsAttention, hour == 24, "after {hour} hours");
    }
    house
}

async fn count(house: &House, event: &str) -> usize {
    events(house).await.iter().filter(|name| name.strip_prefix("connection.") == Some(event)).count()
}

/// When it is tried unasked, after then.
async fn due(house: &House, now: OffsetDateTime) -> Duration {
    let micros: i64 = house.value("SELECT due_time FROM connections").await;
    Duration::microseconds(micros) - (now - OffsetDateTime::UNIX_EPOCH)
}

async fn many_answers_that_nobody_understands_need_attention_after_a_day(kind: Kind) {
    let house = House::new(kind).await;
    house.grant("ada", "one", start()).await;
    let day = start() + HOUR * 24;
    for minute in 0..30 {
        let now = start() + Duration::minutes(minute);
        assert_eq!(fail(&house, true, now).await, ConnectionState::Active, "in the first hour");
        assert_eq!(due(&house, now).await, Duration::MINUTE);
    }
    assert_eq!(fail(&house, true, day - Duration::MICROSECOND).await, ConnectionState::Active);
    // That it is away is no answer, and does not make it so.
    assert_eq!(fail(&house, false, day).await, ConnectionState::Active);
    assert_eq!(fail(&house, true, day).await, ConnectionState::NeedsAttention);
    let ada = house.get("ada").await.0;
    assert_eq!(ada.update_time, day);
    let failure = ada.failure.unwrap();
    assert_eq!(failure.unknown, Some(UnknownAnswers { count: 32, since: start() }));
    // A Get may try again soon. Nobody else does.
    assert_eq!(failure.retry_time, day + Duration::MINUTE);
    for (unknown, hours) in [(true, 25), (false, 30), (true, 60)] {
        let now = start() + HOUR * hours;
        assert_eq!(fail(&house, unknown, now).await, ConnectionState::NeedsAttention);
        assert_eq!(due(&house, now).await, Duration::DAY + Duration::MINUTE);
    }
    assert_eq!(house.get("ada").await.0.update_time, day);
    assert_eq!(events(&house).await[1..], ["connection.refresh_failed", "connection.needs_attention"]);
    let reason: String =
        house.value("SELECT reason FROM events WHERE type = 'connection.needs_attention'").await;
    assert_eq!(reason, "PROVIDER_RESPONSE_INVALID");
}

async fn a_few_over_a_long_time_do_not(kind: Kind) {
    let house = House::new(kind).await;
    house.grant("ada", "one", start()).await;
    for day in 0..19 {
        assert_eq!(fail(&house, true, start() + Duration::days(day)).await, ConnectionState::Active);
    }
    assert_eq!(fail(&house, true, start() + Duration::days(19)).await, ConnectionState::NeedsAttention);
}

async fn a_provider_that_is_away_never_does(kind: Kind) {
    let house = House::new(kind).await;
    house.grant("ada", "one", start()).await;
    for day in 0..40 {
        assert_eq!(fail(&house, false, start() + Duration::days(day)).await, ConnectionState::Active);
    }
    assert_eq!(house.get("ada").await.0.failure.unwrap().unknown, None);
    // The day begins with the first answer.
    let (mut now, mut states) = (start() + Duration::days(40), Vec::new());
    for _ in 0..26 {
        states.push(fail(&house, true, now).await);
        assert_eq!(fail(&house, false, now).await, *states.last().unwrap(), "a moment away changes nothing");
        now += HOUR;
    }
    let active = states.iter().take_while(|state| **state == ConnectionState::Active).count();
    assert_eq!(active, 24);
}

async fn a_refresh_that_succeeds_ends_it(kind: Kind) {
    let house = attended(kind).await;
    let (ada, credentials) = house.get("ada").await;
    let lease = take(&house, &ada, &credentials).await.unwrap();
    assert_eq!(refresh(&house, &ada, &lease, "two").await, Written::Committed);
    let ada = house.get("ada").await.0;
    assert_eq!((ada.state, ada.failure, ada.update_time), (ConnectionState::Active, None, start()));
    assert_eq!((count(&house, "needs_attention").await, count(&house, "recovered").await), (1, 1));
    // The count begins anew.
    let later = start() + HOUR * 30;
    assert_eq!(fail(&house, true, later).await, ConnectionState::Active);
    let failure = house.get("ada").await.0.failure.unwrap();
    assert_eq!(failure.unknown, Some(UnknownAnswers { count: 1, since: later }));
}

async fn a_refusal_or_a_new_grant_ends_it(kind: Kind) {
    let house = attended(kind).await;
    let (ada, credentials) = house.get("ada").await;
    let lease = take(&house, &ada, &credentials).await.unwrap();
    let reason = ReauthorizationReason::GrantRefused;
    assert!(house.store.put_needs_reauthorization(&ada, &lease, reason, start()).await.unwrap());
    let gone = house.get("ada").await.0;
    assert_eq!((gone.state, gone.reason), (ConnectionState::NeedsReauthorization, Some(reason)));
    let healed = house.grant("ada", "two", start()).await;
    assert_eq!((healed.state, healed.failure), (ConnectionState::Active, None));
    assert_eq!((count(&house, "needs_reauthorization").await, count(&house, "recovered").await), (1, 1));

    let house = attended(kind).await;
    let healed = house.grant("ada", "two", start()).await;
    assert_eq!((healed.state, healed.failure), (ConnectionState::Active, None));
    assert_eq!(count(&house, "recovered").await, 1);
    assert_eq!(fail(&house, true, start() + HOUR * 30).await, ConnectionState::Active);
}

/// It reads the row as active, and does not touch columns that it does not know.
async fn an_earlier_release_ends_it_without_knowing(kind: Kind) {
    let house = attended(kind).await;
    assert_eq!(house.values("SELECT state FROM connections").await, ["active"]);
    house
        .execute(
            "UPDATE connections SET failures = 0, failure_time = NULL, failure_code = NULL, retry_time = NULL",
        )
        .await;
    let ada = house.get("ada").await.0;
    assert_eq!((ada.state, ada.failure), (ConnectionState::Active, None));
    // And that one's own failure is another one.
    let later: OffsetDateTime = start() + HOUR * 30;
    let micros = later.unix_timestamp_nanos() / 1_000;
    let theirs = format!(
        "UPDATE connections SET failures = 1, failure_time = {micros}, retry_time = {micros},
         failure_code = 'PROVIDER_RESPONSE_INVALID'"
    );
    house.execute(&theirs).await;
    let ada = house.get("ada").await.0;
    assert_eq!((ada.state, ada.failure.unwrap().unknown), (ConnectionState::Active, None));
    assert_eq!(fail(&house, true, later + HOUR).await, ConnectionState::Active);
    let failure = house.get("ada").await.0.failure.unwrap();
    assert_eq!(failure.unknown, Some(UnknownAnswers { count: 1, since: later + HOUR }));
}
