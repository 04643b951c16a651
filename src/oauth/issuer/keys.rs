//! An issuer's keys (RFC 7517), and where they are (OpenID Connect Discovery, section 4).

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use oauth2::http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::super::{Failure, HttpClient, http::MAX_METADATA_BYTES, json};
use crate::model::Issuer;

/// More keys than this nobody has.
const MAX_KEYS: usize = 100;
/// RFC 7518, section 3.3.
const MIN_RSA_BYTES: usize = 256;

/// Keys that verify signatures.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    /// The algorithms that it is for.
    fits: Vec<Algorithm>,
    verifies: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

// === impl Keys ===

impl Keys {
    /// The keys that a token may be signed with. One that names no key has to be of an issuer who has but one.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let fits = self.0.iter().filter(|key| key.fits.contains(&algorithm));
        let named = fits.filter(|key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)));
        let found: Vec<_> = named.map(|key| &key.verifies).collect();
        let known = kid.is_some() || found.len() == 1;
        found.into_iter().filter(move |_| known)
    }
}

impl Key {
    /// A key of a set. Those for other uses, and those of kinds that we do not know, are none of ours.
    fn read(member: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(member).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let mut fits = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) if is_long(&key) => AlgorithmFamily::Rsa.algorithms().to_vec(),
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        if let Some(only) = jwk.common.key_algorithm {
            let only: Algorithm = only.try_into().ok()?;
            fits.retain(|algorithm| *algorithm == only);
        }
        Some(Self { kid: jwk.common.key_id, fits, verifies: key })
    }
}

fn is_long(key: &DecodingKey) -> bool {
    use jsonwebtoken::DecodingKeyKind::RsaModulusExponent;

    let RsaModulusExponent { n, .. } = key.kind() else { return false };
    n.iter().skip_while(|byte| **byte == 0).count() >= MIN_RSA_BYTES
}

/// Asks an issuer for its keys.
pub(super) async fn fetch(http: &HttpClient, issuer: &Issuer) -> Result<Keys, Failure> {
    let address = match issuer.jwks_uri.clone() {
        Some(address) => address,
        None => named_by_metadata(http, &issuer.issuer).await?,
    };
    let set: KeySet = get(http, &address).await?;
    if set.keys.len() > MAX_KEYS {
        return Err(Failure::invalid(format!("it has more than {MAX_KEYS} keys")));
    }
    let keys: Vec<_> = set.keys.into_iter().filter_map(Key::read).collect();
    if keys.is_empty() { Err(Failure::invalid("it has no key that can be used")) } else { Ok(Keys(keys)) }
}

async fn named_by_metadata(http: &HttpClient, issuer: &str) -> Result<String, Failure> {
    let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let document: Document = get(http, &place).await?;
    if document.issuer == issuer {
        Ok(document.jwks_uri)
    } else {
        Err(Failure::invalid("its metadata names another issuer"))
    }
}

async fn get<T: DeserializeOwned>(http: &HttpClient, url: &str) -> Result<T, Failure> {
    let answer = http.get(url, MAX_METADATA_BYTES).await?;
    if answer.status != StatusCode::OK {
        return Err(Failure::invalid(format!("it answered with status {}", answer.status.as_u16())));
    }
    json::parse(&answer.body).map_err(|problem| Failure::invalid(format!("its answer {problem}")))
}
