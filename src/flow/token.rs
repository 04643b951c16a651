//! Handing out tokens that work now.

use std::{pin::pin, time::Duration as StdDuration};

use tokio::time::{Instant, sleep, timeout};

use super::{Flows, connection::not_found, refresh::POLL};
use crate::{
    model::{
        Connection, ConnectionId, ConnectionState, Credentials, DEFAULT_MIN_TTL, Duration, Error, GrantType,
        IntegrationId, MAX_MIN_TTL, OffsetDateTime, ProjectId, ReauthorizationReason, Result, TokenSet, Uuid,
    },
    oauth::Grant,
    provider::Provider,
};

/// How long a token counts that can be renewed, when neither the provider nor its entry says how long it lives.
const UNKNOWN_LIFETIME: Duration = Duration::hours(1);
/// How long a Get waits for a newer token while the old one still works.
const PATIENCE: StdDuration = StdDuration::from_secs(5);
/// How long before its caller gives up a Get stops waiting, so that there is time for another try, and to say what is wrong.
const HEADROOM: StdDuration = StdDuration::from_secs(1);
/// How often a Get refreshes tokens that have expired by the time they are there.
const TRIES: u32 = 4;

/// Which connection, and how fresh its token must be.
#[derive(Debug, Clone)]
pub struct GetInput {
    /// The integration.
    pub integration_id: IntegrationId,
    /// The connection.
    pub connection_id: ConnectionId,
    /// How long the token must still be valid.
    pub min_ttl: Option<Duration>,
    /// Refresh even a valid one.
    pub force_refresh: bool,
    /// When its caller gives up, if it does.
    pub deadline: Option<Instant>,
}

/// A connection, with tokens that are valid now.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The connection.
    pub connection: Connection,
    /// Its credentials.
    pub credentials: Credentials,
    /// With OAuth 1.0a: the `client_id` of the integration, which signatures name. Else empty.
    pub client_id: String,
}

impl Flows {
    /// Gets a connection with a token that is valid now, refreshing it first if it must.
    pub async fn get_token(&self, project: &ProjectId, input: &GetInput) -> Result<Granted> {
        let min_ttl = input.min_ttl.unwrap_or(DEFAULT_MIN_TTL);
        if min_ttl.is_negative() || min_ttl > MAX_MIN_TTL {
            return Err(Error::field("min_ttl", "is out of range: expected 0 seconds to 1 hour"));
        }
        let name = (&input.integration_id, &input.connection_id);
        let patient_until = self.patient_until(input.deadline);
        let (mut tries, mut first) = (0, None);
        while tries < TRIES {
            match self.try_token(project, name, min_ttl, input.force_refresh.then_some(&mut first)).await {
                Ok(Some(granted)) => return Ok(granted),
                Ok(None) => tries += 1,
                Err(Error::ProviderUnavailable { retry_after: Some(wait), .. })
                    if Instant::now() + wait.max(POLL) <= patient_until =>
                {
                    let waited = self.stopping().run_until_cancelled(sleep(wait.max(POLL))).await;
                    waited.ok_or(Error::ServerStopping)?;
                }
                Err(error) => return Err(error),
            }
        }
        let provider = self.credentials_of(project, name).await?.0.provider_id;
        let problem = "its tokens expire before they arrive".to_owned();
        Err(Error::ProviderUnavailable { provider, problem, retry_after: None })
    }

    /// How long a Get waits for a provider that is left alone for a moment, instead of sending its caller away to come again:
    /// no longer than the caller does.
    fn patient_until(&self, deadline: Option<Instant>) -> Instant {
        let end = Instant::now() + self.inner.parts.patience;
        deadline.map_or(end, |deadline| end.min(deadline.checked_sub(HEADROOM).unwrap_or(deadline)))
    }

    /// Gets a token that fits. Nothing: it has been refreshed, and the one that came has expired already.
    async fn try_token(
        &self,
        project: &ProjectId,
        name: (&IntegrationId, &ConnectionId),
        min_ttl: Duration,
        forced: Option<&mut Option<(Uuid, i64)>>,
    ) -> Result<Option<Granted>> {
        let (connection, credentials) = self.credentials_of(project, name).await?;
        // Newer ones than the call found are what it wants.
        let seen = (connection.row_id, credentials.generation);
        let forced = forced.is_some_and(|first| *first.get_or_insert(seen) == seen);
        if connection.state == ConnectionState::NeedsReauthorization {
            return Err(reauthorize(&connection));
        }
        let (tokens, now) = (&credentials.tokens, self.now());
        if tokens.valid_for(min_ttl, connection.refresh_time, now) && !forced {
            // Served at once; the next one is fetched behind the caller's back.
            let late = tokens.in_last_stretch(connection.refresh_time, now);
            if late && credentials.renewable(connection.grant_type) {
                self.refresh_behind(&connection, &credentials);
            }
            return self.granted(connection, credentials).await.map(Some);
        }
        if !credentials.renewable(connection.grant_type) {
            return self.without_refresh(connection, credentials, forced).await.map(Some);
        }
        // Better than nothing, unless it was refused already.
        let serves = || tokens.valid(self.now()) && !forced;
        if !self.renewed_for(&connection, credentials.generation, serves).await? {
            return self.granted(connection, credentials).await.map(Some);
        }
        let (connection, credentials) = self.credentials_of(project, name).await?;
        if connection.state == ConnectionState::NeedsReauthorization {
            return Err(reauthorize(&connection));
        }
        if !credentials.tokens.valid(self.now()) {
            return Ok(None);
        }
        self.granted(connection, credentials).await.map(Some)
    }

    /// Gets newer tokens than these. While the old one serves, not at any price: tells whether there are some.
    async fn renewed_for(
        &self,
        connection: &Connection,
        generation: i64,
        old_serves: impl Fn() -> bool,
    ) -> Result<bool> {
        let mut refreshed = pin!(self.refreshed(connection, generation, None));
        let outcome = match timeout(PATIENCE, &mut refreshed).await {
            Err(_) if old_serves() => return Ok(false),
            Err(_) => refreshed.await,
            Ok(outcome) => outcome,
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(error @ (Error::NeedsReauthorization { .. } | Error::ConnectionNotFound { .. })) => {
                Err(error)
            }
            Err(error) if old_serves() => {
                let row = connection.row_id;
                tracing::debug!(connection = %row, %error, "the old token is served, as there is no newer one");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn credentials_of(
        &self,
        project: &ProjectId,
        (integration, id): (&IntegrationId, &ConnectionId),
    ) -> Result<(Connection, Credentials)> {
        let found = self.store().get_credentials(project, integration, id).await?;
        let (connection, mut credentials) = found.ok_or_else(|| not_found(integration, id))?;
        self.inner.unsaved.overlay(connection.row_id, &mut credentials);
        Ok((connection, credentials))
    }

    async fn granted(&self, connection: Connection, credentials: Credentials) -> Result<Granted> {
        let mut client_id = String::new();
        if connection.grant_type == GrantType::OAuth1 {
            client_id =
                self.integration_of(&connection.project_id, &connection.integration_id).await?.client_id;
        }
        Ok(Granted { connection, credentials, client_id })
    }

    async fn without_refresh(
        &self,
        connection: Connection,
        credentials: Credentials,
        forced: bool,
    ) -> Result<Granted> {
        let expired = !credentials.tokens.valid(self.now());
        if expired {
            self.store().put_expired(&connection, &credentials, self.now()).await?;
        }
        if forced || expired {
            return Err(reauthorize(&Connection {
                reason: Some(ReauthorizationReason::CredentialsExpired),
                ..connection
            }));
        }
        self.granted(connection, credentials).await
    }
}

/// The grant of this connection is gone.
pub(super) fn reauthorize(connection: &Connection) -> Error {
    Error::NeedsReauthorization {
        integration: connection.integration_id.clone(),
        connection: connection.id.clone(),
        // Rows of an earlier release have none.
        reason: connection.reason.unwrap_or(ReauthorizationReason::GrantRefused),
    }
}

/// The tokens of a grant, with their times; `old` are those that they replace, and when those came.
///
/// Lifetimes count from when the request was sent, so that the answer's way does not make a token look younger. Absent
/// `refresh_token` means that the old one stays (RFC 6749, section 6), with a new life if the answer says so; absent
/// `expires_in` never means for ever when there is a way to renew.
pub(super) fn token_set(
    provider: &Provider,
    grant_type: GrantType,
    grant: &Grant,
    old: Option<(&TokenSet, OffsetDateTime)>,
    asked: OffsetDateTime,
) -> TokenSet {
    let seconds = |seconds: u32| Duration::seconds(seconds.into());
    let said = grant.refresh_token_expires_in.filter(|lifetime| lifetime.is_positive());
    let said = said.map(|lifetime| asked + lifetime);
    let (refresh_token, refresh_token_expire_time) = if let Some(token) = &grant.refresh_token {
        let default = || provider.refresh_token_expires_in().map(|lifetime| asked + seconds(lifetime));
        (Some(token.clone()), said.or_else(default))
    } else {
        let old = old.and_then(|(old, _)| Some((old.refresh_token.clone()?, old.refresh_token_expire_time)));
        // What is said then is said of the old one, which lives on.
        old.map(|(token, end)| (Some(token), said.or(end))).unwrap_or_default()
    };
    let renewable = refresh_token.is_some() || grant_type == GrantType::ClientCredentials;
    let like_the_last = || old.and_then(|(old, came)| Some(old.expire_time? - came));
    let guess = || {
        let default = provider.default_expires_in().map(seconds);
        let guess = default.or_else(like_the_last).filter(|lifetime| lifetime.is_positive());
        guess.or(Some(UNKNOWN_LIFETIME)).filter(|_| renewable)
    };
    TokenSet {
        access_token: grant.access_token.clone(),
        token_type: grant.token_type.clone(),
        expire_time: grant.lifetime(asked).or_else(guess).map(|lifetime| asked + lifetime),
        refresh_token,
        refresh_token_expire_time,
    }
}
