//! The provider's API, as far as the quirks have it.

use std::cell::RefCell;

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
    quirks::{RequestFormat, ResourceQuirks},
};
use crate::model::digest;

const ACCESS_TOKEN: &str = "{access_token}";
const REFRESH_TOKEN: &str = "{refresh_token}";

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
        let opened = resources.find_map(|resource| Some((resource, self.opens(resource, call)?)));
        Some(match opened {
            Some((resource, tokens)) => {
                if resource.revokes {
                    self.end_in_its_way(call, &tokens);
                }
                answer::json(StatusCode::OK, &resource.answer)
            }
            None => Refusal::invalid_token().into_response(),
        })
    }

    /// The tokens in a request, if it holds all that it has to.
    fn opens(&self, resource: &ResourceQuirks, call: &Call) -> Option<Vec<String>> {
        let tokens = RefCell::new(Vec::new());
        let fits = |template: &str, value: Option<&str>| {
            let fit = value.is_some_and(|value| self.fits(template, value));
            let token = value.and_then(|value| token_in(template, value));
            tokens.borrow_mut().extend(token.filter(|_| fit).map(str::to_owned));
            fit
        };
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
        let own = |expected: &[(String, String)], format| {
            expected.is_empty()
                || call.params(format).is_ok_and(|params| {
                    params.as_map().len() == expected.len()
                        && expected.iter().all(|(name, value)| fits(value, params.get(name)))
                })
        };
        let own = own(&resource.json, RequestFormat::Json) && own(&resource.form, RequestFormat::Form);
        let all = params && headers && basic && body && own;
        all.then(|| tokens.into_inner())
    }

    /// Ends the grants of tokens at an endpoint of the provider's own.
    fn end_in_its_way(&self, call: &Call, tokens: &[String]) {
        let mut memory = self.memory();
        memory.record_revocation(call.to_token_request());
        for token in tokens {
            let digest = digest(token);
            let access = memory.access_tokens.get(&digest).map(|token| token.grant);
            let grant = access.or_else(|| memory.refresh_tokens.get(&digest).map(|token| token.grant));
            if grant.is_some_and(|grant| memory.end_grant(grant)) {
                memory.tally.revocations += 1;
            }
        }
    }

    /// Whether a value is what the template says.
    fn fits(&self, template: &str, value: &str) -> bool {
        if !template.contains(ACCESS_TOKEN) && !template.contains(REFRESH_TOKEN) {
            return template == value;
        }
        let known = |token: &str| {
            let issued = || self.memory().refresh_tokens.get(&digest(token)).is_some();
            if template.contains(ACCESS_TOKEN) { self.account(token).is_some() } else { issued() }
        };
        token_in(template, value).is_some_and(known)
    }
}

/// The token in a value, where the template has one.
fn token_in<'a>(template: &str, value: &'a str) -> Option<&'a str> {
    let split = template.split_once(ACCESS_TOKEN).or_else(|| template.split_once(REFRESH_TOKEN));
    let (start, end) = split?;
    value.strip_prefix(start)?.strip_suffix(end)
}
