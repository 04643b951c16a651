//! Speaks OAuth to providers: finds their endpoints, builds authorization URLs, exchanges codes, refreshes and revokes
//! tokens.
//!
//! Knows the RFCs and a provider's entry, not rows. The `oauth2` crate builds the requests of OAuth 2.0; [`dialect`] writes
//! them as the provider wants them, and [`response`] turns what it answers into what RFC 6749 says it should. [`oauth1`]
//! speaks RFC 5849, [`api`] makes the calls that entries declare beside those. [`http`] is the only way out of the house, and
//! [`guard`] judges where it leads.

mod api;
mod assertion;
mod authorize;
mod client;
mod dialect;
mod endpoints;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod http;
mod id_token;
mod issuer;
mod json;
mod jwks;
mod jwt;
mod lifetime;
mod oauth1;
mod response;
mod revoke;
mod secrets;
mod token;
mod webhook;

use std::sync::Arc;

use oauth2::http::StatusCode;
use serde_json::Value;

pub use self::assertion::thumbprint;
pub use self::endpoints::Endpoints;
use self::endpoints::Metadata;
pub use self::http::{HttpClient, HttpOptions, REQUEST_TIMEOUT};
pub use self::issuer::{Token, TrustedIssuers};
use self::jwks::KeySets;
pub use self::jwt::jwt_expiry;
pub use self::lifetime::Introspection;
pub use self::oauth1::{RequestToken, TokenCredentials};
pub use self::response::Members;
pub use self::revoke::Revoked;
use self::secrets::Working;
pub use self::webhook::Receipt;
use crate::{
    model::{Clock, Config, Duration, Error, Integration, Random, Reach, Result, SecretString, StringMap},
    provider::Provider,
};

/// Speaks to providers.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    http: HttpClient,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    metadata: Metadata,
    key_sets: KeySets,
    working: Working,
}

/// One app at one provider, for one end user's config.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The provider's entry.
    pub provider: &'a Provider,
    /// The app.
    pub integration: &'a Integration,
    /// The connection config.
    pub config: &'a Config,
}

/// What goes into an authorization URL.
#[derive(Debug, Clone, Copy)]
pub struct Authorization<'a> {
    /// RFC 6749, section 3.1.2.
    pub redirect_uri: &'a str,
    /// RFC 6749, section 10.12.
    pub state: &'a SecretString,
    /// RFC 7636, section 4.1, if PKCE is on.
    pub code_verifier: Option<&'a SecretString>,
    /// OpenID Connect Core, section 3.1.2.1, if the entry wants one.
    pub nonce: Option<&'a SecretString>,
    /// RFC 6749, section 3.3.
    pub scopes: &'a [String],
    /// Scopes of the user, where the provider tells them from the app's.
    pub user_scopes: &'a [String],
    /// Further parameters of the Begin.
    pub params: &'a StringMap,
}

/// A code, and what proves that it is ours to redeem.
#[derive(Debug, Clone, Copy)]
pub struct Code<'a> {
    /// The code.
    pub code: &'a SecretString,
    /// The `redirect_uri` of the authorization request.
    pub redirect_uri: &'a str,
    /// The PKCE verifier, if PKCE is on.
    pub code_verifier: Option<&'a SecretString>,
}

/// What a provider granted (RFC 6749, section 5.1).
#[derive(Debug, Clone)]
pub struct Grant {
    /// The access token.
    pub access_token: SecretString,
    /// Its type: `Bearer` unless the provider said otherwise.
    pub token_type: String,
    /// Its lifetime, if the provider said so.
    pub expires_in: Option<Duration>,
    /// The refresh token, if there is one, or a new one.
    pub refresh_token: Option<SecretString>,
    /// The refresh token's lifetime, if the provider said so.
    pub refresh_token_expires_in: Option<Duration>,
    /// The scopes granted, if the provider said so.
    pub scopes: Option<Vec<String>>,
    /// All other members of the answer.
    pub members: Members,
}

/// Why a provider granted nothing. It never holds anything that the provider said but an OAuth error, cleaned and capped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The network, a time-out, a server error, a rate limit: nothing is known about the grant.
    #[error("{problem}")]
    Unavailable {
        /// What happened.
        problem: String,
        /// When to try again, if the provider said so.
        retry_after: Option<std::time::Duration>,
        /// Whether the provider may have done what it was asked for all that.
        unclear: bool,
    },
    /// An answer that is no token response.
    #[error("{problem}")]
    Invalid {
        /// What is wrong with it.
        problem: String,
        /// The status of the answer to what was asked, if there is one.
        status: Option<u16>,
    },
    /// The integration lacks what a request needs: a private key, a certificate. The provider was not asked.
    #[error("{problem}")]
    Unusable {
        /// What it lacks.
        problem: String,
    },
    /// No request could be made of what is stored: config is missing, or the entry has changed under a connection. The provider
    /// was not asked.
    #[error("{problem}")]
    Unsent {
        /// What it lacks.
        problem: String,
    },
    /// Its host has no address that may be called. Nobody was asked.
    #[error("its host has no address that may be called: it is private, reserved, or this machine's own")]
    Barred,
    /// Status 401 without an OAuth error. RFC 6749, section 5.2, keeps that status for the client, and demands an error beside
    /// it: who leaves that out may as well mean the grant. So it proves nothing about either.
    #[error("its status is 401 and it names no error")]
    Unauthorized,
    /// An OAuth error (RFC 6749, section 5.2).
    #[error("{code}")]
    Refused {
        /// The code, as the RFC names it.
        code: String,
        /// The provider's words.
        description: Option<String>,
    },
}

// === impl OAuthClient ===

impl OAuthClient {
    /// A client over this way out of the house.
    #[must_use]
    pub fn new(http: HttpClient, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let (metadata, key_sets, working) = (Metadata::default(), KeySets::default(), Working::default());
        Self { http, clock, random, metadata, key_sets, working }
    }

    /// Which addresses webhooks may be sent to.
    #[must_use]
    pub fn webhook_reach(&self) -> Reach {
        self.http.webhook_reach()
    }

    /// The way out to where this app's provider may be.
    fn http_to(&self, registration: Registration<'_>) -> Result<HttpClient, Failure> {
        self.http.to_provider(registration.integration.allow_private_addresses)
    }

    /// The same, with the integration's certificate where the provider wants to see it.
    fn http_for(&self, registration: Registration<'_>) -> Result<HttpClient, Failure> {
        let http = self.http_to(registration)?;
        if !registration.provider.presents_certificate() {
            return Ok(http);
        }
        let integration = registration.integration;
        let identity = integration.private_key.as_ref().zip(integration.certificate.as_deref());
        let (key, certificate) = identity.ok_or_else(|| {
            Failure::unusable("the provider wants a certificate, and the integration has none with its key")
        })?;
        http.with_identity(key, certificate)
    }
}

// === impl Failure ===

impl Failure {
    /// When to try again, if the provider said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The OAuth error, if that is why.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The status of an answer that names no OAuth error.
    #[must_use]
    pub fn unnamed_status(&self) -> Option<u16> {
        match self {
            Self::Invalid { status, .. } => *status,
            Self::Unauthorized => Some(401),
            _ => None,
        }
    }

    /// Whether the provider may have done what it was asked, and only its answer is missing or broken.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        match self {
            Self::Unavailable { unclear, .. } => *unclear,
            // A redirect or a refusal is said of what was not done.
            Self::Invalid { status: Some(status), .. } => !matches!(status, 300..=407 | 409..=499),
            _ => false,
        }
    }

    fn invalid(problem: impl Into<String>) -> Self {
        Self::Invalid { problem: problem.into(), status: None }
    }

    /// The same of an answer that has this status.
    fn with_status(self, status: StatusCode) -> Self {
        match self {
            Self::Invalid { problem, .. } => Self::Invalid { problem, status: Some(status.as_u16()) },
            failure => failure,
        }
    }

    /// Whether the client may be what was refused, so that another secret is worth a try.
    fn may_be_of_client(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(code.as_str(), "invalid_client" | "unauthorized_client"),
            failure => *failure == Self::Unauthorized,
        }
    }

    /// The integration lacks what a request needs.
    fn unusable(problem: impl Into<String>) -> Self {
        Self::Unusable { problem: problem.into() }
    }

    /// A stored value that no longer makes a request: the entry has changed under a connection.
    fn own_fault(error: &Error) -> Self {
        Self::unsent(format!("no request could be made: {error}"))
    }

    fn unsent(problem: impl Into<String>) -> Self {
        Self::Unsent { problem: problem.into() }
    }
}

// === impl Grant ===

impl Grant {
    /// The answer as it came, but for the tokens, to capture config from.
    #[must_use]
    pub fn answer(&self) -> &Value {
        self.members.answer()
    }

    /// The `id_token` (OpenID Connect Core, section 3.1.3.3).
    #[must_use]
    pub fn id_token(&self) -> Option<&str> {
        self.answer().get("id_token")?.as_str()
    }
}
