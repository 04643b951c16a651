//! Checks of what an entry sends: parameters, headers, and the requests that it declares.

use std::collections::BTreeSet;

use super::{
    Definition, Field, Provider, RESERVED_PARAMS,
    check::Found,
    definition::{ApiMethod, Params},
    request::{CREDENTIALS, REVOCATION_CREDENTIALS, Request},
    template::Template,
};
use crate::model::GrantType;

/// RFC 6749's parameters that `param_names` may rename.
const RENAMABLE: [&str; 12] = [
    "client_assertion",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "response_type",
    "scope",
];

impl Found {
    pub(super) fn params(&mut self, provider: &Provider) {
        let definition = &provider.definition;
        for name in definition.authorization_params.keys() {
            // BambooHR wants a `request` that is none of RFC 9101.
            let reserved = RESERVED_PARAMS.contains(&name.as_str()) && name != "request";
            let path = format!("authorization_params.{name}");
            self.require(!reserved, &path, format!("`{path}` is set by tokenwell itself"));
        }
        for name in definition.param_names.keys() {
            let path = format!("param_names.{name}");
            let known = RENAMABLE.contains(&name.as_str());
            self.require(known, &path, format!("`{path}` is not one of {}", RENAMABLE.join(", ")));
        }
        self.headers("token_headers", &definition.token_headers);
        for (table, params) in tables(definition) {
            for (name, template) in params {
                let path = format!("{table}.{name}");
                self.names(provider, &path, template.fields(), &[]);
                // What a browser sees is no place for a secret.
                let seen = matches!(table, "authorization_params" | "callback.expect");
                let secret = |name: &str| provider.field(name).is_some_and(Field::secret);
                if seen && template.fields().any(secret) {
                    self.add(&path, format!("`{path}` holds a secret, which a browser would see"));
                }
            }
        }
        self.unique(definition);
        for (name, request) in [
            ("lookup", &provider.lookup),
            ("verification", &provider.verification),
            ("revocation", &provider.revocation),
        ] {
            if let Some(request) = request {
                self.request(provider, name, request);
            }
        }
    }

    /// No parameter of an authorization request has two sources.
    fn unique(&mut self, definition: &Definition) {
        let mut names = BTreeSet::new();
        let renamed =
            |name: &'static str| definition.param_names.get(name).map_or(name, |renamed| renamed.as_str());
        let sent = [
            "client_id",
            "redirect_uri",
            "response_type",
            "scope",
            "code_challenge",
            "code_challenge_method",
        ];
        let standard = sent.into_iter().map(|name| ("param_names", renamed(name)));
        let own = definition.user_scope_param.iter().map(|name| ("user_scope_param", name.as_str()));
        let nonce = definition.nonce.then_some(("nonce", "nonce"));
        let reserved = |name: &&String| RESERVED_PARAMS.contains(&name.as_str());
        let further = definition.authorization_params.keys().filter(|name| !reserved(name));
        let further = further.map(|name| ("authorization_params", name.as_str()));
        let all =
            [("param_names", "state")].into_iter().chain(standard).chain(own).chain(nonce).chain(further);
        for (path, name) in all.filter(|(_, name)| !name.is_empty()) {
            if !names.insert(name.to_ascii_lowercase()) {
                self.add(path, format!("`{path}` gives `{name}`, which is sent already"));
            }
        }
    }

    fn request(&mut self, provider: &Provider, name: &str, request: &Request) {
        self.headers(&format!("{name}.headers"), &request.definition.headers);
        let credentials = if name == "revocation" { REVOCATION_CREDENTIALS } else { CREDENTIALS };
        for template in request.templates() {
            self.names(provider, name, template.fields(), &credentials);
        }
        let holds =
            |names: &[&str]| request.templates().flat_map(Template::fields).any(|it| names.contains(&it));
        let path = format!("{name}.method");
        let deletes = request.definition.method == ApiMethod::Delete;
        self.require(!deletes || name == "revocation", &path, format!("`{path}`: only a revocation deletes"));
        let has = |grant_type| provider.grant_types().contains(&grant_type);
        if name == "verification" {
            let key = !has(GrantType::ApiKey) || holds(&["api_key"]);
            let basic = !has(GrantType::Basic) || holds(&["username", "password"]);
            self.require(
                key && basic,
                name,
                "`verification` proves nothing: send `{api_key}`, or `{username}` and `{password}`",
            );
        }
    }

    fn headers(&mut self, table: &str, headers: &Params) {
        for name in headers.keys() {
            let path = format!("{table}.{name}");
            let token = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            let own = ["authorization", "content-type", "content-length", "host"];
            let fit = name.bytes().all(token) && !own.contains(&name.to_ascii_lowercase().as_str());
            self.require(fit, &path, format!("`{path}` is no header that can be added"));
        }
    }

    fn names<'a>(
        &mut self,
        provider: &Provider,
        path: &str,
        names: impl Iterator<Item = &'a str>,
        further: &[&str],
    ) {
        for name in names {
            if provider.field(name).is_none() && !further.contains(&name) {
                self.add(path, format!("`{{{name}}}` is not declared: add `[config.{name}]`"));
            }
        }
    }
}

fn tables(definition: &Definition) -> [(&'static str, &Params); 6] {
    [
        ("authorization_params", &definition.authorization_params),
        ("token_params", &definition.token_params),
        ("refresh_params", &definition.refresh_params),
        ("client_credentials_params", &definition.client_credentials_params),
        ("token_headers", &definition.token_headers),
        ("callback.expect", &definition.callback.expect),
    ]
}
