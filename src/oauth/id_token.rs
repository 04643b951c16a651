//! The claims of an `id_token` (OpenID Connect Core, section 3.1.3.7), as RFC 8725 asks for.
//!
//! It comes from the token endpoint itself over TLS, which that section lets stand for its signature; where the issuer's keys
//! are known, the signature must hold all the same. Tokens from anywhere else are never read here.

use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use super::{
    Failure, Grant, OAuthClient, Registration,
    jwks::holds,
    jwt::{self, numeric_date},
};
use crate::model::{Duration, ExposeSecret as _, OffsetDateTime, SecretString};

/// How far the clocks of both sides may differ.
const SKEW: Duration = Duration::seconds(60);

/// What an `id_token` has to fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    /// The client that it is for.
    pub(super) client_id: &'a str,
    /// Who issued it, if that is known.
    pub(super) issuer: Option<&'a str>,
    /// The nonce of the authorization request, if it had one.
    pub(super) nonce: Option<&'a SecretString>,
    /// The present time.
    pub(super) now: OffsetDateTime,
}

/// What its header says that is of use.
pub(super) struct Header<'a> {
    algorithm: Algorithm,
    kid: Option<&'a str>,
}

// === impl OAuthClient ===

impl OAuthClient {
    /// The claims of the `id_token` that came with a grant, if one did.
    pub async fn id_token_claims(
        &self,
        registration: Registration<'_>,
        grant: &Grant,
        nonce: Option<&SecretString>,
        now: OffsetDateTime,
    ) -> Result<Option<Value>, Failure> {
        let Some(token) = grant.id_token() else { return Ok(None) };
        let (header, claims) = jwt::parts(token).ok_or_else(|| Failure::invalid("its id_token is no JWT"))?;
        let allowed = registration.provider.id_token_algorithms().iter();
        let allowed: Vec<Algorithm> = allowed.filter_map(|it| it.as_str().parse().ok()).collect();
        let header = Header::read(&header, &allowed).map_err(Failure::invalid)?;
        let endpoints = self.endpoints(registration).await?;
        let client_id = &registration.integration.client_id;
        let expected = Expected { client_id, issuer: endpoints.issuer(), nonce, now };
        let claims = Value::Object(claims);
        expected.check(&claims).map_err(Failure::invalid)?;
        self.check_signature(registration, endpoints.jwks()?, token, &header).await?;
        Ok(Some(claims))
    }

    async fn check_signature(
        &self,
        registration: Registration<'_>,
        jwks: Option<&url::Url>,
        token: &str,
        header: &Header<'_>,
    ) -> Result<(), Failure> {
        let Header { algorithm, kid } = *header;
        let held = if algorithm == Algorithm::HS256 {
            // Under our own secret, and never under a key that everybody can read (RFC 8725, section 3.1).
            let secrets = registration.integration.client_secrets();
            let mut keys = secrets.map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes()));
            keys.any(|key| holds(token, &key, algorithm))
        } else if let Some(jwks) = jwks {
            let serves = |keys: &super::jwks::Keys| keys.find(kid, algorithm).next().is_some();
            let keys = self.keys(registration, jwks, serves).await?;
            keys.find(kid, algorithm).any(|key| holds(token, key, algorithm))
        } else {
            true
        };
        if held { Ok(()) } else { Err(Failure::invalid("its id_token's signature does not hold")) }
    }
}

// === impl Header ===

impl<'a> Header<'a> {
    pub(super) fn read(header: &'a Map<String, Value>, allowed: &[Algorithm]) -> Result<Self, &'static str> {
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(|name| name.parse().ok());
        let algorithm = algorithm.filter(|algorithm| allowed.contains(algorithm));
        let algorithm = algorithm.ok_or("its id_token is signed in a way that is not allowed")?;
        // Extensions that must be understood (RFC 7515, section 4.1.11): we understand none.
        if header.contains_key("crit") {
            return Err("its id_token asks for more than is understood");
        }
        match header.get("kid") {
            None => Ok(Self { algorithm, kid: None }),
            Some(Value::String(kid)) => Ok(Self { algorithm, kid: Some(kid) }),
            Some(_) => Err("its id_token names no key"),
        }
    }
}

// === impl Expected ===

impl Expected<'_> {
    pub(super) fn check(&self, claims: &Value) -> Result<(), &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let (for_us, several) = match claims.get("aud") {
            Some(Value::String(audience)) => (audience == self.client_id, false),
            Some(Value::Array(audiences)) => {
                let ours = audiences.iter().any(|it| it.as_str() == Some(self.client_id));
                (ours, audiences.len() > 1)
            }
            _ => (false, false),
        };
        if !for_us {
            return Err("its id_token is for another client");
        }
        // Of several, the one to whom it was issued has to be us; so has one that is named beside us alone.
        if (several || claims.get("azp").is_some()) && text("azp") != Some(self.client_id) {
            return Err("its id_token was issued to another client");
        }
        if text("sub").is_none_or(str::is_empty) {
            return Err("its id_token does not say whose it is");
        }
        if self.issuer.is_some_and(|issuer| text("iss") != Some(issuer)) {
            return Err("its id_token is of another issuer");
        }
        if self.nonce.is_some_and(|nonce| text("nonce") != Some(nonce.expose_secret())) {
            return Err("its id_token has another nonce");
        }
        self.check_times(claims)
    }

    fn check_times(&self, claims: &Value) -> Result<(), &'static str> {
        let date = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => numeric_date(value).map(Some).ok_or("one of its id_token's times is none"),
        };
        let (expiry, not_before, issued) = (date("exp")?, date("nbf")?, date("iat")?);
        if expiry.is_none_or(|expiry| expiry.saturating_add(SKEW) < self.now) {
            return Err("its id_token has expired");
        }
        let issued = issued.ok_or("its id_token does not say when it was issued")?;
        if [Some(issued), not_before].into_iter().flatten().any(|time| time > self.now + SKEW) {
            return Err("its id_token is not valid yet");
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
            now: OffsetDateTime::UNIX_EPOCH + Duration::seconds(1000),
        };
        let good = json!({
            "aud": "me", "sub": "ada", "iss": "https://id.acme.com", "nonce": "n", "iat": 1060, "exp": 940,
        });
        assert_eq!(expected.check(&good), Ok(()), "clocks may differ");
        for (name, value) in [
            ("aud", json!("you")),
            ("aud", json!(["you"])),
            ("aud", json!([])),
            ("aud", json!(["you", "me"])),
            ("aud", Value::Null),
            ("azp", json!("you")),
            ("azp", Value::Null),
            ("sub", Value::Null),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("iss", json!("https://id.acme.com/")),
            ("nonce", json!("m")),
            ("nonce", Value::Null),
            ("exp", json!(939)),
            ("exp", json!("2000")),
            ("exp", Value::Null),
            ("iat", json!(1061)),
            ("iat", json!("1000")),
            ("iat", Value::Null),
            ("nbf", json!(1061)),
            ("nbf", json!("1000")),
        ] {
            let mut claims = good.clone();
            claims[name] = value;
            assert!(expected.check(&claims).is_err(), "{claims}");
        }
        for name in ["aud", "sub", "iss", "nonce", "exp", "iat"] {
            let mut claims = good.clone();
            claims.as_object_mut().map(|claims| claims.remove(name));
            assert!(expected.check(&claims).is_err(), "{claims}");
        }
        let mut several = good;
        several["aud"] = json!(["you", "me"]);
        several["azp"] = json!("me");
        several["nbf"] = json!(1060);
        assert_eq!(expected.check(&several), Ok(()));
    }

    #[test]
    fn a_header_that_asks_for_something_else_is_refused() {
        let allowed = [Algorithm::RS256, Algorithm::ES256];
        let read = |header: Value| {
            let Value::Object(header) = header else { return Err("no object") };
            Header::read(&header, &allowed).map(|header| (header.algorithm, header.kid.map(str::to_owned)))
        };
        assert_eq!(read(json!({"alg": "ES256"})), Ok((Algorithm::ES256, None)));
        assert_eq!(
            read(json!({"alg": "RS256", "kid": "1", "typ": "JWT"})),
            Ok((Algorithm::RS256, Some("1".to_owned())))
        );
        for header in [
            json!({}),
            json!({"alg": null}),
            json!({"alg": "none"}),
            json!({"alg": "None"}),
            json!({"alg": ""}),
            json!({"alg": ["RS256"]}),
            json!({"alg": "rs256"}),
            json!({"alg": "HS256"}),
            json!({"alg": "RS512"}),
            json!({"alg": "RS256", "crit": ["b64"], "b64": false}),
            json!({"alg": "RS256", "kid": 1}),
        ] {
            assert!(read(header.clone()).is_err(), "{header}");
        }
    }
}
