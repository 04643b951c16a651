//! From what providers answer to what RFC 6749 says: one canonical token response, or the failure.

use std::{fmt, time::Duration as StdDuration};

use oauth2::{
    ExtraTokenFields,
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use url::form_urlencoded;

use super::{Failure, http::Answer, json, lifetime::life_of};
use crate::{
    model::{Duration, OffsetDateTime},
    provider::{ExpiresInUnit, Path, Provider, text_of, words},
};

/// A lifetime beyond this is a fault of the provider's, not a promise: ten years.
pub(super) const MAX_LIFETIME_SECONDS: u64 = 10 * 366 * 24 * 3600;
/// An absolute time beyond this is in milliseconds.
const MAX_UNIX_SECONDS: i64 = 100_000_000_000;
/// What a provider's clock is off by is made up for between these two. Below, it is but the answer's way; above, whoever writes
/// the header has no clock.
const LEAST_SKEW: Duration = Duration::seconds(2);
const MOST_SKEW: Duration = Duration::HOUR;
/// The longest wait that a provider may ask for.
const MAX_RETRY_AFTER: StdDuration = StdDuration::from_hours(1);

/// The members of a token response that the RFC does not name. Some providers put secrets there, so `Debug` shows names.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Members {
    map: Value,
}

impl ExtraTokenFields for Members {}

impl Members {
    /// The members.
    #[must_use]
    pub fn answer(&self) -> &Value {
        &self.map
    }

    pub(super) fn refresh_token_expires_in(&self) -> Option<Duration> {
        let seconds = self.map.get("refresh_token_expires_in")?.as_i64()?;
        Some(Duration::seconds(seconds))
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.map.as_object().into_iter().flat_map(Map::keys)).finish()
    }
}

/// Judges an answer and writes a token response as the RFC has it.
pub(super) fn canonical(
    answer: &Answer,
    provider: &Provider,
    now: OffsetDateTime,
) -> Result<Vec<u8>, Failure> {
    written(answer, provider, now).map_err(|failure| failure.with_status(answer.status))
}

fn written(answer: &Answer, provider: &Provider, now: OffsetDateTime) -> Result<Vec<u8>, Failure> {
    if let Some(failure) = unavailable(answer, now) {
        return Err(failure);
    }
    let status = answer.status;
    let unnamed = |failure| match status {
        StatusCode::UNAUTHORIZED => Failure::Unauthorized,
        _ => failure,
    };
    let object = parse(answer).map_err(unnamed)?;
    if let Some(failure) = refusal(&object, provider, answer, now) {
        return Err(failure);
    }
    if !answer.status.is_success() {
        let problem = format!("its status is {} and it names no error", answer.status.as_u16());
        return Err(unnamed(invalid(&problem)));
    }
    let object = normalized(object, provider, now, there(&answer.headers, now))?;
    serde_json::to_vec(&object).map_err(|_| invalid("it could not be written as JSON"))
}

/// The failure of an answer that says nothing of what was asked: by its status alone.
pub(super) fn unavailable(answer: &Answer, now: OffsetDateTime) -> Option<Failure> {
    let status = answer.status;
    let passing = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
    if status.is_server_error() || passing.contains(&status) {
        return Some(Failure::Unavailable {
            problem: format!("it answered with status {}", status.as_u16()),
            retry_after: retry_after(&answer.headers, now),
            // A gateway says so of a server that may be at work, some by 408; 429 and 503 are said in its place.
            unclear: !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE),
        });
    }
    status.is_redirection().then(|| invalid("it is a redirect, which is never followed"))
}

/// The OAuth error in an answer that need not hold anything else.
pub(super) fn refused(answer: &Answer, provider: &Provider, now: OffsetDateTime) -> Option<Failure> {
    refusal(&parse(answer).ok()?, provider, answer, now)
}

fn parse(answer: &Answer) -> Result<Value, Failure> {
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Err(invalid("its body is empty"));
    }
    let content_type = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let pairs = form_urlencoded::parse(&answer.body);
        return Ok(pairs
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect::<Map<_, _>>()
            .into());
    }
    match json::parse(&answer.body) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(invalid("its JSON is not an object")),
        Err(_) if content_type.starts_with("text/html") => Err(invalid("it is an HTML page")),
        Err(problem) => Err(invalid(&format!("it {problem}"))),
    }
}

/// The OAuth error in an answer with this body, whatever its status.
fn refusal(body: &Value, provider: &Provider, answer: &Answer, now: OffsetDateTime) -> Option<Failure> {
    let declared = provider.token_error();
    // Some say beside a good token that there is none.
    let none =
        |error: &Value| matches!(error, Value::Null | Value::Bool(false)) || error.as_str() == Some("");
    let success = |error: &Value| text_of(error).is_some_and(|code| declared.success.contains(&code));
    let own = declared.code.as_ref().and_then(|path| path.find(body));
    let own = own.filter(|error| !none(error) && !success(error));
    let error = own.or_else(|| body.get("error").filter(|error| !none(error)))?;
    // Some providers nest it: {"error": {"code": ..., "message": ...}}.
    let nested =
        || ["code", "type", "error"].iter().find_map(|key| error.get(key)?.as_str().map(str::to_owned));
    let code = provider.error_code(&text_of(error).or_else(nested).unwrap_or_default());
    let own = declared.description.as_ref().and_then(|path| path.find(body)?.as_str());
    let usual = ["error_description", "message", "error_message"];
    let description = own.or_else(|| usual.iter().find_map(|key| body.get(*key)?.as_str()));
    let description = description.map(words::description);
    Some(match code.as_str() {
        "temporarily_unavailable" | "server_error" | "slow_down" => Failure::Unavailable {
            problem: format!("it answered `{code}`"),
            retry_after: retry_after(&answer.headers, now),
            unclear: false,
        },
        words::UNKNOWN if answer.status == StatusCode::UNAUTHORIZED => Failure::Unauthorized,
        _ => Failure::Refused { code, description },
    })
}

/// A member: where the entry says, else under its own name, first in the object that holds the members.
fn member<'a>(answer: &'a Value, inner: &'a Value, path: Option<&Path>, name: &str) -> Option<&'a Value> {
    let places = [inner, answer];
    let declared = path.and_then(|path| places.into_iter().find_map(|place| path.find(place)));
    let usual = || places.into_iter().find_map(|place| place.get(name));
    if path.is_some() { declared } else { usual() }
}

/// The answer with its members where RFC 6749 has them.
fn normalized(
    answer: Value,
    provider: &Provider,
    now: OffsetDateTime,
    there: OffsetDateTime,
) -> Result<Value, Failure> {
    let shape = provider.token_response();
    let inner = shape.path.as_ref().and_then(|path| path.find(&answer)).unwrap_or(&answer);
    let find = |path: &Option<Path>, name: &str| member(&answer, inner, path.as_ref(), name);
    let token = |path: &Option<Path>, name: &str| {
        find(path, name).and_then(Value::as_str).filter(|it| !it.is_empty())
    };

    let access_token = token(&shape.access_token, "access_token");
    let access_token = access_token.filter(|token| !token.chars().any(char::is_control));
    let access_token = access_token.ok_or_else(|| invalid("it holds no access token"))?;
    let token_type = shape.token_type.as_deref().or_else(|| token(&None, "token_type")).map(words::name);
    let token_type = token_type.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "bearer".to_owned());
    let unit = shape.expires_in_unit;
    let until = |path: &Option<Path>| path.as_ref().and_then(|_| seconds_until(find(path, "")?, there));
    let lives = |path: &Option<Path>, name: &str| lifetime(find(path, name)?, unit);
    // What a token says itself, it says by its own clock, too.
    let said = || u64::try_from(life_of(access_token, there)?.whole_seconds()).ok();
    let expires_in = until(&shape.expires_at)
        .or_else(|| lives(&shape.expires_in, "expires_in"))
        .or_else(|| said().filter(|_| there != now));
    let refresh_expires_in = until(&shape.refresh_token_expires_at)
        .or_else(|| lives(&shape.refresh_token_expires_in, "refresh_token_expires_in"))
        .or_else(|| lives(&None, "refresh_expires_in"));
    let scopes = match find(&shape.scope, "scope") {
        Some(Value::String(text)) => split_scopes(text, provider.scope_separator()),
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).flat_map(|text| split_scopes(text, "")).collect()
        }
        _ => Vec::new(),
    };
    let members = [
        ("access_token", Some(Value::from(access_token))),
        ("token_type", Some(token_type.into())),
        ("expires_in", expires_in.map(Value::from)),
        ("refresh_token", token(&shape.refresh_token, "refresh_token").map(Value::from)),
        ("refresh_token_expires_in", refresh_expires_in.map(Value::from)),
        ("scope", (!scopes.is_empty()).then(|| scopes.join(" ").into())),
        ("id_token", token(&None, "id_token").map(Value::from)),
    ];
    let mut object = answer;
    if let Some(map) = object.as_object_mut() {
        for (name, value) in members {
            match value {
                Some(value) => drop(map.insert(name.to_owned(), value)),
                None => drop(map.remove(name)),
            }
        }
    }
    Ok(object)
}

fn split_scopes(text: &str, separator: &str) -> Vec<String> {
    let separated = |c: char| c.is_whitespace() || separator.contains(c);
    text.split(separated).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

/// A lifetime in seconds, from a number or text in this unit. What is not positive says nothing.
fn lifetime(value: &Value, unit: ExpiresInUnit) -> Option<u64> {
    let amount = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }?;
    let seconds = match unit {
        ExpiresInUnit::Seconds => amount,
        ExpiresInUnit::Milliseconds => amount / 1000.0,
    };
    whole(seconds).filter(|seconds| *seconds > 0)
}

/// What a provider's clock shows now, as far as its answer tells (RFC 9110, section 6.6.1): by that the absolute times in the
/// answer count. The answer's own way makes lifetimes shorter, never longer.
pub(super) fn there(headers: &HeaderMap, now: OffsetDateTime) -> OffsetDateTime {
    let date = headers.get(header::DATE).and_then(|value| value.to_str().ok());
    let date = date.and_then(|value| httpdate::parse_http_date(value).ok()).map(OffsetDateTime::from);
    let skew = date.map_or(Duration::ZERO, |date| date - now);
    if skew.abs() <= LEAST_SKEW || skew.abs() > MOST_SKEW {
        return now;
    }
    tracing::debug!(seconds = skew.whole_seconds(), "a provider's clock is off");
    now + skew
}

/// The seconds until an absolute time: Unix seconds or milliseconds, or RFC 3339. A time in the past says nothing.
pub(super) fn seconds_until(value: &Value, now: OffsetDateTime) -> Option<u64> {
    let text = text_of(value)?;
    let text = text.trim();
    let time = match text.parse::<f64>() {
        Ok(number) => {
            let unix = i64::try_from(whole_up_to(number, i64::MAX.unsigned_abs() / 2)?).ok()?;
            let unix = if unix > MAX_UNIX_SECONDS { unix / 1000 } else { unix };
            OffsetDateTime::from_unix_timestamp(unix).ok()?
        }
        Err(_) => OffsetDateTime::parse(text, &Rfc3339).ok()?,
    };
    let seconds = u64::try_from((time - now).whole_seconds()).ok()?;
    Some(seconds.min(MAX_LIFETIME_SECONDS)).filter(|seconds| *seconds > 0)
}

fn whole(seconds: f64) -> Option<u64> {
    whole_up_to(seconds, MAX_LIFETIME_SECONDS)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is checked before"
)]
fn whole_up_to(number: f64, most: u64) -> Option<u64> {
    (number.is_finite() && number >= 0.0).then(|| number.min(most as f64) as u64)
}

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3), at most an hour. A date that has passed means now.
pub(super) fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<StdDuration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More seconds than there are numbers for are many.
        StdDuration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = OffsetDateTime::from(httpdate::parse_http_date(value).ok()?);
        StdDuration::try_from(date - there(headers, now)).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn invalid(problem: &str) -> Failure {
    Failure::invalid(problem)
}
