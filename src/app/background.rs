//! What a server does from time to time without being asked.

use std::time::Duration;

use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{flow::Flows, model::Result};

/// Due connections are looked for this often.
const DUE_INTERVAL: Duration = Duration::from_secs(1);
/// The outbox of revocations is gone through this often.
const REVOKE_INTERVAL: Duration = Duration::from_secs(10);
/// Parked codes live a minute, so about as often.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);

/// Starts all of it.
pub(super) fn spawn(chores: &mut JoinSet<()>, flows: &Flows, stopping: &CancellationToken) {
    let due = |flows: Flows| async move { flows.look_after_due().await.map(|count| count as u64) };
    chores.spawn(every(DUE_INTERVAL, "look after due connections", flows.clone(), stopping.clone(), due));
    let revoke = |flows: Flows| async move { flows.revoke_due().await.map(|count| count as u64) };
    chores.spawn(every(REVOKE_INTERVAL, "revoke tokens", flows.clone(), stopping.clone(), revoke));
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
