//! How long an access token lives: as the answer says, as it says itself, or as its server says when asked (RFC 7662).

use std::time::Duration as StdDuration;

use oauth2::http::StatusCode;
use serde_json::{Map, Value};

use super::{
    Failure, Grant, OAuthClient, Registration, json,
    jwt::{expiry, numeric_date},
    response::{MAX_LIFETIME_SECONDS, refused, there},
};
use crate::model::{Duration, ExposeSecret as _, OffsetDateTime, SecretString};

/// How long an introspection may take while callers wait for the token that it is about.
const INTROSPECTION_TIMEOUT: StdDuration = StdDuration::from_secs(3);

/// What a server says of a token (RFC 7662, section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introspection {
    /// Whether it is alive.
    pub active: bool,
    /// When it ends, if the server says so.
    pub expire_time: Option<OffsetDateTime>,
}

// === impl Grant ===

impl Grant {
    /// How long the access token lives, counted from when it was asked for: as the answer says, or as the token does if it is
    /// a JWT.
    #[must_use]
    pub fn lifetime(&self, asked: OffsetDateTime) -> Option<Duration> {
        self.expires_in.or_else(|| life_of(self.access_token.expose_secret(), asked))
    }
}

/// How long a token lives that is a JWT and says so, from this time on.
pub(super) fn life_of(access_token: &str, from: OffsetDateTime) -> Option<Duration> {
    lifetime(expiry(access_token)?, from)
}

fn lifetime(expire_time: OffsetDateTime, asked: OffsetDateTime) -> Option<Duration> {
    let lifetime = expire_time - asked;
    let most = i64::try_from(MAX_LIFETIME_SECONDS).map_or(Duration::MAX, Duration::seconds);
    (lifetime.is_positive() && lifetime <= most).then_some(lifetime)
}

// === impl OAuthClient ===

impl OAuthClient {
    /// How long a new access token lives, counted from when it was asked for, as its server says (RFC 7662), where the entry
    /// declares that it can be asked. A failure is logged, and says nothing: the token is good.
    pub async fn introspected_lifetime(
        &self,
        registration: Registration<'_>,
        access_token: &SecretString,
        asked: OffsetDateTime,
    ) -> Option<Duration> {
        if !registration.provider.introspects() {
            return None;
        }
        let provider = registration.provider.id();
        let introspection = self.introspect(registration, access_token);
        match tokio::time::timeout(INTROSPECTION_TIMEOUT, introspection).await {
            Ok(Ok(found)) => lifetime(found.expire_time.filter(|_| found.active)?, asked),
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
            let said = json::parse::<Map<String, Value>>(&answer.body).ok();
            match said.as_ref().map(|said| (said, said.get("active").and_then(Value::as_bool))) {
                Some((said, Some(active))) if status.is_success() => {
                    let now = self.clock.now();
                    let end = said.get("exp").and_then(numeric_date);
                    let skew = there(&answer.headers, now) - now;
                    Ok(Introspection { active, expire_time: end.and_then(|end| end.checked_sub(skew)) })
                }
                _ if status == StatusCode::UNAUTHORIZED => Err(Failure::Unauthorized),
                _ => Err(Failure::invalid("its answer says nothing about the token")),
            }
        };
        self.with_secrets(registration, request).await
    }
}
