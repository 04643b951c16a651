//! Where a provider's endpoints are: as its entry says, or as its issuer's metadata says (RFC 8414, OpenID Connect
//! Discovery).

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use serde::Deserialize;
use url::Url;

use super::{Failure, OAuthClient, Registration, http::MAX_METADATA_BYTES, json, response::retry_after};

/// How long metadata is believed.
const LIFETIME: Duration = Duration::from_hours(1);
const MAX_ISSUERS: u64 = 1_000;

/// An endpoint, if there is one; or why the config makes none yet: some are where only the callback says.
type Found = Result<Option<Url>, Failure>;

/// One provider's endpoints, for one config.
#[derive(Debug, Clone)]
pub struct Endpoints {
    authorization: Found,
    token: Found,
    refresh: Found,
    revocation: Found,
    introspection: Found,
    jwks: Found,
    issuer: Option<String>,
    iss_required: bool,
}

/// The metadata of issuers, remembered for a while.
#[derive(Clone)]
pub(super) struct Metadata {
    /// By their issuer, and whether it may be in a private network: nobody shares a failure with those who may call elsewhere.
    documents: Cache<(String, bool), Arc<Document>>,
}

/// The members of a metadata document that are used (RFC 8414, section 2; RFC 9207, section 3).
#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    jwks_uri: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

// === impl Endpoints ===

impl Endpoints {
    /// The authorization endpoint.
    pub fn authorization(&self) -> Result<&Url, Failure> {
        there(&self.authorization)?.ok_or_else(|| missing("authorization"))
    }

    /// The token endpoint.
    pub fn token(&self) -> Result<&Url, Failure> {
        there(&self.token)?.ok_or_else(|| missing("token"))
    }

    /// Where refresh tokens go.
    pub fn refresh(&self) -> Result<&Url, Failure> {
        there(&self.refresh)?.map_or_else(|| self.token(), Ok)
    }

    /// Where tokens are revoked (RFC 7009), if there is such a place.
    pub fn revocation(&self) -> Result<Option<&Url>, Failure> {
        there(&self.revocation)
    }

    /// Where tokens are introspected (RFC 7662), if the entry says so.
    pub fn introspection(&self) -> Result<Option<&Url>, Failure> {
        there(&self.introspection)
    }

    /// Where the keys are that `id_token`s are signed with, if anybody says so.
    pub(super) fn jwks(&self) -> Result<Option<&Url>, Failure> {
        there(&self.jwks)
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether the issuer says that every callback names it.
    #[must_use]
    pub fn requires_issuer(&self) -> bool {
        self.iss_required
    }
}

fn there(found: &Found) -> Result<Option<&Url>, Failure> {
    found.as_ref().map(Option::as_ref).map_err(Clone::clone)
}

fn missing(which: &str) -> Failure {
    Failure::invalid(format!("its metadata names no {which} endpoint"))
}

// === impl OAuthClient ===

impl OAuthClient {
    /// The endpoints for this config.
    pub async fn endpoints(&self, registration: Registration<'_>) -> Result<Endpoints, Failure> {
        let Registration { provider, config, .. } = registration;
        let own = |error| Failure::own_fault(&error);
        let mut endpoints = Endpoints {
            authorization: provider.authorization_endpoint(config).map_err(own),
            token: provider.token_endpoint(config).map_err(own),
            refresh: provider.refresh_endpoint(config).map_err(own),
            revocation: provider.revocation_endpoint(config).map_err(own),
            introspection: provider.introspection_endpoint(config).map_err(own),
            jwks: provider.jwks_uri(config).map_err(own),
            issuer: provider.issuer(config).map_err(own)?,
            iss_required: provider.requires_issuer(),
        };
        if let (true, Some(issuer)) = (provider.discovery(), endpoints.issuer.as_deref()) {
            let document = self.document(registration, issuer).await?;
            let found = |address: &Option<String>| {
                address.as_deref().map(|it| provider.pinned_beside(issuer, it)).transpose()
            };
            let foreign = |_| Failure::invalid("its metadata names an endpoint that is not on its own hosts");
            if endpoints.authorization == Ok(None) {
                endpoints.authorization = Ok(found(&document.authorization_endpoint).map_err(foreign)?);
            }
            if endpoints.token == Ok(None) {
                endpoints.token = Ok(found(&document.token_endpoint).map_err(foreign)?);
            }
            if endpoints.revocation == Ok(None) {
                // Flows do without it: a foreign one is a failure where it is needed.
                endpoints.revocation = found(&document.revocation_endpoint).map_err(foreign);
            }
            if endpoints.jwks == Ok(None) {
                // Likewise.
                endpoints.jwks = found(&document.jwks_uri).map_err(foreign);
            }
            endpoints.iss_required |= document.authorization_response_iss_parameter_supported;
        }
        Ok(endpoints)
    }

    async fn document(&self, registration: Registration<'_>, issuer: &str) -> Result<Arc<Document>, Failure> {
        let key = (issuer.to_owned(), registration.integration.allow_private_addresses);
        let fetched = self.metadata.documents.try_get_with(key, self.fetch_document(registration, issuer));
        fetched.await.map_err(|failure| (*failure).clone())
    }

    async fn fetch_document(
        &self,
        registration: Registration<'_>,
        issuer: &str,
    ) -> Result<Arc<Document>, Failure> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let url = registration.provider.pinned(&address).map_err(|error| Failure::own_fault(&error))?;
        let answer = self.http_to(registration)?.get(url.as_str(), MAX_METADATA_BYTES).await?;
        if answer.status.is_server_error() || answer.status == oauth2::http::StatusCode::TOO_MANY_REQUESTS {
            let problem = format!("its metadata answered with status {}", answer.status.as_u16());
            let retry_after = retry_after(&answer.headers, self.clock.now());
            return Err(Failure::Unavailable { problem, retry_after, unclear: false });
        }
        let document: Option<Document> = json::parse(&answer.body).ok();
        match document {
            Some(document) if answer.status.is_success() && document.issuer == issuer => {
                Ok(Arc::new(document))
            }
            Some(_) if answer.status.is_success() => {
                Err(Failure::invalid("its metadata names another issuer"))
            }
            _ => Err(Failure::invalid("its metadata is none")),
        }
    }
}

// === impl Metadata ===

impl Default for Metadata {
    fn default() -> Self {
        Self { documents: Cache::builder().max_capacity(MAX_ISSUERS).time_to_live(LIFETIME).build() }
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata").field("documents", &self.documents.entry_count()).finish()
    }
}
