//! Tokens that are JWTs: what an id token claims counts only if it is for this client, of this issuer, and not too old.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tokenwell::{
    model::SecretString,
    oauth::{fuzzing::id_token_claims, jwt_expiry},
};

use super::{NOW, choice, now};

const ISSUER: &str = "https://id.acme.com";
const CLIENT: &str = "me";
const NONCE: &str = "n";

/// The bytes are a token; or, by the first, the claims of one.
pub fn run(data: &[u8]) {
    let (how, data) = choice(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let token = match how % 2 {
        0 => format!("eyJhbGciOiJSUzI1NiJ9.{}.c2lnbmVk", URL_SAFE_NO_PAD.encode(text)),
        _ => text.to_owned(),
    };
    if let Some(end) = jwt_expiry(&SecretString::from(token.as_str())) {
        assert!(end.unix_timestamp() >= 0 && end.year() <= 9999, "{end}");
    }
    let nonce = SecretString::from(NONCE);
    let Some(claims) = id_token_claims(&token, CLIENT, ISSUER, &nonce, now()) else { return };
    let audience = match &claims["aud"] {
        Value::Array(audiences) => audiences.contains(&CLIENT.into()),
        audience => audience == CLIENT,
    };
    assert!(audience && claims["iss"] == ISSUER && claims["nonce"] == NONCE, "{claims}");
    assert!(claims["exp"].as_i64().unwrap() >= NOW - 60, "{claims}");
}
