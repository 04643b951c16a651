//! Requests to a provider's API that the entry declares: the lookup after an exchange, the verification of static
//! credentials, the revocation of a grant.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{
    Provider,
    address::{Address, CLIENT_ID},
    definition::{ApiMethod, BodyFormat, Params, RequestDefinition},
    template::Template,
};
use crate::model::{Config, ExposeSecret as _, Result, SecretMap, SecretString};

/// Names in templates of lookups and verifications that stand for credentials.
pub(super) const CREDENTIALS: [&str; 4] = ["access_token", "api_key", "username", "password"];
/// Likewise in templates of revocations.
pub(super) const REVOCATION_CREDENTIALS: [&str; 4] =
    ["access_token", "refresh_token", CLIENT_ID, "client_secret"];

/// A request to a provider's API, ready to be sent. It holds credentials, so it has no `Debug`.
#[derive(Clone)]
pub struct ApiRequest {
    /// The address, with its parameters.
    pub url: Url,
    /// The method.
    pub method: ApiMethod,
    /// The headers.
    pub headers: Vec<(String, SecretString)>,
    /// The body.
    pub body: Option<(BodyFormat, SecretString)>,
}

/// A checked declaration.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) address: Address,
    pub(super) definition: RequestDefinition,
}

// === impl Request ===

impl Request {
    pub(super) fn new(definition: &RequestDefinition) -> Result<Self, String> {
        if definition.authorization.is_some() && definition.basic.is_some() {
            return Err("has both `authorization` and `basic`: choose one".to_owned());
        }
        let json = definition.body.as_ref().map(|body| serde_json::from_str::<serde_json::Value>(body));
        if let Some(Err(error)) = json {
            return Err(format!("has a `body` that is not JSON: {error}"));
        }
        let bodies = [definition.body.is_some(), !definition.json.is_empty(), !definition.form.is_empty()];
        let bodies = bodies.into_iter().filter(|given| *given).count();
        if bodies > 0 && definition.method == ApiMethod::Get {
            return Err("has a `body`, `json` or `form`, which `GET` does not send".to_owned());
        }
        if bodies > 1 {
            return Err("has more than one of `body`, `json` and `form`: choose one".to_owned());
        }
        Ok(Self { address: Address::parse(&definition.url)?, definition: definition.clone() })
    }

    /// All templates but those of the address.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let RequestDefinition { params, headers, authorization, basic, json, form, .. } = &self.definition;
        let tables = [params, headers, json, form];
        tables.into_iter().flat_map(Params::values).chain(authorization).chain(basic)
    }

    /// Whether it holds this credential.
    pub(super) fn names(&self, credential: &str) -> bool {
        let RequestDefinition { authorization, basic, .. } = &self.definition;
        let usual = authorization.is_none() && basic.is_none() && credential == "access_token";
        usual || self.templates().flat_map(Template::fields).any(|name| name == credential)
    }
}

// === impl Provider ===

impl Provider {
    /// The request for values that only an API call tells, if the entry has one.
    pub fn lookup(&self, config: &Config, credentials: &SecretMap) -> Result<Option<ApiRequest>> {
        self.lookup.as_ref().map(|request| self.request(request, config, credentials)).transpose()
    }

    /// The request that proves static credentials, if the entry has one.
    pub fn verification(&self, config: &Config, credentials: &SecretMap) -> Result<Option<ApiRequest>> {
        self.verification.as_ref().map(|request| self.request(request, config, credentials)).transpose()
    }

    pub(super) fn request(
        &self,
        request: &Request,
        config: &Config,
        credentials: &SecretMap,
    ) -> Result<ApiRequest> {
        let value = |name: &str| match credentials.get(name) {
            Some(secret) => Some(secret.expose_secret()),
            None => config.get(name),
        };
        let definition = &request.definition;
        let client_id = credentials.get(CLIENT_ID).map_or("", |client_id| client_id.expose_secret());
        let mut url = self.fill_for(&request.address, config, client_id)?;
        for (name, value) in filled(&definition.params, value) {
            url.query_pairs_mut().append_pair(name, &value);
        }
        let mut headers: Vec<_> = filled(&definition.headers, value)
            .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
            .collect();
        let authorization = match (&definition.authorization, &definition.basic) {
            (Some(template), _) => template.fill(value).ok(),
            (None, Some(template)) => {
                template.fill(value).ok().map(|text| format!("Basic {}", STANDARD.encode(text)))
            }
            (None, None) => value("access_token").map(|token| format!("Bearer {token}")),
        };
        // An empty one is none.
        let authorization = authorization.filter(|text| !text.is_empty());
        headers.extend(authorization.map(|text| ("authorization".to_owned(), text.into())));
        let json = || {
            let members =
                filled(&definition.json, value).map(|(name, value)| (name.to_owned(), value.into()));
            Value::Object(members.collect()).to_string()
        };
        let form = || {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(filled(&definition.form, value)).finish()
        };
        let body = match &definition.body {
            Some(body) => Some((BodyFormat::Json, body.clone())),
            None if !definition.json.is_empty() => Some((BodyFormat::Json, json())),
            None if !definition.form.is_empty() => Some((BodyFormat::Form, form())),
            None => None,
        };
        let body = body.map(|(format, text)| (format, text.into()));
        Ok(ApiRequest { url, method: definition.method, headers, body })
    }
}

/// The parameters whose fields all have values.
pub(super) fn filled<'a>(
    params: &'a Params,
    value: impl Fn(&str) -> Option<&'a str>,
) -> impl Iterator<Item = (&'a str, String)> {
    params.iter().filter_map(move |(name, template)| Some((name.as_str(), template.fill(&value).ok()?)))
}
