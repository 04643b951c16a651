//! The catalog: what is known of each provider, its connection config, its URLs and the hosts that they are pinned to.
//!
//! No I/O but reading catalog files. [`Catalog`] loads and checks entries, [`Provider`] answers questions about one.

mod callback;
mod catalog;
mod config;
mod definition;
pub mod import;
mod pin;
mod template;
pub mod words;

use std::sync::Arc;

pub use callback::{CallbackQuery, MAX_QUERY_BYTES};
pub use catalog::{Catalog, Fault, Transport};
pub use config::Field;
pub use definition::{AuthMethod, Choice, Format};
pub use pin::HostPin;
use template::Template;
use url::Url;

use crate::model::{Error, ProviderId, Result, StringMap};
use definition::Definition;

/// Parameters of the authorization request that are Tokenwell's own (RFC 6749, 7636, 9101, 9126, OpenID Connect).
const RESERVED_PARAMS: [&str; 13] = [
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "request",
    "request_uri",
    "response_type",
    "scope",
    "state",
];

/// A checked entry of the catalog.
#[derive(Debug)]
pub struct Provider {
    id: ProviderId,
    definition: Definition,
    transport: Transport,
    pins: Vec<HostPin>,
    authorization_endpoint: Template,
    token_endpoint: Template,
    fields: Vec<Field>,
}

/// A provider that many share.
pub type SharedProvider = Arc<Provider>;

impl Provider {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ProviderId {
        &self.id
    }

    /// Its name for people.
    #[must_use]
    pub fn display_name(&self) -> &str {
        &self.definition.display_name
    }

    /// What it is used for.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        &self.definition.categories
    }

    /// The provider's own documentation.
    #[must_use]
    pub fn documentation(&self) -> &str {
        &self.definition.documentation
    }

    /// The authorization and token endpoints, with placeholders.
    #[must_use]
    pub fn endpoint_templates(&self) -> (&str, &str) {
        (&self.definition.authorization_endpoint, &self.definition.token_endpoint)
    }

    /// The fields of its connection config.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether PKCE is used.
    #[must_use]
    pub fn pkce(&self) -> bool {
        self.definition.pkce_disabled_reason.is_none()
    }

    /// Whether a `nonce` (OpenID Connect) is sent.
    #[must_use]
    pub fn nonce(&self) -> bool {
        self.definition.nonce
    }

    /// How the client authenticates at the token endpoint.
    #[must_use]
    pub fn auth_method(&self) -> AuthMethod {
        self.definition.token_endpoint_auth_method
    }

    /// What stands between scopes.
    #[must_use]
    pub fn scope_separator(&self) -> &str {
        &self.definition.scope_separator
    }

    /// The scopes asked for when nobody names any.
    #[must_use]
    pub fn default_scopes(&self) -> &[String] {
        &self.definition.default_scopes
    }

    /// The parameter that carries user scopes, if the provider has them.
    #[must_use]
    pub fn user_scope_param(&self) -> Option<&str> {
        self.definition.user_scope_param.as_deref()
    }

    /// Parameters that are always sent to the authorization endpoint.
    #[must_use]
    pub fn authorization_params(&self) -> &StringMap {
        &self.definition.authorization_params
    }

    /// Parameters that are always sent with an authorization code.
    #[must_use]
    pub fn token_params(&self) -> &StringMap {
        &self.definition.token_params
    }

    /// Parameters that are always sent with a refresh token.
    #[must_use]
    pub fn refresh_params(&self) -> &StringMap {
        &self.definition.refresh_params
    }

    /// The lifetime of an access token in seconds when the provider does not say, or says nothing useful.
    #[must_use]
    pub fn default_expires_in(&self) -> Option<u32> {
        self.definition.default_expires_in
    }

    /// The issuer that callbacks name (RFC 9207), if it is known.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.definition.issuer.as_deref()
    }

    /// Whether the provider sends callbacks as a form (OAuth 2.0 Form Post Response Mode).
    #[must_use]
    pub fn form_post(&self) -> bool {
        self.definition.form_post
    }

    /// The authorization endpoint for this config.
    pub fn authorization_endpoint(&self, config: &StringMap) -> Result<Url> {
        self.fill(&self.authorization_endpoint, config)
    }

    /// The token endpoint for this config.
    pub fn token_endpoint(&self, config: &StringMap) -> Result<Url> {
        self.fill(&self.token_endpoint, config)
    }

    /// Refuses authorization parameters that Tokenwell sets. Those of the entry can be set otherwise.
    pub fn check_authorization_params(&self, params: &StringMap) -> Result<()> {
        let reserved = |name: &&String| {
            RESERVED_PARAMS.contains(&name.to_ascii_lowercase().as_str())
                || (self.nonce() && name.eq_ignore_ascii_case("nonce"))
                || self.user_scope_param().is_some_and(|own| own.eq_ignore_ascii_case(name))
                || name.eq_ignore_ascii_case("response_mode")
        };
        match params.keys().find(reserved) {
            Some(name) => Err(Error::AuthorizationParamReserved(name.clone())),
            None => Ok(()),
        }
    }

    fn fill(&self, template: &Template, config: &StringMap) -> Result<Url> {
        let filled = template.fill(|name| {
            let value = config.get(name)?;
            self.fields.iter().find(|field| field.name() == name)?.substitute(value)
        });
        let url = filled.and_then(|text| self.transport.parse(&text, &self.pins));
        url.map_err(|problem| {
            config::invalid(&self.id, "", format!("makes no address of the provider: {problem}"))
        })
    }
}
