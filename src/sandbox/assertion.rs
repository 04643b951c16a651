//! Clients that sign who they are (`private_key_jwt`: RFC 7523, section 3).

use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous};
use serde::Deserialize;

use super::{Client, Sandbox, answer::Refusal, call::Call};
use crate::model::digest;

/// The `client_assertion_type` of a JWT (RFC 7523, section 2.2).
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const MAX_LIFETIME_SECONDS: i64 = 120;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

// === impl Sandbox ===

impl Sandbox {
    /// The client that signed an assertion for this server, shortly before, and sends it for the first time.
    pub(super) fn check_assertion(
        &self,
        assertion: &str,
        client_id: Option<&str>,
        call: &Call,
    ) -> Result<&Client, Refusal> {
        let refused = |words: &str| Refusal::new("invalid_client", format!("the assertion {words}"));
        let claims: Claims =
            dangerous::insecure_decode_claims(assertion).map_err(|_| refused("lacks a claim"))?;
        if claims.iss != claims.sub || client_id.is_some_and(|client_id| client_id != claims.sub) {
            return Err(refused("names different clients"));
        }
        let client = self.client(&claims.sub).ok_or_else(|| refused("names no client"))?;
        if !client.has_signed(assertion) {
            return Err(refused("is not signed by the client"));
        }
        let for_us = self.audiences(call);
        let ours = |audience: &String| for_us.contains(audience);
        let right = match &claims.aud {
            Audience::One(audience) => ours(audience),
            Audience::Several(audiences) => audiences.iter().any(ours),
        };
        if !right {
            return Err(refused("is for another server"));
        }
        let now = self.0.clock.now().unix_timestamp();
        if claims.exp <= now || claims.exp > now + MAX_LIFETIME_SECONDS {
            return Err(refused("is too old or lives too long"));
        }
        let once = digest(&format!("{} {}", claims.sub, claims.jti));
        let mut memory = self.memory();
        if claims.jti.is_empty() || memory.assertions.get(&once).is_some() {
            return Err(refused("was used before"));
        }
        memory.assertions.insert(once, ());
        Ok(client)
    }

    /// What an assertion may be for: this endpoint, the token endpoint, which stands for the server (RFC 7523, section 3), or
    /// the issuer.
    fn audiences(&self, call: &Call) -> Vec<String> {
        let quirks = self.quirks();
        let issuers = [quirks.iss.as_ref(), quirks.openid.as_ref().map(|openid| &openid.issuer)];
        let issuers = issuers.into_iter().flatten().map(|issuer| issuer.replace("{host}", &call.host));
        let endpoints = [&call.path, &quirks.token_path].map(|path| quirks.url(&call.host, path));
        endpoints.into_iter().chain(issuers).collect()
    }
}

// === impl Client ===

impl Client {
    fn has_signed(&self, assertion: &str) -> bool {
        let Ok(header) = jsonwebtoken::decode_header(assertion) else {
            return false;
        };
        let pem = self.public_key.as_deref().unwrap_or_default().as_bytes();
        let key = match header.alg {
            Algorithm::RS256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::ES256 => DecodingKey::from_ec_pem(pem),
            _ => return false,
        };
        let mut signature_only = Validation::new(header.alg);
        // The claims are checked above, by the sandbox's own clock.
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        key.is_ok_and(|key| jsonwebtoken::decode::<Claims>(assertion, &key, &signature_only).is_ok())
    }
}
