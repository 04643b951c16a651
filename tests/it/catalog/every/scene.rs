//! The provider that an entry describes: a sandbox that demands whatever the entry says, and the addresses that it has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokenwell::sandbox::{OAuth1Quirks, OpenIdQuirks, Quirks, ResourceQuirks, SignatureMethod};
use url::Url;

use super::{
    entry::{Config, Entry},
    quirks::quirks,
};
use crate::support::provider::{CLIENT_ID, CLIENT_SECRET};

/// The scopes that the answer to a flow names, whatever was asked for.
pub const GRANTED: [&str; 2] = ["granted:one", "granted:two"];
/// The paths of what an entry does not name.
const AUTHORIZE_PATH: &str = "/the-sandbox/authorize";
const TOKEN_PATH: &str = "/the-sandbox/token";

/// One way to make a connection with an entry.
pub struct Scene {
    pub given: Config,
    /// The config of the connection in the end.
    pub kept: Config,
    pub quirks: Quirks,
    /// The provider's page, as the entry has it.
    pub page: Option<Url>,
    /// What stands in its query, beside the parameters of the RFCs.
    pub page_params: Vec<(String, String)>,
    pub token: Option<Url>,
    /// Where tokens are renewed.
    pub renewal: Option<Url>,
    /// The calls to the API.
    pub calls: Vec<Url>,
    /// Hosts and paths that the provider has.
    pub addresses: BTreeSet<(String, String)>,
    issuer: Option<String>,
}

impl Scene {
    /// A flow, of OAuth 2.0 or 1.0a.
    pub fn flow(entry: &Entry, only_required: bool) -> Result<Self, String> {
        let mut scene = Self::new(entry, only_required)?;
        let begun = entry.begun(&scene.given);
        let none = Config::new();
        let back = entry.after("callback", begun.clone());
        let granted = entry.after("id_token", entry.after("token_response", back.clone()));
        scene.kept = entry.after("lookup", granted.clone());

        scene.page = Some(scene.endpoint(entry, "authorization_endpoint", AUTHORIZE_PATH, &begun)?);
        scene.token = Some(scene.endpoint(entry, "token_endpoint", TOKEN_PATH, &back)?);
        let again = scene.endpoint(entry, "token_endpoint", TOKEN_PATH, &scene.kept)?;
        scene.renewal = Some(entry.address("refresh_endpoint", &scene.kept)?.unwrap_or(again));
        let own = scene.page.iter().flat_map(|page| page.query_pairs().into_owned().collect::<Vec<_>>());
        scene.page_params = own.chain(entry.filled_pairs("authorization_params", &begun, &none)).collect();

        let headers = lower(entry.filled_pairs("token_headers", &back, &none));
        if headers != lower(entry.filled_pairs("token_headers", &scene.kept, &none)) {
            return Err("its `token_headers` change on the way".to_owned());
        }
        scene.quirks.token_request.headers = headers;
        scene.quirks.token_request.code_params = entry.filled_pairs("token_params", &back, &none);
        scene.quirks.token_request.refresh_params = entry.filled_pairs("refresh_params", &scene.kept, &none);
        scene.callback(entry, &begun);
        scene.grant(entry);
        scene.look_up(entry, &[&granted, &scene.kept.clone()])?;
        scene.end(entry)?;
        scene.oauth1(entry, &begun)?;
        scene.open_id(entry)?;
        scene.settle();
        Ok(scene)
    }

    /// A client that speaks for itself.
    pub fn client_credentials(entry: &Entry, only_required: bool) -> Result<Self, String> {
        let mut scene = Self::new(entry, only_required)?;
        let begun = entry.begun(&scene.given);
        let none = Config::new();
        let granted = entry.after("token_response", begun.clone());
        scene.kept = entry.after("lookup", granted.clone());
        scene.token = Some(scene.endpoint(entry, "token_endpoint", TOKEN_PATH, &begun)?);
        scene.renewal = Some(scene.endpoint(entry, "token_endpoint", TOKEN_PATH, &scene.kept)?);
        scene.quirks.client_credentials = true;
        scene.quirks.token_request.headers = lower(entry.filled_pairs("token_headers", &begun, &none));
        scene.quirks.token_request.client_credentials_params =
            entry.filled_pairs("client_credentials_params", &begun, &none);
        scene.look_up(entry, &[&granted, &scene.kept.clone()])?;
        scene.open_id(entry)?;
        scene.settle();
        Ok(scene)
    }

    /// Credentials that somebody has, by their names in templates.
    pub fn fixed(entry: &Entry, only_required: bool, credentials: &Config) -> Result<Self, String> {
        let mut scene = Self::new(entry, only_required)?;
        scene.kept = entry.begun(&scene.given);
        let kept = scene.kept.clone();
        scene.call(entry, "verification", &kept, credentials, json!({}))?;
        scene.settle();
        Ok(scene)
    }

    fn new(entry: &Entry, only_required: bool) -> Result<Self, String> {
        let given = entry.given(only_required);
        let begun = entry.begun(&given);
        // As it is written: it is compared, and no address to call.
        let issuer = entry.texts("issuer").iter().find_map(|text| entry.filled(text, &begun, &Config::new()));
        if let Some(issuer) = &issuer {
            entry.check_pinned(
                &Url::parse(issuer).map_err(|error| format!("its issuer {issuer}: {error}"))?,
            )?;
        }
        Ok(Self {
            given,
            kept: Config::new(),
            quirks: quirks(entry)?,
            page: None,
            page_params: Vec::new(),
            token: None,
            renewal: None,
            calls: Vec::new(),
            addresses: BTreeSet::new(),
            issuer,
        })
    }

    /// An endpoint of the entry, or the one that its issuer's metadata will name.
    fn endpoint(&self, entry: &Entry, key: &str, path: &str, config: &Config) -> Result<Url, String> {
        if let Some(url) = entry.address(key, config)? {
            return Ok(url);
        }
        let issuer = self.issuer.as_ref().filter(|_| entry.flag("discovery"));
        let issuer = issuer.ok_or_else(|| format!("it has no `{key}`"))?;
        let issuer = Url::parse(issuer).map_err(|error| error.to_string())?;
        issuer.join(path).map_err(|error| error.to_string())
    }

    fn callback(&mut self, entry: &Entry, begun: &Config) {
        let signed = entry.text("callback.hmac_param");
        let expected = entry.filled_pairs("callback.expect", begun, &Config::new());
        let told = entry.told("callback").into_iter().map(|(_, place, value)| (place, value));
        let params: BTreeMap<_, _> = told.chain(expected).collect();
        // These come with the signature.
        let own = |name: &str| signed.is_some() && ["host", "shop", "timestamp"].contains(&name);
        self.quirks.extra_callback_params = params.into_iter().filter(|(name, _)| !own(name)).collect();
        self.quirks.sign_callback = signed.is_some();
        signed.unwrap_or("hmac").clone_into(&mut self.quirks.hmac_param);
        entry.text("callback.code_param").unwrap_or("code").clone_into(&mut self.quirks.code_param);
        self.quirks.form_post = entry.flag("form_post");
        self.quirks.iss.clone_from(&self.issuer);
        self.quirks.required_authorization_params.clone_from(&self.page_params);
    }

    /// The answer names scopes that nobody has asked for: so they are read from nowhere else.
    fn grant(&mut self, entry: &Entry) {
        let scope = entry.text("token_response.scope").unwrap_or("scope");
        let object = entry.text("token_response.path").map(|path| format!("{path}.")).unwrap_or_default();
        let granted = GRANTED.join(&self.quirks.scope_separator);
        if entry.text("request_token_endpoint").is_none() {
            self.quirks.extra_token_members.insert(format!("{object}{scope}"), Value::String(granted));
        }
    }

    fn look_up(&mut self, entry: &Entry, configs: &[&Config]) -> Result<(), String> {
        let token = Config::from([("access_token".to_owned(), "{access_token}".to_owned())]);
        let mut answer = json!({});
        for (_, pointer, value) in entry.told("lookup") {
            put(&mut answer, pointer.split('/').skip(1), value.into());
        }
        for config in configs {
            self.call(entry, "lookup", config, &token, answer.clone())?;
        }
        Ok(())
    }

    /// A call to the API that the entry declares.
    fn call(
        &mut self,
        entry: &Entry,
        key: &str,
        config: &Config,
        credentials: &Config,
        answer: Value,
    ) -> Result<(), String> {
        // Only the one who revokes has its `client_id` in an address.
        let known = if key == "revocation" { credentials.clone() } else { Config::new() };
        let Some(url) = entry.address_with(&format!("{key}.url"), config, &known)? else { return Ok(()) };
        let of = |name: &str| entry.text(&format!("{key}.{name}"));
        let fill = |text: &str| entry.filled(text, config, credentials);
        let mut headers = lower(entry.filled_pairs(&format!("{key}.headers"), config, credentials));
        if of("basic").is_none() {
            let authorization = fill(of("authorization").unwrap_or("Bearer {access_token}"));
            let authorization = authorization.filter(|value| !value.is_empty());
            headers.extend(authorization.map(|value| ("authorization".to_owned(), value)));
        }
        let own = url.query_pairs().into_owned();
        let params = own.chain(entry.filled_pairs(&format!("{key}.params"), config, credentials)).collect();
        let body = of("body").map(serde_json::from_str).transpose();
        self.quirks.resources.push(ResourceQuirks {
            method: of("method").unwrap_or("GET").to_owned(),
            path: url.path().to_owned(),
            params,
            headers,
            basic: of("basic").and_then(fill),
            body: body.map_err(|error| format!("`{key}.body`: {error}"))?,
            json: entry.filled_pairs(&format!("{key}.json"), config, credentials),
            form: entry.filled_pairs(&format!("{key}.form"), config, credentials),
            answer,
            revokes: key == "revocation",
        });
        self.calls.push(url);
        Ok(())
    }

    /// How tokens end, and where it is told what they are worth.
    fn end(&mut self, entry: &Entry) -> Result<(), String> {
        let kept = self.kept.clone();
        let credentials = [
            ("access_token", "{access_token}"),
            ("refresh_token", "{refresh_token}"),
            ("client_id", CLIENT_ID),
            ("client_secret", CLIENT_SECRET),
        ];
        let credentials =
            credentials.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.call(entry, "revocation", &kept, &credentials, json!({}))?;
        for (key, path) in [
            ("revocation_endpoint", &mut self.quirks.revoke_path),
            ("introspection_endpoint", &mut self.quirks.introspect_path),
        ] {
            if let Some(url) = entry.address(key, &kept)? {
                *path = Some(url.path().to_owned());
                self.calls.push(url);
            }
        }
        Ok(())
    }

    fn oauth1(&mut self, entry: &Entry, begun: &Config) -> Result<(), String> {
        let Some(url) = entry.address("request_token_endpoint", begun)? else { return Ok(()) };
        let signature_method = match entry.text("signature_method") {
            None | Some("HMAC-SHA1") => SignatureMethod::HmacSha1,
            Some("HMAC-SHA256") => SignatureMethod::HmacSha256,
            Some("PLAINTEXT") => SignatureMethod::Plaintext,
            Some(other) => return Err(format!("{other} is no signature method")),
        };
        self.quirks.oauth1 =
            Some(OAuth1Quirks { request_token_path: url.path().to_owned(), signature_method });
        self.calls.push(url);
        Ok(())
    }

    fn open_id(&mut self, entry: &Entry) -> Result<(), String> {
        let claims = entry.told("id_token");
        if self.issuer.is_none() && claims.is_empty() && !entry.flag("nonce") {
            return Ok(());
        }
        let usual = OpenIdQuirks::default();
        let issuer = self.issuer.clone().unwrap_or_else(|| "https://{host}".to_owned());
        if let (true, Some(mut url)) = (entry.flag("discovery"), Url::parse(&issuer).ok()) {
            let path = format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/'));
            url.set_path(&path);
            self.calls.push(url.clone());
            url.set_path(&usual.keys_path);
            self.calls.push(url);
        }
        let kept = self.kept.clone();
        let keys = entry.address("jwks_uri", &kept)?;
        let keys_path = keys.as_ref().map_or(usual.keys_path, |keys| keys.path().to_owned());
        self.calls.extend(keys);
        let algorithms = entry.texts("id_token_signing_alg_values_supported");
        self.quirks.openid = Some(OpenIdQuirks {
            issuer,
            always: true,
            nonce_required: entry.flag("nonce"),
            keys_path,
            signs_with_secret: algorithms.first().is_some_and(|first| first == "HS256"),
            claims: claims.into_iter().map(|(_, claim, value)| (claim, Value::String(value))).collect(),
        });
        Ok(())
    }

    /// Gives the quirks the paths of the addresses, and collects these.
    fn settle(&mut self) {
        let path = |url: &Option<Url>, other: &str| url.as_ref().map_or(other, Url::path).to_owned();
        self.quirks.authorize_path = path(&self.page, AUTHORIZE_PATH);
        self.quirks.token_path = path(&self.token, TOKEN_PATH);
        let refresh_path = path(&self.renewal, &self.quirks.token_path);
        self.quirks.refresh_path = Some(refresh_path).filter(|path| *path != self.quirks.token_path);
        let all = [&self.page, &self.token, &self.renewal].into_iter().flatten().chain(&self.calls);
        let place = |url: &Url| (url.host_str().unwrap_or_default().to_owned(), url.path().to_owned());
        self.addresses = all.map(place).collect();
    }
}

/// Headers by their names in lower case.
fn lower(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect()
}

/// Puts a value where the steps lead, and makes what is on the way.
fn put<'a>(place: &mut Value, mut steps: impl Iterator<Item = &'a str>, value: Value) {
    let Some(step) = steps.next() else {
        *place = value;
        return;
    };
    if let Ok(index) = step.parse::<usize>() {
        if !place.is_array() {
            *place = json!([]);
        }
        let items = place.as_array_mut().unwrap();
        if items.len() <= index {
            items.resize(index + 1, Value::Null);
        }
        put(&mut items[index], steps, value);
    } else {
        if !place.is_object() {
            *place = json!({});
        }
        put(&mut place[step], steps, value);
    }
}
