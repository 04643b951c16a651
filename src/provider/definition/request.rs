//! A request to a provider's API, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Endpoint, Params};
use crate::{model::StringMap, provider::template::Template};

/// A method of HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RequestMethod {
    /// With parameters in the query.
    #[default]
    Get,
    /// With a body.
    Post,
}

/// A request to a provider's API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::provider) struct RequestDefinition {
    /// The address, with `{field}` where config goes.
    pub(in crate::provider) url: Endpoint,
    /// The method.
    #[serde(default)]
    pub(in crate::provider) method: RequestMethod,
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
    /// A JSON body.
    pub(in crate::provider) body: Option<String>,
}
