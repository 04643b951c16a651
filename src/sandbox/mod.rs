//! An OAuth 2.0 authorization server of our own, for `tokenwell demo` and for the tests.
//!
//! It plays RFC 6749, RFC 7636 (PKCE), RFC 7009 (revocation), RFC 7662 (introspection), RFC 9207 (`iss`), and with quirks OpenID Connect and OAuth 1.0a (RFC 5849), with a
//! consent page for a person to click on. By default it is strict. [`Quirks`] make it behave like a real provider,
//! [`Failure`]s make it break, and a [`Book`] tells what it has seen. Everything is in memory and bounded.

mod answer;
mod api;
mod assertion;
mod authorize;
mod book;
mod call;
mod client;
mod exchange;
mod failure;
mod issue;
mod memory;
mod named;
mod oauth1;
mod openid;
mod page;
mod params;
mod place;
mod quirks;
mod redirect;
mod refresh;
mod resource;
#[cfg(test)]
mod tests;
mod token;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{MethodRouter, get, post},
};

use crate::model::{Clock, Duration, Random, Result, SecretString};

pub use book::{Book, TokenRequest};
pub use failure::Failure;
pub use quirks::{
    AnswerFormat, AnswerQuirks, AuthMethod, ErrorQuirks, ExpiresIn, IssuesRefreshToken, Lifetime,
    OAuth1Quirks, OpenIdQuirks, Quirks, RequestFormat, RequestQuirks, ResourceQuirks, SignatureMethod,
};

use memory::Memory;

const MAX_BODY_BYTES: usize = 64 * 1024;

/// What a sandbox is made of.
#[derive(Debug)]
pub struct Options {
    /// The registered clients.
    pub clients: Vec<Client>,
    /// How long an access token lives, unless a quirk says otherwise.
    pub access_token_ttl: Duration,
    /// Where it differs from the RFCs.
    pub quirks: Quirks,
}

/// A registered client.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Its id.
    pub client_id: String,
    /// Its secret. A client without one, without a key and without a certificate is public.
    pub client_secret: Option<SecretString>,
    /// The key that it signs assertions with: a public key for RS256 or ES256, in PEM.
    pub public_key: Option<String>,
    /// The certificate that it presents, in DER.
    pub certificate: Option<Vec<u8>>,
    /// The redirect URIs that it may use, compared as strings. Empty: any that is http or https.
    pub redirect_uris: Vec<String>,
}

/// The certificate that a client presented, in DER: an extension of the requests that whatever speaks TLS in front of the
/// sandbox puts there. The handshake has proved that the client has its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate(pub Vec<u8>);

/// The authorization server. Clones share their state.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    options: Options,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    memory: Mutex<Memory>,
}

// === impl Sandbox ===

impl Sandbox {
    /// A sandbox that has seen nothing yet.
    pub fn new(options: Options, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self(Arc::new(Inner { options, clock, random, memory: Mutex::default() }))
    }

    /// The routes. The paths come from the quirks.
    pub fn router(&self) -> Router {
        let quirks = self.quirks();
        let consent = get(authorize::ask);
        let router = Router::new();
        let mut router = match &quirks.oauth1 {
            None if quirks.authorize_path == quirks.token_path => {
                router.route(&quirks.token_path, consent.post(token::decide_or_token))
            }
            None => router
                .route(&quirks.authorize_path, consent.post(authorize::decide))
                .route(&quirks.token_path, self.token_route()),
            Some(oauth1) => {
                let router = router.route(&quirks.authorize_path, consent.post(authorize::decide));
                if oauth1.request_token_path == quirks.token_path {
                    router.route(&quirks.token_path, post(oauth1::either_token))
                } else {
                    router
                        .route(&oauth1.request_token_path, post(oauth1::request_token))
                        .route(&quirks.token_path, post(oauth1::access_token))
                }
            }
        };
        router = match &quirks.oauth1 {
            None => router.route(&quirks.userinfo_path, get(resource::userinfo)),
            Some(_) => router.route(&quirks.userinfo_path, get(oauth1::userinfo)),
        };
        if let Some(path) = &quirks.refresh_path {
            router = router.route(path, self.token_route());
        }
        if let Some(path) = &quirks.revoke_path {
            router = router.route(path, post(resource::revoke));
        }
        if let Some(path) = &quirks.introspect_path {
            router = router.route(path, post(resource::introspect));
        }
        if let Some(openid) = &quirks.openid {
            router = router
                .route(&openid.configuration_path(), get(openid::configuration))
                .route(&openid.keys_path, get(openid::jwks));
        }
        router = router.fallback(api::resource);
        router.layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(self.clone())
    }

    fn token_route(&self) -> MethodRouter<Self> {
        match self.quirks().token_request.format {
            RequestFormat::Query => get(token::token),
            RequestFormat::Form | RequestFormat::Json => post(token::token),
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn book(&self) -> Book {
        self.memory().book()
    }

    /// Makes one more request to the token endpoint fail, after those that are already to fail.
    pub fn fail_next(&self, failure: Failure) {
        self.memory().failures.push_back(failure);
    }

    /// Ends every grant, and every code on its way to be one, as if the end users had withdrawn them.
    pub fn revoke_all(&self) {
        self.memory().revoke_all();
    }

    fn quirks(&self) -> &Quirks {
        &self.0.options.quirks
    }

    fn client(&self, client_id: &str) -> Option<&Client> {
        self.0.options.clients.iter().find(|client| client.client_id == client_id)
    }

    /// The state. Handlers never hold it across an await.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A random string that shows what it is.
    fn fresh(&self, prefix: &str) -> Result<String> {
        use crate::model::ExposeSecret as _;
        let token = crate::model::token(&*self.0.random)?;
        Ok(format!("{prefix}{}", token.expose_secret()))
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("options", &self.0.options).finish_non_exhaustive()
    }
}
