//! The door for fuzz targets, which lie outside of the house.

use jsonwebtoken::Algorithm;
use oauth2::{
    RequestTokenError,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};

use serde_json::Value;

use super::{
    Failure, Grant,
    http::Answer,
    id_token::{Expected, Header},
    jwt, response, token,
};
use crate::{
    model::{OffsetDateTime, SecretString},
    provider::Provider,
};

/// What is made of a token endpoint's answer.
pub fn token_response(
    provider: &Provider,
    status: u16,
    content_type: &'static str,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<Grant, Failure> {
    let content_type = HeaderValue::from_static(content_type);
    let answer = Answer {
        status: StatusCode::from_u16(status).unwrap_or_default(),
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]),
        body: body.to_vec().into(),
    };
    let written = response::canonical(&answer, provider, now)?;
    let read = serde_json::from_slice(&written);
    token::granted(provider, read.map_err(|_| RequestTokenError::Other(String::new())))
}

/// What an `id_token` claims, if it is for this client, of this issuer, and in time. Its signature is not looked at.
#[must_use]
pub fn id_token_claims(
    token: &str,
    client_id: &str,
    issuer: &str,
    nonce: &SecretString,
    now: OffsetDateTime,
) -> Option<Value> {
    let (header, claims) = jwt::parts(token)?;
    Header::read(&header, &[Algorithm::RS256]).ok()?;
    let claims = Value::Object(claims);
    let expected = Expected { client_id, issuer: Some(issuer), nonce: Some(nonce), now };
    expected.check(&claims).ok().map(|()| claims)
}
