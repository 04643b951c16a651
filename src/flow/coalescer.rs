//! One refresh of a token set at a time in this process: callers of one connection share a task, which the server owns. It
//! finishes though they go away.

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

/// A row, and the generation of the token set that is to be replaced. Whoever has seen a newer one waits for no flight that
/// may still be busy with what follows the last.
pub(super) type Key = (Uuid, i64);

/// The refreshes of this process.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    flights: Arc<Mutex<HashMap<Key, Flight>>>,
}

/// The place of a flight in the map, which it leaves whatever becomes of it.
struct Entry {
    flights: Arc<Mutex<HashMap<Key, Flight>>>,
    key: Key,
}

// === impl Entry ===

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.flights).remove(&self.key);
    }
}

// === impl Coalescer ===

impl Coalescer {
    /// Joins the flight for this token set, or starts it.
    pub(super) async fn join<F>(&self, tasks: &TaskTracker, key: Key, flight: impl FnOnce() -> F) -> Landed
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let joined = {
            let mut flights = lock(&self.flights);
            if let Some(flight) = flights.get(&key) {
                flight.clone()
            } else {
                let started = self.start(tasks, key, flight());
                flights.insert(key, started.clone());
                started
            }
        };
        joined.await
    }

    /// Whether a flight for this token set is under way.
    pub(super) fn has(&self, key: Key) -> bool {
        lock(&self.flights).contains_key(&key)
    }

    fn start(
        &self,
        tasks: &TaskTracker,
        key: Key,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Flight {
        let (sender, receiver) = oneshot::channel();
        let flights = self.flights.clone();
        tasks.spawn(async move {
            let entry = Entry { flights, key };
            let outcome = work.await.map_err(Arc::new);
            // First out of the map, then the news: who comes later looks at the row anew.
            drop(entry);
            drop(sender.send(outcome));
        });
        let landed = receiver.map(move |news| {
            news.unwrap_or_else(|_| Err(Arc::new(Error::internal("a refresh ended without an outcome"))))
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
        Error::ProviderAddressRefused { provider } => {
            Error::ProviderAddressRefused { provider: provider.clone() }
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
        Error::ServerStopping => Error::ServerStopping,
        Error::StoreUnavailable(source) => Error::StoreUnavailable(source.to_string().into()),
        other => Error::internal(other.to_string()),
    }
}
