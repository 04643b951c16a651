//! A request to a provider's API, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Endpoint, Params};
use crate::{model::StringMap, provider::template::Template};

/// The method of token requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RequestMethod {
    /// With parameters in the query.
    #[default]
    Get,
    /// With a body.
    Post,
}

/// The method of a request to a provider's API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ApiMethod {
    /// Without a body.
    #[default]
    Get,
    /// With a body.
    Post,
    /// Maybe with a body. Only a revocation deletes.
    Delete,
}

/// A request to a provider's API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::provider) struct RequestDefinition {
    /// The address, with `{field}` where config goes.
    pub(in crate::provider) url: Endpoint,
    /// The method.
    #[serde(default)]
    pub(in crate::provider) method: ApiMethod,
    /// Query parameters.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(in crate::provider) params: Params,
    /// Further headers.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(in crate::provider) headers: Params,
    /// The `Authorization` header: `Bearer {access_token}` unless said otherwise.
    #[schemars(with = "Option<String>")]
    pub(in crate::provider) authorization: Option<Template>,
    /// In its place: text whose base64 goes into HTTP Basic.
    #[schemars(with = "Option<String>")]
    pub(in crate::provider) basic: Option<Template>,
    /// A JSON body, as it is.
    pub(in crate::provider) body: Option<String>,
    /// In its place: the members of a JSON object of texts.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(in crate::provider) json: Params,
    /// In its place: the fields of a form.
    #[serde(default)]
    #[schemars(with = "StringMap")]
    pub(in crate::provider) form: Params,
}
