//! Client authentication by a signed assertion (RFC 7523, section 2.2; OpenID Connect Core, section 9).

use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, ThumbprintHash},
};
use serde::Serialize;
use url::Url;

use super::{Endpoints, Failure, OAuthClient, Registration};
use crate::model::{ExposeSecret as _, Integration, SecretString, StringMap, token};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long an assertion is good for, in seconds.
const LIFETIME: i64 = 60;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
    iat: i64,
    exp: i64,
}

impl OAuthClient {
    /// The parameters that prove who the client is to whoever is at this address, and to nobody else. At the token endpoint
    /// the audience is the issuer where the entry names one, else that endpoint, which stands for the server (RFC 7523,
    /// section 3). Elsewhere it is the address itself.
    pub(super) fn assertion(
        &self,
        registration: Registration<'_>,
        endpoints: &Endpoints,
        target: &Url,
    ) -> Result<StringMap, Failure> {
        let integration = registration.integration;
        let (algorithm, key) = signing_key(integration)?;
        let jti = token(&*self.random).map_err(|error| Failure::own_fault(&error))?;
        let now = self.clock.now().unix_timestamp();
        let audience = endpoints.issuer().filter(|_| endpoints.token().is_ok_and(|token| token == target));
        let claims = Claims {
            iss: &integration.client_id,
            sub: &integration.client_id,
            aud: audience.unwrap_or(target.as_str()),
            jti: jti.expose_secret(),
            iat: now,
            exp: now + LIFETIME,
        };
        let header = Header { kid: integration.private_key_id.clone(), ..Header::new(algorithm) };
        // The error would say what is wrong with the key, and so something of the key.
        let assertion = jsonwebtoken::encode(&header, &claims, &key).map_err(|_| unusable())?;
        Ok(StringMap::from([
            ("client_assertion_type".to_owned(), ASSERTION_TYPE.to_owned()),
            ("client_assertion".to_owned(), assertion),
        ]))
    }
}

/// The integration's key: RSA signs with RS256, P-256 with ES256.
fn signing_key(integration: &Integration) -> Result<(Algorithm, EncodingKey), Failure> {
    let pem = integration.private_key.as_ref().ok_or_else(|| {
        Failure::unusable("the provider wants a signed assertion, and the integration has no private key")
    })?;
    read(pem).ok_or_else(unusable)
}

fn read(pem: &SecretString) -> Option<(Algorithm, EncodingKey)> {
    let pem = pem.expose_secret().as_bytes();
    let rsa = EncodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
    rsa.or_else(|_| EncodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key))).ok()
}

/// The thumbprint of a private key's public half (RFC 7638), by which two spellings of one key are alike. `None`: it cannot
/// sign.
#[must_use]
pub fn thumbprint(pem: &SecretString) -> Option<String> {
    let (algorithm, key) = read(pem)?;
    Jwk::from_encoding_key(&key, algorithm).ok()?.thumbprint(ThumbprintHash::SHA256).ok()
}

fn unusable() -> Failure {
    Failure::unusable("the integration's private key is no RSA or P-256 key that can sign")
}
