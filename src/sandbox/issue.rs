//! New tokens, and what the answer says of them.

use axum::{http::StatusCode, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    Client, ExpiresIn, Sandbox,
    answer::{self, Refusal},
    memory::{AccessToken, Memory, RefreshToken},
    params::Params,
    place,
    quirks::{AnswerFormat, AnswerQuirks, Lifetime},
};
use crate::model::{Duration, OffsetDateTime, digest};

/// New tokens, made before anything changes.
pub(super) struct Fresh {
    access_token: String,
    refresh_token: String,
    terms: Terms,
}

/// How long new tokens live, and what the answer says of it.
struct Terms {
    lifetime: Option<Duration>,
    expires_in: Option<i64>,
    refresh_token_expires_in: Option<i64>,
}

/// What a success tells.
#[derive(Default)]
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) expires_in: Option<i64>,
    pub(super) refresh_token: Option<String>,
    pub(super) refresh_token_expires_in: Option<i64>,
    pub(super) scopes: Vec<String>,
    /// Whose account it is, if it is a person's.
    pub(super) account: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) id_token: Option<String>,
}

// === impl Sandbox ===

impl Sandbox {
    /// New tokens for a request with these parameters.
    pub(super) fn fresh_tokens(&self, form: &Params, flagged: bool) -> Result<Fresh, Refusal> {
        Ok(Fresh {
            access_token: self.fresh("sandbox_at_")?,
            refresh_token: self.fresh("sandbox_rt_")?,
            terms: self.terms(form, flagged)?,
        })
    }

    fn terms(&self, form: &Params, flagged: bool) -> Result<Terms, Refusal> {
        let ttl = self.0.options.access_token_ttl;
        let always = self.quirks().refresh_token_expires_in;
        let terms = |lifetime, expires_in, refresh_token_expires_in| Terms {
            lifetime,
            expires_in,
            refresh_token_expires_in,
        };
        Ok(match &self.quirks().expires_in {
            ExpiresIn::Always => terms(Some(ttl), Some(ttl.whole_seconds()), always),
            ExpiresIn::Never => terms(Some(ttl), None, always),
            ExpiresIn::Stated(seconds) => terms(Some(ttl), Some(*seconds), always),
            ExpiresIn::WhenAsked { parameter } => match form.seconds(parameter)? {
                Some(seconds) => {
                    let refresh_token = form.seconds("refresh_token_expires_in")?.or(always);
                    terms(Some(Duration::seconds(seconds)), Some(seconds), refresh_token)
                }
                None => terms(Some(ttl), None, None),
            },
            ExpiresIn::WhenFlagged { seconds, .. } if flagged => {
                terms(Some(Duration::seconds(*seconds)), Some(*seconds), always)
            }
            ExpiresIn::WhenFlagged { .. } => terms(None, None, always),
        })
    }

    /// Remembers new tokens of a grant.
    pub(super) fn issue(
        &self,
        memory: &mut Memory,
        grant: u64,
        fresh: Fresh,
        with_refresh_token: bool,
        replaces: Option<String>,
    ) -> Issued {
        let Fresh { access_token, refresh_token, terms } = fresh;
        let now = self.0.clock.now();
        let expire_time = terms.lifetime.map(|lifetime| now.saturating_add(lifetime));
        memory.access_tokens.insert(digest(&access_token), AccessToken { grant, expire_time });
        let issued = Issued { access_token, expires_in: terms.expires_in, ..Issued::default() };
        if !with_refresh_token {
            return issued;
        }
        let seconds = terms.refresh_token_expires_in;
        let lifetime = seconds.or(self.quirks().refresh_token_expires_in).map(Duration::seconds);
        let expire_time = lifetime.map(|lifetime| now.saturating_add(lifetime));
        let token = RefreshToken { grant, expire_time, replaces, retired: false };
        memory.refresh_tokens.insert(digest(&refresh_token), token);
        Issued { refresh_token: Some(refresh_token), refresh_token_expires_in: seconds, ..issued }
    }

    /// The answer to a success, in the provider's manner.
    pub(super) fn success(&self, issued: Issued, client: &Client, host: &str) -> Response {
        let quirks = self.quirks();
        let manner = &quirks.token_answer;
        let now = self.0.clock.now();
        let mut body = Value::Object(Map::new());
        if let Some(value) = &quirks.token_error.success {
            place::put(&mut body, &quirks.token_error.code, value.clone());
        }
        let mut put = |name: &str, path: &str, value: Value| {
            let path = match manner.path.as_str() {
                "" => path.to_owned(),
                _ if manner.outside.iter().any(|outside| outside == name) => path.to_owned(),
                object => format!("{object}.{path}"),
            };
            place::put(&mut body, &path, value);
        };
        put("access_token", &manner.access_token, issued.access_token.into());
        if let Some(seconds) = issued.expires_in {
            let (path, value) = manner.lifetime(now, seconds, &manner.expires_in, &manner.expires_at);
            put("expires_in", path, value);
        }
        if let Some(refresh_token) = issued.refresh_token {
            put("refresh_token", &manner.refresh_token, refresh_token.into());
        }
        if let Some(seconds) = issued.refresh_token_expires_in {
            let (within, until) = (&manner.refresh_token_expires_in, &manner.refresh_token_expires_at);
            let (path, value) = manner.lifetime(now, seconds, within, until);
            put("refresh_token_expires_in", path, value);
        }
        if let Some(id_token) = issued.id_token {
            put("id_token", "id_token", id_token.into());
        }
        if let Some(token_type) = &quirks.token_type {
            put("token_type", "token_type", token_type.as_str().into());
        }
        if !issued.scopes.is_empty() {
            let text = issued.scopes.join(&quirks.scope_separator);
            put("scope", &manner.scope, if manner.scope_list { json!(issued.scopes) } else { text.into() });
        }
        self.put_extra_members(&mut body, client, host);
        manner.to_response(&body)
    }

    fn put_extra_members(&self, body: &mut Value, client: &Client, host: &str) {
        let members = &self.quirks().extra_token_members;
        let issued_at = (self.0.clock.now().unix_timestamp_nanos() / 1_000_000).to_string();
        let fill = |text: &str| text.replace("{host}", host).replace("{issued_at}", &issued_at);
        let id = members.get("id").and_then(Value::as_str).map(fill).unwrap_or_default();
        let signature = STANDARD.encode(self.mac(client, &format!("{id}{issued_at}")));
        for (path, value) in members {
            let value = match value {
                Value::String(text) => fill(text).replace("{signature}", &signature).into(),
                other => other.clone(),
            };
            place::put(body, path, value);
        }
    }
}

// === impl AnswerQuirks ===

impl AnswerQuirks {
    /// A lifetime as it is said, and at which of the two paths.
    fn lifetime<'a>(
        &self,
        now: OffsetDateTime,
        seconds: i64,
        within: &'a str,
        until: &'a str,
    ) -> (&'a str, Value) {
        let end = now.saturating_add(Duration::seconds(seconds));
        match self.lifetime {
            Lifetime::Seconds => (within, seconds.into()),
            Lifetime::SecondsText => (within, seconds.to_string().into()),
            Lifetime::Milliseconds => (within, seconds.saturating_mul(1000).into()),
            Lifetime::UntilSeconds => (until, end.unix_timestamp().into()),
            Lifetime::UntilMilliseconds => (until, end.unix_timestamp().saturating_mul(1000).into()),
            Lifetime::UntilRfc3339 => (until, rfc3339(end).into()),
        }
    }

    fn to_response(&self, body: &Value) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        match (self.format, body) {
            (AnswerFormat::Form, Value::Object(members)) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, value) in members {
                    match value {
                        Value::String(text) => form.append_pair(name, text),
                        other => form.append_pair(name, &other.to_string()),
                    };
                }
                answer::unstored(status, "application/x-www-form-urlencoded", form.finish())
            }
            _ => answer::json(status, body),
        }
    }
}

/// A time that RFC 3339 cannot say is far beyond every lifetime.
fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
