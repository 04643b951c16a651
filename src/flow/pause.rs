//! Leaving a provider alone that does not help: a circuit breaker for each integration, which all replicas share.
//!
//! A few failures in a row of more than one connection, a `Retry-After`, or a refused client open it: the integration's row
//! then says until when. After that, one refresh goes first, and what comes of it decides for all.
//!
//! It is for those who ask the same host as the same client. Where the host is the connection's own, or the client is, the
//! connection's own back-off is all there is.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration as StdDuration,
};

use super::{
    Flows,
    failure::{Verdict, judge},
    refresh::Attempt,
    setback::until,
};
use crate::{
    model::{Backoff, Breaker, ClientFailure, Defence, Duration, Error, Integration, Result, Uuid},
    oauth::{Failure, Registration},
    provider::Provider,
};

/// How many transient failures in a row open the breaker.
const THRESHOLD: u32 = 5;
/// How long it stays open.
const PAUSE: Backoff = Backoff { base: Duration::seconds(2), cap: Duration::minutes(2) };
/// How long the first one after that has, before another one may try.
const PROBE: Duration = Duration::seconds(30);
/// When to look again whether the first one has come back.
const PROBE_POLL: StdDuration = StdDuration::from_millis(250);

/// Failures in a row, by the integration's row.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    counts: Mutex<HashMap<Uuid, Count>>,
}

#[derive(Debug)]
struct Count {
    strikes: u32,
    /// Whose was the first.
    connection: Uuid,
    /// Whether there are some of others.
    several: bool,
}

/// What the breaker has to know of a refresh.
#[derive(Debug)]
pub(super) struct Inquiry {
    integration: Integration,
    connection: Uuid,
    own_client: bool,
    own_host: bool,
}

// === impl Strikes ===

impl Strikes {
    /// Counts a failure. Tells whether there are enough: those of one connection alone never are, since it may be what is wrong.
    fn add(&self, integration: Uuid, connection: Uuid) -> bool {
        let mut counts = self.lock();
        let count = counts.entry(integration).or_insert(Count { strikes: 0, connection, several: false });
        count.strikes += 1;
        count.several |= count.connection != connection;
        count.several && count.strikes >= THRESHOLD
    }

    fn clear(&self, integration: Uuid) {
        self.lock().remove(&integration);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inquiry ===

impl Inquiry {
    /// Whoever has taken this lease.
    pub(super) fn of(attempt: &Attempt) -> Self {
        Self {
            integration: attempt.integration.clone(),
            connection: attempt.connection.row_id,
            own_client: attempt.credentials.secrets.client.is_some(),
            own_host: attempt.provider.token_host_varies(),
        }
    }
}

// === impl Flows ===

impl Flows {
    /// Refuses a refresh while the integration's provider is to be left alone. Changes nothing.
    pub(super) fn look_before(&self, integration: &Integration, provider: &Provider) -> Result<()> {
        let now = self.now();
        let breaker = integration.breaker;
        match breaker.until {
            Some(end) if end > now && !self.failpoints().disabled(Defence::Backoff) => {
                // What is further away is a pause of a server that knows no probes.
                let probing = breaker.probing && end - now <= PROBE;
                let wait = if probing { Some(PROBE_POLL) } else { until(end, now) };
                Err(paused(integration, provider, wait))
            }
            _ => Ok(()),
        }
    }

    /// Lets a refresh through that has its lease: after a pause, whoever comes first.
    pub(super) async fn admit(&self, integration: &Integration, provider: &Provider) -> Result<()> {
        if integration.breaker.until.is_none() || self.failpoints().disabled(Defence::Backoff) {
            return Ok(());
        }
        // The pause is over: whoever moves its end goes first.
        let probe = Breaker { until: Some(self.now() + PROBE), probing: true, ..integration.breaker };
        if self.store().put_breaker(integration, probe, integration.failure.as_ref()).await? {
            return Ok(());
        }
        Err(paused(integration, provider, Some(PROBE_POLL)))
    }

    /// Takes note of how a provider has answered. Best effort: the connections have back-offs of their own.
    pub(super) async fn reached(&self, inquiry: &Inquiry, failed: Option<(&Failure, &Verdict)>) {
        if inquiry.own_client {
            return;
        }
        let integration = &inquiry.integration;
        let noted = match failed {
            // What one host says is nothing to those of the others; but they all know one client.
            Some((_, Verdict::Transient(_))) if inquiry.own_host => Ok(()),
            Some((_, Verdict::Client(code))) if inquiry.own_host => self.marked(integration, code).await,
            Some((Failure::Unsent { .. } | Failure::Barred, _)) => self.not_asked(integration).await,
            Some((failure, Verdict::Transient(_))) => self.struck(inquiry, failure, None).await,
            Some((failure, Verdict::Client(code))) => self.struck(inquiry, failure, Some(code)).await,
            // Even a no is an answer.
            Some((_, Verdict::Final(_) | Verdict::Unknown)) | None => self.answered(integration).await,
        };
        if let Err(error) = noted {
            could_not_note(integration, &error);
        }
    }

    /// Takes note of what a first grant says of the integration's client: a code, an import, a request token. Best effort, too.
    ///
    /// Anybody's browser can bring about that a code is refused. So no breaker opens here, and what a host says counts only if no
    /// config has chosen it. A success proves the client, but is no answer to a provider's wish to be left alone.
    pub(super) async fn client_met(&self, registration: Registration<'_>, failure: Option<&Failure>) {
        let Registration { integration, provider, .. } = registration;
        let refused = |failure| match judge(failure, provider, false) {
            // The other one may be about this kind of grant alone (RFC 6749, section 5.2).
            Verdict::Client(code) if code != "unauthorized_client" => Some(code),
            _ => None,
        };
        let chosen = provider.token_host_varies() && !matches!(failure, Some(Failure::Unusable { .. }));
        let noted = match failure.map(refused) {
            None if integration.failure.is_some() => self.unmarked(integration).await,
            Some(Some(code)) if !chosen => self.marked(integration, &code).await,
            _ => Ok(()),
        };
        if let Err(error) = noted {
            could_not_note(integration, &error);
        }
    }

    async fn answered(&self, integration: &Integration) -> Result<()> {
        self.inner.strikes.clear(integration.row_id);
        if (integration.breaker.until.is_some() || integration.failure.is_some())
            && let Some(seen) = self.as_it_is(integration).await?
        {
            self.store().put_breaker(&seen, Breaker::default(), None).await?;
        }
        Ok(())
    }

    /// The client was taken, and with that a pause for its refusal is over.
    async fn unmarked(&self, integration: &Integration) -> Result<()> {
        if let Some(seen) = self.as_it_is(integration).await? {
            let breaker = if seen.breaker.of_client { Breaker::default() } else { seen.breaker };
            self.store().put_breaker(&seen, breaker, None).await?;
        }
        Ok(())
    }

    /// Takes note that a refresh ended before it asked. Best effort.
    pub(super) async fn unasked(&self, inquiry: &Inquiry) {
        if !inquiry.own_client
            && !inquiry.own_host
            && let Err(error) = self.not_asked(&inquiry.integration).await
        {
            could_not_note(&inquiry.integration, &error);
        }
    }

    /// Who was to go first has not gone: the next one may.
    async fn not_asked(&self, integration: &Integration) -> Result<()> {
        if integration.breaker.until.is_some()
            && let Some(seen) = self.as_it_is(integration).await?.filter(|seen| seen.breaker.probing)
        {
            self.store().put_breaker(&seen, integration.breaker, seen.failure.as_ref()).await?;
        }
        Ok(())
    }

    /// The client was refused, where others may not refuse it: the integration is not left alone for that.
    async fn marked(&self, integration: &Integration, code: &str) -> Result<()> {
        let seen = self.as_it_is(integration).await?;
        let news = |seen: &Integration| seen.failure.as_ref().is_none_or(|known| known.code != code);
        if let Some(seen) = seen.filter(news) {
            let failure = self.client_failure(&seen, code);
            self.store().put_breaker(&seen, seen.breaker, Some(&failure)).await?;
        }
        Ok(())
    }

    async fn struck(&self, inquiry: &Inquiry, failure: &Failure, client_code: Option<&String>) -> Result<()> {
        let integration = &inquiry.integration;
        let strikes = self.inner.strikes.add(integration.row_id, inquiry.connection);
        let asked = failure.retry_after();
        let enough = strikes || asked.is_some() || client_code.is_some();
        if !enough && integration.breaker.until.is_none() {
            return Ok(());
        }
        let Some(seen) = self.as_it_is(integration).await? else { return Ok(()) };
        let opened = self.opened(integration, &seen, asked)?;
        let breaker = Breaker { of_client: opened.of_client || client_code.is_some(), ..opened };
        // That it cannot be reached does not say that it would take the client again.
        let failure =
            client_code.map(|code| self.client_failure(&seen, code)).or_else(|| seen.failure.clone());
        self.store().put_breaker(&seen, breaker, failure.as_ref()).await?;
        Ok(())
    }

    /// The breaker after a failure of somebody who went by `before`.
    fn opened(
        &self,
        before: &Integration,
        seen: &Integration,
        asked: Option<StdDuration>,
    ) -> Result<Breaker> {
        let now = self.now();
        // Those who were under way together fail together: that is one pause, and as long as the longest wish.
        let again = seen.breaker.until.filter(|end| *end > now && seen.breaker.until != before.breaker.until);
        if let Some(end) = again.filter(|_| !seen.breaker.probing) {
            let asked = Duration::try_from(asked.unwrap_or_default()).unwrap_or_default();
            return Ok(Breaker { until: Some(end.max(now + asked)), ..seen.breaker });
        }
        let pauses = seen.breaker.pauses + 1;
        let wait = PAUSE.wait_at_least(pauses, asked, self.random())?;
        Ok(Breaker { until: Some(now + wait), pauses, probing: false, of_client: false })
    }

    async fn as_it_is(&self, integration: &Integration) -> Result<Option<Integration>> {
        self.store().get_integration_row(&integration.project_id, integration.row_id).await
    }

    fn client_failure(&self, seen: &Integration, code: &str) -> ClientFailure {
        let since = seen.failure.as_ref().map_or(self.now(), |failure| failure.since);
        ClientFailure { code: code.to_owned(), since }
    }
}

fn could_not_note(integration: &Integration, error: &Error) {
    tracing::warn!(integration = %integration.row_id, %error, "a provider's state could not be noted");
}

/// The provider is left alone.
fn paused(integration: &Integration, provider: &Provider, retry_after: Option<StdDuration>) -> Error {
    let provider = provider.id().clone();
    match &integration.failure {
        Some(failure) if integration.breaker.of_client => {
            Error::ClientRejected { provider, code: failure.code.clone(), description: None }
        }
        _ => Error::ProviderUnavailable {
            provider,
            problem: "it has failed several times in a row, and is left alone for a moment".to_owned(),
            retry_after,
        },
    }
}
