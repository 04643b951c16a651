//! The storm: three server processes on one PostgreSQL, an authorization server that is not ours, tokens that live two
//! seconds, and many callers. The judge is the authorization server's own book, and what it says to each token.
//!
//! `make test` runs a short storm of each kind, `make storm` the long one, whose results go into `docs/reliability.md`.

mod caller;
mod fleet;
mod judge;
mod proxy;
mod report;
mod world;

use std::time::Duration;

use world::{Kind, Size, World};

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
    let world = World::new("calm", Kind::Rotating, Size::chosen()).await;
    let seen = world.storm(None).await;
    let verdict = world.judge(seen).await;
    verdict.assert_each_presented_once();
    verdict.assert_nobody_was_refused();
    verdict.assert_nothing_is_lost();
    assert!(verdict.seen.errors.is_empty(), "{:?}", verdict.seen.errors);
    verdict.record();
}

#[tokio::test(flavor = "multi_thread")]
async fn between_a_server_and_a_busy_provider_nothing_is_lost() {
    let world = World::new("faults", Kind::Rotating, Size::chosen()).await;
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
