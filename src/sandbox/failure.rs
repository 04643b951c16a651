//! Failures of the token endpoint, on purpose.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::json;

use super::answer;

/// What the token endpoint does in place of its work. Nothing is issued, rotated or used up, except after [`Failure::Hang`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Answers with this status and a few words of plain text.
    Status(u16),
    /// Answers with status 200 and an HTML page.
    Html,
    /// Answers with status 200 and nothing.
    Empty,
    /// Answers 302 to this place.
    Redirect(String),
    /// Answers with a token response that has everything, and is this many bytes long.
    Huge(usize),
    /// Waits, and then does what it always does. Of a client that has gone by then, it does nothing.
    Hang(Duration),
    /// Answers with an error of RFC 6749, section 5.2.
    Error {
        /// The status.
        status: u16,
        /// The `error`.
        code: String,
        /// The `error_description`.
        description: String,
    },
    /// Answers with status 200 and this text, which it calls JSON.
    Garbage(String),
    /// Answers with this status and this `Retry-After` header.
    RetryAfter(u16, String),
}

// === impl Failure ===

impl Failure {
    /// The answer, or `None` to go on as always.
    pub(super) async fn play(self) -> Option<Response> {
        Some(match self {
            Self::Status(status) => plain(status, "text/plain", "the sandbox fails on purpose"),
            Self::Html => {
                plain(200, "text/html; charset=utf-8", "<!doctype html><title>Down</title><h1>Down</h1>")
            }
            Self::Empty => plain(200, "application/json", ""),
            Self::Redirect(location) => with(plain(302, "text/plain", ""), header::LOCATION, &location),
            Self::Huge(bytes) => plain(200, "application/json", huge(bytes)),
            Self::Hang(duration) => {
                tokio::time::sleep(duration).await;
                return None;
            }
            Self::Error { status, code, description } => {
                answer::json(status_of(status), &json!({ "error": code, "error_description": description }))
            }
            Self::Garbage(text) => plain(200, "application/json", text),
            Self::RetryAfter(status, value) => {
                with(plain(status, "text/plain", ""), header::RETRY_AFTER, &value)
            }
        })
    }
}

fn plain(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status_of(status);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A token response with nothing wrong but its length.
fn huge(bytes: usize) -> String {
    let start = r#"{"access_token":"sandbox_at_huge","token_type":"Bearer","expires_in":3600,"padding":""#;
    let end = "\"}";
    let padding = bytes.saturating_sub(start.len() + end.len());
    [start, &"x".repeat(padding), end].concat()
}
