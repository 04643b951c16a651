//! A catalog entry to be written: the keys of `docs/providers.md` that an import can fill, in the order in which they are
//! taught there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::{Kind, Remark};
use crate::model::StringMap;

/// An entry.
#[derive(Debug, Default, Serialize)]
pub(super) struct Draft {
    pub(super) display_name: String,
    pub(super) categories: Vec<String>,
    pub(super) documentation: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) grant_types: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_many")]
    pub(super) request_token_endpoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_many")]
    pub(super) authorization_endpoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_many")]
    pub(super) token_endpoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_many")]
    pub(super) refresh_endpoint: Vec<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) hosts: BTreeSet<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) hosts_are_tenants: bool,
    pub(super) token_endpoint_auth_method: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) tls_client_certificate: bool,
    pub(super) token_request_method: Option<&'static str>,
    pub(super) token_request_format: Option<&'static str>,
    pub(super) scope_separator: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) default_scopes: Vec<String>,
    pub(super) pkce_disabled_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) nonce: bool,
    pub(super) default_expires_in: Option<u32>,
    pub(super) signature_method: Option<String>,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) param_names: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) authorization_params: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) token_params: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) refresh_params: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) client_credentials_params: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) token_headers: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) token_response: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) callback: StringMap,
    pub(super) verification: Option<DraftRequest>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) config: BTreeMap<String, DraftField>,
}

/// A request of an entry.
#[derive(Debug, Default, Serialize)]
pub(super) struct DraftRequest {
    #[serde(serialize_with = "one_or_many")]
    pub(super) url: Vec<String>,
    pub(super) method: Option<&'static str>,
    pub(super) authorization: Option<String>,
    pub(super) basic: Option<String>,
    pub(super) body: Option<String>,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) params: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub(super) headers: StringMap,
}

/// A field of an entry's connection config.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct DraftField {
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) example: Option<String>,
    pub(super) format: Option<&'static str>,
    pub(super) pattern: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) suffix: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "enum")]
    pub(super) choices: Vec<DraftChoice>,
    pub(super) default: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) secret: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) capture: Vec<DraftCapture>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) settable: bool,
}

/// A value to choose from.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DraftChoice {
    pub(super) value: String,
    pub(super) title: String,
}

/// Where a value is found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DraftCapture {
    Callback(String),
    TokenResponse(String),
}

// === impl Draft ===

impl Draft {
    /// The text of the catalog file, which begins with what to look at.
    pub(super) fn text(&self, id: &str, remarks: &[Remark]) -> Result<String, String> {
        let mut text = format!("# Imported from `{id}` of a providers.yaml.\n");
        for Remark { kind, key, why } in remarks {
            let word = match kind {
                Kind::Lost => "Not carried over",
                Kind::Changed => "Changed",
                Kind::Outside => continue,
            };
            text.extend(["# ", word, ": `", key, "`: ", why, "\n"]);
        }
        text.push_str(&toml::to_string_pretty(self).map_err(|error| error.to_string())?);
        Ok(text)
    }
}

fn one_or_many<S: Serializer>(templates: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match templates {
        [one] => serializer.serialize_str(one),
        many => many.serialize(serializer),
    }
}
