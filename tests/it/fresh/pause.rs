//! A provider that does not help is left alone, by all servers and for all connections of the integration.

use futures::future::join_all;
use tokenwell::{
    api::pb::{connection::v1::State, integration::v1::Integration},
    model::Duration,
    sandbox::Failure,
};
use tokio::time::timeout;
use tonic::Code;

use super::{NAMES, integration};
use crate::support::{
    Acme, TestResult,
    acme::{ACME, plain},
    assert_refused,
    provider::CLIENT_SECRET,
    steps::{basic, works},
};

async fn expired() -> Acme {
    super::expired(plain(), "").await
}

/// How many lines of the journal have no end.
async fn open_lines(acme: &Acme) -> i64 {
    acme.database.number("SELECT count(*) FROM refresh_attempts WHERE outcome IS NULL").await
}

#[tokio::test]
async fn failures_in_a_row_open_the_breaker_and_one_refresh_closes_it() -> TestResult {
    let acme = expired().await;
    let before = acme.token_requests().len();
    for (index, name) in NAMES.iter().enumerate() {
        if index < 5 {
            acme.provider.sandbox.fail_next(Failure::Status(502));
        }
        let refused = acme.server.token(ACME, name).await;
        assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    }
    assert_eq!(acme.token_requests().len() - before, 5, "after the fifth it is left alone");
    // By the other servers, too.
    let replica = acme.replica().await;
    let refused = replica.token(ACME, "h").await;
    let refusal = assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert!(refusal.retry.is_some());
    assert_eq!(acme.token_requests().len() - before, 5);

    acme.clock.wait_out();
    // Then one goes first. It waits at the provider, and so do the others.
    acme.gate.close();
    let calls = join_all(NAMES.map(|name| acme.server.token(ACME, name)));
    let watching = async {
        acme.gate.arrived(1).await;
        drop(basic(&acme.server, ACME, "a").await);
        assert_eq!(acme.gate.count(), 1);
        acme.gate.open();
    };
    let (answers, ()) = tokio::join!(calls, watching);
    assert!(answers.iter().any(Result::is_ok));
    for name in NAMES {
        let (_, token) = acme.server.token(ACME, name).await?;
        assert!(works(&acme.provider, &token.access_token).await, "{name}");
    }
    assert_eq!(open_lines(&acme).await, 0, "those who could not go first have given their leases back");
    Ok(())
}

/// Whoever goes first after a pause does go: one that waits for its row takes the place of none.
#[tokio::test]
async fn who_waits_for_its_row_does_not_go_first() -> TestResult {
    let acme = expired().await;
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "120".to_owned()));
    for name in NAMES {
        assert_refused(acme.server.token(ACME, name).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    }
    let lines = acme.database.number("SELECT count(*) FROM refresh_attempts").await;
    assert_eq!(lines, 1, "what is refused at once leaves no line");
    acme.clock.advance(Duration::minutes(2));
    let lease = |until| format!("UPDATE connections SET lease_until = {until} WHERE connection_id = 'b'");
    acme.database.execute(&lease("9000000000000000")).await;
    let waiting = timeout(std::time::Duration::from_secs(1), acme.server.token(ACME, "b")).await;
    assert!(waiting.is_err(), "somebody else has the row: {waiting:?}");
    acme.server.token(ACME, "c").await?;
    acme.database.execute(&lease("NULL")).await;
    acme.server.token(ACME, "b").await?;
    assert_eq!(open_lines(&acme).await, 0);
    Ok(())
}

#[tokio::test]
async fn a_wish_to_be_left_alone_is_for_all_connections() -> TestResult {
    for wish in ["120", "Mon, 21 Sep 2026 15:15:20 GMT"] {
        let acme = expired().await;
        let before = acme.token_requests().len();
        acme.provider.sandbox.fail_next(Failure::RetryAfter(429, wish.to_owned()));
        for name in NAMES {
            let refused = acme.server.token(ACME, name).await;
            let refusal = assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
            assert_eq!(refusal.retry, Some(std::time::Duration::from_mins(2)), "{wish}");
        }
        assert_eq!(acme.token_requests().len() - before, 1);
        acme.clock.advance(Duration::seconds(119));
        assert_refused(acme.server.token(ACME, "b").await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
        acme.clock.advance(Duration::seconds(1));
        let (_, token) = acme.server.token(ACME, "a").await?;
        assert!(works(&acme.provider, &token.access_token).await);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_client_marks_the_integration_and_its_correction_helps_at_once() -> TestResult {
    let acme = expired().await;
    let before = acme.token_requests().len();
    let wrong = Integration { client_secret: "not-the-secret".to_owned(), ..Integration::default() };
    acme.update_integration(wrong).await?;
    assert_eq!(integration(&acme).await.client_failure, None);
    for name in NAMES {
        let refused = acme.server.token(ACME, name).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "CLIENT_REJECTED");
        assert_eq!(refusal.metadata["oauth_error"], "invalid_client");
        assert_eq!(basic(&acme.server, ACME, name).await?.state(), State::Active);
    }
    assert_eq!(acme.token_requests().len() - before, 1, "one try tells of all");
    let failure = integration(&acme).await.client_failure.unwrap();
    assert_eq!(failure.oauth_error, "invalid_client");
    // It is tried again, and remembers since when it has been so.
    acme.clock.wait_out();
    assert_refused(acme.server.token(ACME, "b").await, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert_eq!(acme.token_requests().len() - before, 2);
    assert_eq!(integration(&acme).await.client_failure, Some(failure));

    let right = Integration { client_secret: CLIENT_SECRET.to_owned(), ..Integration::default() };
    assert_eq!(acme.update_integration(right).await?.client_failure, None);
    for name in NAMES {
        let (_, token) = acme.server.token(ACME, name).await?;
        assert!(works(&acme.provider, &token.access_token).await);
    }
    Ok(())
}

/// A provider that corrects itself heals the integration, too.
#[tokio::test]
async fn a_refresh_that_succeeds_takes_the_mark_away() -> TestResult {
    let acme = expired().await;
    acme.refuse_next("unauthorized_client");
    assert_refused(acme.server.token(ACME, "a").await, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert!(integration(&acme).await.client_failure.is_some());
    acme.clock.wait_out();
    acme.server.token(ACME, "b").await?;
    assert_eq!(integration(&acme).await.client_failure, None);
    Ok(())
}

#[tokio::test]
async fn a_no_to_one_grant_says_nothing_of_the_others() -> TestResult {
    let acme = expired().await;
    for name in &NAMES[..6] {
        acme.refuse_next("invalid_grant");
        let refused = acme.server.token(ACME, name).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
        assert_eq!(refusal.metadata["reauthorization_reason"], "GRANT_REFUSED");
    }
    acme.server.token(ACME, NAMES[7]).await?;
    Ok(())
}

/// OpenID Connect Core, section 3.1.2.6.
#[tokio::test]
async fn some_errors_want_the_end_user() {
    let acme = expired().await;
    let errors = ["interaction_required", "login_required", "consent_required", "account_selection_required"];
    for (name, error) in NAMES.iter().zip(errors) {
        acme.refuse_next(error);
        let refused = acme.server.token(ACME, name).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
        assert_eq!(refusal.metadata["reauthorization_reason"], "INTERACTION_REQUIRED", "{error}");
    }
}
