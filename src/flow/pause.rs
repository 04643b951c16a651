//! Leaving a provider alone that does not help: a circuit breaker for each integration, which all replicas share.
//!
//! A few failures in a row, a `Retry-After`, or a refused client open it: the integration's row then says until when. After
//! that, one refresh goes first, and what comes of it decides for all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration as StdDuration,
};

use super::{Flows, failure::Verdict, refresh::until};
use crate::{
    model::{Backoff, ClientFailure, Defence, Duration, Error, Integration, Result, Uuid},
    oauth::Failure,
    provider::Provider,
};

/// How many transient failures in a row open the breaker.
const THRESHOLD: u32 = 5;
/// How long it stays open.
const PAUSE: Backoff = Backoff { base: Duration::seconds(2), cap: Duration::minutes(2) };
/// How long the first one after that has, before another one may try.
const PROBE: Duration = Duration::seconds(30);

/// Failures in a row, by the integration's row.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    counts: Mutex<HashMap<Uuid, u32>>,
}

// === impl Strikes ===

impl Strikes {
    fn add(&self, integration: Uuid) -> u32 {
        let mut counts = self.lock();
        let count = counts.entry(integration).or_default();
        *count += 1;
        *count
    }

    fn clear(&self, integration: Uuid) {
        self.lock().remove(&integration);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Flows ===

impl Flows {
    /// Lets a refresh through, unless the integration's provider is to be left alone.
    pub(super) async fn admit(&self, integration: &Integration, provider: &Provider) -> Result<()> {
        let Some(pause_until) = integration.pause_until else { return Ok(()) };
        if self.failpoints().disabled(Defence::Backoff) {
            return Ok(());
        }
        let now = self.now();
        if pause_until > now {
            return Err(paused(integration, provider, until(pause_until, now)));
        }
        // The pause is over: whoever moves its end goes first.
        let failure = integration.failure.as_ref();
        let probe = self.store().put_pause(integration, Some(now + PROBE), integration.pauses, failure);
        if probe.await? {
            return Ok(());
        }
        Err(paused(integration, provider, until(now + Duration::SECOND, now)))
    }

    /// Takes note of how a provider has answered. Best effort: the connections have back-offs of their own.
    pub(super) async fn reached(&self, integration: &Integration, failed: Option<(&Failure, &Verdict)>) {
        let noted = match failed {
            Some((failure, Verdict::Transient(_))) => self.struck(integration, failure, None).await,
            Some((failure, Verdict::Client(code))) => self.struck(integration, failure, Some(code)).await,
            // Even a no is an answer.
            Some((_, Verdict::Final(_) | Verdict::Unknown)) | None => self.answered(integration).await,
        };
        if let Err(error) = noted {
            tracing::warn!(integration = %integration.row_id, %error, "a provider's state could not be noted");
        }
    }

    async fn answered(&self, integration: &Integration) -> Result<()> {
        self.inner.strikes.clear(integration.row_id);
        if integration.pause_until.is_some() || integration.failure.is_some() {
            let seen = self.store().get_integration_row(&integration.project_id, integration.row_id).await?;
            if let Some(seen) = seen {
                self.store().put_pause(&seen, None, 0, None).await?;
            }
        }
        Ok(())
    }

    async fn struck(
        &self,
        integration: &Integration,
        failure: &Failure,
        client_code: Option<&String>,
    ) -> Result<()> {
        let strikes = self.inner.strikes.add(integration.row_id);
        let asked = failure.retry_after();
        let enough = strikes >= THRESHOLD || asked.is_some() || client_code.is_some();
        if !enough && integration.pause_until.is_none() {
            return Ok(());
        }
        let seen = self.store().get_integration_row(&integration.project_id, integration.row_id).await?;
        let Some(seen) = seen else { return Ok(()) };
        let pauses = seen.pauses + 1;
        let pause_until = self.now() + PAUSE.wait_at_least(pauses, asked, self.random())?;
        let failure = client_code.map(|code| ClientFailure {
            code: code.clone(),
            since: seen.failure.as_ref().map_or(self.now(), |failure| failure.since),
        });
        self.store().put_pause(&seen, Some(pause_until), pauses, failure.as_ref()).await?;
        Ok(())
    }
}

/// The provider is left alone.
fn paused(integration: &Integration, provider: &Provider, retry_after: Option<StdDuration>) -> Error {
    let provider = provider.id().clone();
    match &integration.failure {
        Some(failure) => Error::ClientRejected { provider, code: failure.code.clone(), description: None },
        None => Error::ProviderUnavailable {
            provider,
            problem: "it has failed several times in a row, and is left alone for a moment".to_owned(),
            retry_after,
        },
    }
}
