//! What surrounds the tokens: the end of one (RFC 7009), what one is worth (RFC 7662), and a resource that one opens (RFC
//! 6750).

use axum::{body::Body, extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    Sandbox,
    answer::{self, Refusal},
    call::Call,
    params::Params,
};
use crate::model::{OffsetDateTime, digest};

/// Revokes a token. A refresh token takes its whole grant with it.
pub(super) async fn revoke(State(sandbox): State<Sandbox>, call: Call) -> Response {
    sandbox.memory().record_revocation(call.to_token_request());
    match sandbox.revoke(&call) {
        Ok(()) => Response::new(Body::empty()),
        Err(refusal) => refusal.into_quirky_response(&sandbox.quirks().token_error),
    }
}

/// Says what an access token is worth.
pub(super) async fn introspect(State(sandbox): State<Sandbox>, call: Call) -> Response {
    match sandbox.introspect(&call) {
        Ok(body) => answer::json(StatusCode::OK, &body),
        Err(refusal) => refusal.into_quirky_response(&sandbox.quirks().token_error),
    }
}

/// Says whose account an access token opens.
pub(super) async fn userinfo(State(sandbox): State<Sandbox>, call: Call) -> Response {
    if let Some(answer) = sandbox.resource(&call) {
        return answer;
    }
    sandbox.memory().count(&call.path);
    match sandbox.userinfo(&call) {
        Some(body) => answer::json(StatusCode::OK, &body),
        None => Refusal::invalid_token().into_response(),
    }
}

// === impl Sandbox ===

impl Sandbox {
    fn revoke(&self, call: &Call) -> Result<(), Refusal> {
        let form = self.about(call)?;
        let client =
            if self.quirks().revoke_needs_client { Some(self.authenticate(call, &form)?) } else { None };
        // Zoho's takes the token in the query.
        let token = match call.query.get("token") {
            Some(token) => token,
            None => form.required("token")?,
        };
        let token = digest(token);

        let mut memory = self.memory();
        let refresh_grant = memory.refresh_tokens.get(&token).map(|token| token.grant);
        let access_grant = memory.access_tokens.get(&token).map(|token| token.grant);
        let quirks = self.quirks();
        let refused = (refresh_grant.is_some() && !quirks.revokes_refresh_tokens)
            || (access_grant.is_some() && !quirks.revokes_access_tokens);
        if refused {
            return Err(Refusal::new("unsupported_token_type", "tokens of this type are not revoked"));
        }
        let Some(id) = refresh_grant.or(access_grant) else {
            return Ok(()); // what is unknown is revoked already
        };
        let Some(grant) = memory.grant(id).filter(|grant| !grant.ended) else {
            return Ok(());
        };
        if client.is_some_and(|client| client.client_id != grant.client_id) {
            return Err(Refusal::new("invalid_grant", "the token is another client's"));
        }
        match refresh_grant {
            Some(id) => {
                memory.end_grant(id);
            }
            None => {
                memory.access_tokens.remove(&token);
            }
        }
        memory.tally.revocations += 1;
        Ok(())
    }

    /// RFC 7662, section 2.2: of a token that is dead, unknown or another client's nothing is told.
    fn introspect(&self, call: &Call) -> Result<Value, Refusal> {
        let form = self.about(call)?;
        let client = self.authenticate(call, &form)?;
        let token = form.required("token")?;
        let alive = self.account(token).is_some();
        let mut memory = self.memory();
        memory.tally.introspections += 1;
        let found = memory.access_tokens.get(&digest(token)).filter(|_| alive);
        let found = found.and_then(|token| Some((token, memory.grant(token.grant)?)));
        Ok(match found.filter(|(_, grant)| grant.client_id == client.client_id) {
            Some((token, grant)) => json!({
                "active": true,
                "client_id": grant.client_id,
                "scope": grant.scopes.join(" "),
                "exp": token.expire_time.map(OffsetDateTime::unix_timestamp),
            }),
            None => json!({ "active": false }),
        })
    }

    /// The form of a request about a token, which comes in the provider's manner as a token request does.
    fn about(&self, call: &Call) -> Result<Params, Refusal> {
        let quirks = self.quirks();
        call.form.check_unique()?;
        for (name, value) in &quirks.token_request.headers {
            if call.header(name) != Some(value) {
                return Err(Refusal::invalid_request(format!("the header {name} is missing or wrong")));
            }
        }
        call.form.renamed(&quirks.param_names, |_| false)
    }

    fn userinfo(&self, call: &Call) -> Option<Value> {
        let account = self.account(call.credentials("Bearer")?)?;
        Some(json!({ "sub": account }))
    }

    /// Whose account an access token opens, if it is alive.
    pub(super) fn account(&self, access_token: &str) -> Option<String> {
        let now = self.0.clock.now();
        let memory = self.memory();
        let token = memory.access_tokens.get(&digest(access_token))?;
        let grant = memory.grant(token.grant).filter(|grant| !grant.ended)?;
        let alive = token.expire_time.is_none_or(|expire_time| expire_time > now);
        alive.then(|| grant.account.clone())
    }
}
