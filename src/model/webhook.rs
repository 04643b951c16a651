//! Webhooks: where events are sent, and how that is signed (Standard Webhooks 1.0.0).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use time::{Duration, OffsetDateTime};
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Error, EventType, FieldViolation, ProjectId, Random, Reach, Result, project::check_display_name,
    return_url::is_secure,
};

/// How many webhooks a project may have.
pub const MAX_WEBHOOKS: u64 = 20;
/// How long a secret signs on after it was rotated.
pub const SECRET_OVERLAP: Duration = Duration::hours(24);
/// A webhook that has failed for so long is disabled by the next delivery that dies.
pub const MAX_FAILING: Duration = Duration::days(5);

const MAX_URL_BYTES: usize = 2048;
const SECRET_BYTES: usize = 32;
const SECRET_PREFIX: &str = "whsec_";

/// An endpoint that is told what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: Uuid,
    /// The project that it belongs to.
    pub project_id: ProjectId,
    /// Where events are sent.
    pub url: String,
    /// The names of the events that are sent. Empty: all.
    pub event_types: Vec<String>,
    /// Its name for people.
    pub display_name: String,
    /// Whether nothing is sent.
    pub disabled: bool,
    /// Why and when we have disabled it, if it was us.
    pub disabling: Option<Disabling>,
    /// When the first try since the last success failed.
    pub failure_time: Option<OffsetDateTime>,
    /// Until when the secret before the present one signs, too.
    pub previous_secret_expire_time: Option<OffsetDateTime>,
    /// When it was created.
    pub create_time: OffsetDateTime,
    /// When somebody last changed it.
    pub update_time: OffsetDateTime,
}

/// That we have disabled a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disabling {
    /// Why.
    pub reason: DisableReason,
    /// When.
    pub time: OffsetDateTime,
}

/// Why we disable a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableReason {
    /// It answered 410.
    Gone,
    /// Nothing has succeeded for [`MAX_FAILING`].
    Failing,
}

/// A change of a webhook: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct WebhookUpdate {
    /// Another URL.
    pub url: Option<String>,
    /// Other events.
    pub event_types: Option<Vec<String>>,
    /// Another name.
    pub display_name: Option<String>,
    /// Whether nothing is sent.
    pub disabled: Option<bool>,
}

// === impl Webhook ===

impl Webhook {
    /// Checks everything that a caller writes.
    pub fn validate(&self) -> Result<()> {
        let mut bad = Vec::new();
        if let Err(problem) = check_url(&self.url) {
            bad.push(FieldViolation::new("url", problem));
        }
        if self.event_types.iter().any(|name| EventType::parse(name).is_none()) {
            let known: Vec<_> = EventType::ALL.iter().map(|it| it.as_str()).collect();
            let problem = format!("hold one that is unknown: expected some of {}", known.join(", "));
            bad.push(FieldViolation::new("event_types", problem));
        }
        if !bad.is_empty() {
            return Err(Error::FieldInvalid(bad));
        }
        check_display_name(&self.display_name)
    }

    /// Checks that its URL does not lead where nothing is sent, as far as the URL says itself where it leads.
    pub fn check_address(&self, reach: Reach) -> Result<()> {
        match Url::parse(&self.url) {
            Ok(url) if reach.allows_host_of(&url) => Ok(()),
            _ => Err(Error::field(
                "url",
                "is at an address that is private, reserved, or the server's own machine's: expected a public one, unless the server allows webhooks there (`serve --allow-private-webhooks`)",
            )),
        }
    }

    /// Whether events of this name are sent.
    #[must_use]
    pub fn wants(&self, event_type: &str) -> bool {
        self.event_types.is_empty() || self.event_types.iter().any(|name| name == event_type)
    }

    /// The webhook after a change. One that is enabled, or that points elsewhere, begins anew.
    #[must_use]
    pub fn updated(mut self, update: WebhookUpdate, now: OffsetDateTime) -> Self {
        let elsewhere = update.url.as_ref().is_some_and(|url| *url != self.url);
        let enabled = self.disabled && update.disabled == Some(false);
        if elsewhere || enabled {
            self.failure_time = None;
        }
        self.url = update.url.unwrap_or(self.url);
        self.event_types = update.event_types.unwrap_or(self.event_types);
        self.event_types.sort_unstable();
        self.event_types.dedup();
        self.display_name = update.display_name.unwrap_or(self.display_name);
        self.disabled = update.disabled.unwrap_or(self.disabled);
        self.disabling = self.disabling.filter(|_| self.disabled);
        self.update_time = now;
        self
    }
}

// === impl DisableReason ===

impl DisableReason {
    /// Its name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Gone, Self::Failing].into_iter().find(|it| it.as_str() == name)
    }
}

/// A new secret, as its owner sees it: `whsec_` and the base64 of 32 random bytes.
pub fn webhook_secret(random: &dyn Random) -> Result<SecretString> {
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    random.fill(bytes.as_mut())?;
    let text = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
    Ok(format!("{SECRET_PREFIX}{}", text.as_str()).into())
}

/// The signature of a message: of its id, the Unix time of the try, and the body as it is sent.
pub fn webhook_signature(secret: &SecretString, id: &str, timestamp: i64, body: &str) -> Result<String> {
    let text = secret.expose_secret();
    let key = text.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    let key = Zeroizing::new(key.ok_or_else(|| Error::internal("a webhook's secret is malformed"))?);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(Error::internal)?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

fn check_url(value: &str) -> Result<(), String> {
    if value.len() > MAX_URL_BYTES {
        return Err(format!("is too long: expected at most {MAX_URL_BYTES} bytes"));
    }
    // What a parser would mend silently is refused, since the receiver may mend it differently.
    if !value.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err("is malformed: expected printable ASCII without spaces and backslashes".to_owned());
    }
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).filter(|it| !it.is_empty());
    let url = Url::parse(value).ok().filter(is_secure);
    let (Some(authority), Some(url)) = (authority, url) else {
        return Err("is malformed: expected an https URL, or http on loopback".to_owned());
    };
    if authority.contains('@') || url.fragment().is_some() {
        return Err("is malformed: it may have no user and no fragment".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsRandom;

    /// The vector that the libraries of the specification test themselves with.
    #[test]
    fn the_published_vector_is_signed_as_published() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        let signature = webhook_signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_of_32_bytes_and_no_two_are_alike() {
        let [one, two] = [0, 1].map(|_| webhook_secret(&OsRandom).unwrap());
        let text = one.expose_secret().strip_prefix("whsec_").unwrap();
        assert_eq!(STANDARD.decode(text).unwrap().len(), 32);
        assert_ne!(one.expose_secret(), two.expose_secret());
    }

    #[test]
    fn an_endpoint_is_https_and_plain() {
        let long = format!("https://x/{}", "a".repeat(MAX_URL_BYTES - 10));
        for good in [
            "https://hooks.example.com/tokenwell?team=a@b",
            "https://hooks.example.com:8443",
            "http://127.0.0.1:3000/hook",
            "http://localhost/hook",
            "http://[::1]:3000/",
            &long,
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "hooks.example.com",
            "http://hooks.example.com/",
            "http://127.0.0.1.example.com/",
            "https://user@hooks.example.com/",
            "https://user:password@hooks.example.com/",
            "https://@hooks.example.com/",
            "https:///hooks.example.com/",
            "https:hooks.example.com",
            "https://hooks.example.com/#fragment",
            "https://hooks.example.com/a b",
            "https://hooks.example.com/\\evil",
            "https://h\u{f6}oks.example.com/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            &format!("{long}a"),
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
