//! The door for fuzz targets, which lie outside of the house.

use oauth2::{
    RequestTokenError,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};

use super::{Failure, Grant, http::Answer, response, token};
use crate::{model::OffsetDateTime, provider::Provider};

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
