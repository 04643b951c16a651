//! The shape of a catalog file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::StringMap;

/// A catalog file, as written. Names are those of RFC 8414 where it has one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    /// The provider's name for people.
    pub(super) display_name: String,
    /// What it is used for.
    pub(super) categories: Vec<String>,
    /// The provider's page about its OAuth.
    pub(super) documentation: String,
    /// The issuer (RFC 9207), when every callback names it.
    pub(super) issuer: Option<String>,
    /// With `{field}` where config goes.
    pub(super) authorization_endpoint: String,
    /// With `{field}` where config goes.
    pub(super) token_endpoint: String,
    /// Hosts of both endpoints: exact (`login.example.com`), or with a leading dot a suffix (`.example.com`).
    pub(super) hosts: Vec<String>,
    #[serde(default)]
    pub(super) token_endpoint_auth_method: AuthMethod,
    #[serde(default = "space")]
    pub(super) scope_separator: String,
    #[serde(default)]
    pub(super) default_scopes: Vec<String>,
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
    #[serde(default)]
    pub(super) authorization_params: StringMap,
    #[serde(default)]
    pub(super) token_params: StringMap,
    #[serde(default)]
    pub(super) refresh_params: StringMap,
    /// In seconds.
    pub(super) default_expires_in: Option<u32>,
    /// The provider's own error codes, and the codes of RFC 6749 that mean the same.
    #[serde(default)]
    pub(super) error_codes: StringMap,
    #[serde(default)]
    pub(super) callback: CallbackDefinition,
    #[serde(default)]
    pub(super) config: BTreeMap<String, FieldDefinition>,
}

/// How a client authenticates at the token endpoint (RFC 6749, section 2.3.1; names of RFC 8414).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// In the request's body.
    #[default]
    ClientSecretPost,
    /// By HTTP Basic.
    ClientSecretBasic,
}

/// What a callback must prove before its code is sent anywhere.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallbackDefinition {
    /// The parameter that holds the lower-case hex of HMAC-SHA256(client secret, the other parameters sorted by name).
    pub(super) hmac_param: Option<String>,
    /// Parameters that must be there with this value, with `{field}` where config goes.
    #[serde(default)]
    pub(super) expect: StringMap,
}

/// One key of the connection config, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldDefinition {
    /// The label for people.
    pub(super) title: String,
    /// What it is and where to find it.
    #[serde(default)]
    pub(super) description: String,
    /// A value that is valid.
    #[serde(default)]
    pub(super) example: String,
    /// A regular expression for the whole value.
    pub(super) pattern: Option<String>,
    /// What kind of value it is.
    #[serde(default)]
    pub(super) format: Format,
    /// For a label: the host suffix that people paste with it. It is taken off.
    pub(super) suffix: Option<String>,
    /// For a `uri`: the hosts that it may name.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    /// The values to choose from.
    #[serde(default, rename = "enum")]
    pub(super) choices: Vec<Choice>,
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) required: bool,
    /// Where Tokenwell finds the value, in order.
    #[serde(default)]
    pub(super) capture: Vec<Capture>,
    /// Whether a caller may set a captured field, too.
    #[serde(default)]
    pub(super) settable: bool,
}

/// What kind of value a field holds, and so how pasted input is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Any text that the pattern allows.
    #[default]
    Text,
    /// One DNS label, lower-case. A pasted URL or host is read down to it.
    Label,
    /// A host name, lower-case. A pasted URL is read down to it.
    Hostname,
    /// An https URL on one of the field's hosts.
    Uri,
}

/// One value to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The value.
    pub value: String,
    /// Its label for people.
    pub title: String,
    /// What goes into URLs instead of the value.
    pub substitute: Option<String>,
    /// Other spellings that are accepted for it, from people and from the provider.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// Where a captured value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Capture {
    /// A parameter of the callback.
    Callback(String),
    /// A member of the token response.
    TokenResponse(String),
}

fn space() -> String {
    " ".to_owned()
}
