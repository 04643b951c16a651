//! OAuth 1.0a (RFC 5849): a request token, the same consent, an access token.

mod request;
mod signature;

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::{
    Client, Sandbox, answer,
    call::Call,
    memory::{Consent, Grant, RequestToken, TokenCredentials},
    page,
};
use crate::model::{Duration, ExposeSecret as _, Result, SecretString, digest};
use request::{Problem, Signed};

const REQUEST_TOKEN_TTL: Duration = Duration::minutes(10);

/// Gives a request token (section 2.1).
pub(super) async fn request_token(State(sandbox): State<Sandbox>, call: Call) -> Response {
    if let Some(failure) = sandbox.note(&call).await {
        return failure;
    }
    form(sandbox.request_token(&call))
}

/// Gives an access token for a request token that a user has approved (section 2.3).
pub(super) async fn access_token(State(sandbox): State<Sandbox>, call: Call) -> Response {
    if let Some(failure) = sandbox.note(&call).await {
        return failure;
    }
    form(sandbox.access_token(&call))
}

/// Gives whichever token a request is for, where both come from one endpoint: only the second step names a token.
pub(super) async fn either_token(state: State<Sandbox>, call: Call) -> Response {
    let second = Signed::read(&call).is_ok_and(|signed| signed.get("oauth_token").is_ok());
    if second { access_token(state, call).await } else { request_token(state, call).await }
}

/// Says whose account an access token opens.
pub(super) async fn userinfo(State(sandbox): State<Sandbox>, call: Call) -> Response {
    sandbox.memory().count(&call.path);
    match sandbox.signed_account(&call) {
        Ok(account) => answer::json(StatusCode::OK, &json!({ "sub": account })),
        Err(problem) => problem.into_response(),
    }
}

fn form(pairs: std::result::Result<Vec<(String, String)>, Problem>) -> Response {
    match pairs {
        Ok(pairs) => {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            answer::unstored(StatusCode::OK, "application/x-www-form-urlencoded", body)
        }
        Err(problem) => problem.into_response(),
    }
}

fn credentials(token: String, secret: &SecretString) -> Vec<(String, String)> {
    let secret = secret.expose_secret().to_owned();
    vec![("oauth_token".to_owned(), token), ("oauth_token_secret".to_owned(), secret)]
}

// === impl Sandbox ===

impl Sandbox {
    fn request_token(&self, call: &Call) -> std::result::Result<Vec<(String, String)>, Problem> {
        let signed = Signed::read(call)?;
        let callback = signed.get("oauth_callback")?;
        let client = self.verify(&signed, None)?;
        if !client.may_redirect_to(callback) {
            return Err(Problem::bad("parameter_rejected"));
        }
        let (token, secret) = (self.fresh("sandbox_request_")?, SecretString::from(self.fresh("")?));
        let mut pairs = credentials(token.clone(), &secret);
        pairs.push(("oauth_callback_confirmed".to_owned(), "true".to_owned()));
        let entry = RequestToken {
            client_id: client.client_id.clone(),
            secret,
            callback: callback.to_owned(),
            expire_time: self.0.clock.now() + REQUEST_TOKEN_TTL,
            approval: None,
        };
        self.memory().request_tokens.insert(digest(&token), entry);
        Ok(pairs)
    }

    /// Shows the consent page for a request token (section 2.2).
    pub(super) fn ask_for(&self, call: &Call) -> Response {
        let token = call.query.get_unique("oauth_token").unwrap_or_default();
        let now = self.0.clock.now();
        let entry = self.memory().request_tokens.get(&digest(token)).cloned();
        let entry = entry.filter(|entry| entry.expire_time > now && entry.approval.is_none());
        let Some(entry) = entry else {
            return page::problem("No such request token was given here, or it was used already.");
        };
        if let Err(refusal) = call.query.check_all(self.quirks().required_authorization_params.iter()) {
            return page::problem(&refusal.description);
        }
        let consent = Consent {
            client_id: entry.client_id,
            redirect_uri: entry.callback,
            state: None,
            code_challenge: None,
            scopes: self.quirks().scopes(call.query.get("scope").unwrap_or_default()),
            params: call.query.clone(),
            expire_time: entry.expire_time,
            request_token: Some(token.to_owned()),
        };
        self.show(consent).unwrap_or_else(|refusal| page::problem(&refusal.description))
    }

    /// Takes what the user decided on a request token back to the client.
    pub(super) fn send_verifier(
        &self,
        client: &Client,
        consent: &Consent,
        token: &str,
        account: Option<String>,
        host: &str,
    ) -> Response {
        let answer = match account {
            Some(account) => self.approve_request_token(token, account, &consent.scopes),
            None => Ok(None),
        };
        let back =
            |params: &[(&str, &str)]| self.send_back(client, &consent.redirect_uri, None, host, params);
        match answer {
            Ok(Some(verifier)) => back(&[("oauth_token", token), ("oauth_verifier", &verifier)]),
            Ok(None) => back(&[("oauth_token", token), ("oauth_problem", "user_refused")]),
            Err(_) => page::problem("The sandbox could not answer."),
        }
    }

    /// Makes the verifier, unless the request token is gone.
    fn approve_request_token(
        &self,
        token: &str,
        account: String,
        scopes: &[String],
    ) -> Result<Option<String>> {
        let verifier = self.fresh("")?;
        let mut memory = self.memory();
        let Some(entry) = memory.request_tokens.get_mut(&digest(token)) else {
            return Ok(None);
        };
        entry.approval = Some((digest(&verifier), account, scopes.to_vec()));
        memory.tally.authorizations += 1;
        Ok(Some(verifier))
    }

    fn access_token(&self, call: &Call) -> std::result::Result<Vec<(String, String)>, Problem> {
        let signed = Signed::read(call)?;
        let id = digest(signed.get("oauth_token")?);
        let rejected = || Problem::unauthorized("token_rejected");
        let entry = self.memory().request_tokens.get(&id).cloned().ok_or_else(rejected)?;
        let client = self.verify(&signed, Some(&entry.secret))?;
        if entry.client_id != client.client_id {
            return Err(rejected());
        }
        if entry.expire_time <= self.0.clock.now() {
            return Err(Problem::unauthorized("token_expired"));
        }
        let (verifier, account, scopes) =
            entry.approval.ok_or(Problem::unauthorized("permission_unknown"))?;
        let given = digest(signed.get("oauth_verifier")?);
        if !bool::from(given.as_bytes().ct_eq(verifier.as_bytes())) {
            return Err(Problem::unauthorized("verifier_invalid"));
        }
        let (token, secret) = (self.fresh("sandbox_at_")?, SecretString::from(self.fresh("")?));
        let mut memory = self.memory();
        // Two requests at once get one token.
        memory.request_tokens.remove(&id).ok_or_else(rejected)?;
        let client_id = client.client_id.clone();
        let grant = memory.open_grant(Grant { client_id, account, scopes, flagged: false, ended: false });
        let mut pairs = credentials(token.clone(), &secret);
        memory.token_credentials.insert(digest(&token), TokenCredentials { grant, secret });
        memory.tally.exchanges += 1;
        for (name, value) in &self.quirks().extra_token_members {
            let text = match value {
                Value::String(text) => text.replace("{host}", &call.host),
                other => other.to_string(),
            };
            pairs.push((name.clone(), text));
        }
        Ok(pairs)
    }

    /// Whose account the token of a signed request opens.
    fn signed_account(&self, call: &Call) -> std::result::Result<String, Problem> {
        let signed = Signed::read(call)?;
        let rejected = || Problem::unauthorized("token_rejected");
        let (secret, grant) = {
            let memory = self.memory();
            let token = memory.token_credentials.get(&digest(signed.get("oauth_token")?));
            let token = token.ok_or_else(rejected)?;
            let grant = memory.grant(token.grant).filter(|grant| !grant.ended).ok_or_else(rejected)?;
            (token.secret.clone(), grant.clone())
        };
        let client = self.verify(&signed, Some(&secret))?;
        if client.client_id != grant.client_id {
            return Err(rejected());
        }
        Ok(grant.account)
    }
}
