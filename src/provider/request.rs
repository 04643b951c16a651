//! Requests to a provider's API that the entry declares: the lookup after an exchange, the verification of static
//! credentials.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use url::Url;

use super::{
    Provider,
    address::Address,
    definition::{Params, RequestDefinition, RequestMethod},
    template::Template,
};
use crate::model::{Config, ExposeSecret as _, Result, SecretMap, SecretString};

/// Names in templates that stand for credentials.
pub(super) const CREDENTIALS: [&str; 4] = ["access_token", "api_key", "username", "password"];

/// A request to a provider's API, ready to be sent. It holds credentials, so it has no `Debug`.
#[derive(Clone)]
pub struct ApiRequest {
    /// The address, with its parameters.
    pub url: Url,
    /// The method.
    pub method: RequestMethod,
    /// The headers.
    pub headers: Vec<(String, SecretString)>,
    /// A JSON body.
    pub body: Option<String>,
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
        if definition.body.is_some() && definition.method == RequestMethod::Get {
            return Err("has a `body`, which only `POST` sends".to_owned());
        }
        Ok(Self { address: Address::parse(&definition.url)?, definition: definition.clone() })
    }

    /// All templates but those of the address.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let RequestDefinition { params, headers, authorization, basic, .. } = &self.definition;
        params.values().chain(headers.values()).chain(authorization).chain(basic)
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

    fn request(&self, request: &Request, config: &Config, credentials: &SecretMap) -> Result<ApiRequest> {
        let value = |name: &str| match credentials.get(name) {
            Some(secret) => Some(secret.expose_secret()),
            None => config.get(name),
        };
        let definition = &request.definition;
        let mut url = self.fill(&request.address, config)?;
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
        headers.extend(authorization.map(|text| ("authorization".to_owned(), text.into())));
        Ok(ApiRequest { url, method: definition.method, headers, body: definition.body.clone() })
    }
}

/// The parameters whose fields all have values.
pub(super) fn filled<'a>(
    params: &'a Params,
    value: impl Fn(&str) -> Option<&'a str>,
) -> impl Iterator<Item = (&'a str, String)> {
    params.iter().filter_map(move |(name, template)| Some((name.as_str(), template.fill(&value).ok()?)))
}
