//! Refreshing: once per expiry, across all callers of this process and all replicas.
//!
//! Callers of one connection share one task, which the server owns: it finishes though they go away. The task takes a lease
//! on the row, with a line in the journal, calls the provider without holding anything of the database, and commits under
//! what the lease gave it. Who finds the lease taken waits for the row to change.

use std::time::Duration as StdDuration;

use tokio::time::{Instant, sleep, timeout};

use super::{
    Flows,
    coalescer::copy_of,
    config::config_of,
    connection::not_found,
    failure::judge,
    heartbeat::Heartbeat,
    pause::Inquiry,
    save::SAVED_BY,
    token::{reauthorize, token_set},
    turn::{Lane, Turn},
};
use crate::{
    model::{
        Config, Connection, ConnectionState, Credentials, Defence, Error, GrantType, Integration,
        OffsetDateTime, Point, Result, TokenSet, uuid_v7,
    },
    oauth::{Failure, Grant, Registration},
    provider::SharedProvider,
    store::{AttemptOutcome, Lease},
};

/// How often a waiter looks whether another replica has finished.
pub(super) const POLL: StdDuration = StdDuration::from_millis(100);

/// How often somebody who waits for a turn looks whether it needs one still.
const LOOK: StdDuration = StdDuration::from_secs(2);

/// What one look at a row led to.
enum Step {
    Done,
    /// Somebody else has the lease.
    Wait,
    /// Too many others ask the same provider.
    LineUp(Lane),
}

/// A refresh whose lease is taken.
pub(super) struct Attempt {
    pub(super) connection: Connection,
    pub(super) credentials: Credentials,
    pub(super) integration: Integration,
    pub(super) provider: SharedProvider,
    pub(super) config: Config,
    pub(super) lease: Lease,
    _heartbeat: Heartbeat,
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
    /// Sees to it that the row has newer tokens than those that the caller saw. Who has a turn already need not wait for one.
    pub(super) async fn refreshed(
        &self,
        seen: &Connection,
        generation: i64,
        turn: Option<Turn>,
    ) -> Result<()> {
        let (flows, connection) = (self.clone(), seen.clone());
        if self.failpoints().disabled(Defence::OwnedTask) {
            return self.fly(seen, generation, turn).await;
        }
        if self.failpoints().disabled(Defence::Coalescing) {
            return self.owned(async move { flows.fly(&connection, generation, turn).await }).await;
        }
        let flight = move || async move { flows.fly(&connection, generation, turn).await };
        let outcome = self.inner.refreshes.join(&self.inner.tasks, (seen.row_id, generation), flight).await;
        outcome.map_err(|error| copy_of(&error))
    }

    /// Begins to get newer tokens than these, unless that is under way or others wait for theirs, and does not wait for them.
    pub(super) fn refresh_behind(&self, seen: &Connection, credentials: &Credentials) {
        let waits = seen.failure.as_ref().is_some_and(|failure| failure.retry_time > self.now());
        if waits || self.inner.refreshes.has((seen.row_id, credentials.generation)) {
            return;
        }
        let Ok(Some(turn)) = self.spare_turn(seen) else { return };
        let (flows, connection, generation) = (self.clone(), seen.clone(), credentials.generation);
        self.inner.tasks.spawn(async move {
            // Whoever needs the token when it has expired tries again, and is told.
            drop(flows.refreshed(&connection, generation, Some(turn)).await);
        });
    }

    /// A turn for what nobody waits for: only if there is one to spare.
    pub(super) fn spare_turn(&self, connection: &Connection) -> Result<Option<Turn>> {
        let catalog = self.catalog();
        let lane = Lane::of(catalog.get(&connection.provider_id)?, &connection.project_id);
        Ok(self.inner.turns.try_take(&lane))
    }

    /// Looks at the row until its tokens are newer, refreshing them if nobody else does.
    async fn fly(&self, seen: &Connection, generation: i64, mut turn: Option<Turn>) -> Result<()> {
        let mut place = None;
        loop {
            let found =
                self.store().get_credentials(&seen.project_id, &seen.integration_id, &seen.id).await?;
            let Some((connection, credentials)) = found.filter(|(found, _)| found.row_id == seen.row_id)
            else {
                return Err(not_found(&seen.integration_id, &seen.id));
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
                turn = None;
                sleep(POLL).await;
                continue;
            }
            let waits = connection.failure.as_ref().filter(|failure| failure.retry_time > self.now());
            if let Some(failure) = waits.filter(|_| !self.failpoints().disabled(Defence::Backoff)) {
                return Err(self.backing_off(&connection, failure));
            }
            // What is under way ends. Nothing begins that may take longer than this server has.
            if self.stopping().is_cancelled() {
                return Err(Error::ServerStopping);
            }
            match self.step(connection, credentials, turn.take()).await? {
                Step::Done => return Ok(()),
                Step::Wait => {
                    place = None;
                    sleep(POLL).await;
                }
                Step::LineUp(lane) => {
                    let waiting = place.get_or_insert_with(|| self.inner.turns.line_up(&lane));
                    let waited = self.stopping().run_until_cancelled(timeout(LOOK, waiting)).await;
                    turn = waited.and_then(std::result::Result::ok).flatten();
                    // What was read before is old by now.
                    place = place.filter(|_| turn.is_none());
                }
            }
        }
    }

    async fn step(
        &self,
        connection: Connection,
        credentials: Credentials,
        turn: Option<Turn>,
    ) -> Result<Step> {
        let (mut integration, provider) = self.asked_for(&connection, &credentials).await?;
        let shared = credentials.secrets.client.is_none() && !provider.token_host_varies();
        if shared {
            self.look_before(&integration, &provider)?;
        }
        let lane = Lane::of(&provider, &connection.project_id);
        let Some(mut turn) = turn.or_else(|| self.inner.turns.try_take(&lane)) else {
            return Ok(Step::LineUp(lane));
        };
        let Some(lease) = self.lease(&connection, &credentials).await? else { return Ok(Step::Wait) };
        let heartbeat = self.keep_alive(&connection, lease);
        if lease.interrupts && !self.failpoints().disabled(Defence::Takeover) {
            // It asks nothing of the provider meanwhile.
            drop(turn);
            if self.stored_after_all(&connection, &lease).await? {
                return Ok(Step::Wait);
            }
            let again = async {
                let turn = self.inner.turns.line_up(&lane);
                let turn = self.stopping().run_until_cancelled(turn).await.flatten();
                let turn = turn.ok_or(Error::ServerStopping)?;
                let (integration, provider) = self.asked_for(&connection, &credentials).await?;
                if shared {
                    self.look_before(&integration, &provider)?;
                }
                Ok((turn, integration))
            };
            (turn, integration) = match again.await {
                Ok(again) => again,
                Err(error) => {
                    self.give_back(&connection, &lease, None).await;
                    return Err(error);
                }
            };
        }
        // With the lease, so that whoever goes first after a pause does go.
        if shared && let Err(error) = self.admit(&integration, &provider).await {
            self.give_back(&connection, &lease, Some(AttemptOutcome::Failed)).await;
            return Err(error);
        }
        let config = config_of(&connection, &credentials);
        let attempt =
            Attempt { connection, credentials, integration, provider, config, lease, _heartbeat: heartbeat };
        self.refresh(attempt, turn).await.map(|()| Step::Done)
    }

    /// Whom a refresh asks, and as whom.
    async fn asked_for(
        &self,
        connection: &Connection,
        credentials: &Credentials,
    ) -> Result<(Integration, SharedProvider)> {
        let integration =
            self.store().get_integration_row(&connection.project_id, connection.integration_row_id).await?;
        let integration =
            integration.ok_or_else(|| Error::IntegrationNotFound(connection.integration_id.clone()))?;
        let provider = self.provider(&integration)?;
        Ok(match &credentials.secrets.client {
            Some(client) => (integration.with_client(client), provider),
            None => (integration, provider),
        })
    }

    async fn lease(&self, connection: &Connection, credentials: &Credentials) -> Result<Option<Lease>> {
        if self.failpoints().disabled(Defence::Lease) {
            let attempt = uuid_v7(self.random(), self.now())?;
            let Credentials { epoch, generation, .. } = *credentials;
            return Ok(Some(Lease { epoch, generation, attempt, interrupts: false }));
        }
        let length = self.lease_length()?;
        let replica = &self.inner.parts.replica;
        self.store().take_lease(connection, credentials, length, replica, self.now()).await
    }

    /// Gives the server whose attempt had no end the time to store its answer, if it is alive and only the database was away.
    /// Tells whether it has.
    async fn stored_after_all(&self, connection: &Connection, lease: &Lease) -> Result<bool> {
        let deadline = Instant::now() + SAVED_BY;
        loop {
            let name = (&connection.integration_id, &connection.id);
            let found = self.credentials_of(&connection.project_id, name).await;
            let same = |(found, credentials): &(Connection, Credentials)| {
                found.row_id == connection.row_id && credentials.generation == lease.generation
            };
            if found.as_ref().is_ok_and(|found| !same(found)) {
                self.give_back(connection, lease, Some(AttemptOutcome::Superseded)).await;
                return Ok(true);
            }
            // Whoever takes over from here has to wait as long.
            if let Err(error) = found {
                self.give_back(connection, lease, None).await;
                return Err(error);
            }
            if self.stopping().is_cancelled() {
                self.give_back(connection, lease, None).await;
                return Err(Error::ServerStopping);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(POLL).await;
        }
    }

    /// Gives back the lease of an attempt that has asked nothing of the provider. Without an outcome it counts as under way.
    async fn give_back(&self, connection: &Connection, lease: &Lease, outcome: Option<AttemptOutcome>) {
        if let Err(error) = self.store().release_lease(connection, lease, outcome, self.now()).await {
            tracing::warn!(connection = %connection.row_id, %error, "a lease runs out by itself");
        }
    }

    /// Calls the provider under a lease, and stores what came of it.
    async fn refresh(&self, attempt: Attempt, turn: Turn) -> Result<()> {
        self.failpoints().reached(Point::RefreshBeforeCall).await?;
        // Where its metadata name the endpoint, this may take as long as the call itself.
        let endpoints = self.oauth().endpoints(attempt.registration()).await;
        if self.stopping().is_cancelled() {
            self.give_back(&attempt.connection, &attempt.lease, Some(AttemptOutcome::Failed)).await;
            self.unasked(&Inquiry::of(&attempt)).await;
            return Err(Error::ServerStopping);
        }
        let (asked, sent) = (self.now(), endpoints.is_ok());
        let renewed = match endpoints {
            Ok(_) => self.renewed(&attempt).await,
            Err(failure) => Err(failure),
        };
        match renewed {
            Ok(grant) => {
                drop(turn);
                self.failpoints().reached(Point::RefreshAfterAnswer).await?;
                let old = Some((&attempt.credentials.tokens, attempt.connection.refresh_time));
                let grant_type = attempt.connection.grant_type;
                let asked = self.since(asked);
                let tokens = token_set(&attempt.provider, grant_type, &grant, old, asked);
                let inquiry = Inquiry::of(&attempt);
                self.save(attempt, Answer { grant, tokens, asked }).await?;
                self.reached(&inquiry, None).await;
                Ok(())
            }
            Err(failure) => {
                let own_client = attempt.credentials.secrets.client.is_some();
                let verdict = judge(&failure, &attempt.provider, own_client);
                self.reached(&Inquiry::of(&attempt), Some((&failure, &verdict))).await;
                // The next one sees whether the provider is left alone.
                drop(turn);
                self.failed(&attempt, failure, &verdict, sent).await
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
}
