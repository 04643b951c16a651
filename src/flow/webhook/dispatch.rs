//! Which deliveries are sent when: what is due, as far as there is room.
//!
//! An endpoint that is slow or dead takes up a few places only, and webhooks take turns, so that it holds up no other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::join_all;
use tokio::{sync::Notify, task::JoinHandle};

use super::super::Flows;
use crate::{
    model::{Duration, Error, Result, Uuid},
    store::DueWebhook,
};

/// The most deliveries under way at once, in one server.
const PLACES: usize = 32;
/// The most of them to one webhook.
const PLACES_OF_ONE: usize = 4;
/// The most of them to one webhook whose last try failed.
const PLACES_OF_FAILING: usize = 1;
/// How long a claimed delivery belongs to its server: longer than a request may take, and the note of what came of it.
const CLAIM: Duration = Duration::minutes(1);
/// How long a webhook is left alone whose secret does not open.
const SHUT_PAUSE: Duration = Duration::minutes(5);

/// What is under way. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(in crate::flow) struct Dispatch {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    turns: Mutex<Turns>,
    nudge: Notify,
}

#[derive(Debug, Default)]
struct Turns {
    taken: HashMap<Uuid, usize>,
    /// The webhook that was served last.
    last: Option<Uuid>,
}

/// The right to send one delivery, given back when it is dropped.
#[derive(Debug)]
struct Place {
    dispatch: Dispatch,
    webhook: Uuid,
}

// === impl Dispatch ===

impl Dispatch {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        // Nothing that panics is done under the lock.
        self.inner.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The webhooks in the order of their turns: those first that come after the one that was served last.
    fn in_turn(&self, mut due: Vec<DueWebhook>) -> Vec<DueWebhook> {
        if let Some(last) = self.turns().last {
            let next = due.iter().position(|webhook| webhook.id > last).unwrap_or_default();
            due.rotate_left(next);
        }
        due
    }

    /// Takes as many places as a webhook may have now.
    fn take(&self, webhook: DueWebhook) -> Vec<Place> {
        let mut turns = self.turns();
        let all: usize = turns.taken.values().sum();
        let own = turns.taken.get(&webhook.id).copied().unwrap_or_default();
        let most = if webhook.failing { PLACES_OF_FAILING } else { PLACES_OF_ONE };
        let count = most.saturating_sub(own).min(PLACES.saturating_sub(all));
        if count > 0 {
            *turns.taken.entry(webhook.id).or_default() += count;
            turns.last = Some(webhook.id);
        }
        (0..count).map(|_| Place { dispatch: self.clone(), webhook: webhook.id }).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut turns = self.dispatch.turns();
        if let Some(taken) = turns.taken.get_mut(&self.webhook) {
            *taken -= 1;
            if *taken == 0 {
                turns.taken.remove(&self.webhook);
            }
        }
    }
}

// === impl Flows ===

impl Flows {
    /// Says that there may be something to deliver.
    pub fn nudge_webhooks(&self) {
        self.inner.webhooks.inner.nudge.notify_one();
    }

    /// Waits until somebody says so.
    pub async fn webhooks_nudged(&self) {
        self.inner.webhooks.inner.nudge.notified().await;
    }

    /// Gives new events their places and sends what is due, as far as there is room, until all of that has ended. Tells how
    /// many deliveries were tried.
    pub async fn deliver_webhooks(&self) -> Result<usize> {
        let started = self.start_deliveries().await?;
        Ok(join_all(started).await.len())
    }

    /// The same without waiting: whoever sends to others meanwhile is not held up by one that is slow.
    pub async fn start_deliveries(&self) -> Result<Vec<JoinHandle<()>>> {
        while self.store().place_events().await? > 0 {}
        let mut started = Vec::new();
        let due = self.store().list_due_webhooks(self.now()).await?;
        for webhook in self.inner.webhooks.in_turn(due) {
            let places = self.inner.webhooks.take(webhook);
            if !places.is_empty() {
                self.start(webhook.id, places, &mut started).await?;
            }
        }
        Ok(started)
    }

    /// Sends what is due of one webhook, in these places.
    async fn start(
        &self,
        webhook: Uuid,
        places: Vec<Place>,
        started: &mut Vec<JoinHandle<()>>,
    ) -> Result<()> {
        let now = self.now();
        let target = match self.store().get_webhook_target(webhook, now).await {
            Ok(Some(target)) => Arc::new(target),
            // Deleted or disabled just now.
            Ok(None) => return Ok(()),
            // One that is broken does not keep the others waiting.
            Err(Error::Internal(cause)) => {
                tracing::error!(%webhook, %cause, "a webhook cannot be read; it is tried again later");
                return self.store().pause_webhook(webhook, now + SHUT_PAUSE).await;
            }
            Err(error) => return Err(error),
        };
        let limit = u64::try_from(places.len()).unwrap_or(u64::MAX);
        let claimed = self.store().claim_deliveries(webhook, limit, now, now + CLAIM).await?;
        for (delivery, place) in claimed.into_iter().zip(places) {
            let (flows, target) = (self.clone(), target.clone());
            started.push(self.inner.tasks.spawn(async move {
                flows.deliver(&target, &delivery).await;
                drop(place);
                // There is room for another one.
                flows.nudge_webhooks();
            }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(id: u128) -> DueWebhook {
        DueWebhook { id: Uuid::from_u128(id), failing: false }
    }

    #[test]
    fn one_webhook_gets_a_few_places_and_gives_them_back() {
        let dispatch = Dispatch::default();
        let places = dispatch.take(webhook(1));
        assert_eq!(places.len(), PLACES_OF_ONE);
        assert!(dispatch.take(webhook(1)).is_empty());
        assert_eq!(dispatch.take(webhook(2)).len(), PLACES_OF_ONE);
        drop(places);
        assert_eq!(dispatch.take(webhook(1)).len(), PLACES_OF_ONE);
        assert!(dispatch.turns().taken.is_empty(), "places were not given back");
    }

    #[test]
    fn a_failing_webhook_gets_one_place() {
        let dispatch = Dispatch::default();
        let failing = DueWebhook { failing: true, ..webhook(1) };
        let place = dispatch.take(failing);
        assert_eq!((place.len(), dispatch.take(failing).len()), (1, 0));
    }

    #[test]
    fn all_webhooks_together_get_no_more_than_there_are() {
        let dispatch = Dispatch::default();
        let places: Vec<_> = (0..20).flat_map(|id| dispatch.take(webhook(id))).collect();
        assert_eq!(places.len(), PLACES);
    }

    #[test]
    fn webhooks_take_turns() {
        let dispatch = Dispatch::default();
        let due = || (1..=4).map(webhook).collect::<Vec<_>>();
        let order = |due: Vec<DueWebhook>| due.iter().map(|it| it.id.as_u128()).collect::<Vec<_>>();
        assert_eq!(order(dispatch.in_turn(due())), [1, 2, 3, 4]);
        drop(dispatch.take(webhook(2)));
        assert_eq!(order(dispatch.in_turn(due())), [3, 4, 1, 2]);
        drop(dispatch.take(webhook(4)));
        assert_eq!(order(dispatch.in_turn(due())), [1, 2, 3, 4]);
    }
}
