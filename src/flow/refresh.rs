//! Refreshing: once per expiry, across all callers of this process and all replicas.
//!
//! Callers of one connection share one task, which the server owns: it finishes though they go away. The task takes a lease
//! on the row by a conditional update that counts up the epoch, calls the provider without holding anything of the
//! database, and commits under that epoch. Who finds the lease taken waits for the row to change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration as StdDuration,
};

use futures::{FutureExt as _, future::Shared};
use tokio::{sync::oneshot, time::sleep};
use tokio_util::task::TaskTracker;

use super::{
    Flows,
    failure::{client_failed, is_of_client},
    token::{reauthorize, token_set},
};
use crate::{
    model::{
        Config, Connection, ConnectionState, Credentials, Error, GrantType, OffsetDateTime, Result, TokenSet,
        Uuid,
    },
    oauth::{Failure, Grant, Registration},
    provider::Provider,
    store::RefreshedTokens,
};

/// How often a waiter looks whether another replica has finished.
const POLL: StdDuration = StdDuration::from_millis(100);
/// How often a commit is tried while the answer is in memory.
const COMMIT_TRIES: u32 = 5;

type Landed = std::result::Result<(), Arc<Error>>;
type Flight = Shared<futures::future::BoxFuture<'static, Landed>>;

/// The refreshes of this process, by row.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    flights: Arc<Mutex<HashMap<Uuid, Flight>>>,
}

/// What one look at a row led to.
enum Step {
    Done,
    Wait,
}

// === impl Coalescer ===

impl Coalescer {
    /// Joins the flight for this row, or starts it.
    async fn join<F>(&self, tasks: &TaskTracker, row: Uuid, flight: impl FnOnce() -> F) -> Landed
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

// === impl Flows ===

impl Flows {
    /// Sees to it that the row has newer tokens than those that the caller saw.
    pub(super) async fn refreshed(&self, seen: &Connection) -> Result<()> {
        let (flows, connection) = (self.clone(), seen.clone());
        let flight = move || async move { flows.fly(&connection).await };
        let outcome = self.inner.refreshes.join(&self.inner.tasks, seen.row_id, flight).await;
        outcome.map_err(|error| copy_of(&error))
    }

    /// Looks at the row until its tokens are newer, refreshing them if nobody else does.
    async fn fly(&self, seen: &Connection) -> Result<()> {
        loop {
            let found =
                self.store().get_credentials(&seen.project_id, &seen.integration_id, &seen.id).await?;
            let Some((connection, credentials)) = found.filter(|(found, _)| found.row_id == seen.row_id)
            else {
                return Err(not_found(seen));
            };
            if connection.state == ConnectionState::NeedsReauthorization {
                return Err(reauthorize(&connection, "the provider refused to renew it"));
            }
            if connection.refresh_time != seen.refresh_time {
                return Ok(());
            }
            match self.step(&connection, &credentials).await? {
                Step::Done => return Ok(()),
                Step::Wait => sleep(POLL).await,
            }
        }
    }

    async fn step(&self, connection: &Connection, credentials: &Credentials) -> Result<Step> {
        let now = self.now();
        if credentials.lease_until.is_some_and(|until| until > now) {
            return Ok(Step::Wait);
        }
        let until = now + self.inner.parts.lease;
        let Some(epoch) = self.store().take_lease(connection, credentials.epoch, now, until).await? else {
            return Ok(Step::Wait);
        };
        let done = self.refresh(connection, credentials, epoch).await;
        if done.is_err() {
            // Best effort: a lease that cannot be given back runs out by itself.
            drop(self.store().release_lease(connection, epoch).await);
        }
        done.map(|()| Step::Done)
    }

    /// Calls the provider under a lease, and commits.
    async fn refresh(&self, connection: &Connection, credentials: &Credentials, epoch: i64) -> Result<()> {
        let project = &connection.project_id;
        let integration = self.store().get_integration_row(project, connection.integration_row_id).await?;
        let integration =
            integration.ok_or_else(|| Error::IntegrationNotFound(connection.integration_id.clone()))?;
        let provider = self.provider(&integration)?;
        let config =
            Config { values: connection.config.clone(), secrets: credentials.secrets.config.clone() };
        let integration = match &credentials.secrets.client {
            Some(client) => integration.with_client(client),
            None => integration,
        };
        let registration = Registration { provider: &provider, integration: &integration, config: &config };
        let asked = self.now();
        match self.renewed(registration, connection, credentials).await? {
            Ok(grant) => self.commit(registration, connection, credentials, epoch, &grant, asked).await,
            Err(failure) => self.refresh_failed(connection, credentials, epoch, &provider, failure).await,
        }
    }

    /// Asks the provider for new tokens, in the way of the connection's grant.
    async fn renewed(
        &self,
        registration: Registration<'_>,
        connection: &Connection,
        credentials: &Credentials,
    ) -> Result<std::result::Result<Grant, Failure>> {
        if connection.grant_type == GrantType::ClientCredentials {
            return Ok(self
                .oauth()
                .client_credentials(registration, &credentials.secrets.asked_scopes)
                .await);
        }
        match &credentials.tokens.refresh_token {
            Some(refresh_token) => Ok(self.oauth().refresh(registration, refresh_token).await),
            None => Err(reauthorize(connection, "there is no refresh token")),
        }
    }

    async fn commit(
        &self,
        registration: Registration<'_>,
        connection: &Connection,
        credentials: &Credentials,
        epoch: i64,
        grant: &Grant,
        asked: OffsetDateTime,
    ) -> Result<()> {
        let old = Some(&credentials.tokens);
        let tokens = token_set(registration.provider, connection.grant_type, grant, old, asked);
        if !self.write(connection, epoch, &tokens, grant.scopes.as_deref()).await? {
            return Ok(());
        }
        // Only now that the tokens are safe: what they were captured with may be told anew, and must not cost them.
        if let Err(error) = self.recapture(registration, (connection, epoch), grant, &tokens).await {
            tracing::warn!(provider = %registration.provider.id(), %error, "config could not be captured anew");
        }
        Ok(())
    }

    /// Writes the answer, trying again while it is in memory: a rotated refresh token exists nowhere else. Tells whether it
    /// was still wanted.
    async fn write(
        &self,
        connection: &Connection,
        epoch: i64,
        tokens: &TokenSet,
        granted_scopes: Option<&[String]>,
    ) -> Result<bool> {
        let refreshed = RefreshedTokens { tokens, granted_scopes };
        let write = || self.store().put_refreshed(connection, epoch, &refreshed, self.now());
        match persistently(write).await {
            Ok(true) => Ok(true),
            // Deleted or connected anew while the provider was asked: what came is no longer wanted.
            Ok(false) => {
                tracing::info!(connection = %connection.row_id, "a refresh came too late for its row");
                Ok(false)
            }
            Err(error) => {
                tracing::error!(connection = %connection.row_id, "a refreshed token could not be stored");
                Err(error)
            }
        }
    }

    async fn refresh_failed(
        &self,
        connection: &Connection,
        credentials: &Credentials,
        epoch: i64,
        provider: &Provider,
        failure: Failure,
    ) -> Result<()> {
        // A client of the connection's own is the connection's fault.
        let own_client = credentials.secrets.client.is_some();
        match failure {
            // Final only for the token that was tried: under the lease nobody else can have changed it, and a new grant
            // has another epoch, so that this statement then finds nothing.
            Failure::Refused { code, .. }
                if code == "invalid_grant" || (own_client && is_of_client(&code)) =>
            {
                if self.store().put_needs_reauthorization(connection, epoch, self.now()).await? {
                    return Err(reauthorize(connection, "the provider refused to renew it"));
                }
                Ok(())
            }
            failure => Err(client_failed(failure, provider)),
        }
    }
}

/// Tries to store what exists nowhere else, as often as the lease allows, whatever the database says.
pub(super) async fn persistently<T, F: Future<Output = Result<T>>>(write: impl Fn() -> F) -> Result<T> {
    for tries in 1..COMMIT_TRIES {
        match write().await {
            Ok(done) => return Ok(done),
            Err(error @ (Error::StoreUnavailable(_) | Error::Internal(_))) => {
                tracing::warn!(%error, tries, "tokens could not be stored yet");
            }
            Err(final_error) => return Err(final_error),
        }
        sleep(POLL * 2_u32.pow(tries)).await;
    }
    write().await
}

fn not_found(connection: &Connection) -> Error {
    Error::ConnectionNotFound {
        integration: connection.integration_id.clone(),
        connection: connection.id.clone(),
    }
}

/// The shared outcome for one of those who share it.
fn copy_of(error: &Error) -> Error {
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
            reason: reason.clone(),
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
