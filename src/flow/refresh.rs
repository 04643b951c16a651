//! Refreshing: once per expiry, across all callers of this process and all replicas.
//!
//! Callers of one connection share one task, which the server owns: it finishes though they go away. The task takes a lease
//! on the row, with a line in the journal, calls the provider without holding anything of the database, and commits under
//! what the lease gave it. Who finds the lease taken waits for the row to change.

use std::time::Duration as StdDuration;

use tokio::time::sleep;

use super::{
    Flows,
    coalescer::copy_of,
    config::config_of,
    failure::{Verdict, judge, refresh_failed},
    pause::Asker,
    token::{reauthorize, token_set},
};
use crate::{
    model::{
        Backoff, Config, Connection, ConnectionState, Credentials, Defence, Duration, Error, FailureKind,
        GrantType, Integration, OffsetDateTime, Point, ReauthorizationReason, RefreshFailure, Result,
        TokenSet, uuid_v7,
    },
    oauth::{Failure, Grant, Registration},
    provider::SharedProvider,
    store::{AttemptOutcome, Lease, Setback},
};

/// How often a waiter looks whether another replica has finished.
pub(super) const POLL: StdDuration = StdDuration::from_millis(100);
/// How long a connection is left alone after its refresh has failed, unless the provider says more.
const BACKOFF: Backoff = Backoff { base: Duration::seconds(1), cap: Duration::minutes(5) };

/// What one look at a row led to.
enum Step {
    Done,
    Wait,
}

/// A refresh whose lease is taken.
pub(super) struct Attempt {
    pub(super) connection: Connection,
    pub(super) credentials: Credentials,
    pub(super) integration: Integration,
    pub(super) provider: SharedProvider,
    pub(super) config: Config,
    pub(super) lease: Lease,
}

/// What it has brought.
pub(super) struct Answer {
    pub(super) grant: Grant,
    pub(super) tokens: TokenSet,
    pub(super) asked: OffsetDateTime,
}

// === impl Attempt ===

impl Attempt {
    /// Whom it asks, and for whom.
    pub(super) fn registration(&self) -> Registration<'_> {
        Registration { provider: &self.provider, integration: &self.integration, config: &self.config }
    }
}

// === impl Flows ===

impl Flows {
    /// Sees to it that the row has newer tokens than those that the caller saw.
    pub(super) async fn refreshed(&self, seen: &Connection, generation: i64) -> Result<()> {
        let (flows, connection) = (self.clone(), seen.clone());
        if self.failpoints().disabled(Defence::OwnedTask) {
            return self.fly(seen, generation).await;
        }
        if self.failpoints().disabled(Defence::Coalescing) {
            return self.owned(async move { flows.fly(&connection, generation).await }).await;
        }
        let flight = move || async move { flows.fly(&connection, generation).await };
        let outcome = self.inner.refreshes.join(&self.inner.tasks, seen.row_id, flight).await;
        outcome.map_err(|error| copy_of(&error))
    }

    /// Begins to get newer tokens than these, unless that is under way, and does not wait for them.
    pub(super) fn refresh_behind(&self, seen: &Connection, credentials: &Credentials) {
        let waits = seen.failure.as_ref().is_some_and(|failure| failure.retry_time > self.now());
        if waits || self.inner.refreshes.has(seen.row_id) {
            return;
        }
        let (flows, connection, generation) = (self.clone(), seen.clone(), credentials.generation);
        self.inner.tasks.spawn(async move {
            // Whoever needs the token when it has expired tries again, and is told.
            drop(flows.refreshed(&connection, generation).await);
        });
    }

    /// Looks at the row until its tokens are newer, refreshing them if nobody else does.
    async fn fly(&self, seen: &Connection, generation: i64) -> Result<()> {
        loop {
            let found =
                self.store().get_credentials(&seen.project_id, &seen.integration_id, &seen.id).await?;
            let Some((connection, credentials)) = found.filter(|(found, _)| found.row_id == seen.row_id)
            else {
                return Err(not_found(seen));
            };
            if connection.state == ConnectionState::NeedsReauthorization {
                return Err(reauthorize(&connection));
            }
            if credentials.generation != generation {
                return Ok(());
            }
            if let Some(unsaved) = self.inner.unsaved.get(seen.row_id, generation) {
                if unsaved.valid(self.now()) {
                    return Ok(());
                }
                // The next refresh takes the token that is not stored yet.
                sleep(POLL).await;
                continue;
            }
            let waits = connection.failure.as_ref().filter(|failure| failure.retry_time > self.now());
            if let Some(failure) = waits.filter(|_| !self.failpoints().disabled(Defence::Backoff)) {
                return Err(self.backing_off(&connection, failure));
            }
            match self.step(connection, credentials).await? {
                Step::Done => return Ok(()),
                Step::Wait => sleep(POLL).await,
            }
        }
    }

    async fn step(&self, connection: Connection, credentials: Credentials) -> Result<Step> {
        let integration =
            self.store().get_integration_row(&connection.project_id, connection.integration_row_id).await?;
        let integration =
            integration.ok_or_else(|| Error::IntegrationNotFound(connection.integration_id.clone()))?;
        let provider = self.provider(&integration)?;
        let integration = match &credentials.secrets.client {
            Some(client) => integration.with_client(client),
            None => integration,
        };
        let shared = credentials.secrets.client.is_none() && !provider.token_host_varies();
        if shared {
            self.look_before(&integration, &provider)?;
        }
        let Some(lease) = self.lease(&connection, &credentials, &integration).await? else {
            return Ok(Step::Wait);
        };
        // With the lease, so that whoever goes first after a pause does go.
        if shared && let Err(error) = self.admit(&integration, &provider).await {
            self.not_used(&connection, &lease).await;
            return Err(error);
        }
        let config = config_of(&connection, &credentials);
        let attempt = Attempt { connection, credentials, integration, provider, config, lease };
        self.refresh(attempt).await.map(|()| Step::Done)
    }

    /// Gives a lease back under which nothing was asked.
    async fn not_used(&self, connection: &Connection, lease: &Lease) {
        let released = self.store().release_lease(connection, lease, AttemptOutcome::Failed, self.now());
        if let Err(error) = released.await {
            // The lease runs out by itself.
            tracing::warn!(connection = %connection.row_id, %error, "a lease could not be given back");
        }
    }

    async fn lease(
        &self,
        connection: &Connection,
        credentials: &Credentials,
        integration: &Integration,
    ) -> Result<Option<Lease>> {
        if self.failpoints().disabled(Defence::Lease) {
            let attempt = uuid_v7(self.random(), self.now())?;
            let Credentials { epoch, generation, .. } = *credentials;
            return Ok(Some(Lease { epoch, generation, attempt }));
        }
        let length = self.inner.parts.lease + self.oauth().further_tries(integration);
        let length = Duration::try_from(length).map_err(Error::internal)?;
        self.store().take_lease(connection, credentials, length, &self.inner.parts.replica, self.now()).await
    }

    /// Calls the provider under a lease, and stores what came of it.
    async fn refresh(&self, attempt: Attempt) -> Result<()> {
        self.failpoints().reached(Point::RefreshBeforeCall).await?;
        let asked = self.now();
        match self.renewed(&attempt).await {
            Ok(grant) => {
                self.failpoints().reached(Point::RefreshAfterAnswer).await?;
                let old = Some((&attempt.credentials.tokens, attempt.connection.refresh_time));
                let grant_type = attempt.connection.grant_type;
                let tokens = token_set(&attempt.provider, grant_type, &grant, old, asked);
                let asker = Asker::of(&attempt);
                self.save(attempt, Answer { grant, tokens, asked }).await?;
                self.reached(&asker, None).await;
                Ok(())
            }
            Err(failure) => {
                let own_client = attempt.credentials.secrets.client.is_some();
                let verdict = judge(&failure, &attempt.provider, own_client);
                self.reached(&Asker::of(&attempt), Some((&failure, &verdict))).await;
                self.failed(&attempt, failure, &verdict).await
            }
        }
    }

    /// Asks the provider for new tokens, in the way of the connection's grant.
    async fn renewed(&self, attempt: &Attempt) -> std::result::Result<Grant, Failure> {
        let registration = attempt.registration();
        let Credentials { tokens, secrets, .. } = &attempt.credentials;
        if attempt.connection.grant_type == GrantType::ClientCredentials {
            return self.oauth().client_credentials(registration, &secrets.asked_scopes).await;
        }
        match &tokens.refresh_token {
            Some(refresh_token) => self.oauth().refresh(registration, refresh_token).await,
            // Nobody begins what cannot be renewed.
            None => Err(Failure::Unsent { problem: "there is no refresh token".to_owned() }),
        }
    }

    async fn failed(&self, attempt: &Attempt, failure: Failure, verdict: &Verdict) -> Result<()> {
        let Attempt { connection, lease, provider, .. } = attempt;
        if let Verdict::Final(reason) = verdict {
            let reason = self.known_reason(attempt, *reason).await?;
            let lease = &self.lease_of_refusal(attempt).await?;
            if self.store().put_needs_reauthorization(connection, lease, reason, self.now()).await? {
                let ended = Connection { reason: Some(reason), ..connection.clone() };
                return Err(reauthorize(&ended));
            }
            // Somebody has brought a newer token in the meantime.
            return Ok(());
        }
        let count = connection.failure.as_ref().map_or(0, |failure| failure.count) + 1;
        let wait = match verdict {
            // The integration is left alone for that, and its correction is to help at once.
            Verdict::Client(_) if !provider.token_host_varies() => Duration::ZERO,
            _ => BACKOFF.wait_at_least(count, failure.retry_after(), self.random())?,
        };
        let setback = Setback {
            kind: verdict.kind(),
            oauth_error: failure.code().map(str::to_owned),
            outcome: if failure.is_unclear() { AttemptOutcome::Unanswered } else { AttemptOutcome::Failed },
            retry_time: self.now() + wait,
        };
        if let Err(error) = self.store().put_refresh_failure(connection, lease, &setback, self.now()).await {
            // The lease runs out by itself.
            tracing::warn!(connection = %connection.row_id, %error, "a failed refresh could not be noted");
        }
        Err(refresh_failed(failure, verdict, provider, wait))
    }

    /// The lease under which a refusal counts: that of the token which was refused.
    async fn lease_of_refusal(&self, attempt: &Attempt) -> Result<Lease> {
        if !self.failpoints().disabled(Defence::Reread) {
            return Ok(attempt.lease);
        }
        let name = (&attempt.connection.integration_id, &attempt.connection.id);
        let (_, now) = self.credentials_of(&attempt.connection.project_id, name).await?;
        Ok(Lease { epoch: now.epoch, ..attempt.lease })
    }

    /// A refused refresh token may be one that the provider has replaced by a token that never arrived.
    async fn known_reason(
        &self,
        attempt: &Attempt,
        reason: ReauthorizationReason,
    ) -> Result<ReauthorizationReason> {
        let on_record = !self.failpoints().disabled(Defence::Journal);
        let refused = reason == ReauthorizationReason::GrantRefused && on_record;
        if refused && self.store().was_unclear(&attempt.connection, attempt.lease.generation).await? {
            return Ok(ReauthorizationReason::RotationLost);
        }
        Ok(reason)
    }

    /// The provider is not asked yet again.
    fn backing_off(&self, connection: &Connection, failure: &RefreshFailure) -> Error {
        let provider = connection.provider_id.clone();
        let problem = "its last answers were no help, and it is left alone for a moment".to_owned();
        match failure.kind {
            FailureKind::ProviderUnavailable => Error::ProviderUnavailable {
                provider,
                problem,
                retry_after: until(failure.retry_time, self.now()),
            },
            FailureKind::ProviderResponseInvalid => Error::ProviderResponseInvalid { provider, problem },
            FailureKind::ClientRejected => Error::ClientRejected {
                provider,
                code: failure.oauth_error.clone().unwrap_or_else(|| "invalid_client".to_owned()),
                description: Some(problem),
            },
        }
    }
}

/// How long it is until then.
pub(super) fn until(time: OffsetDateTime, now: OffsetDateTime) -> Option<StdDuration> {
    StdDuration::try_from(time - now).ok()
}

fn not_found(connection: &Connection) -> Error {
    Error::ConnectionNotFound {
        integration: connection.integration_id.clone(),
        connection: connection.id.clone(),
    }
}
