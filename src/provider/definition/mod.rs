//! The shape of a catalog file, as `docs/providers.md` describes it. The doc comments here are the texts of the JSON schema.

mod field;
mod request;
mod token;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use field::{Capture, FieldDefinition};
pub use field::{Choice, Format};
pub(super) use request::RequestDefinition;
pub use request::{ApiMethod, RequestMethod};
pub use token::{
    AuthMethod, BodyFormat, ExpiresInUnit, SignatureMethod, SigningAlgorithm, TokenError, TokenResponse,
};

use super::template::Template;
use crate::model::{GrantType, StringMap};

/// Parameters whose values are templates.
pub(super) type Params = BTreeMap<String, Template>;

/// A catalog file. Names are those of RFC 8414 where it has one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A provider of Tokenwell's catalog")]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub(super) struct Definition {
    /// The entry whose keys this one takes over, unless it gives them itself.
    #[expect(dead_code, reason = "it is read before the keys have types; here it is for the schema")]
    pub(super) extends: Option<String>,
    /// The provider's name for people.
    pub(super) display_name: String,
    /// What it is used for, in lower-case words.
    pub(super) categories: Vec<String>,
    /// The provider's page about its OAuth.
    pub(super) documentation: String,
    /// How a connection can be made.
    #[serde(default = "authorization_code")]
    #[schemars(with = "Vec<token::GrantTypeName>")]
    pub(super) grant_types: Vec<GrantType>,
    /// The issuer (RFC 8414 and 9207), with `{field}` where config goes.
    pub(super) issuer: Option<Endpoint>,
    /// Whether every callback names its issuer (RFC 9207, section 3).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    /// Whether endpoints that are left out come from the issuer's metadata.
    #[serde(default)]
    pub(super) discovery: bool,
    /// Where the keys are that `id_token`s are signed with (RFC 7517), with `{field}` where config goes.
    pub(super) jwks_uri: Option<Endpoint>,
    /// How `id_token`s may be signed, if not by any key pair.
    #[serde(default)]
    pub(super) id_token_signing_alg_values_supported: Vec<SigningAlgorithm>,
    /// RFC 6749, section 3.1, with `{field}` where config goes.
    pub(super) authorization_endpoint: Option<Endpoint>,
    /// RFC 6749, section 3.2, with `{field}` where config goes.
    pub(super) token_endpoint: Option<Endpoint>,
    /// Where refresh tokens go, if not to the token endpoint.
    pub(super) refresh_endpoint: Option<Endpoint>,
    /// RFC 7009.
    pub(super) revocation_endpoint: Option<Endpoint>,
    /// Whether the end of one token ends all grants of the same user to the same client.
    #[serde(default)]
    pub(super) revocation_ends_all_grants: bool,
    /// RFC 7662. It is asked how long a token lives where neither the answer nor the token says so.
    pub(super) introspection_endpoint: Option<Endpoint>,
    /// OAuth 1.0a only (RFC 5849, section 2.1).
    pub(super) request_token_endpoint: Option<Endpoint>,
    /// Hosts of all addresses: exact (`login.example.com`), or with a leading dot a suffix (`.example.com`).
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    /// Whether a suffix among the hosts is one at which anybody can have a host, as the public suffix list says: then each
    /// customer of the provider has one there.
    #[serde(default)]
    pub(super) hosts_are_tenants: bool,
    /// How the client authenticates at the token endpoint.
    #[serde(default)]
    pub(super) token_endpoint_auth_method: AuthMethod,
    /// Whether the integration's certificate is presented, too.
    #[serde(default)]
    pub(super) tls_client_certificate: bool,
    /// The method of token requests.
    #[serde(default = "post")]
    pub(super) token_request_method: RequestMethod,
    /// The body of token requests.
    #[serde(default)]
    pub(super) token_request_format: BodyFormat,
    /// What stands between scopes: a space unless said otherwise.
    #[serde(default = "space")]
    pub(super) scope_separator: String,
    /// The scopes asked for when nobody names any.
    #[serde(default)]
    pub(super) default_scopes: Vec<String>,
    /// Scopes that answers name otherwise, by their names in requests.
    #[serde(default)]
    pub(super) scope_aliases: StringMap,
    /// The parameter for user scopes.
    pub(super) user_scope_param: Option<String>,
    /// Why PKCE is off. Absent: it is on.
    pub(super) pkce_disabled_reason: Option<String>,
    /// Whether the authorization request carries a random `nonce`.
    #[serde(default)]
    pub(super) nonce: bool,
    /// Whether callbacks come by `POST`.
    #[serde(default)]
    pub(super) form_post: bool,
    /// In seconds: the lifetime of an access token when the provider says nothing useful.
    pub(super) default_expires_in: Option<u32>,
    /// In seconds: the lifetime of a refresh token, from when it was issued, when the answer does not say.
    pub(super) refresh_token_expires_in: Option<u32>,
    /// In seconds: how long a refresh token lives without being used. Each use starts the time anew.
    pub(super) refresh_token_idle_expires_in: Option<u32>,
    /// How OAuth 1.0a requests are signed.
    #[serde(default)]
    pub(super) signature_method: SignatureMethod,
    /// Other names of RFC 6749's parameters. An empty one leaves the parameter out.
    #[serde(default)]
    pub(super) param_names: StringMap,
    /// Always sent to the authorization endpoint.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(super) authorization_params: Params,
    /// Always sent with an authorization code.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(super) token_params: Params,
    /// Always sent with a refresh token.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(super) refresh_params: Params,
    /// Always sent with the client credentials grant.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(super) client_credentials_params: Params,
    /// Further headers of all token requests.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(super) token_headers: Params,
    /// Where things are in token responses.
    #[serde(default)]
    pub(super) token_response: TokenResponse,
    /// Where errors are in token responses.
    #[serde(default)]
    pub(super) token_error: TokenError,
    /// The provider's own error codes, and the codes of RFC 6749 that mean the same.
    #[serde(default)]
    pub(super) error_codes: StringMap,
    /// What error codes mean at a refresh, after `error_codes` has been applied.
    #[serde(default)]
    pub(super) refresh_errors: RefreshErrors,
    /// What is special about callbacks.
    #[serde(default)]
    pub(super) callback: CallbackDefinition,
    /// A request after the exchange, to capture config from.
    pub(super) lookup: Option<RequestDefinition>,
    /// A request that proves static credentials.
    pub(super) verification: Option<RequestDefinition>,
    /// The request that ends a grant, in the place of a revocation endpoint.
    pub(super) revocation: Option<RequestDefinition>,
    /// The connection config, by key.
    #[serde(default)]
    pub(super) config: BTreeMap<String, FieldDefinition>,
}

/// One template, or several of which the first whose fields all have values is used.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(from = "OneOrMany")]
#[schemars(with = "OneOrMany")]
pub(super) struct Endpoint(pub(super) Vec<String>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text, or a list of texts")]
#[schemars(inline)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// What error codes, and statuses without one, mean at a refresh.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RefreshErrors {
    /// The grant is gone, as with `invalid_grant`.
    #[serde(rename = "final")]
    pub(super) last: Vec<String>,
    /// Nothing is known of the grant: it can be tried again.
    pub(super) transient: Vec<String>,
    /// Statuses that say that the grant is gone, where the answer names no error.
    pub(super) final_statuses: Vec<u16>,
    /// Statuses that say nothing of the grant, where the answer names no error.
    pub(super) transient_statuses: Vec<u16>,
}

/// What is special about callbacks.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallbackDefinition {
    /// What the code is called, if not `code`.
    pub(super) code_param: Option<String>,
    /// The parameter that holds the lower-case hex of HMAC-SHA256(client secret, the other parameters sorted by name).
    pub(super) hmac_param: Option<String>,
    /// Parameters that must be there with this value, with `{field}` where config goes.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(super) expect: Params,
}

// === impl Endpoint ===

impl From<OneOrMany> for Endpoint {
    fn from(given: OneOrMany) -> Self {
        match given {
            OneOrMany::One(template) => Self(vec![template]),
            OneOrMany::Many(templates) => Self(templates),
        }
    }
}

fn authorization_code() -> Vec<GrantType> {
    vec![GrantType::AuthorizationCode]
}

fn post() -> RequestMethod {
    RequestMethod::Post
}

fn space() -> String {
    " ".to_owned()
}
