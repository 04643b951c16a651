//! One refresh of a row at a time in this process: callers of one connection share a task, which the server owns. It finishes
//! though they go away.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt as _, future::Shared};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::model::{Error, Result, Uuid};

pub(super) type Landed = std::result::Result<(), Arc<Error>>;
type Flight = Shared<futures::future::BoxFuture<'static, Landed>>;

/// The refreshes of this process, by row.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    flights: Arc<Mutex<HashMap<Uuid, Flight>>>,
}

// === impl Coalescer ===

impl Coalescer {
    /// Joins the flight for this row, or starts it.
    pub(super) async fn join<F>(&self, tasks: &TaskTracker, row: Uuid, flight: impl FnOnce() -> F) -> Landed
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let joined = {
            let mut flights = lock(&self.flights);
            if let Some(flight) = flights.get(&row) {
                flight.clone()
            } else {
                let started = self.start(tasks, row, flight());
                flights.insert(row, started.clone());
                started
            }
        };
        joined.await
    }

    /// Whether a flight for this row is under way.
    pub(super) fn has(&self, row: Uuid) -> bool {
        lock(&self.flights).contains_key(&row)
    }

    fn start(
        &self,
        tasks: &TaskTracker,
        row: Uuid,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Flight {
        let (sender, receiver) = oneshot::channel();
        let flights = self.flights.clone();
        tasks.spawn(async move {
            let outcome = work.await.map_err(Arc::new);
            // First out of the map, then the news: who comes later looks at the row anew.
            lock(&flights).remove(&row);
            drop(sender.send(outcome));
        });
        let flights = self.flights.clone();
        let landed = receiver.map(move |news| {
            news.unwrap_or_else(|_| {
                lock(&flights).remove(&row);
                Err(Arc::new(Error::internal("a refresh ended without an outcome")))
            })
        });
        landed.boxed().shared()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shared outcome for one of those who share it.
pub(super) fn copy_of(error: &Error) -> Error {
    match error {
        Error::ProviderUnavailable { provider, problem, retry_after } => Error::ProviderUnavailable {
            provider: provider.clone(),
            problem: problem.clone(),
            retry_after: *retry_after,
        },
        Error::ProviderResponseInvalid { provider, problem } => {
            Error::ProviderResponseInvalid { provider: provider.clone(), problem: problem.clone() }
        }
        Error::ClientRejected { provider, code, description } => Error::ClientRejected {
            provider: provider.clone(),
            code: code.clone(),
            description: description.clone(),
        },
        Error::NeedsReauthorization { integration, connection, reason } => Error::NeedsReauthorization {
            integration: integration.clone(),
            connection: connection.clone(),
            reason: *reason,
        },
        Error::ConnectionNotFound { integration, connection } => {
            Error::ConnectionNotFound { integration: integration.clone(), connection: connection.clone() }
        }
        Error::IntegrationNotFound(id) => Error::IntegrationNotFound(id.clone()),
        Error::ProviderNotFound(id) => Error::ProviderNotFound(id.clone()),
        Error::StoreUnavailable(source) => Error::StoreUnavailable(source.to_string().into()),
        other => Error::internal(other.to_string()),
    }
}
