//! How long an access token lives: as the answer says, as it says itself, or as its server says when asked (RFC 7662).

use std::time::Duration as StdDuration;

use oauth2::http::StatusCode;
use serde_json::{Map, Value};

use super::{
    Failure, Grant, OAuthClient, Registration,
    jwt::{jwt_expiry, numeric_date},
    response::{MAX_LIFETIME_SECONDS, refused},
};
use crate::model::{Duration, OffsetDateTime, SecretString};

/// How long an introspection may take while a new token waits to be stored.
const INTROSPECTION_TIMEOUT: StdDuration = StdDuration::from_secs(3);

/// What a server says of a token (RFC 7662, section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introspection {
    /// Whether it is alive.
    pub active: bool,
    /// When it ends, if the server says so.
    pub expire_time: Option<OffsetDateTime>,
}

// === impl OAuthClient ===

impl OAuthClient {
    /// How long a new access token lives, counted from when it was asked for; `None` if nobody says.
    ///
    /// The answer comes first, then what the token says if it is a JWT, then introspection where the entry declares it. A
    /// failed introspection is logged, and says nothing: the token is good.
    pub async fn lifetime(
        &self,
        registration: Registration<'_>,
        grant: &Grant,
        asked: OffsetDateTime,
    ) -> Option<Duration> {
        let until = |expire_time: OffsetDateTime| {
            let lifetime = expire_time - asked;
            let most = i64::try_from(MAX_LIFETIME_SECONDS).map_or(Duration::MAX, Duration::seconds);
            (lifetime.is_positive() && lifetime <= most).then_some(lifetime)
        };
        if let Some(said) = grant.expires_in.or_else(|| jwt_expiry(&grant.access_token).and_then(until)) {
            return Some(said);
        }
        if !registration.provider.introspects() {
            return None;
        }
        let introspection = self.introspect(registration, &grant.access_token);
        let provider = registration.provider.id();
        match tokio::time::timeout(INTROSPECTION_TIMEOUT, introspection).await {
            Ok(Ok(found)) => found.expire_time.filter(|_| found.active).and_then(until),
            Ok(Err(failure)) => {
                tracing::warn!(%provider, %failure, "an introspection failed");
                None
            }
            Err(_) => {
                tracing::warn!(%provider, "an introspection took too long");
                None
            }
        }
    }

    /// Asks what an access token is worth (RFC 7662). The client authenticates as it does at the token endpoint.
    pub async fn introspect(
        &self,
        registration: Registration<'_>,
        access_token: &SecretString,
    ) -> Result<Introspection, Failure> {
        let endpoints = self.endpoints(registration).await?;
        let endpoint = endpoints.introspection()?;
        let endpoint = endpoint.ok_or_else(|| Failure::invalid("its entry has no introspection endpoint"))?;
        let (endpoints, about) = (&endpoints, (access_token, "access_token"));
        let request = |secret| async move {
            let answer = self.post_about(registration, endpoints, endpoint, about, secret).await?;
            if let Some(failure) = refused(&answer, registration.provider, self.clock.now()) {
                return Err(failure);
            }
            let status = answer.status;
            let said = serde_json::from_slice::<Map<String, Value>>(&answer.body).ok();
            match said.as_ref().map(|said| (said, said.get("active").and_then(Value::as_bool))) {
                Some((said, Some(active))) if status.is_success() => {
                    Ok(Introspection { active, expire_time: said.get("exp").and_then(numeric_date) })
                }
                _ if status == StatusCode::UNAUTHORIZED => Err(Failure::Unauthorized),
                _ => Err(Failure::invalid("its answer says nothing about the token")),
            }
        };
        self.with_secrets(registration, request).await
    }
}
