//! What a server does from time to time without being asked.

use std::time::Duration;

use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{flow::Flows, model::Result};

/// Due connections are looked for this often.
const DUE_INTERVAL: Duration = Duration::from_secs(1);
/// The outbox of revocations is gone through this often.
const REVOKE_INTERVAL: Duration = Duration::from_secs(10);
/// Events are handed to webhooks this often, if nobody says earlier that there are some.
const DELIVER_INTERVAL: Duration = Duration::from_secs(1);
/// What this server does is committed a moment after it is recorded.
const SETTLE: Duration = Duration::from_millis(50);
/// A parked code lives a minute, and is gone not much later.
const WIPE_INTERVAL: Duration = Duration::from_secs(10);
/// What is old is deleted this often.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);

/// Starts all of it.
pub(super) fn spawn(chores: &mut JoinSet<()>, flows: &Flows, stopping: &CancellationToken) {
    let due = |flows: Flows| async move { flows.look_after_due().await.map(|count| count as u64) };
    chores.spawn(every(DUE_INTERVAL, "look after due connections", flows.clone(), stopping.clone(), due));
    let revoke = |flows: Flows| async move { flows.revoke_due().await.map(|count| count as u64) };
    chores.spawn(every(REVOKE_INTERVAL, "revoke tokens", flows.clone(), stopping.clone(), revoke));
    chores.spawn(deliver(flows.clone(), stopping.clone()));
    let wipe = |flows: Flows| async move { flows.wipe_expired().await };
    chores.spawn(every(WIPE_INTERVAL, "wipe expired flows", flows.clone(), stopping.clone(), wipe));
    let purge = |flows: Flows| async move { flows.purge().await };
    chores.spawn(every(PURGE_INTERVAL, "delete expired flows", flows.clone(), stopping.clone(), purge));
}

/// Does something again and again until the server stops. Its failures are logged, and do not end it.
async fn every<F: Future<Output = Result<u64>>>(
    interval: Duration,
    what: &'static str,
    flows: Flows,
    stopping: CancellationToken,
    work: impl Fn(Flows) -> F,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        match work(flows.clone()).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, what, "done"),
            Err(error) => tracing::warn!(%error, what, "failed; it is tried again"),
        }
    }
}

/// Sends webhooks until the server stops: from time to time, and at once when there is something to send, or room for it. What
/// is under way does not hold up the rest; at the end it is drained.
async fn deliver(flows: Flows, stopping: CancellationToken) {
    let mut recorded = flows.store().recorded();
    let mut ticks = tokio::time::interval(DELIVER_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
            () = flows.webhooks_nudged() => {}
            Ok(()) = recorded.changed() => tokio::time::sleep(SETTLE).await,
        }
        if let Err(error) = flows.start_deliveries().await {
            tracing::warn!(%error, "webhooks could not be sent; it is tried again");
        }
    }
}
