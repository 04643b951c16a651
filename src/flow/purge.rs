//! Deleting what nobody needs any more.

use super::Flows;
use crate::model::{Duration, MAX_SIGNATURE_LIFETIME, Result, SIGNATURE_SKEW};

/// How long events can be read.
const EVENTS_KEPT: Duration = Duration::days(7);
/// How long the journal of refreshes goes back.
const JOURNAL_KEPT: Duration = Duration::days(30);
/// How long flows are kept after they have expired: a late callback learns that, and not that there never was one.
const FLOWS_KEPT: Duration = Duration::days(1);
// A flow is what remembers that its signature was used: it stays for longer than any signature holds.
const _: () = {
    let holds = MAX_SIGNATURE_LIFETIME.whole_seconds() + 2 * SIGNATURE_SKEW.whole_seconds();
    assert!(FLOWS_KEPT.whole_seconds() > holds);
};
/// How long deliveries are kept after they were delivered.
const DELIVERED_KEPT: Duration = Duration::days(7);
/// How long they are kept after they died, or wait for a webhook that is disabled.
const DEAD_KEPT: Duration = Duration::days(30);
/// How many rows one statement deletes, so that none of them holds up others for long.
const BATCH: u64 = 1_000;

impl Flows {
    /// Wipes what expired flows kept to be ended with. Tells of how many.
    pub async fn wipe_expired(&self) -> Result<u64> {
        self.store().wipe_expired(self.now()).await
    }

    /// Deletes flows that have expired, old events, old lines of the journal,
    /// old deliveries, and secrets of webhooks that no longer sign. Tells how many flows.
    ///
    /// Each on its own: where one cannot be deleted, the others are all the same, and the first failure is told in the end.
    pub async fn purge(&self) -> Result<u64> {
        let (store, now) = (self.store(), self.now());
        let expired = self.wipe_expired().await;
        let events = in_batches(|| store.purge_events(now - EVENTS_KEPT, BATCH)).await;
        let journal = in_batches(|| store.purge_attempts(now - JOURNAL_KEPT, BATCH)).await;
        let secrets = store.wipe_webhook_secrets(now).await;
        let (delivered, dead) = (now - DELIVERED_KEPT, now - DEAD_KEPT);
        let deliveries = in_batches(|| store.purge_deliveries(delivered, dead, BATCH)).await;
        let flows = in_batches(|| store.purge_flows(now - FLOWS_KEPT, BATCH)).await;
        expired.and(events).and(journal).and(secrets).and(deliveries).and(flows)
    }
}

/// Deletes a batch after the other, until one is not full. Tells how many rows.
async fn in_batches<F: Future<Output = Result<u64>>>(delete: impl Fn() -> F) -> Result<u64> {
    let mut all = 0;
    loop {
        let some = delete().await?;
        all += some;
        if some < BATCH {
            return Ok(all);
        }
    }
}
