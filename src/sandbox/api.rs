//! The provider's API, as far as the quirks have it.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    Sandbox,
    answer::{self, Refusal},
    call::Call,
    quirks::ResourceQuirks,
};

const ACCESS_TOKEN: &str = "{access_token}";

/// Answers what no other route does.
pub(super) async fn resource(State(sandbox): State<Sandbox>, call: Call) -> Response {
    sandbox.resource(&call).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

// === impl Sandbox ===

impl Sandbox {
    /// The answer of the API, or `None` if it does not know the path.
    pub(super) fn resource(&self, call: &Call) -> Option<Response> {
        let known = |resource: &&ResourceQuirks| {
            resource.path == call.path && resource.method == call.method.as_str()
        };
        let mut resources = self.quirks().resources.iter().filter(known).peekable();
        resources.peek()?;
        self.memory().count(&call.path);
        Some(match resources.find(|resource| self.opens(resource, call)) {
            Some(resource) => answer::json(StatusCode::OK, &resource.answer),
            None => Refusal::invalid_token().into_response(),
        })
    }

    fn opens(&self, resource: &ResourceQuirks, call: &Call) -> bool {
        let fits =
            |template: &str, value: Option<&str>| value.is_some_and(|value| self.fits(template, value));
        let params = resource.params.iter().all(|(name, value)| fits(value, call.query.get_unique(name)));
        let headers = resource.headers.iter().all(|(name, value)| fits(value, call.header(name)));
        let basic = resource.basic.as_ref().is_none_or(|template| {
            let decoded = call.credentials("Basic").and_then(|credentials| STANDARD.decode(credentials).ok());
            let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            fits(template, text.as_deref())
        });
        let body = resource.body.as_ref().is_none_or(|expected| {
            let json = call.header("content-type").is_some_and(|it| it.starts_with("application/json"));
            json && serde_json::from_slice::<Value>(&call.body).is_ok_and(|body| body == *expected)
        });
        params && headers && basic && body
    }

    /// Whether a value is what the template says.
    fn fits(&self, template: &str, value: &str) -> bool {
        let Some((start, end)) = template.split_once(ACCESS_TOKEN) else {
            return template == value;
        };
        let token = value.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        token.is_some_and(|token| self.account(token).is_some())
    }
}
