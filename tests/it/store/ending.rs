//! That the end of what can be renewed comes near: told once, with the tokens that have it.

use tokenwell::{
    model::{Connection, Duration, FailureKind, Notice, OffsetDateTime, TokenSet},
    store::{AttemptOutcome, DueLimits, NewGrant, RefreshedTokens, Setback, Written},
};

use super::{
    fixture::{House, at_once, config, grant, start, tokens},
    lease::{events, take},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    an_end_is_told_by_one_of_many,
    a_refresh_that_leaves_the_end_where_it_is_tells_it,
    a_refresh_that_moves_the_end_tells_nothing,
    a_row_is_due_when_its_end_is_to_be_told,
    a_grant_that_is_gone_has_no_end_to_tell,
    a_new_grant_begins_anew,
);

const SOON: &str = "connection.expiring_soon";

fn day(days: i64) -> OffsetDateTime {
    start() + Duration::days(days)
}

async fn told(house: &House) -> usize {
    events(house).await.iter().filter(|name| *name == SOON).count()
}

/// Tokens of a refresh whose refresh token ends then.
async fn refresh(house: &House, end: OffsetDateTime, now: OffsetDateTime) {
    let (connection, credentials) = house.get("ada").await;
    let lease = take(house, &connection, &credentials).await.unwrap();
    let tokens = TokenSet { refresh_token_expire_time: Some(end), ..tokens("two", now) };
    let refreshed =
        RefreshedTokens { tokens: &tokens, granted_scopes: None, due_time: None, refresh_time: now };
    let written = house.store.put_refreshed(&connection, &lease, &refreshed, now).await.unwrap();
    assert_eq!(written, Written::Committed);
}

async fn an_end_is_told_by_one_of_many(kind: Kind) {
    let house = House::new(kind).await;
    let ada = house.grant("ada", "one", start()).await;
    assert_eq!(ada.refresh_token_expire_time, Some(day(90)));
    assert_eq!(ada.notice, Some(Notice { end: day(90), time: Some(day(83)) }));
    assert!(!house.store.put_expiring_soon(&ada, day(83) - Duration::MICROSECOND).await.unwrap());
    let done = at_once(8, |_| {
        let (store, ada) = (house.store.clone(), ada.clone());
        async move { store.put_expiring_soon(&ada, day(83)).await.unwrap() }
    })
    .await;
    assert_eq!(done.into_iter().filter(|told| *told).count(), 1);
    assert_eq!(told(&house).await, 1);
    let (ada, _) = house.get("ada").await;
    assert_eq!(ada.notice, Some(Notice { end: day(90), time: None }));
    assert!(!house.store.put_expiring_soon(&ada, day(84)).await.unwrap());
}

async fn a_refresh_that_leaves_the_end_where_it_is_tells_it(kind: Kind) {
    let house = House::new(kind).await;
    house.grant("ada", "one", start()).await;
    for (now, expected) in [(20, 0), (60, 0), (82, 0), (83, 1), (84, 1), (89, 1)] {
        // The answer's way takes some seconds.
        refresh(&house, day(90) + Duration::seconds(now % 50), day(now)).await;
        assert_eq!(told(&house).await, expected, "after {now} days");
    }
    // Told between the look at the row and the answer.
    house.execute("UPDATE connections SET notice_time = 1").await;
    let (stale, credentials) = house.get("ada").await;
    let lease = take(&house, &stale, &credentials).await.unwrap();
    assert!(house.store.put_expiring_soon(&stale, day(89)).await.unwrap());
    let tokens = TokenSet { refresh_token_expire_time: Some(day(90)), ..tokens("three", day(89)) };
    let refreshed =
        RefreshedTokens { tokens: &tokens, granted_scopes: None, due_time: None, refresh_time: day(89) };
    house.store.put_refreshed(&stale, &lease, &refreshed, day(89)).await.unwrap();
    assert_eq!(told(&house).await, 2);
    assert_eq!(house.get("ada").await.0.notice.unwrap().time, None);
}

async fn a_refresh_that_moves_the_end_tells_nothing(kind: Kind) {
    let house = House::new(kind).await;
    house.grant("ada", "one", start()).await;
    for now in [50, 100, 170, 255] {
        refresh(&house, day(now + 90), day(now)).await;
        let (ada, _) = house.get("ada").await;
        assert_eq!(ada.notice, Some(Notice { end: day(now + 90), time: Some(day(now + 83)) }));
    }
    assert_eq!(told(&house).await, 0);
    // Once it has been told, an end that comes after that one is another one.
    refresh(&house, day(345), day(340)).await;
    assert_eq!(told(&house).await, 1);
    refresh(&house, day(440), day(341)).await;
    assert_eq!(house.get("ada").await.0.notice.unwrap().time, Some(day(433)));
    refresh(&house, day(440), day(433)).await;
    assert_eq!(told(&house).await, 2);
}

async fn due_time(house: &House) -> Option<OffsetDateTime> {
    let micros: Option<i64> = house.value("SELECT due_time FROM connections").await;
    micros.map(|micros| OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap())
}

async fn a_row_is_due_when_its_end_is_to_be_told(kind: Kind) {
    let house = House::new(kind).await;
    let put = async |due_time| {
        let flow = house.flow("ada");
        let (config, scopes, tokens) = (config("subdomain", "one"), vec![], tokens("one", start()));
        let grant = NewGrant { due_time, ..grant(&flow, &config, &scopes, &tokens) };
        house.store.put_grant(&grant, start()).await.unwrap();
    };
    // Made, then made anew.
    for _ in 0..2 {
        put(Some(day(40))).await;
        assert_eq!(due_time(&house).await, Some(day(40)));
        put(Some(day(88))).await;
        assert_eq!(due_time(&house).await, Some(day(83)));
        put(None).await;
        assert_eq!(due_time(&house).await, Some(day(83)));
    }
    // So after a refresh, as long as it is not told, and after one that failed.
    refresh(&house, day(90), day(10)).await;
    assert_eq!(due_time(&house).await, Some(day(83)));
    for (retry_time, expected) in [(day(20), day(20)), (day(85), day(83))] {
        let (connection, credentials) = house.get("ada").await;
        let lease = take(&house, &connection, &credentials).await.unwrap();
        let failure = Setback { retry_time, ..setback() };
        house.store.put_refresh_failure(&connection, &lease, &failure, day(11)).await.unwrap();
        assert_eq!(due_time(&house).await, Some(expected));
    }
    let limits = DueLimits { rows: 10, claim: Duration::minutes(2) };
    assert_eq!(house.store.claim_due(&house.project, limits, day(83)).await.unwrap().len(), 1);
    refresh(&house, day(90), day(83)).await;
    assert_eq!((told(&house).await, due_time(&house).await), (1, None));
}

fn setback() -> Setback {
    Setback {
        kind: FailureKind::ProviderUnavailable,
        unknown: false,
        oauth_error: None,
        outcome: AttemptOutcome::Failed,
        retry_time: start(),
    }
}

async fn a_grant_that_is_gone_has_no_end_to_tell(kind: Kind) {
    let house = House::new(kind).await;
    let ada = house.grant("ada", "one", start()).await;
    house.execute("UPDATE connections SET state = 'needs_reauthorization'").await;
    assert!(!house.store.put_expiring_soon(&ada, day(84)).await.unwrap());
    let bob: Connection = house.grant("bob", "one", start()).await;
    house.delete("bob").await;
    assert!(!house.store.put_expiring_soon(&bob, day(84)).await.unwrap());
    assert_eq!(told(&house).await, 0);
}

async fn a_new_grant_begins_anew(kind: Kind) {
    let house = House::new(kind).await;
    let ada = house.grant("ada", "one", start()).await;
    assert!(house.store.put_expiring_soon(&ada, day(84)).await.unwrap());
    let ada = house.grant("ada", "two", day(85)).await;
    assert_eq!(ada.notice, Some(Notice { end: day(175), time: Some(day(168)) }));
    assert!(!house.store.put_expiring_soon(&ada, day(167)).await.unwrap());
    assert!(house.store.put_expiring_soon(&ada, day(168)).await.unwrap());
    assert_eq!(told(&house).await, 2);
}
