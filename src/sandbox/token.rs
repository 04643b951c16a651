//! The token endpoint: codes and refresh tokens become tokens.

use axum::{extract::State, http::StatusCode, response::Response};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{
    Client, ExpiresIn, IssuesRefreshToken, Sandbox,
    answer::{self, Refusal},
    call::{Call, Params},
    memory::{AccessToken, Code, Grant, Memory, RefreshToken},
};
use crate::model::{Duration, digest};

/// Answers a request to the token endpoint, unless it is to fail.
pub(super) async fn token(State(sandbox): State<Sandbox>, call: Call) -> Response {
    let failure = {
        let mut memory = sandbox.memory();
        memory.record(call.to_token_request());
        memory.failures.pop_front()
    };
    if let Some(failure) = failure
        && let Some(response) = failure.play().await
    {
        return response;
    }
    match sandbox.tokens(&call) {
        Ok(members) => answer::json(StatusCode::OK, &Value::Object(members)),
        Err(refusal) => refusal.into_quirky_response(sandbox.quirks()),
    }
}

/// New tokens, made before anything changes.
struct Fresh {
    access_token: String,
    refresh_token: String,
    terms: Terms,
}

/// How long new tokens live, and what the answer says of it.
struct Terms {
    lifetime: Option<Duration>,
    expires_in: Option<i64>,
    refresh_token_expires_in: Option<i64>,
}

// === impl Sandbox ===

impl Sandbox {
    fn tokens(&self, call: &Call) -> Result<Map<String, Value>, Refusal> {
        call.check_form()?;
        let client = self.authenticate(call)?;
        match call.form.required("grant_type")? {
            "authorization_code" => self.exchange(client, call),
            "refresh_token" => self.refresh(client, call),
            _ => Err(Refusal::new("unsupported_grant_type", "the grant type is not one of this server")),
        }
    }

    fn exchange(&self, client: &Client, call: &Call) -> Result<Map<String, Value>, Refusal> {
        let quirks = self.quirks();
        let dead = || {
            Refusal::new(&quirks.dead_code_error, "the code is unknown, used, too old or another client's")
        };
        let id = digest(call.form.required("code")?);
        let flagged = matches!(&quirks.expires_in,
            ExpiresIn::WhenFlagged { name, value, .. } if call.form.has(name, value));
        let fresh = self.fresh_tokens(&call.form, flagged)?;

        let mut memory = self.memory();
        let code = memory.codes.get_mut(&id).filter(|code| code.consent.client_id == client.client_id);
        let code = code.ok_or_else(dead)?;
        // Whatever comes of it, this was its one use.
        if std::mem::replace(&mut code.spent, true) {
            if let Some(grant) = code.grant {
                memory.end_grant(grant);
            }
            return Err(dead());
        }
        if code.expire_time <= self.0.clock.now() {
            return Err(dead());
        }
        code.check(&call.form).map_err(|words| Refusal::new(&quirks.dead_code_error, words))?;

        let code = code.clone();
        let grant = Grant {
            client_id: client.client_id.clone(),
            account: code.account,
            scopes: code.consent.scopes,
            flagged,
            ended: false,
        };
        let with_refresh_token = match &quirks.issues_refresh_token {
            IssuesRefreshToken::Always => true,
            IssuesRefreshToken::Never => false,
            IssuesRefreshToken::WithScope(any) => any.iter().any(|scope| grant.scopes.contains(scope)),
            IssuesRefreshToken::WithParams(all) => {
                all.iter().all(|(name, value)| code.consent.params.has(name, value))
            }
            IssuesRefreshToken::WithTokenParam { name, value } => call.form.has(name, value),
        };
        let scopes = grant.scopes.clone();
        let grant = memory.open_grant(grant);
        if let Some(code) = memory.codes.get_mut(&id) {
            code.grant = Some(grant);
        }
        memory.tally.exchanges += 1;
        let answer = self.issue(&mut memory, grant, &fresh, with_refresh_token, None);
        Ok(self.answer(answer, client, &scopes, &call.host))
    }

    fn refresh(&self, client: &Client, call: &Call) -> Result<Map<String, Value>, Refusal> {
        let quirks = self.quirks();
        let dead = || {
            let words = "the refresh token is unknown, replaced, too old, withdrawn or another client's";
            Refusal::new(&quirks.dead_refresh_token_error, words)
        };
        let id = digest(call.form.required("refresh_token")?);

        let mut memory = self.memory();
        let token = memory.refresh_tokens.get(&id).cloned().ok_or_else(dead)?;
        let grant = memory.grant(token.grant).filter(|grant| grant.client_id == client.client_id);
        let grant = grant.cloned().ok_or_else(dead)?;
        memory.count_redemption(&id);
        if token.retired {
            // Somebody has a copy: RFC 9700, section 4.14.2.
            memory.end_grant(token.grant);
            memory.tally.reuse_detected += 1;
            return Err(dead());
        }
        let now = self.0.clock.now();
        if grant.ended || token.expire_time.is_some_and(|expire_time| expire_time <= now) {
            return Err(dead());
        }
        let scopes = match call.form.get("scope") {
            Some(scope) => scope.split(quirks.scope_separator).map(str::to_owned).collect(),
            None => grant.scopes.clone(),
        };
        if scopes.iter().any(|scope| !grant.scopes.contains(scope)) {
            return Err(Refusal::new("invalid_scope", "the scope is more than was granted"));
        }
        let fresh = self.fresh_tokens(&call.form, grant.flagged)?;

        if let Some(replaced) = &token.replaces {
            memory.retire(replaced);
        }
        if quirks.rotate && !quirks.rotation_grace {
            memory.retire(&id);
        }
        if quirks.refresh_ends_access_tokens {
            memory.access_tokens.retain(|access_token| access_token.grant != token.grant);
        }
        memory.tally.refreshes += 1;
        let replaces = quirks.rotation_grace.then_some(id);
        let answer = self.issue(&mut memory, token.grant, &fresh, quirks.rotate, replaces);
        Ok(self.answer(answer, client, &scopes, &call.host))
    }

    fn fresh_tokens(&self, form: &Params, flagged: bool) -> Result<Fresh, Refusal> {
        Ok(Fresh {
            access_token: self.fresh("sandbox_at_")?,
            refresh_token: self.fresh("sandbox_rt_")?,
            terms: self.terms(form, flagged)?,
        })
    }

    fn terms(&self, form: &Params, flagged: bool) -> Result<Terms, Refusal> {
        let ttl = self.0.options.access_token_ttl;
        let always = self.quirks().refresh_token_expires_in;
        let terms = |lifetime, expires_in, refresh_token_expires_in| Terms {
            lifetime,
            expires_in,
            refresh_token_expires_in,
        };
        Ok(match &self.quirks().expires_in {
            ExpiresIn::Always => terms(Some(ttl), Some(ttl.whole_seconds()), always),
            ExpiresIn::Never => terms(Some(ttl), None, always),
            ExpiresIn::Stated(seconds) => terms(Some(ttl), Some(*seconds), always),
            ExpiresIn::WhenAsked { parameter } => match form.seconds(parameter)? {
                Some(seconds) => {
                    let refresh_token = form.seconds("refresh_token_expires_in")?.or(always);
                    terms(Some(Duration::seconds(seconds)), Some(seconds), refresh_token)
                }
                None => terms(Some(ttl), None, None),
            },
            ExpiresIn::WhenFlagged { seconds, .. } if flagged => {
                terms(Some(Duration::seconds(*seconds)), Some(*seconds), always)
            }
            ExpiresIn::WhenFlagged { .. } => terms(None, None, always),
        })
    }

    /// Remembers new tokens, and begins the answer that names them.
    fn issue(
        &self,
        memory: &mut Memory,
        grant: u64,
        fresh: &Fresh,
        with_refresh_token: bool,
        replaces: Option<String>,
    ) -> Map<String, Value> {
        let now = self.0.clock.now();
        let expire_time = fresh.terms.lifetime.map(|lifetime| now.saturating_add(lifetime));
        memory.access_tokens.insert(digest(&fresh.access_token), AccessToken { grant, expire_time });
        let mut members = Map::new();
        members.insert("access_token".to_owned(), fresh.access_token.clone().into());
        if let Some(seconds) = fresh.terms.expires_in {
            members.insert("expires_in".to_owned(), seconds.into());
        }
        if with_refresh_token {
            let seconds = fresh.terms.refresh_token_expires_in;
            let lifetime = seconds.or(self.quirks().refresh_token_expires_in).map(Duration::seconds);
            let expire_time = lifetime.map(|lifetime| now.saturating_add(lifetime));
            let token = RefreshToken { grant, expire_time, replaces, retired: false };
            memory.refresh_tokens.insert(digest(&fresh.refresh_token), token);
            members.insert("refresh_token".to_owned(), fresh.refresh_token.clone().into());
            if let Some(seconds) = seconds {
                members.insert("refresh_token_expires_in".to_owned(), seconds.into());
            }
        }
        members
    }

    /// Completes an answer with what does not depend on the tokens.
    fn answer(
        &self,
        mut members: Map<String, Value>,
        client: &Client,
        scopes: &[String],
        host: &str,
    ) -> Map<String, Value> {
        let quirks = self.quirks();
        if let Some(token_type) = &quirks.token_type {
            members.insert("token_type".to_owned(), token_type.as_str().into());
        }
        if !scopes.is_empty() {
            let scope = scopes.join(quirks.scope_separator.encode_utf8(&mut [0; 4]));
            members.insert("scope".to_owned(), scope.into());
        }
        let issued_at = (self.0.clock.now().unix_timestamp_nanos() / 1_000_000).to_string();
        let fill = |value: &Value, signature: &str| match value {
            Value::String(text) => {
                let text = text.replace("{host}", host).replace("{issued_at}", &issued_at);
                Value::String(text.replace("{signature}", signature))
            }
            other => other.clone(),
        };
        let id = quirks.extra_token_members.get("id").map(|id| fill(id, ""));
        let id = id.as_ref().and_then(Value::as_str).unwrap_or_default();
        let signature = STANDARD.encode(client.mac(&format!("{id}{issued_at}")));
        for (name, value) in &quirks.extra_token_members {
            members.insert(name.clone(), fill(value, &signature));
        }
        members
    }
}

// === impl Code ===

impl Code {
    /// Checks that the exchange belongs to the authorization request.
    fn check(&self, form: &Params) -> Result<(), &'static str> {
        if form.get("redirect_uri") != Some(&self.consent.redirect_uri) {
            return Err("redirect_uri is not the one of the authorization request");
        }
        match (&self.consent.code_challenge, form.get("code_verifier")) {
            (None, None) => Ok(()),
            (Some(challenge), Some(verifier)) if is_verifier(verifier) && matches(challenge, verifier) => {
                Ok(())
            }
            // RFC 9700, section 4.8.2: a challenge that was taken out on its way must not go unnoticed.
            (None, Some(_)) => Err("code_verifier came without a code_challenge before it"),
            (Some(_), None) => Err("code_verifier is missing"),
            (Some(_), Some(_)) => Err("code_verifier does not match the code_challenge"),
        }
    }
}

/// RFC 7636, section 4.1.
fn is_verifier(verifier: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved)
}

/// RFC 7636, section 4.6.
fn matches(challenge: &str, verifier: &str) -> bool {
    let expected = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    expected.as_bytes().ct_eq(challenge.as_bytes()).into()
}
