//! One key of the connection config, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::provider::path::Path;

/// One key of the connection config.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "these are the keys of a file")]
pub(in crate::provider) struct FieldDefinition {
    /// The label for people.
    pub(in crate::provider) title: String,
    /// What it is and where to find it.
    #[serde(default)]
    pub(in crate::provider) description: String,
    /// A value that is valid.
    #[serde(default)]
    pub(in crate::provider) example: String,
    /// A regular expression for the whole value.
    pub(in crate::provider) pattern: Option<String>,
    /// What kind of value it is.
    #[serde(default)]
    pub(in crate::provider) format: Format,
    /// Text in front that people paste with it. It is taken off.
    pub(in crate::provider) prefix: Option<String>,
    /// Text behind that people paste with it. It is taken off.
    pub(in crate::provider) suffix: Option<String>,
    /// For a `uri` or a `hostname`: the hosts that it may name.
    #[serde(default)]
    pub(in crate::provider) hosts: Vec<String>,
    /// The values to choose from.
    #[serde(default, rename = "enum")]
    pub(in crate::provider) choices: Vec<Choice>,
    /// The value when none is given.
    pub(in crate::provider) default: Option<String>,
    /// Whether a Begin must give it.
    #[serde(default)]
    pub(in crate::provider) required: bool,
    /// Whether it is sealed at rest, and handed out only with credentials.
    #[serde(default)]
    pub(in crate::provider) secret: bool,
    /// Where Tokenwell finds the value; later ones win.
    #[serde(default)]
    pub(in crate::provider) capture: Vec<Capture>,
    /// Whether it tells which account a connection leads to: with another one, it is another account. Captured fields only.
    #[serde(default)]
    pub(in crate::provider) account: bool,
    /// Whether a caller may set a captured field, too.
    #[serde(default)]
    pub(in crate::provider) settable: bool,
}

/// What kind of value a field holds, and so how pasted input is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Any text that the pattern allows.
    #[default]
    Text,
    /// One DNS label, lower-case. A pasted URL or host is read down to it.
    Label,
    /// A host name, lower-case. A pasted URL is read down to it.
    Hostname,
    /// A UUID (RFC 9562), lower-case.
    Uuid,
    /// An https URL on one of the field's hosts.
    Uri,
    /// An e-mail address.
    Email,
}

/// One value to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The value.
    pub value: String,
    /// Its label for people.
    pub title: String,
    /// What goes into addresses instead of the value.
    pub substitute: Option<String>,
    /// Other spellings that are accepted for it, from people and from the provider.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// Where a captured value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::provider) enum Capture {
    /// A parameter of the callback.
    Callback(String),
    /// A path in the token response.
    TokenResponse(#[schemars(with = "String")] Path),
    /// A claim of the `id_token`.
    IdToken(String),
    /// A JSON pointer into the answer of the lookup.
    Lookup(String),
}

impl Format {
    /// What a value is called in messages.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Label => "one part of a host name",
            Self::Hostname => "a host name",
            Self::Uuid => "a UUID",
            Self::Uri => "an https URL of the provider",
            Self::Email => "an e-mail address",
        }
    }
}
