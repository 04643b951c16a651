//! From what providers answer to what RFC 6749 says: one canonical token response, or the failure.

use std::{fmt, time::Duration as StdDuration};

use oauth2::{
    ExtraTokenFields,
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{Failure, http::Answer};
use crate::{
    model::Duration,
    provider::{Provider, words},
};

/// A lifetime beyond this is a fault of the provider's, not a promise: ten years.
const MAX_LIFETIME_SECONDS: u64 = 10 * 366 * 24 * 3600;

/// The members of a token response that the RFC does not name. Some providers put secrets there, so `Debug` shows names.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Members {
    #[serde(flatten)]
    map: Map<String, Value>,
}

impl ExtraTokenFields for Members {}

impl Members {
    /// The members.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.map
    }

    pub(super) fn refresh_token_expires_in(&self) -> Option<Duration> {
        let value =
            self.map.get("refresh_token_expires_in").or_else(|| self.map.get("refresh_expires_in"))?;
        let seconds = lifetime(value)?;
        i64::try_from(seconds).ok().map(Duration::seconds)
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.map.keys()).finish()
    }
}

/// Judges an answer and writes a token response as the RFC has it.
pub(super) fn canonical(answer: &Answer, provider: &Provider) -> Result<Vec<u8>, Failure> {
    if answer.status.is_server_error()
        || answer.status == StatusCode::TOO_MANY_REQUESTS
        || answer.status == StatusCode::REQUEST_TIMEOUT
    {
        return Err(Failure::Unavailable {
            problem: format!("it answered with status {}", answer.status.as_u16()),
            retry_after: retry_after(&answer.headers),
        });
    }
    if answer.status.is_redirection() {
        return Err(invalid("it is a redirect, which is never followed"));
    }
    let mut object = parse(answer)?;
    if let Some(failure) = refusal(&object, provider, &answer.headers) {
        return Err(failure);
    }
    if !answer.status.is_success() {
        return Err(invalid(&format!("its status is {} and it names no error", answer.status.as_u16())));
    }
    normalize(&mut object, provider)?;
    serde_json::to_vec(&object).map_err(|_| invalid("it could not be written as JSON"))
}

fn parse(answer: &Answer) -> Result<Map<String, Value>, Failure> {
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Err(invalid("its body is empty"));
    }
    let content_type = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let pairs = form_urlencoded::parse(&answer.body);
        return Ok(pairs
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect());
    }
    match serde_json::from_slice(&answer.body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(invalid("its JSON is not an object")),
        Err(_) if content_type.starts_with("text/html") => Err(invalid("it is an HTML page")),
        Err(_) => Err(invalid("it is not JSON")),
    }
}

/// The OAuth error in the answer, whatever its status.
fn refusal(object: &Map<String, Value>, provider: &Provider, headers: &HeaderMap) -> Option<Failure> {
    // Some say beside a good token that there is none.
    let none =
        |error: &Value| matches!(error, Value::Null | Value::Bool(false)) || error.as_str() == Some("");
    let error = object.get("error").filter(|error| !none(error))?;
    // Some providers nest it: {"error": {"code": ..., "message": ...}}.
    let code =
        error.as_str().or_else(|| ["code", "type", "error"].iter().find_map(|key| error.get(key)?.as_str()));
    let code = provider.error_code(code.unwrap_or_default());
    let description = ["error_description", "message", "error_message"];
    let description = description.iter().find_map(|key| object.get(*key)?.as_str()).map(words::description);
    Some(match code.as_str() {
        "temporarily_unavailable" | "server_error" | "slow_down" => Failure::Unavailable {
            problem: format!("it answered `{code}`"),
            retry_after: retry_after(headers),
        },
        _ => Failure::Refused { code, description },
    })
}

fn normalize(object: &mut Map<String, Value>, provider: &Provider) -> Result<(), Failure> {
    match object.get("access_token") {
        Some(Value::String(token)) if !token.is_empty() && !token.chars().any(char::is_control) => {}
        _ => return Err(invalid("it holds no access token")),
    }
    let token_type = match object.get("token_type") {
        Some(Value::String(kind)) if !kind.is_empty() => words::name(kind),
        _ => "bearer".to_owned(),
    };
    object.insert("token_type".to_owned(), Value::String(token_type));
    if let Some(seconds) = object.remove("expires_in").as_ref().and_then(lifetime) {
        object.insert("expires_in".to_owned(), seconds.into());
    }
    if object.get("refresh_token").and_then(Value::as_str).is_none_or(str::is_empty) {
        object.remove("refresh_token");
    }
    let scopes = match object.remove("scope") {
        Some(Value::String(text)) => split_scopes(&text, provider.scope_separator()),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    if !scopes.is_empty() {
        object.insert("scope".to_owned(), Value::String(scopes.join(" ")));
    }
    Ok(())
}

fn split_scopes(text: &str, separator: &str) -> Vec<String> {
    let separated = |c: char| c.is_whitespace() || separator.contains(c);
    text.split(separated).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

/// A lifetime in seconds, as a number or as text. What is not positive says nothing.
fn lifetime(value: &Value) -> Option<u64> {
    let seconds = match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse::<u64>().ok().or_else(|| whole(text.trim().parse().ok()?)),
        _ => None,
    };
    seconds.filter(|seconds| *seconds > 0).map(|seconds| seconds.min(MAX_LIFETIME_SECONDS))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is checked before"
)]
fn whole(seconds: f64) -> Option<u64> {
    (seconds.is_finite() && seconds >= 0.0).then(|| seconds.min(MAX_LIFETIME_SECONDS as f64) as u64)
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3), at most an hour.
fn retry_after(headers: &HeaderMap) -> Option<StdDuration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(StdDuration::from_secs(seconds.min(3600)))
}

fn invalid(problem: &str) -> Failure {
    Failure::Invalid { problem: problem.to_owned() }
}
