//! Refresh tokens that end by themselves: used in time, as often as it takes and not more.

use tokenwell::{
    model::{Clock as _, Duration},
    sandbox::{ExpiresIn, Quirks},
};

use super::{connected, refreshes};
use crate::support::{
    Acme, TestResult,
    acme::plain,
    database::Kind,
    steps::{due_in, until},
};

const MONTH: i64 = 30 * 24 * 60;

/// The access token lives so long that it is never why a connection is due, and the refresh token is said to live a month.
async fn stage() -> Acme {
    let quirks = Quirks { expires_in: ExpiresIn::Never, rotate: false, ..plain() };
    let more = "refresh_token_expires_in = 2592000\ndefault_expires_in = 315360000\n";
    connected(Kind::Sqlite, quirks, more).await
}

/// Whoever uses it does not prolong it: half of what is left, then half of that, and so on would have no end.
#[tokio::test]
async fn one_whose_end_stays_is_not_used_more_and_more_often() -> TestResult {
    let acme = stage().await;
    let (mut waits, mut passed) = (Vec::new(), 0);
    while passed <= MONTH {
        let wait = due_in(&acme.database, &acme.clock).await + 1;
        waits.push(wait);
        passed += wait;
        assert!(wait >= 5, "used every few minutes: {waits:?}");
        acme.clock.advance(Duration::minutes(wait));
        acme.server.flows().look_after_due().await?;
        let now = acme.clock.now().unix_timestamp();
        let renewed = async || acme.basic().await.unwrap().refresh_time.unwrap().seconds;
        until(renewed, |time| *time == now).await;
    }
    assert!(waits.len() <= 24, "{waits:?}");
    assert_eq!(refreshes(&acme), waits.len() as u64);
    // It works on after its end, so that was not its end: it is like one that nothing is known of.
    let days = due_in(&acme.database, &acme.clock).await / (24 * 60);
    assert!((7..=9).contains(&days), "due in {days} days");
    Ok(())
}

/// An answer without a new refresh token may say how long the old one lives.
#[tokio::test]
async fn the_old_one_lives_as_long_as_the_last_answer_says() -> TestResult {
    let acme = stage().await;
    let answer = |lifetime: &str| {
        format!(r#"{{"access_token":"at","token_type":"bearer","refresh_token_expires_in":{lifetime}}}"#)
    };
    let after = async |answer: &str| {
        acme.answer_next(answer);
        acme.force().await.unwrap();
        due_in(&acme.database, &acme.clock).await / (24 * 60)
    };
    let days = due_in(&acme.database, &acme.clock).await / (24 * 60);
    assert!((15..=21).contains(&days), "due in {days} days");
    let days = after(&answer("864000")).await;
    assert!((5..=7).contains(&days), "due in {days} days");
    // What is no lifetime says nothing.
    for lifetime in ["0", "-5", "null"] {
        let days = after(&answer(lifetime)).await;
        assert!((5..=7).contains(&days), "{lifetime}: due in {days} days");
    }
    let days = after(&answer("5184000")).await;
    assert!((30..=42).contains(&days), "due in {days} days");
    Ok(())
}
