//! The authorization endpoint: a request, a consent page, a decision.

use axum::{extract::State, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use url::Url;

use super::{
    AuthMethod, Client, Sandbox,
    answer::Refusal,
    call::Call,
    memory::{Code, Consent},
    page,
    params::Params,
};
use crate::model::{Duration, digest};

/// Who the user is unless the page is told otherwise.
pub(super) const DEFAULT_ACCOUNT: &str = "ada@example.com";

const CONSENT_TTL: Duration = Duration::minutes(10);
const CODE_TTL: Duration = Duration::seconds(60);
const MAX_ACCOUNT_CHARS: usize = 200;

/// Shows the consent page, or says what is wrong with the request.
pub(super) async fn ask(State(sandbox): State<Sandbox>, call: Call) -> Response {
    if sandbox.quirks().oauth1.is_some() {
        return sandbox.ask_for(&call);
    }
    let quirks = sandbox.quirks();
    let is_further =
        |name: &str| quirks.required_authorization_params.iter().any(|(further, _)| further == name);
    let query = match call.query.renamed(&quirks.param_names, is_further) {
        Ok(query) => query,
        Err(refusal) => return page::problem(&refusal.description),
    };
    // Before both of these are known to be right, nothing may be sent anywhere (RFC 6749, section 4.1.2.1).
    let Some(client) = query.get_unique("client_id").and_then(|client_id| sandbox.client(client_id)) else {
        return page::problem("No such client is registered here.");
    };
    let redirect_uri = match client.redirect_uris.as_slice() {
        // RFC 6749, section 3.1.2.3.
        [only] if sandbox.quirks().omits("redirect_uri") => Some(only.as_str()),
        _ => query.get_unique("redirect_uri"),
    };
    let Some(redirect_uri) = redirect_uri.filter(|uri| client.may_redirect_to(uri)) else {
        return page::problem("The redirect URI is not registered for this client.");
    };
    let asked =
        sandbox.consent(client, redirect_uri, &query, &call.query).and_then(|consent| sandbox.show(consent));
    asked.unwrap_or_else(|refusal| {
        let params = [("error", refusal.code.as_str()), ("error_description", &refusal.description)];
        sandbox.send_back(client, redirect_uri, query.get("state"), &call.host, &params)
    })
}

/// Takes the user's decision and sends the browser back with it.
pub(super) async fn decide(State(sandbox): State<Sandbox>, call: Call) -> Response {
    let approved = match call.form.get("decision") {
        Some("approve") => true,
        Some("deny") => false,
        _ => return page::problem("The form names no decision."),
    };
    let id = digest(call.form.get("consent").unwrap_or_default());
    let consent = sandbox.memory().consents.remove(&id);
    let Some(consent) = consent.filter(|consent| consent.expire_time > sandbox.0.clock.now()) else {
        return page::problem("This page was used already or is too old.");
    };
    let Some(client) = sandbox.client(&consent.client_id) else {
        return page::problem("No such client is registered here.");
    };
    let account = call.form.get("account").map(str::trim).filter(|account| !account.is_empty());
    let account = account.unwrap_or(DEFAULT_ACCOUNT).chars().take(MAX_ACCOUNT_CHARS).collect();
    if let Some(token) = &consent.request_token {
        return sandbox.send_verifier(client, &consent, token, approved.then_some(account), &call.host);
    }
    let (redirect_uri, state) = (consent.redirect_uri.clone(), consent.state.clone());
    let send_back = |params: &[(&str, &str)]| {
        sandbox.send_back(client, &redirect_uri, state.as_deref(), &call.host, params)
    };
    if !approved {
        return send_back(&[("error", "access_denied"), ("error_description", "the user said no")]);
    }
    match sandbox.approve(consent, account) {
        Ok(code) => send_back(&[(&sandbox.quirks().code_param, &code)]),
        Err(refusal) => send_back(&[("error", &refusal.code), ("error_description", &refusal.description)]),
    }
}

// === impl Client ===

impl Client {
    /// Whether a redirect URI, or a callback of OAuth 1.0a, is this client's.
    pub(super) fn may_redirect_to(&self, redirect_uri: &str) -> bool {
        let Ok(url) = Url::parse(redirect_uri) else {
            return false;
        };
        let allowed = match self.redirect_uris.as_slice() {
            [] => ["http", "https"].contains(&url.scheme()),
            uris => uris.iter().any(|uri| uri == redirect_uri),
        };
        allowed && url.fragment().is_none()
    }
}

// === impl Sandbox ===

impl Sandbox {
    /// Remembers what is asked, and shows it.
    pub(super) fn show(&self, consent: Consent) -> Result<Response, Refusal> {
        let id = self.fresh("")?;
        let body = page::consent(&id, &consent, &self.quirks().authorize_path);
        self.memory().consents.insert(digest(&id), consent);
        Ok(body)
    }

    /// Checks a request of a known client with a redirect URI of its own.
    fn consent(
        &self,
        client: &Client,
        redirect_uri: &str,
        query: &Params,
        received: &Params,
    ) -> Result<Consent, Refusal> {
        let quirks = self.quirks();
        query.check_unique()?;
        if !quirks.omits("response_type") && query.required("response_type")? != "code" {
            return Err(Refusal::new("unsupported_response_type", "response_type is not code"));
        }
        received.check_all(quirks.required_authorization_params.iter())?;
        if quirks.openid.as_ref().is_some_and(|openid| openid.nonce_required) {
            received.required("nonce")?;
        }
        Ok(Consent {
            client_id: client.client_id.clone(),
            redirect_uri: redirect_uri.to_owned(),
            state: query.get("state").map(str::to_owned),
            code_challenge: self.code_challenge(client, query)?,
            scopes: quirks.scopes(query.get("scope").unwrap_or_default()),
            params: received.clone(),
            expire_time: self.0.clock.now() + CONSENT_TTL,
            request_token: None,
        })
    }

    /// The PKCE challenge (RFC 7636, section 4.3). A public client always needs one.
    fn code_challenge(&self, client: &Client, query: &Params) -> Result<Option<String>, Refusal> {
        let Some(challenge) = query.get("code_challenge") else {
            let public = client.is_public() || self.quirks().auth_methods.contains(&AuthMethod::None);
            if self.quirks().pkce_required || public {
                return Err(Refusal::invalid_request("code_challenge is missing: PKCE is required"));
            }
            return Ok(None);
        };
        if !query.has("code_challenge_method", "S256") {
            return Err(Refusal::invalid_request("code_challenge_method is not S256"));
        }
        match URL_SAFE_NO_PAD.decode(challenge) {
            Ok(digest) if digest.len() == 32 => Ok(Some(challenge.to_owned())),
            _ => Err(Refusal::invalid_request("code_challenge is not the base64url of a SHA-256")),
        }
    }

    /// Makes the code of an approved request.
    fn approve(&self, consent: Consent, account: String) -> Result<String, Refusal> {
        let code = self.fresh("sandbox_ac_")?;
        let expire_time = self.0.clock.now() + CODE_TTL;
        let mut memory = self.memory();
        let entry = Code { consent, account, expire_time, spent: false, grant: None };
        memory.codes.insert(digest(&code), entry);
        memory.tally.authorizations += 1;
        Ok(code)
    }
}
