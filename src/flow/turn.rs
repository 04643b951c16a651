//! How many refreshes ask one provider at a time: thousands of tokens that expire together do not become thousands of requests
//! at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    model::{ProjectId, ProviderId},
    provider::Provider,
};

/// Whom a refresh asks. Hosts of a customer's own are slow for their project alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    provider: ProviderId,
    project: Option<ProjectId>,
}

/// The turns of this process.
#[derive(Debug)]
pub(super) struct Turns {
    lanes: Mutex<HashMap<Lane, Arc<Semaphore>>>,
    width: usize,
}

/// The right to ask. It goes to the next one when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
}

// === impl Lane ===

impl Lane {
    pub(super) fn of(provider: &Provider, project: &ProjectId) -> Self {
        let project = provider.token_host_varies().then(|| project.clone());
        Self { provider: provider.id().clone(), project }
    }
}

// === impl Turns ===

impl Turns {
    /// So many for each lane.
    pub(super) fn new(width: usize) -> Self {
        Self { lanes: Mutex::default(), width }
    }

    /// A turn, if nobody waits for one.
    pub(super) fn try_take(&self, lane: &Lane) -> Option<Turn> {
        let permit = self.lane(lane).try_acquire_owned().ok()?;
        Some(Turn { _permit: permit })
    }

    /// A turn when it comes. The place in the line is kept until this is dropped.
    pub(super) fn line_up(&self, lane: &Lane) -> BoxFuture<'static, Option<Turn>> {
        let lane = self.lane(lane);
        // Nobody closes a lane.
        async move { Some(Turn { _permit: lane.acquire_owned().await.ok()? }) }.boxed()
    }

    fn lane(&self, lane: &Lane) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lanes.get(lane) {
            return found.clone();
        }
        // Those that nobody uses have nothing to remember.
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        let new = Arc::new(Semaphore::new(self.width));
        lanes.insert(lane.clone(), new.clone());
        new
    }
}
