//! The catalog: what is known of each provider, its connection config, its URLs and the hosts that they are pinned to.
//!
//! No I/O: the built-in files are part of the program, others are read by `app`. [`Catalog`] loads and checks entries, [`Provider`] answers questions about one.

mod address;
mod callback;
mod capture;
mod catalog;
mod check;
mod config;
mod definition;
mod entry;
mod field;
pub mod import;
mod life;
mod lines;
mod openid;
mod params;
mod path;
mod pin;
mod request;
mod schema;
mod template;
pub mod words;

use std::sync::Arc;

use address::Address;
pub use callback::{CallbackQuery, MAX_QUERY_BYTES};
pub use capture::{Source, Unfit};
pub use catalog::{Catalog, Fault, Transport};
pub use definition::{
    ApiMethod, AuthMethod, BodyFormat, Choice, ExpiresInUnit, Format, RequestMethod, SignatureMethod,
    SigningAlgorithm, TokenError, TokenResponse,
};
pub use field::Field;
pub use life::RefreshError;
pub use lines::{Lines, line_at};
pub use path::{Path, text_of};
pub use pin::HostPin;
pub use request::ApiRequest;
use request::{Request, filled};
pub use schema::schema;
use url::Url;

use crate::model::{Config, Error, GrantType, ProviderId, Result, StringMap};
use definition::{Definition, Params};

/// Parameters of the authorization request that are Tokenwell's own (RFC 6749, 7636, 9101, 9126, OpenID Connect).
const RESERVED_PARAMS: [&str; 16] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "dpop_jkt",
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
    authorization_endpoint: Option<Address>,
    token_endpoint: Option<Address>,
    refresh_endpoint: Option<Address>,
    revocation_endpoint: Option<Address>,
    introspection_endpoint: Option<Address>,
    request_token_endpoint: Option<Address>,
    issuer: Option<Address>,
    jwks_uri: Option<Address>,
    lookup: Option<Request>,
    verification: Option<Request>,
    revocation: Option<Request>,
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

    /// How a connection can be made.
    #[must_use]
    pub fn grant_types(&self) -> &[GrantType] {
        &self.definition.grant_types
    }

    /// The grant type of flows, which begin in a browser, if the provider has one.
    #[must_use]
    pub fn flow_grant_type(&self) -> Option<GrantType> {
        self.grant_types().iter().copied().find(|grant_type| grant_type.has_browser())
    }

    /// The authorization, token and revocation endpoints, with placeholders: of alternatives the first. Empty: there is none,
    /// or the issuer's metadata has it.
    #[must_use]
    pub fn endpoint_templates(&self) -> [&str; 3] {
        let Definition { authorization_endpoint, token_endpoint, revocation_endpoint, .. } = &self.definition;
        [authorization_endpoint, token_endpoint, revocation_endpoint].map(|endpoint| {
            endpoint.as_ref().and_then(|endpoint| endpoint.0.first()).map_or("", String::as_str)
        })
    }

    /// The fields of its connection config.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name() == name)
    }

    /// Whether PKCE is used.
    #[must_use]
    pub fn pkce(&self) -> bool {
        self.definition.pkce_disabled_reason.is_none()
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

    /// The config that tells which account a connection leads to.
    pub fn account_fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|field| field.account()).map(Field::name)
    }

    /// These scopes as answers name them.
    #[must_use]
    pub fn answered_scopes(&self, asked: &[String]) -> Vec<String> {
        let aliases = &self.definition.scope_aliases;
        asked.iter().map(|scope| aliases.get(scope).unwrap_or(scope).clone()).collect()
    }

    /// The scopes that a client asks for by itself. The defaults of an entry with a flow are those of the flow.
    #[must_use]
    pub fn client_credentials_scopes(&self) -> &[String] {
        if self.flow_grant_type().is_some() { &[] } else { self.default_scopes() }
    }

    /// The parameter that carries user scopes, if the provider has them.
    #[must_use]
    pub fn user_scope_param(&self) -> Option<&str> {
        self.definition.user_scope_param.as_deref()
    }

    /// Parameters that are always sent to the authorization endpoint, as written.
    pub fn authorization_param_templates(&self) -> impl Iterator<Item = (&str, String)> {
        self.definition.authorization_params.iter().map(|(name, template)| (name.as_str(), template.text()))
    }

    /// Parameters that are always sent to the authorization endpoint.
    #[must_use]
    pub fn authorization_params(&self, config: &Config) -> StringMap {
        Self::params(&self.definition.authorization_params, config)
    }

    /// Parameters that are always sent with an authorization code.
    #[must_use]
    pub fn token_params(&self, config: &Config) -> StringMap {
        Self::params(&self.definition.token_params, config)
    }

    /// Parameters that are always sent with a refresh token.
    #[must_use]
    pub fn refresh_params(&self, config: &Config) -> StringMap {
        Self::params(&self.definition.refresh_params, config)
    }

    /// Parameters that are always sent with the client credentials grant.
    #[must_use]
    pub fn client_credentials_params(&self, config: &Config) -> StringMap {
        Self::params(&self.definition.client_credentials_params, config)
    }

    /// Further headers of all token requests.
    #[must_use]
    pub fn token_headers(&self, config: &Config) -> StringMap {
        Self::params(&self.definition.token_headers, config)
    }

    /// What the provider calls one of RFC 6749's parameters. `None`: it does not want it.
    #[must_use]
    pub fn param_name<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let renamed = self.definition.param_names.get(name).map(String::as_str);
        Some(renamed.unwrap_or(name)).filter(|name| !name.is_empty())
    }

    /// Whether the integration's certificate is presented.
    #[must_use]
    pub fn presents_certificate(&self) -> bool {
        self.definition.tls_client_certificate || self.auth_method() == AuthMethod::TlsClientAuth
    }

    /// The method of token requests.
    #[must_use]
    pub fn token_request_method(&self) -> RequestMethod {
        self.definition.token_request_method
    }

    /// The body of token requests.
    #[must_use]
    pub fn token_request_format(&self) -> BodyFormat {
        self.definition.token_request_format
    }

    /// Where things are in token responses.
    #[must_use]
    pub fn token_response(&self) -> &TokenResponse {
        &self.definition.token_response
    }

    /// Where errors are in token responses.
    #[must_use]
    pub fn token_error(&self) -> &TokenError {
        &self.definition.token_error
    }

    /// How OAuth 1.0a requests are signed.
    #[must_use]
    pub fn signature_method(&self) -> SignatureMethod {
        self.definition.signature_method
    }

    /// The lifetime of an access token in seconds when the provider does not say, or says nothing useful.
    #[must_use]
    pub fn default_expires_in(&self) -> Option<u32> {
        self.definition.default_expires_in
    }

    /// Whether the provider sends callbacks as a form (OAuth 2.0 Form Post Response Mode).
    #[must_use]
    pub fn form_post(&self) -> bool {
        self.definition.form_post
    }

    /// The authorization endpoint for this config, if the entry has one.
    pub fn authorization_endpoint(&self, config: &Config) -> Result<Option<Url>> {
        self.fill_each(self.authorization_endpoint.as_ref(), config)
    }

    /// The token endpoint for this config, if the entry has one.
    pub fn token_endpoint(&self, config: &Config) -> Result<Option<Url>> {
        self.fill_each(self.token_endpoint.as_ref(), config)
    }

    /// Where refresh tokens go, if not to the token endpoint.
    pub fn refresh_endpoint(&self, config: &Config) -> Result<Option<Url>> {
        self.fill_each(self.refresh_endpoint.as_ref(), config)
    }

    /// Where OAuth 1.0a begins.
    pub fn request_token_endpoint(&self, config: &Config) -> Result<Option<Url>> {
        self.fill_each(self.request_token_endpoint.as_ref(), config)
    }

    /// Refuses config that makes no address of the provider. What is captured later may still be missing.
    fn check_addresses(&self, config: &Config) -> Result<()> {
        let known = |address: &Address| {
            address
                .fields()
                .all(|name| config.values.contains_key(name) || self.field(name).is_none_or(Field::settable))
        };
        let mut addresses = self.addresses().map(|(_, address)| address).filter(|address| known(address));
        addresses.try_for_each(|address| self.fill(address, config).map(drop))
    }

    /// Refuses authorization parameters that Tokenwell sets. Those of the entry can be set otherwise.
    ///
    /// Servers in PHP read `redirect.uri` as `redirect_uri`, and the last one counts: names are compared as they would be read.
    pub fn check_authorization_params(&self, params: &StringMap) -> Result<()> {
        let read = |name: &str| name.to_ascii_lowercase().replace(['.', ' ', '[', '+'], "_");
        let reserved = |name: &&String| {
            let name = read(name);
            let is = |own: &str| read(own) == name;
            RESERVED_PARAMS.contains(&name.as_str())
                || is("nonce")
                || self.user_scope_param().is_some_and(is)
                || self.definition.param_names.values().any(|own| is(own))
                || is("response_mode")
                || name.starts_with("oauth_")
        };
        match params.keys().find(reserved) {
            Some(name) => Err(Error::AuthorizationParamReserved(name.clone())),
            None => Ok(()),
        }
    }

    fn fill_each(&self, address: Option<&Address>, config: &Config) -> Result<Option<Url>> {
        address.map(|address| self.fill(address, config)).transpose()
    }

    fn params(params: &Params, config: &Config) -> StringMap {
        filled(params, |name| config.get(name)).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
