//! Refreshing: once per expiry, across all callers of this process and all replicas.
//!
//! Callers of one connection share one task, which the server owns: it finishes though they go away. The task takes a lease
//! on the row, with a line in the journal, calls the provider without holding anything of the database, and commits under
//! what the lease gave it. Who finds the lease taken waits for the row to change.

use std::time::Duration as StdDuration;

use tokio::time::{Instant, sleep};

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

/// What one look at a row led to.
enum Step {
    Done,
    /// Somebody else has the lease.
    Wait,
    /// It is the row's turn, but what was read of it is old.
    Again(Turn),
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
        let outcome = self.inner.refreshes.join(&self.inner.tasks, (seen.row_id, generation), flight).await;
        outcome.map_err(|error| copy_of(&error))
    }

    /// Begins to get newer tokens than these, unless that is under way, and does not wait for them.
    pub(super) fn refresh_behind(&self, seen: &Connection, credentials: &Credentials) {
        let waits = seen.failure.as_ref().is_some_and(|failure| failure.retry_time > self.now());
        if waits || self.inner.refreshes.has((seen.row_id, credentials.generation)) {
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
        let mut turn = None;
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
                Step::Wait => sleep(POLL).await,
                Step::Again(mine) => turn = Some(mine),
            }
        }
    }

    async fn step(
        &self,
        connection: Connection,
        credentials: Credentials,
        turn: Option<Turn>,
    ) -> Result<Step> {
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
        let lane = Lane::of(&provider, &connection.project_id);
        let Some(turn) = turn.or_else(|| self.inner.turns.try_take(&lane)) else {
            return self.wait_for_turn(&lane).await.map(Step::Again);
        };
        let Some(lease) = self.lease(&connection, &credentials).await? else { return Ok(Step::Wait) };
        // With the lease, so that whoever goes first after a pause does go.
        if shared && let Err(error) = self.admit(&integration, &provider).await {
            self.give_back(&connection, &lease, AttemptOutcome::Failed).await;
            return Err(error);
        }
        let config = config_of(&connection, &credentials);
        let heartbeat = self.keep_alive(&connection, lease);
        let attempt =
            Attempt { connection, credentials, integration, provider, config, lease, _heartbeat: heartbeat };
        self.refresh(attempt, turn).await.map(|()| Step::Done)
    }

    async fn wait_for_turn(&self, lane: &Lane) -> Result<Turn> {
        let turn = self.stopping().run_until_cancelled(self.inner.turns.take(lane)).await;
        turn.flatten().ok_or(Error::ServerStopping)
    }

    async fn lease(&self, connection: &Connection, credentials: &Credentials) -> Result<Option<Lease>> {
        if self.failpoints().disabled(Defence::Lease) {
            let attempt = uuid_v7(self.random(), self.now())?;
            let Credentials { epoch, generation, .. } = *credentials;
            return Ok(Some(Lease { epoch, generation, attempt, interrupts: false }));
        }
        let length = self.lease_length()?;
        let replica = &self.inner.parts.replica;
        let taken = self.store().take_lease(connection, credentials, length, replica, self.now()).await?;
        let waits = !self.failpoints().disabled(Defence::Takeover);
        match taken {
            Some(lease) if lease.interrupts && waits && self.stored_after_all(connection, &lease).await? => {
                Ok(None)
            }
            taken => Ok(taken),
        }
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
            if !found.as_ref().is_ok_and(same) {
                self.give_back(connection, lease, AttemptOutcome::Superseded).await;
                return found.map(|_| true);
            }
            if self.stopping().is_cancelled() {
                self.give_back(connection, lease, AttemptOutcome::Failed).await;
                return Err(Error::ServerStopping);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(POLL).await;
        }
    }

    /// Ends an attempt that has asked nothing of the provider.
    async fn give_back(&self, connection: &Connection, lease: &Lease, outcome: AttemptOutcome) {
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
            self.give_back(&attempt.connection, &attempt.lease, AttemptOutcome::Failed).await;
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
