//! What the sandbox has seen, for tests.

use std::{collections::BTreeMap, fmt};

/// A snapshot of what has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// How often a user approved.
    pub authorizations: u64,
    /// How many codes were redeemed, or request tokens of OAuth 1.0a.
    pub exchanges: u64,
    /// How many refreshes succeeded.
    pub refreshes: u64,
    /// How many tokens were given for client credentials.
    pub client_credentials: u64,
    /// How many tokens that were alive were revoked at the revocation endpoint.
    pub revocations: u64,
    /// The requests to the token endpoint, the refresh endpoint and the request token endpoint, oldest first, with those that failed on purpose.
    pub token_requests: Vec<TokenRequest>,
    /// The requests that asked for the end of a token, oldest first: those at the revocation endpoint, and those of the quirks'
    /// resources that ended one.
    pub revocation_requests: Vec<TokenRequest>,
    /// How many tokens were introspected by their clients.
    pub introspections: u64,
    /// How often each refresh token that the sandbox had issued was presented by its client, dead or alive, by the SHA-256
    /// of the token in hex. A request that failed on purpose doesn't count: the server behind the failure never saw it.
    pub redemptions: BTreeMap<String, u64>,
    /// How often a refresh token that had been replaced was presented, which ended its grant.
    pub reuse_detected: u64,
    /// How often each path was asked that is no endpoint of RFC 6749 or 7009: the user info, the OpenID configuration and the
    /// resources of the quirks. Refused requests count, too.
    pub requests: BTreeMap<String, u64>,
}

/// A request to an endpoint that takes secrets. `Debug` shows the names of parameters and headers and the authorization scheme, never a
/// secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its `Host`.
    pub host: String,
    /// Its parameters as received: of the form or the JSON object, or of the query of a `GET`. Of a name that came twice,
    /// the first value.
    pub form: BTreeMap<String, String>,
    /// Its `Authorization` header as received.
    pub authorization: Option<String>,
    /// Its `Content-Type` header as received.
    pub content_type: Option<String>,
    /// All its headers as received, by their names in lower case.
    pub headers: BTreeMap<String, String>,
}

// === impl TokenRequest ===

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.authorization.as_deref().map(|header| header.split(' ').next().unwrap_or_default());
        f.debug_struct("TokenRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("host", &self.host)
            .field("form", &self.form.keys())
            .field("authorization", &scheme)
            .field("content_type", &self.content_type)
            .field("headers", &self.headers.keys())
            .finish()
    }
}
