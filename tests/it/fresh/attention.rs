//! Providers whose answers nobody understands: for how long that is borne, and what an entry can say of bare statuses.

use tokenwell::{
    api::pb::{
        connection::v1::{ReauthorizationReason, State},
        integration::v1::Integration,
    },
    model::{Duration, EventType as Type, ProjectId},
    store::EventFilter,
};
use tonic::Code;

use super::{connected, refreshes};
use crate::support::{
    Acme, TestResult,
    acme::plain,
    assert_refused,
    database::Kind,
    provider::CLIENT_SECRET,
    steps::{due_in, until},
};

/// Longer than any back-off, and so often that a day has more than twenty of them.
const STEP: Duration = Duration::minutes(70);

/// Which of the events that concern the state were told.
async fn told(acme: &Acme) -> Vec<Type> {
    let store = acme.server.flows().store();
    store.place_events().await.unwrap();
    let types = vec![Type::RefreshFailed, Type::NeedsAttention, Type::NeedsReauthorization, Type::Recovered];
    let filter = EventFilter { types, ..EventFilter::default() };
    let events = store.list_events(&ProjectId::parse("default").unwrap(), &filter, 0, 100).await.unwrap();
    events.iter().map(|event| event.event_type).collect()
}

/// Asks for a token again and again, for longer than a day. Gives the states in between.
async fn ask(acme: &Acme, code: Code, reason: &str) -> Vec<State> {
    let mut states = Vec::new();
    for _ in 0..24 {
        acme.clock.advance(STEP);
        assert_refused(acme.get().await, code, reason);
        states.push(acme.basic().await.unwrap().state());
    }
    states
}

async fn answers_that_nobody_understands_for_a_day_need_attention(kind: Kind) -> TestResult {
    for (status, body, reason) in [
        (200, "<p>Welcome</p>", "PROVIDER_RESPONSE_INVALID"),
        (403, "", "PROVIDER_RESPONSE_INVALID"),
        (401, "{}", "PROVIDER_RESPONSE_INVALID"),
        (400, r#"{"error":"flux_capacitor"}"#, "CLIENT_REJECTED"),
    ] {
        let acme = connected(kind, plain(), "").await;
        acme.detour.answer("/token", status, body);
        let states = ask(&acme, Code::FailedPrecondition, reason).await;
        // The first of them came with the first step, and 21 steps are more than a day.
        assert!(states[..21].iter().all(|state| *state == State::Active), "{status}: {states:?}");
        assert!(states[21..].iter().all(|state| *state == State::NeedsAttention), "{status}: {states:?}");
        let due = due_in(&acme.database, &acme.clock).await;
        assert!((1440..=1445).contains(&due), "due in {due} minutes");
        assert_eq!(told(&acme).await, [Type::RefreshFailed, Type::NeedsAttention]);
        // Who does not ask is not kept from what the provider has again.
        acme.detour.end("/token");
        acme.clock.advance(Duration::minutes(due - 1));
        assert_eq!(acme.server.flows().look_after_due().await?, 0);
        acme.clock.advance(Duration::minutes(2));
        assert_eq!(acme.server.flows().look_after_due().await?, 1);
        until(async || acme.basic().await.unwrap().state(), |state| *state == State::Active).await;
        assert_eq!(refreshes(&acme), 1);
        assert_eq!(told(&acme).await, [Type::RefreshFailed, Type::NeedsAttention, Type::Recovered]);
    }
    Ok(())
}

#[tokio::test]
async fn answers_that_nobody_understands_for_a_day_need_attention_on_sqlite() -> TestResult {
    answers_that_nobody_understands_for_a_day_need_attention(Kind::Sqlite).await
}

#[tokio::test]
async fn answers_that_nobody_understands_for_a_day_need_attention_on_postgresql() -> TestResult {
    answers_that_nobody_understands_for_a_day_need_attention(Kind::Postgres).await
}

/// What was wrong may be right when somebody has corrected the integration.
#[tokio::test]
async fn a_corrected_integration_is_tried_at_once() -> TestResult {
    for (status, body, reason) in
        [(401, "{}", "PROVIDER_RESPONSE_INVALID"), (400, r#"{"error":"flux_capacitor"}"#, "CLIENT_REJECTED")]
    {
        let acme = connected(Kind::Sqlite, plain(), "").await;
        acme.detour.answer("/token", status, body);
        ask(&acme, Code::FailedPrecondition, reason).await;
        acme.detour.end("/token");
        acme.clock.advance(STEP);
        let corrected = Integration { client_secret: CLIENT_SECRET.to_owned(), ..Integration::default() };
        acme.update_integration(corrected).await?;
        assert_eq!(acme.server.flows().look_after_due().await?, 1, "{status}");
        until(async || acme.basic().await.unwrap().state(), |state| *state == State::Active).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_away_needs_none() -> TestResult {
    let acme = connected(Kind::Sqlite, plain(), "").await;
    acme.detour.answer("/token", 503, "<p>We are sorry</p>");
    let states = ask(&acme, Code::Unavailable, "PROVIDER_UNAVAILABLE").await;
    assert!(states.iter().all(|state| *state == State::Active), "{states:?}");
    assert_eq!(told(&acme).await, [Type::RefreshFailed]);
    let due = due_in(&acme.database, &acme.clock).await;
    assert!(due < 6, "due in {due} minutes");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_needs_attention_is_refused_or_healed_like_any_other() -> TestResult {
    let acme = connected(Kind::Sqlite, plain(), "").await;
    acme.detour.answer("/token", 403, "");
    ask(&acme, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID").await;
    acme.detour.answer("/token", 400, r#"{"error":"invalid_grant"}"#);
    acme.clock.advance(STEP);
    assert_refused(acme.get().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(acme.basic().await?.state(), State::NeedsReauthorization);
    acme.detour.end("/token");
    acme.connect(&[]).await;
    assert_eq!(acme.basic().await?.state(), State::Active);
    let all = [Type::RefreshFailed, Type::NeedsAttention, Type::NeedsReauthorization, Type::Recovered];
    assert_eq!(told(&acme).await, all);

    // By a Begin, and by a Get.
    for begins in [true, false] {
        acme.detour.answer("/token", 403, "");
        ask(&acme, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID").await;
        let ill = acme.basic().await?;
        assert_eq!((ill.state(), ill.refresh_failure.unwrap().count), (State::NeedsAttention, 24));
        acme.detour.end("/token");
        acme.clock.advance(STEP);
        if begins {
            acme.connect(&[]).await;
        }
        acme.get().await?;
        let well = acme.basic().await?;
        assert_eq!((well.state(), well.refresh_failure), (State::Active, None));
    }
    Ok(())
}

/// What a status means beside which there is no error: as the entry says, and nothing if an error is there.
#[tokio::test]
async fn an_entry_says_what_bare_statuses_mean() -> TestResult {
    let more = "[refresh_errors]\nfinal_statuses = [401, 403]\ntransient_statuses = [404]\n";
    let acme = connected(Kind::Sqlite, plain(), more).await;
    for (status, body, code, reason) in [
        (404, "", Code::Unavailable, "PROVIDER_UNAVAILABLE"),
        (410, "", Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID"),
        (403, r#"{"error":"invalid_request"}"#, Code::FailedPrecondition, "CLIENT_REJECTED"),
        (401, r#"{"error":"invalid_client"}"#, Code::FailedPrecondition, "CLIENT_REJECTED"),
        (200, "", Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID"),
    ] {
        acme.detour.answer("/token", status, body);
        acme.clock.advance(STEP);
        assert_refused(acme.get().await, code, reason);
        assert_eq!(acme.basic().await?.state(), State::Active, "{status} {body}");
    }
    for (status, body) in [(403, "<p>Forbidden</p>"), (403, "{}"), (401, "")] {
        acme.detour.end("/token");
        acme.connect(&[]).await;
        acme.detour.answer("/token", status, body);
        acme.clock.advance(STEP);
        assert_refused(acme.get().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
        assert_eq!(acme.basic().await?.reauthorization_reason(), ReauthorizationReason::GrantRefused);
    }
    Ok(())
}
