//! What types cannot say of an entry: that it is complete, that names have declarations, that examples work.

use std::collections::BTreeSet;

use super::{
    Address, Field, Provider, Transport,
    address::CLIENT_ID,
    definition::{BodyFormat, Capture, Format, RequestMethod},
    entry::Problem,
    request::{CREDENTIALS, REVOCATION_CREDENTIALS},
};
use crate::model::{Config, GrantType};

/// Errors of RFC 6749 (sections 4.1.2.1 and 5.2), and RFC 8628's `slow_down`.
const ERROR_CODES: [&str; 11] = [
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
];

/// Everything that is wrong with an entry.
pub(super) fn problems(provider: &Provider) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    found.about(provider);
    found.endpoints(provider);
    found.issuer(provider);
    found.tenants(provider);
    found.life(provider);
    found.fields(provider);
    found.params(provider);
    if found.0.is_empty() {
        found.examples(provider);
    }
    found.0
}

/// What was found so far.
pub(super) struct Found(Vec<Problem>);

impl Found {
    pub(super) fn add(&mut self, path: &str, problem: impl Into<String>) {
        self.0.push((path.to_owned(), problem.into()));
    }

    pub(super) fn require(&mut self, holds: bool, path: &str, problem: impl Into<String>) {
        if !holds {
            self.add(path, problem);
        }
    }

    fn about(&mut self, provider: &Provider) {
        let definition = &provider.definition;
        self.require(!definition.display_name.trim().is_empty(), "display_name", "`display_name` is empty");
        self.require(!definition.categories.is_empty(), "categories", "`categories` is empty: name one");
        let page = url::Url::parse(&definition.documentation);
        let https =
            page.is_ok_and(|page| page.scheme() == "https" || provider.transport == Transport::LoopbackHttp);
        self.require(https, "documentation", "`documentation` is no https URL");
        self.require(!definition.grant_types.is_empty(), "grant_types", "`grant_types` is empty: name one");
        for (own, code) in &definition.error_codes {
            let path = format!("error_codes.{own}");
            self.require(
                ERROR_CODES.contains(&code.as_str()),
                &path,
                format!("`{path}` is no error of RFC 6749"),
            );
        }
        if definition.pkce_disabled_reason.as_ref().is_some_and(|reason| reason.trim().len() < 20) {
            let problem = "`pkce_disabled_reason` says nothing: write down why the provider refuses PKCE";
            self.add("pkce_disabled_reason", problem);
        }
    }

    fn endpoints(&mut self, provider: &Provider) {
        let definition = &provider.definition;
        let has = |grant_type| definition.grant_types.contains(&grant_type);
        let addressed = provider.addresses().next().is_some();
        self.require(
            !addressed || !definition.hosts.is_empty(),
            "hosts",
            "`hosts` is empty: name the hosts of the endpoints",
        );
        let found = definition.discovery;
        if has(GrantType::AuthorizationCode) || has(GrantType::OAuth1) {
            let there = provider.authorization_endpoint.is_some() || found;
            self.require(there, "", "missing field `authorization_endpoint`");
        }
        if definition.grant_types.iter().any(|it| !matches!(it, GrantType::ApiKey | GrantType::Basic)) {
            self.require(provider.token_endpoint.is_some() || found, "", "missing field `token_endpoint`");
        }
        self.require(
            has(GrantType::OAuth1) == provider.request_token_endpoint.is_some(),
            "request_token_endpoint",
            "`request_token_endpoint` and the grant type `oauth1` need each other",
        );
        let both = has(GrantType::OAuth1) && has(GrantType::AuthorizationCode);
        self.require(!both, "grant_types", "`oauth1` and `authorization_code` need entries of their own");
        self.require(
            !has(GrantType::OAuth1) || provider.lookup.is_none(),
            "lookup",
            "`lookup` is not signed: an entry for `oauth1` cannot have one",
        );
        let json_query = definition.token_request_method == RequestMethod::Get
            && definition.token_request_format == BodyFormat::Json;
        self.require(!json_query, "token_request_format", "`GET` has no body that could be JSON");
    }

    fn fields(&mut self, provider: &Provider) {
        for field in &provider.fields {
            self.field(provider, field);
        }
        for (path, address) in provider.addresses() {
            // The one credential that an address may hold: it is none to keep secret.
            let own = path == "revocation.url";
            let names: BTreeSet<_> = address.fields().filter(|name| !(own && *name == CLIENT_ID)).collect();
            for name in names {
                self.field_of_address(provider, path, name);
            }
        }
    }

    fn field(&mut self, provider: &Provider, field: &Field) {
        let path = format!("config.{}", field.name());
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let credential = |name| CREDENTIALS.contains(&name) || REVOCATION_CREDENTIALS.contains(&name);
        let named = field.name().bytes().all(plain) && !credential(field.name());
        self.require(
            named,
            &path,
            format!("`{path}`: a name is lower-case letters, digits and `_`, and none of credentials"),
        );
        if field.secret() && (field.default_value().is_some() || !field.choices().is_empty()) {
            self.add(&path, format!("`{path}`: a secret has no default and no enum"));
        }
        // Callers send tokens where such a value points.
        let points = match field.format() {
            Format::Uri => field.choices().is_empty(),
            Format::Hostname => field.captured() && field.choices().is_empty() && !field.has_pattern(),
            _ => false,
        };
        self.require(
            !points || field.pinned(),
            &path,
            format!(
                "`{path}`: a `uri`, or a `hostname` that is captured, needs the `hosts` that it may name"
            ),
        );
        if let Some(default) = field.default_value()
            && field.normalize(default).as_deref() != Ok(default)
        {
            self.add(&format!("{path}.default"), format!("`{path}.default` is not a valid value"));
        }
        if !field.example().is_empty()
            && let Err(problem) = field.normalize(field.example())
        {
            self.add(&format!("{path}.example"), format!("`{path}.example` {problem}"));
        }
        self.require(
            field.settable() || !field.required(),
            &path,
            format!("`{path}` cannot be given by callers, and so not be required of them"),
        );
        let disguised = field.captured() && field.format() == Format::Text && field.example().contains("://");
        self.require(
            !disguised,
            &path,
            format!("`{path}` is an address: give it the format `uri`, and `hosts`"),
        );
        let told =
            field.captured() && !field.settable() && !field.secret() && field.default_value().is_none();
        let account = format!("{path}.account");
        self.require(
            told || !field.account(),
            &account,
            format!("`{account}`: only the provider tells which account it is: a captured field that nobody else sets, and no secret"),
        );
        for capture in field.captures() {
            match capture {
                Capture::Lookup(_) if field.settable() && field.default_value().is_some() => {
                    self.add(&path, format!("`{path}` has a default, which its lookup would never replace"));
                }
                Capture::Lookup(_) if provider.lookup.is_none() => {
                    self.add(&path, format!("`{path}` is captured from a lookup: add `[lookup]`"));
                }
                Capture::Lookup(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => {
                    self.add(&path, format!("`{path}`: `{pointer}` is no JSON pointer: it begins with `/`"));
                }
                _ => {}
            }
        }
    }

    fn field_of_address(&mut self, provider: &Provider, path: &str, name: &str) {
        let Some(field) = provider.field(name) else {
            return self.add(path, format!("`{{{name}}}` is not declared: add `[config.{name}]`"));
        };
        let config = format!("config.{name}");
        self.require(
            !field.secret(),
            &config,
            format!("`{config}` is secret and cannot be part of an address"),
        );
        self.require(
            field.constrained(),
            &config,
            format!("`{config}` is part of an address: give it a format, a pattern or an enum"),
        );
    }

    /// Every address can be made of the examples, and then satisfies the pins.
    fn examples(&mut self, provider: &Provider) {
        let mut config = Config::default();
        for field in provider.fields.iter().filter(|field| !field.secret()) {
            let example = match field.example() {
                "" => field.default_value().unwrap_or_default(),
                example => example,
            };
            if let Ok(value) = field.normalize(example) {
                config.values.insert(field.name().to_owned(), value);
            }
        }
        for (path, address) in provider.addresses() {
            for alternative in address.each() {
                if let Err(error) = provider.fill(&alternative, &config) {
                    self.add(path, format!("`{path}` with its examples: {error}"));
                }
            }
        }
        for field in &provider.fields {
            self.choices(provider, field, &config);
        }
        // What only the provider tells is not there yet when a flow begins.
        let captured = provider.fields.iter().filter(|field| !field.settable());
        captured.for_each(|field| drop(config.values.remove(field.name())));
        if let Some(address) = &provider.authorization_endpoint
            && let Err(error) = provider.fill(address, &config)
        {
            self.add(
                "authorization_endpoint",
                format!("`authorization_endpoint` when a flow begins: {error}"),
            );
        }
    }
}

impl Found {
    /// Every choice of an enum makes addresses, too.
    fn choices(&mut self, provider: &Provider, field: &Field, examples: &Config) {
        for (index, choice) in field.choices().iter().enumerate() {
            let mut config = examples.clone();
            config.values.insert(field.name().to_owned(), choice.value.clone());
            for (_, address) in
                provider.addresses().filter(|(_, it)| it.fields().any(|it| it == field.name()))
            {
                if address.each().any(|alternative| provider.fill(&alternative, &config).is_err()) {
                    let path = format!("config.{}.enum[{index}]", field.name());
                    self.add(&path, format!("`{}` makes no address on the `hosts`", choice.value));
                }
            }
        }
    }
}

impl Provider {
    /// The addresses that the entry gives, by their keys.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, &Address)> {
        let own = [
            ("issuer", self.issuer.as_ref()),
            ("jwks_uri", self.jwks_uri.as_ref()),
            ("authorization_endpoint", self.authorization_endpoint.as_ref()),
            ("token_endpoint", self.token_endpoint.as_ref()),
            ("refresh_endpoint", self.refresh_endpoint.as_ref()),
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
            ("introspection_endpoint", self.introspection_endpoint.as_ref()),
            ("request_token_endpoint", self.request_token_endpoint.as_ref()),
            ("lookup.url", self.lookup.as_ref().map(|request| &request.address)),
            ("verification.url", self.verification.as_ref().map(|request| &request.address)),
            ("revocation.url", self.revocation.as_ref().map(|request| &request.address)),
        ];
        own.into_iter().filter_map(|(name, address)| Some((name, address?)))
    }
}
