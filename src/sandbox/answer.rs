//! The answers of the endpoints that machines call.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value, json};

use super::{place, quirks::ErrorQuirks};
use crate::model;

/// Why a request is refused (RFC 6749, sections 4.1.2.1 and 5.2).
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) description: String,
    status: StatusCode,
    challenge: Option<&'static str>,
}

/// A JSON answer that nobody stores (RFC 6749, section 5.1).
pub(super) fn json(status: StatusCode, value: &Value) -> Response {
    unstored(status, "application/json", value.to_string())
}

/// An answer that nobody stores.
pub(super) fn unstored(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

// === impl Refusal ===

impl Refusal {
    /// A refusal with status 400.
    pub(super) fn new(code: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            description: description.into(),
            status: StatusCode::BAD_REQUEST,
            challenge: None,
        }
    }

    /// Something is missing or malformed.
    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// The client did not authenticate. Status 401 is for those that tried with Basic, which the answer then names.
    pub(super) fn invalid_client(basic: bool) -> Self {
        let refusal =
            Self::new("invalid_client", "the client is unknown or did not authenticate as it has to");
        if !basic {
            return refusal;
        }
        Self {
            status: StatusCode::UNAUTHORIZED,
            challenge: Some("Basic realm=\"sandbox\", charset=\"UTF-8\""),
            ..refusal
        }
    }

    /// The access token does not work (RFC 6750, section 3.1).
    pub(super) fn invalid_token() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            challenge: Some("Bearer error=\"invalid_token\""),
            ..Self::new("invalid_token", "the access token is missing, unknown, expired or revoked")
        }
    }

    /// The answer, as an error of RFC 6749, section 5.2.
    pub(super) fn into_response(self) -> Response {
        self.with_body(&json!({ "error": self.code, "error_description": self.description }))
    }

    /// The answer of the token and revocation endpoints, in the provider's manner.
    pub(super) fn into_quirky_response(self, quirks: &ErrorQuirks) -> Response {
        let code = quirks.codes.get(&self.code).cloned();
        let mut body = Value::Object(Map::new());
        place::put(&mut body, &quirks.code, code.unwrap_or_else(|| self.code.clone().into()));
        if let Some(path) = &quirks.description {
            place::put(&mut body, path, self.description.clone().into());
        }
        if quirks.status_200 { json(StatusCode::OK, &body) } else { self.with_body(&body) }
    }

    fn with_body(&self, body: &Value) -> Response {
        let mut response = json(self.status, body);
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

impl From<model::Error> for Refusal {
    fn from(error: model::Error) -> Self {
        tracing::error!(%error, "the sandbox failed");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Self::new("server_error", "the sandbox could not answer")
        }
    }
}
