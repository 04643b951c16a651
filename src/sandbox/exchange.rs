//! Codes become tokens (RFC 6749, section 4.1.3).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{
    Client, ExpiresIn, IssuesRefreshToken, Quirks, Sandbox,
    answer::Refusal,
    issue::Issued,
    memory::{Code, Grant},
    params::Params,
};
use crate::model::digest;

// === impl Sandbox ===

impl Sandbox {
    /// Redeems a code.
    pub(super) fn exchange(&self, client: &Client, params: &Params) -> Result<Issued, Refusal> {
        let quirks = self.quirks();
        let dead = || {
            Refusal::new(&quirks.dead_code_error, "the code is unknown, used, too old or another client's")
        };
        let id = digest(params.required("code")?);
        let flagged = matches!(&quirks.expires_in,
            ExpiresIn::WhenFlagged { name, value, .. } if params.has(name, value));
        let fresh = self.fresh_tokens(params, flagged)?;

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
        code.check(params, quirks).map_err(|words| Refusal::new(&quirks.dead_code_error, words))?;

        let code = code.clone();
        let grant = Grant {
            client_id: client.client_id.clone(),
            account: code.account.clone(),
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
            IssuesRefreshToken::WithTokenParam { name, value } => params.has(name, value),
        };
        let scopes = grant.scopes.clone();
        let grant = memory.open_grant(grant);
        if let Some(code) = memory.codes.get_mut(&id) {
            code.grant = Some(grant);
        }
        memory.tally.exchanges += 1;
        let issued = self.issue(&mut memory, grant, fresh, with_refresh_token, None);
        let nonce = code.consent.params.get("nonce").map(str::to_owned);
        Ok(Issued { scopes, account: Some(code.account), nonce, ..issued })
    }
}

// === impl Code ===

impl Code {
    /// Checks that the exchange belongs to the authorization request.
    fn check(&self, form: &Params, quirks: &Quirks) -> Result<(), &'static str> {
        let same_target = form.get("redirect_uri") == Some(&self.consent.redirect_uri);
        if !same_target && !quirks.omits("redirect_uri") {
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
