//! Keeping the server's time in step with the database's, which all servers of a database share.
//!
//! What one server stores, the others read: when a token expires, when a provider may be asked again. A server whose clock is
//! wrong would hand out dead tokens, or refresh those of the others for nothing.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    model::{self, Clock, Defence, Failpoints, Look, Result, SharedClock, SystemClock},
    store::Store,
};

/// How often the clocks are compared.
const INTERVAL: Duration = Duration::from_secs(30);
/// How many looks make a comparison, of which the quickest counts.
const LOOKS: usize = 5;

/// A clock that is in step with this database's.
pub(super) async fn in_step(store: &Store) -> Result<SharedClock> {
    let clock = SharedClock::default();
    compare(&clock, store).await?;
    Ok(clock)
}

/// The clock of a server: the one that it is given, or else one that is to be kept in step.
pub(super) async fn clock_of(
    given: Option<Arc<dyn Clock>>,
    store: &Store,
    failpoints: &Failpoints,
) -> Result<(Arc<dyn Clock>, Option<SharedClock>)> {
    if let Some(given) = given {
        return Ok((given, None));
    }
    if failpoints.disabled(Defence::Clock) {
        return Ok((Arc::new(SystemClock), None));
    }
    let shared = in_step(store).await?;
    Ok((Arc::new(shared.clone()), Some(shared)))
}

/// Compares the clocks once. SQLite has no clock but the server's.
async fn compare(clock: &SharedClock, store: &Store) -> Result<()> {
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        let asked = Instant::now();
        let Some(there) = store.clock().await? else { return Ok(()) };
        let took = model::Duration::try_from(asked.elapsed()).unwrap_or(model::Duration::MAX);
        looks.push(Look { there, here: SystemClock.now(), took });
    }
    match clock.learn(&looks) {
        None => {}
        Some(correction) if correction.is_zero() => {
            tracing::info!("the clock agrees with the database's again");
        }
        Some(correction) => tracing::warn!(
            correction_seconds = correction.as_seconds_f64(),
            "the clock is wrong, or the database's is: the database's counts",
        ),
    }
    Ok(())
}

/// Compares them from time to time until the server stops.
pub(super) async fn keep_in_step(clock: SharedClock, store: Store, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one comes at once, and the start has seen to that.
    ticks.tick().await;
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        let compared = stopping.run_until_cancelled(compare(&clock, &store)).await;
        if let Some(Err(error)) = compared {
            tracing::warn!(%error, "the database's clock could not be read");
        }
    }
}
