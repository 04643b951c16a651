//! What an entry says of OAuth: addresses, parameters, how the client authenticates, what answers look like.

use serde_json::Value;

use super::{
    entry::{Entry, text_of},
    expression::{self, Piece},
};
use crate::{model::StringMap, provider::RESERVED_PARAMS};

/// Why PKCE is off in an entry that was imported without it.
const NO_PKCE: &str = "The providers.yaml that this was imported from turns PKCE off, and does not say why.";
/// Parameters of the authorization request that can have another name.
const RENAMABLE: [&str; 6] =
    ["client_id", "code_challenge", "code_challenge_method", "redirect_uri", "response_type", "scope"];

impl Entry<'_> {
    /// The authorization code grant.
    pub(super) fn oauth2(&mut self) -> Result<(), String> {
        if self.has("authorization_url_fragment") {
            return Err(
                "its authorization request stands behind a `#`, where the catalog cannot put it".to_owned()
            );
        }
        if self.has("authorization_code_param_in_webhook") || self.has("installation") {
            return Err("its code comes by a webhook, not by a browser".to_owned());
        }
        self.draft.authorization_endpoint = self.endpoint("authorization_url", "OAUTH2")?;
        self.token_requests("OAUTH2")?;
        self.authorization_params();
        if self.take("disable_pkce") == Some(&Value::Bool(true)) {
            self.draft.pkce_disabled_reason = Some(NO_PKCE);
        }
        let refreshed = self.has("refresh_params");
        self.draft.token_params = self.params("token_params", "authorization_code");
        self.draft.refresh_params = if refreshed {
            self.params("refresh_params", "refresh_token")
        } else {
            // As there: without parameters of its own a refresh has those of the exchange.
            let own = self.draft.token_params.iter().filter(|(name, _)| *name != "grant_type");
            own.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        if let Some(name) = self.text("authorization_code_param_in_callback") {
            self.draft.callback.insert("code_param".to_owned(), name);
        }
        Ok(())
    }

    /// The client credentials grant.
    pub(super) fn client_credentials(&mut self) -> Result<(), String> {
        self.draft.grant_types = vec!["client_credentials"];
        self.token_requests("OAUTH2_CC")?;
        let mut params = self.params("token_params", "client_credentials");
        if self.draft.default_scopes.is_empty()
            && let Some(scope) = params.remove("scope")
        {
            if scope.contains('{') {
                params.insert("scope".to_owned(), scope);
            } else {
                self.draft.default_scopes = self.scopes(&scope);
            }
        }
        self.draft.client_credentials_params = params;
        if self.take("require_client_certificate") == Some(&Value::Bool(true)) {
            self.draft.tls_client_certificate = true;
        }
        Ok(())
    }

    /// OAuth 1.0a.
    pub(super) fn oauth1(&mut self) -> Result<(), String> {
        self.draft.grant_types = vec!["oauth1"];
        self.draft.request_token_endpoint = self.endpoint("request_url", "OAUTH1")?;
        self.draft.authorization_endpoint = self.endpoint("authorization_url", "OAUTH1")?;
        self.draft.token_endpoint = self.endpoint("token_url", "OAUTH1")?;
        match self.text("signature_method").as_deref() {
            None | Some("HMAC-SHA1") => {}
            Some(method @ ("HMAC-SHA256" | "PLAINTEXT")) => {
                self.draft.signature_method = Some(method.to_owned());
            }
            Some(other) => return Err(format!("its `signature_method` `{other}` is not supported")),
        }
        self.asked_for();
        self.authorization_params();
        Ok(())
    }

    fn endpoint(&mut self, key: &'static str, mode: &str) -> Result<Vec<String>, String> {
        let text = match self.take(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Object(modes)) => {
                for other in modes.keys().filter(|other| *other != mode) {
                    self.remarks
                        .lost(format!("{key}.{other}"), format!("belongs to another mode than `{mode}`"));
                }
                modes
                    .get(mode)
                    .and_then(text_of)
                    .ok_or_else(|| format!("its `{key}` has none for `{mode}`"))?
            }
            _ => return Err(format!("it has no `{key}`")),
        };
        self.address(key, &text).map_err(|why| format!("`{key}`: {why}"))
    }

    fn token_requests(&mut self, mode: &str) -> Result<(), String> {
        self.draft.token_endpoint = self.endpoint("token_url", mode)?;
        if self.has("refresh_url") {
            self.draft.refresh_endpoint = self.endpoint("refresh_url", mode)?;
        }
        self.asked_for();
        self.client_authentication();
        match self.text("body_format").as_deref() {
            None | Some("form") => {}
            Some("json") => self.draft.token_request_format = Some("json"),
            Some(other) => {
                self.remarks.lost("body_format", format!("`{other}` is no format of token requests"));
            }
        }
        match self.text("token_request_method").as_deref() {
            None | Some("POST") => {}
            Some("GET") => self.draft.token_request_method = Some("GET"),
            Some(other) => {
                self.remarks.lost("token_request_method", format!("`{other}` is no method for them"));
            }
        }
        if let Some(unit) = self.text("expires_in_unit") {
            self.draft.token_response.insert("expires_in_unit".to_owned(), unit);
        }
        if let Some(lifetime) = self.take("token_expires_in_ms").and_then(Value::as_u64) {
            self.draft.default_expires_in =
                u32::try_from(lifetime / 1000).ok().filter(|seconds| *seconds > 0);
            if self.draft.default_expires_in.is_none() {
                self.remarks
                    .lost("token_expires_in_ms", format!("{lifetime} is no lifetime that an entry can have"));
            }
        }
        let own = |name: &str| ["authorization", "content-type", "content-length", "host"].contains(&name);
        for (name, value) in self.params("token_headers", "") {
            let name = name.to_ascii_lowercase();
            if name == "authorization" {
                self.remarks.lost("token_headers.authorization", "is set by Tokenwell itself");
            } else if !own(&name) {
                self.draft.token_headers.insert(name, value);
            }
        }
        Ok(())
    }

    fn client_authentication(&mut self) {
        // Two keys for one thing: the header has the client's secret if either says so.
        let header = match self.text("authorization_method").as_deref() {
            None | Some("body") => false,
            Some("header") => true,
            Some(other) => {
                self.remarks.lost("authorization_method", format!("`{other}` is no method that is known"));
                false
            }
        };
        self.draft.token_endpoint_auth_method = match self.text("token_request_auth_method").as_deref() {
            Some("basic") => Some("client_secret_basic"),
            Some("private_key_jwt") => Some("private_key_jwt"),
            Some("custom") => {
                for (name, other) in [("client_id", "username"), ("client_secret", "password")] {
                    self.draft.param_names.insert(name.to_owned(), other.to_owned());
                }
                None
            }
            Some(other) => {
                let why = format!("`{other}` is no method that is known");
                self.remarks.lost("token_request_auth_method", why);
                None
            }
            None => header.then_some("client_secret_basic"),
        };
    }

    /// Scopes, and what stands between them.
    fn asked_for(&mut self) {
        let separator = self.text("scope_separator").filter(|separator| separator != " ");
        let raw = self.list_of("authorization_url_skip_encode").iter().any(|part| part == "scopes");
        // A `+` that is not encoded is a space.
        self.draft.scope_separator = separator.filter(|separator| !(raw && separator == "+"));
        self.draft.default_scopes = self.list("default_scopes");
    }

    /// A list that is read, but also reported if nothing can be made of it.
    fn list_of(&mut self, key: &'static str) -> Vec<String> {
        let list = self.list(key);
        let plus = list.iter().all(|part| part == "scopes") && self.has("scope_separator");
        if !list.is_empty() && !plus {
            self.remarks.lost(key, "parameters are always encoded as a URL wants it");
        }
        list
    }

    fn scopes(&self, text: &str) -> Vec<String> {
        let separator = self.draft.scope_separator.as_deref().unwrap_or(" ");
        text.split(separator).map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
    }

    fn authorization_params(&mut self) {
        let skip_empty = self.take("authorization_url_skip_empty") == Some(&Value::Bool(true));
        if let Some(auth) = self.take("auth") {
            let usual = auth
                .as_object()
                .is_some_and(|auth| auth.iter().all(|(k, v)| k == "response_type" && v == "code"));
            if !usual {
                self.remarks.lost("auth", "is a key that this import does not know");
            }
        }
        let nonce = |given: &Value| given.as_str() == Some("${random}");
        let given = self.take("authorization_params").and_then(Value::as_object);
        self.draft.nonce = given.and_then(|given| given.get("nonce")).is_some_and(nonce);
        for (name, value) in self.params("authorization_params", "") {
            let key = format!("authorization_params.{name}");
            match name.as_str() {
                "response_type" if value == "code" => {}
                "scope" if self.draft.default_scopes.is_empty() && !value.contains('{') => {
                    self.draft.default_scopes = self.scopes(&value);
                    self.remarks.changed(key, "is in `default_scopes` here");
                }
                // BambooHR has a parameter of this name that is none of RFC 9101.
                name if name != "request" && RESERVED_PARAMS.contains(&name) => {
                    self.remarks.lost(key, "is set by Tokenwell itself");
                }
                _ if skip_empty && value.is_empty() => {}
                _ => drop(self.draft.authorization_params.insert(name, value)),
            }
        }
        let renamed = self.take("authorization_url_replacements").and_then(Value::as_object);
        for (from, to) in renamed.into_iter().flatten() {
            let key = format!("authorization_url_replacements.{from}");
            let from = from.trim_end_matches('=');
            let to = to.as_str().map(|to| to.trim_end_matches('='));
            match to {
                Some(to) if RENAMABLE.contains(&from) => {
                    self.draft.param_names.insert(from.to_owned(), to.to_owned());
                    self.remarks
                        .changed(key, "`param_names` is for token requests, too: see whether that is right");
                }
                _ => self.remarks.lost(key, "only parameters of OAuth can have another name"),
            }
        }
    }

    /// Parameters, without the grant type that goes without saying.
    pub(super) fn params(&mut self, table: &'static str, grant_type: &str) -> StringMap {
        let mut params = StringMap::new();
        let given = self.take(table).and_then(Value::as_object);
        for (name, value) in given.into_iter().flatten() {
            let text = text_of(value);
            if name == "grant_type" && text.as_deref() == Some(grant_type) {
                continue;
            }
            if table == "authorization_params" && name == "nonce" && self.draft.nonce {
                continue;
            }
            let made = match &text {
                Some(text) => self.value(text, |_| None),
                None => Err("is no text".to_owned()),
            };
            match made {
                Ok(value) => drop(params.insert(name.clone(), value)),
                Err(why) => self.remarks.lost(format!("{table}.{name}"), why),
            }
        }
        params
    }

    /// The template of a value, where `known` has names for what is no config.
    pub(super) fn value(
        &mut self,
        text: &str,
        known: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<String, String> {
        let alternatives = expression::alternatives(text);
        let only = match alternatives[..] {
            [first, default] => match (&expression::pieces(first)[..], &expression::pieces(default)[..]) {
                // What is meant when the config has no value is the default of that value.
                ([Piece::Config(name)], [Piece::Text(default)]) => {
                    self.fields.defaults.insert((*name).to_owned(), (*default).to_owned());
                    first
                }
                _ => text,
            },
            _ => text,
        };
        if only.contains("${") && only.contains("||") {
            return Err("only addresses have alternatives".to_owned());
        }
        let pieces = expression::pieces(only);
        // Before any name is given away.
        let check = |piece: &Piece<'_>| match piece {
            Piece::Other(inner) => {
                known(inner).map(|name| format!("{{{name}}}")).ok_or_else(|| expression::unknown(inner))
            }
            Piece::Config(_) | Piece::Text(_) => Ok(String::new()),
        };
        expression::template(&pieces, check)?;
        expression::template(&pieces, |piece| match piece {
            Piece::Config(name) => {
                self.fields.held.insert((*name).to_owned());
                Ok(format!("{{{}}}", self.fields.name(name)))
            }
            other => check(other),
        })
    }
}
