//! Revoking what nobody needs any more, through an outbox: what the provider does not take now, it is asked to take later.

use std::{
    result::Result as StdResult,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::sync::Mutex;

use super::{
    Flows,
    config::config_of,
    failure::{Verdict, judge},
    refresh::Attempt,
};
use crate::{
    model::{
        Backoff, Connection, ConnectionId, Credentials, Duration, Error, Flow, GrantType, OffsetDateTime,
        ReauthorizationReason, Result, Revocation, SecretString, TokenSet, uuid_v7,
    },
    oauth::{Failure, Registration, Revoked},
    provider::Provider,
    store::Written,
};

/// How long the provider is asked again and again.
const PATIENCE: Duration = Duration::days(7);
const BACKOFF: Backoff = Backoff { base: Duration::minutes(1), cap: Duration::hours(6) };
/// How many revocations are tried at a time.
const BATCH: usize = 8;

/// Who goes through the outbox in this server: one at a time, however many tokens come in.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    turn: Mutex<()>,
    /// Whether somebody waits for their turn, who will see what is there by then.
    awaited: AtomicBool,
}

impl Flows {
    /// What is to be revoked when this connection goes, if its provider takes revocations of its kind.
    pub(super) async fn revocation_of(
        &self,
        connection: &Connection,
        credentials: &Credentials,
    ) -> Result<Option<Revocation>> {
        let Ok(provider) = self.catalog().get(&connection.provider_id).cloned() else { return Ok(None) };
        let integration =
            self.store().get_integration_row(&connection.project_id, connection.integration_row_id).await?;
        let Some(integration) = integration else { return Ok(None) };
        // Those of a client that speaks for itself may be shared by all its connections.
        if connection.grant_type != GrantType::AuthorizationCode {
            return Ok(None);
        }
        let config = config_of(connection, credentials);
        let registration = Registration { provider: &provider, integration: &integration, config: &config };
        self.revocation(registration, &connection.id, &credentials.tokens)
    }

    fn revocation(
        &self,
        registration: Registration<'_>,
        connection_id: &ConnectionId,
        tokens: &TokenSet,
    ) -> Result<Option<Revocation>> {
        let Registration { provider, integration, config } = registration;
        if !provider.can_revoke() {
            return Ok(None);
        }
        Ok(Some(Revocation {
            id: uuid_v7(self.random(), self.now())?,
            project_id: integration.project_id.clone(),
            integration_row_id: integration.row_id,
            integration_id: integration.id.clone(),
            provider_id: integration.provider_id.clone(),
            connection_id: connection_id.clone(),
            access_token: tokens.access_token.clone(),
            refresh_token: tokens.refresh_token.clone(),
            config: config.clone(),
            client: integration.clone(),
            attempts: 0,
        }))
    }

    /// Has tokens revoked that came for a grant which had been given up in the meantime.
    pub(super) async fn discard(&self, attempt: &Attempt, tokens: &TokenSet, written: Written) {
        // The new grant may be of the same user, and end with the old one.
        let shared = written == Written::Replaced && attempt.provider.revocation_ends_all_grants();
        if !shared && attempt.connection.grant_type == GrantType::AuthorizationCode {
            self.leave_to_outbox(attempt.registration(), &attempt.connection.id, tokens).await;
        }
    }

    /// Has the tokens of a flow revoked that could not be made a connection of, unless they may be one for all that.
    pub(super) async fn give_up(
        &self,
        registration: Registration<'_>,
        flow: &Flow,
        tokens: &TokenSet,
        error: &Error,
    ) {
        if !matches!(error, Error::StoreUnavailable(_) | Error::Internal(_)) {
            self.revoke_unclaimed(registration, flow, tokens).await;
        }
    }

    /// Has the tokens of a flow revoked that are no connection's, unless that would end one.
    pub(super) async fn revoke_unclaimed(
        &self,
        registration: Registration<'_>,
        flow: &Flow,
        tokens: &TokenSet,
    ) {
        if registration.provider.revocation_ends_all_grants() {
            let name = (&flow.project_id, &flow.integration_id, &flow.connection_id);
            // The connection that was to be renewed may be of the same user.
            if !matches!(self.store().get_connection(name.0, name.1, name.2).await, Ok(None)) {
                return;
            }
        }
        self.leave_to_outbox(registration, &flow.connection_id, tokens).await;
    }

    async fn leave_to_outbox(
        &self,
        registration: Registration<'_>,
        connection_id: &ConnectionId,
        tokens: &TokenSet,
    ) {
        let noted = async {
            if let Some(revocation) = self.revocation(registration, connection_id, tokens)? {
                self.store().put_revocation(&revocation, self.now()).await?;
                self.revoke_behind(true);
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = noted.await {
            let provider = registration.provider.id();
            tracing::warn!(%provider, %error, "tokens that nobody needs are not revoked");
        }
    }

    /// Goes through the outbox without being waited for.
    pub(super) fn revoke_behind(&self, any: bool) {
        if !any || self.inner.outbox.awaited.swap(true, Ordering::SeqCst) {
            return;
        }
        let flows = self.clone();
        self.inner.tasks.spawn(async move {
            let outbox = &flows.inner.outbox;
            let _turn = outbox.turn.lock().await;
            // Before it looks: what comes from now on it may not see.
            outbox.awaited.store(false, Ordering::SeqCst);
            if let Err(error) = flows.revoke_batches().await {
                tracing::warn!(%error, "the outbox of revocations could not be gone through");
            }
        });
    }

    /// Tries the revocations that are due, a few at a time. Gives how many it tried.
    pub async fn revoke_due(&self) -> Result<usize> {
        let _turn = self.inner.outbox.turn.lock().await;
        self.revoke_batches().await
    }

    async fn revoke_batches(&self) -> Result<usize> {
        let mut all = 0;
        loop {
            let count = self.revoke_batch().await?;
            all += count;
            // A server that stops leaves the rest to others.
            if count < BATCH || self.stopping().is_cancelled() {
                return Ok(all);
            }
        }
    }

    async fn revoke_batch(&self) -> Result<usize> {
        let now = self.now();
        // As long as two refreshes: a try makes up to three calls.
        let claim = Duration::try_from(self.inner.parts.lease * 2).unwrap_or(PATIENCE);
        let claimed = self.store().claim_revocations(BATCH as u64, now, now + claim).await?;
        let count = claimed.len();
        let tried = claimed.into_iter().map(|(revocation, since)| self.try_revocation(revocation, since));
        for tried in futures::future::join_all(tried).await {
            tried?;
        }
        Ok(count)
    }

    async fn try_revocation(&self, revocation: Revocation, since: OffsetDateTime) -> Result<()> {
        let provider = &revocation.provider_id;
        let (failed, retry_after) = match self.revoke(&revocation).await? {
            Ok(done) => {
                let connection = revocation.connection_id.as_str();
                tracing::info!(%provider, connection, ?done, "tokens were revoked");
                return self.store().delete_revocation(revocation.id).await;
            }
            Err(Unrevoked { problem, retry_after }) => (problem, retry_after),
        };
        if self.now() - since > PATIENCE {
            tracing::error!(%provider, %failed, "tokens could not be revoked, and are given up");
            return self.store().delete_revocation(revocation.id).await;
        }
        tracing::warn!(%provider, %failed, attempts = revocation.attempts, "tokens could not be revoked yet");
        // Half of the span at least: nobody waits for it.
        let wait: Duration =
            BACKOFF.span(revocation.attempts) / 2 + BACKOFF.wait(revocation.attempts, self.random())? / 2;
        self.store().postpone_revocation(revocation.id, self.now() + wait.max(retry_after)).await
    }

    /// Asks the provider, with the client as it is now, or as it was if the integration is gone or has another one: what was
    /// issued to the old one is none of the new one's business, and counts as revoked already.
    async fn revoke(&self, revocation: &Revocation) -> Result<StdResult<Revoked, Unrevoked>> {
        let current = self.store().get_integration_row(&revocation.project_id, revocation.integration_row_id);
        let same = current.await?.filter(|integration| integration.client_id == revocation.client.client_id);
        let integration = same.unwrap_or_else(|| revocation.client.clone());
        let provider = match self.catalog().get(&revocation.provider_id).cloned() {
            Ok(provider) => provider,
            Err(error) => {
                return Ok(Err(Unrevoked { problem: error.to_string(), retry_after: Duration::ZERO }));
            }
        };
        let registration =
            Registration { provider: &provider, integration: &integration, config: &revocation.config };
        let mut done = self.oauth().revoke(registration, &tokens_of(revocation)).await;
        if let (Err(failure), Some(refresh_token)) = (&done, &revocation.refresh_token)
            && needs_new_token(failure, &provider)
        {
            done = self.revoke_renewed(registration, revocation, refresh_token).await;
        }
        Ok(done.map_err(Unrevoked::from))
    }

    /// Gets another access token to end the grant with: the old one has run out.
    async fn revoke_renewed(
        &self,
        registration: Registration<'_>,
        revocation: &Revocation,
        refresh_token: &SecretString,
    ) -> StdResult<Revoked, Failure> {
        let grant = match self.oauth().refresh(registration, refresh_token).await {
            Ok(grant) => grant,
            Err(failure) => {
                let verdict = judge(&failure, registration.provider, false);
                let over = verdict == Verdict::Final(ReauthorizationReason::GrantRefused);
                return if over { Ok(Revoked::Done) } else { Err(failure) };
            }
        };
        let renewed = Revocation {
            access_token: grant.access_token,
            refresh_token: grant.refresh_token.or_else(|| revocation.refresh_token.clone()),
            ..revocation.clone()
        };
        // First: the old refresh token may be worth nothing any more.
        if let Err(error) = self.store().put_revocation_tokens(&renewed).await {
            let provider = registration.provider.id();
            tracing::error!(%provider, %error, "tokens that are to be revoked could not be stored");
        }
        self.oauth().revoke(registration, &tokens_of(&renewed)).await
    }
}

/// Why tokens are not revoked yet.
struct Unrevoked {
    problem: String,
    /// How long the provider wants to be left alone at least.
    retry_after: Duration,
}

impl From<Failure> for Unrevoked {
    fn from(failure: Failure) -> Self {
        let retry_after = failure.retry_after().and_then(|wait| Duration::try_from(wait).ok());
        Self { problem: failure.to_string(), retry_after: retry_after.unwrap_or_default() }
    }
}

fn tokens_of(revocation: &Revocation) -> TokenSet {
    TokenSet {
        access_token: revocation.access_token.clone(),
        token_type: String::new(),
        expire_time: None,
        refresh_token: revocation.refresh_token.clone(),
        refresh_token_expire_time: None,
    }
}

/// Whether it failed because the access token is dead, as far as can be told: some say the same of a dead token and of a
/// wrong client, who then gets no new one either.
fn needs_new_token(failure: &Failure, provider: &Provider) -> bool {
    let refused = failure.code() == Some("invalid_token") || matches!(failure, Failure::Unauthorized);
    refused && provider.revocation_takes_access_token()
}
