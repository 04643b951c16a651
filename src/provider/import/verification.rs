//! API keys and passwords: the request that proves them.

use serde_json::{Map, Value};

use super::{
    draft::DraftRequest,
    entry::{Entry, text_of},
};

/// Headers that say what is so anyway.
const USUAL: [&str; 3] = ["content-type", "content-length", "host"];

impl Entry<'_> {
    /// API keys and passwords.
    pub(super) fn static_credentials(&mut self, mode: &str) {
        let basic = mode == "BASIC";
        self.draft.grant_types = vec![if basic { "basic" } else { "api_key" }];
        let proxy = self.take("proxy").and_then(Value::as_object);
        let given = proxy.and_then(|proxy| proxy.get("verification")).and_then(Value::as_object);
        if let (Some(proxy), Some(given)) = (proxy, given) {
            match self.verification(proxy, given, basic) {
                Ok(request) => self.draft.verification = Some(request),
                Err(why) => {
                    // Its pins would let nothing in, as there is no other address.
                    self.draft.hosts.clear();
                    self.draft.hosts_are_tenants = false;
                    self.fields.uses.clear();
                    self.fields.held.clear();
                    self.remarks.lost("proxy.verification", why);
                }
            }
        }
        if proxy.is_some() {
            self.remarks.outside("proxy", "describes API calls, which your backends make themselves");
        }
        let forms = self.take("credentials").and_then(Value::as_object);
        for (name, form) in forms.into_iter().flatten() {
            self.remarks.outside(
                "credentials",
                "describes the form for credentials: a verification proves them here",
            );
            if let Some(default) = form.get("default_value").and_then(text_of) {
                let default =
                    if default.is_empty() { "an empty one".to_owned() } else { format!("`{default}`") };
                let why = format!("has no default here: an `Import` gives {default} itself");
                self.remarks.lost(format!("credentials.{name}.default_value"), why);
            }
        }
    }

    fn verification(
        &mut self,
        proxy: &Map<String, Value>,
        given: &Map<String, Value>,
        basic: bool,
    ) -> Result<DraftRequest, String> {
        let base = given.get("base_url_override").or(proxy.get("base_url")).and_then(text_of);
        let base = base.ok_or("there is no `proxy.base_url`")?;
        let endpoints: Vec<_> = given
            .get("endpoints")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(text_of)
            .collect();
        let endpoint = endpoints.first().ok_or("it names no endpoint")?;
        if endpoints.len() > 1 {
            self.remarks.lost("proxy.verification.endpoints", "only the first is asked");
        }
        let url: Vec<_> = base.split("||").map(|base| joined(base.trim(), endpoint)).collect();
        let mut request = DraftRequest {
            url: self.address("proxy.verification", &url.join(" || "))?,
            ..DraftRequest::default()
        };
        match given.get("method").and_then(Value::as_str).unwrap_or("GET") {
            "GET" => {}
            "POST" => request.method = Some("POST"),
            other => return Err(format!("its method is `{other}`, not `GET` or `POST`")),
        }
        if let Some(data) = given.get("data") {
            if request.method.is_none() || data.to_string().contains("${") {
                return Err("its body cannot be sent as it is".to_owned());
            }
            request.body = Some(data.to_string());
        }
        for (name, value) in tables(proxy, "query") {
            let value = self.credential(&value)?;
            request.params.insert(name, value);
        }
        for (name, value) in tables(proxy, "headers").chain(tables(given, "headers")) {
            let name = name.to_ascii_lowercase();
            if name == "authorization" {
                self.authorization(&value, &mut request)?;
            } else if !USUAL.contains(&name.as_str()) {
                let value = self.credential(&value)?;
                request.headers.insert(name, value);
            }
        }
        if basic && request.authorization.is_none() && request.basic.is_none() {
            request.basic = Some("{username}:{password}".to_owned());
        }
        Ok(request)
    }

    fn authorization(&mut self, value: &str, request: &mut DraftRequest) -> Result<(), String> {
        let encoded = value.strip_prefix("Basic ${base64(").and_then(|rest| rest.strip_suffix(")}"));
        match encoded {
            Some(encoded) => request.basic = Some(self.credential(encoded)?),
            None => request.authorization = Some(self.credential(value)?),
        }
        Ok(())
    }

    fn credential(&mut self, text: &str) -> Result<String, String> {
        self.value(text, |inner| match inner {
            "apiKey" | "credentials.apiKey" => Some("api_key"),
            "credentials.username" | "username" => Some("username"),
            "credentials.password" | "password" => Some("password"),
            "accessToken" => Some("access_token"),
            _ => None,
        })
    }
}

/// The names and texts of a table.
fn tables<'a>(of: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = (String, String)> + use<'a> {
    let table = of.get(key).and_then(Value::as_object);
    table.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), text_of(value)?)))
}

fn joined(base: &str, endpoint: &str) -> String {
    format!("{}/{}", base.trim_end_matches('/'), endpoint.trim_start_matches('/'))
}
