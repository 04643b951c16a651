//! Ends that nothing moves are told before they come, once; others never are.

use tokenwell::{
    api::pb::{
        connection::v1::{Connection, ListRequest, ReauthorizationReason, State},
        webhook::v1::{CreateRequest, Webhook},
    },
    model::{Clock as _, Duration, Event, EventType, OffsetDateTime, ProjectId},
    sandbox::{ExpiresIn, IssuesRefreshToken, Quirks},
    store::EventFilter,
};

use super::{connected, refreshes};
use crate::support::{
    Acme, Receiver, TestResult,
    acme::{ACME, plain},
    database::Kind,
    steps::{due_in, until},
};

const MONTH: &str = "refresh_token_expires_in = 2592000\ndefault_expires_in = 315360000\n";

/// The access token lives so long that it is never why a connection is due, and the refresh token lives a month.
fn month(rotate: bool) -> Quirks {
    Quirks { expires_in: ExpiresIn::Never, rotate, ..plain() }
}

/// What was told of this.
async fn told(acme: &Acme, event_type: EventType) -> Vec<Event> {
    let store = acme.server.flows().store();
    store.place_events().await.unwrap();
    let filter = EventFilter { types: vec![event_type], ..EventFilter::default() };
    store.list_events(&ProjectId::parse("default").unwrap(), &filter, 0, 1_000).await.unwrap()
}

async fn soon(acme: &Acme) -> usize {
    told(acme, EventType::ExpiringSoon).await.len()
}

/// What was taken in hand has come to its end.
async fn done(acme: &Acme) {
    until(async || acme.server.flows().under_way(), |count| *count == 0).await;
}

/// Lets a server look after due rows, as often as there are some, until so much time has passed.
async fn pass(acme: &Acme, time: Duration) {
    let end = acme.clock.now() + time;
    while acme.clock.now() < end {
        let wait = Duration::minutes(due_in(&acme.database, &acme.clock).await.max(0) + 1);
        acme.clock.advance(wait.min(end - acme.clock.now()));
        acme.server.flows().look_after_due().await.unwrap();
        done(acme).await;
    }
}

fn end(connection: &Connection) -> OffsetDateTime {
    let end = connection.refresh_token_expire_time.expect("it has no end");
    OffsetDateTime::from_unix_timestamp(end.seconds).unwrap()
}

async fn an_end_that_refreshes_move_is_never_told(kind: Kind) -> TestResult {
    let acme = connected(kind, month(true), MONTH).await;
    let first = end(&acme.basic().await?);
    assert_eq!((first - acme.clock.now()).whole_days(), 30);
    pass(&acme, Duration::days(100)).await;
    assert_eq!(soon(&acme).await, 0);
    let used = refreshes(&acme);
    assert!((4..=6).contains(&used), "{used}");
    let moved = end(&acme.basic().await?);
    assert!(moved > first + Duration::days(75), "{moved}");
    // Whoever shows a connection shows its end.
    let listed = acme.server.connection(&acme.server.key).list(ListRequest::default()).await?.into_inner();
    assert_eq!(end(&listed.connections[0]), moved);
    assert_eq!(end(&acme.get().await?), moved);
    Ok(())
}

#[tokio::test]
async fn an_end_that_refreshes_move_is_never_told_on_sqlite() -> TestResult {
    an_end_that_refreshes_move_is_never_told(Kind::Sqlite).await
}

#[tokio::test]
async fn an_end_that_refreshes_move_is_never_told_on_postgresql() -> TestResult {
    an_end_that_refreshes_move_is_never_told(Kind::Postgres).await
}

async fn an_end_that_stays_is_told_once_before_it_comes(kind: Kind) -> TestResult {
    let acme = connected(kind, month(false), MONTH).await;
    let stays = end(&acme.basic().await?);
    pass(&acme, Duration::days(24) - Duration::minutes(10)).await;
    assert_eq!(soon(&acme).await, 0);
    assert!(refreshes(&acme) >= 1, "it was never used");
    pass(&acme, Duration::days(6)).await;
    let events = told(&acme, EventType::ExpiringSoon).await;
    assert_eq!(events.len(), 1);
    // A fifth of its life ahead, which is less than a week.
    let ahead = stays - events[0].time;
    assert!((ahead - Duration::days(6)).abs() < Duration::minutes(2), "{ahead}");
    assert!(refreshes(&acme) >= 4, "{}", refreshes(&acme));
    assert_eq!(end(&acme.basic().await?), stays);

    // Whoever connects again has another end.
    acme.connect(&[]).await;
    pass(&acme, Duration::days(23)).await;
    assert_eq!(soon(&acme).await, 1);
    pass(&acme, Duration::days(6)).await;
    assert_eq!(soon(&acme).await, 2);
    Ok(())
}

#[tokio::test]
async fn an_end_that_stays_is_told_once_before_it_comes_on_sqlite() -> TestResult {
    an_end_that_stays_is_told_once_before_it_comes(Kind::Sqlite).await
}

#[tokio::test]
async fn an_end_that_stays_is_told_once_before_it_comes_on_postgresql() -> TestResult {
    an_end_that_stays_is_told_once_before_it_comes(Kind::Postgres).await
}

/// Its refreshes have failed since before it was time to use it: the end would come without a word.
#[tokio::test]
async fn an_end_is_told_though_nothing_could_be_renewed() -> TestResult {
    let acme = connected(Kind::Sqlite, month(true), MONTH).await;
    acme.detour.answer("/token", 503, "{}");
    // Nobody has looked after it for long.
    acme.clock.advance(Duration::days(24) - Duration::minutes(1));
    acme.server.flows().look_after_due().await?;
    done(&acme).await;
    assert_eq!(soon(&acme).await, 0);
    // Once for the whole of it, while it is tried again and again.
    pass(&acme, Duration::hours(2)).await;
    assert_eq!(soon(&acme).await, 1);
    acme.detour.end("/token");
    pass(&acme, Duration::days(20)).await;
    assert!(end(&acme.basic().await?) > acme.clock.now());
    assert_eq!(soon(&acme).await, 1);
    Ok(())
}

/// Nobody has looked after it while it was time to use it: who does then sees first whether its end moves.
#[tokio::test]
async fn an_end_that_moves_after_all_is_not_told() -> TestResult {
    let acme = connected(Kind::Sqlite, month(true), MONTH).await;
    acme.clock.advance(Duration::days(29));
    acme.server.flows().look_after_due().await?;
    done(&acme).await;
    assert_eq!((soon(&acme).await, refreshes(&acme)), (0, 1));
    Ok(())
}

#[tokio::test]
async fn the_end_of_what_nothing_renews_is_told_too() -> TestResult {
    let lives = |seconds| Quirks {
        issues_refresh_token: IssuesRefreshToken::Never,
        expires_in: ExpiresIn::Stated(seconds),
        ..plain()
    };
    let acme = connected(Kind::Sqlite, lives(60 * 24 * 3600), "").await;
    assert_eq!(acme.basic().await?.refresh_token_expire_time, None);
    pass(&acme, Duration::days(52)).await;
    assert_eq!(soon(&acme).await, 0);
    pass(&acme, Duration::days(2)).await;
    assert_eq!(soon(&acme).await, 1);
    acme.get().await?;
    pass(&acme, Duration::days(6)).await;
    let gone = acme.basic().await?;
    assert_eq!(gone.state(), State::NeedsReauthorization);
    assert_eq!(gone.reauthorization_reason(), ReauthorizationReason::CredentialsExpired);
    assert_eq!((soon(&acme).await, told(&acme, EventType::NeedsReauthorization).await.len()), (1, 1));

    // A token of an hour is meant to end.
    let acme = connected(Kind::Sqlite, lives(3600), "").await;
    pass(&acme, Duration::hours(1)).await;
    assert_eq!(acme.basic().await?.state(), State::NeedsReauthorization);
    assert_eq!(soon(&acme).await, 0);
    Ok(())
}

#[tokio::test]
async fn webhooks_are_told_of_the_end() -> TestResult {
    let acme = connected(Kind::Sqlite, month(false), MONTH).await;
    acme.server.flows().store().place_events().await?;
    let receiver = Receiver::start().await;
    let event_types = vec!["connection.expiring_soon".to_owned()];
    let webhook = Webhook { url: receiver.url(), event_types, ..Webhook::default() };
    acme.server.webhook(&acme.server.key).create(CreateRequest { webhook: Some(webhook) }).await?;
    pass(&acme, Duration::days(25)).await;
    assert_eq!(acme.server.flows().deliver_webhooks().await?, 1);
    let sent = receiver.take_one().json();
    assert_eq!(sent["type"], "connection.expiring_soon");
    assert_eq!(
        (&sent["data"]["integration_id"], &sent["data"]["connection_id"]),
        (&ACME.into(), &"ada".into())
    );
    assert_eq!(acme.server.flows().deliver_webhooks().await?, 0);
    Ok(())
}
