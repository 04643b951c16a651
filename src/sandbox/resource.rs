//! What surrounds the tokens: the end of one (RFC 7009), and a resource that one opens (RFC 6750).

use axum::{body::Body, extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    Sandbox,
    answer::{self, Refusal},
    call::Call,
};
use crate::model::digest;

/// Revokes a token. A refresh token takes its whole grant with it.
pub(super) async fn revoke(State(sandbox): State<Sandbox>, call: Call) -> Response {
    match sandbox.revoke(&call) {
        Ok(()) => Response::new(Body::empty()),
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
        call.form.check_unique()?;
        let client =
            if self.quirks().revoke_needs_client { Some(self.authenticate(call, &call.form)?) } else { None };
        // Zoho's takes the token in the query.
        let token = match call.query.get("token") {
            Some(token) => token,
            None => call.form.required("token")?,
        };
        let token = digest(token);

        let mut memory = self.memory();
        let refresh_grant = memory.refresh_tokens.get(&token).map(|token| token.grant);
        let access_grant = memory.access_tokens.get(&token).map(|token| token.grant);
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
