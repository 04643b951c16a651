//! The claims of an `id_token` (OpenID Connect Core, section 3.1.3.7).
//!
//! It is believed because it came from the token endpoint itself over TLS, which that section allows in place of checking
//! its signature. Tokens from anywhere else are never read here.

use serde_json::Value;

use super::{Failure, Grant, jwt::claims};
use crate::model::{ExposeSecret as _, OffsetDateTime, SecretString};

/// How far the clocks of both sides may differ, in seconds.
const SKEW: i64 = 60;

/// What an `id_token` has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The client that it is for.
    pub client_id: &'a str,
    /// Who issued it, if that is known.
    pub issuer: Option<&'a str>,
    /// The nonce of the authorization request, if it had one.
    pub nonce: Option<&'a SecretString>,
    /// The present time.
    pub now: OffsetDateTime,
}

impl Grant {
    /// The claims of the `id_token`, if there is one.
    pub fn claims(&self, expected: &Expected<'_>) -> Result<Option<Value>, Failure> {
        let Some(token) = self.id_token() else { return Ok(None) };
        let claims = claims(token).ok_or_else(|| Failure::invalid("its id_token is no JWT"))?;
        let claims = Value::Object(claims);
        expected.check(&claims).map_err(Failure::invalid)?;
        Ok(Some(claims))
    }
}

impl Expected<'_> {
    fn check(&self, claims: &Value) -> Result<(), &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let for_us = match claims.get("aud") {
            Some(Value::String(audience)) => audience == self.client_id,
            Some(Value::Array(audiences)) => audiences.iter().any(|it| it.as_str() == Some(self.client_id)),
            _ => false,
        };
        if !for_us {
            return Err("its id_token is for another client");
        }
        if self.issuer.is_some_and(|issuer| text("iss") != Some(issuer)) {
            return Err("its id_token is of another issuer");
        }
        if self.nonce.is_some_and(|nonce| text("nonce") != Some(nonce.expose_secret())) {
            return Err("its id_token has another nonce");
        }
        let expiry = claims.get("exp").and_then(Value::as_i64);
        if expiry.is_none_or(|expiry| expiry.saturating_add(SKEW) < self.now.unix_timestamp()) {
            return Err("its id_token has expired");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_token_of_somebody_else_is_refused() {
        let nonce = SecretString::from("n");
        let expected = Expected {
            client_id: "me",
            issuer: Some("https://id.acme.com"),
            nonce: Some(&nonce),
            now: OffsetDateTime::UNIX_EPOCH,
        };
        let good = json!({"aud": "me", "iss": "https://id.acme.com", "nonce": "n", "exp": 60});
        assert_eq!(expected.check(&good), Ok(()));
        for (name, value) in [
            ("aud", json!("you")),
            ("aud", json!(["you"])),
            ("aud", Value::Null),
            ("iss", json!("https://id.acme.com/")),
            ("nonce", json!("m")),
            ("nonce", Value::Null),
            ("exp", json!(-61)),
            ("exp", json!("60")),
        ] {
            let mut claims = good.clone();
            claims[name] = value;
            assert!(expected.check(&claims).is_err(), "{claims}");
        }
        let mut several = good;
        several["aud"] = json!(["you", "me"]);
        assert_eq!(expected.check(&several), Ok(()));
    }
}
