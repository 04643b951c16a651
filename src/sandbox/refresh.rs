//! Refresh tokens become tokens (RFC 6749, section 6).

use super::{Client, Sandbox, answer::Refusal, issue::Issued, params::Params};
use crate::model::digest;

// === impl Sandbox ===

impl Sandbox {
    /// Takes a refresh token.
    pub(super) fn refresh(&self, client: &Client, params: &Params) -> Result<Issued, Refusal> {
        let quirks = self.quirks();
        let dead = || {
            let words = "the refresh token is unknown, replaced, too old, withdrawn or another client's";
            Refusal::new(&quirks.dead_refresh_token_error, words)
        };
        let id = digest(params.required("refresh_token")?);

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
        let scopes = match params.get("scope") {
            Some(scope) => quirks.scopes(scope),
            None => grant.scopes.clone(),
        };
        if scopes.iter().any(|scope| !grant.scopes.contains(scope)) {
            return Err(Refusal::new("invalid_scope", "the scope is more than was granted"));
        }
        let fresh = self.fresh_tokens(params, grant.flagged)?;

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
        let issued = self.issue(&mut memory, token.grant, fresh, quirks.rotate, replaces);
        Ok(Issued { scopes, account: Some(grant.account), ..issued })
    }
}
