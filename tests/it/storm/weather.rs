//! The storms: in a calm, with faults on the way, with servers that are killed, and with both at a forgiving provider.

use std::time::Duration;

use super::world::{End, Kind, Size, World};
use crate::support::Fault;

/// What a provider never sees.
fn turned_away() -> Vec<(Fault, f64)> {
    vec![
        (Fault::Reset, 0.06),
        (Fault::Status(503), 0.06),
        (Fault::TooMany("1".to_owned()), 0.04),
        (Fault::Delay(Duration::from_millis(300)), 0.06),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_calm_every_refresh_token_is_used_once() {
    let world = World::new("calm", Kind::Rotating, Size::chosen(Kind::Rotating)).await;
    let seen = world.storm(None).await;
    let verdict = world.judge(seen).await;
    verdict.assert_each_presented_once();
    verdict.assert_nobody_was_refused();
    verdict.assert_nothing_is_lost();
    // The long one wants more of a small machine than it has: then callers wait in vain, which the record tells.
    assert!(verdict.size.long || verdict.seen.errors.is_empty(), "{:?}", verdict.seen.errors);
    verdict.record();
}

#[tokio::test(flavor = "multi_thread")]
async fn between_a_server_and_a_busy_provider_nothing_is_lost() {
    let world = World::new("faults", Kind::Rotating, Size::chosen(Kind::Rotating)).await;
    world.proxy.odds(&turned_away());
    let seen = world.storm(None).await;
    let faults = world.proxy.counts();
    assert!(turned_away().iter().all(|(fault, _)| faults.contains_key(fault.name())), "{faults:?}");
    let verdict = world.judge(seen).await;
    verdict.assert_each_presented_once();
    verdict.assert_nobody_was_refused();
    verdict.assert_nothing_is_lost();
    verdict.record();
}

/// A third of them is killed every now and then, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn when_servers_are_killed_the_journal_names_what_is_lost() {
    let world = World::new("killed", Kind::Rotating, Size::chosen(Kind::Rotating)).await;
    let seen = world.storm(Some(End::Killed)).await;
    let verdict = world.judge(seen).await;
    assert!(verdict.seen.kills > 0);
    verdict.assert_each_redeemed_once();
    verdict.assert_nobody_was_refused();
    verdict.assert_losses_are_explained();
    verdict.record();
}

/// One after the other is replaced, as when a new release is rolled out.
#[tokio::test(flavor = "multi_thread")]
async fn when_servers_are_stopped_in_order_nobody_notices() {
    let world = World::new("stopped", Kind::Rotating, Size::chosen(Kind::Rotating)).await;
    let seen = world.storm(Some(End::Stopped)).await;
    let verdict = world.judge(seen).await;
    assert!(verdict.seen.stops > 0);
    verdict.assert_each_presented_once();
    verdict.assert_nobody_was_refused();
    verdict.assert_nothing_is_lost();
    assert!(verdict.size.long || verdict.seen.errors.is_empty(), "{:?}", verdict.seen.errors);
    verdict.record();
}

/// Answers are lost on the way, too, and still nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn at_a_provider_with_a_grace_period_nothing_is_lost_at_all() {
    let world = World::new("killed, with grace", Kind::Forgiving, Size::chosen(Kind::Forgiving)).await;
    let lost = [(Fault::HalfBody, 0.03), (Fault::CloseAfterAnswer, 0.03)];
    world.proxy.odds(&[turned_away(), lost.to_vec()].concat());
    let seen = world.storm(Some(End::Killed)).await;
    let verdict = world.judge(seen).await;
    assert!(verdict.seen.kills > 0);
    verdict.assert_each_redeemed_once();
    verdict.assert_nobody_was_refused();
    verdict.assert_nothing_is_lost();
    verdict.record();
}
