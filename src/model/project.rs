//! Projects and their settings.

use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use url::Url;

use super::{
    Error, FieldViolation, IntegrationId, MAX_SIGNATURE_LIFETIME, ProjectId, Result, SIGNATURE_LIFETIME,
    return_url::{is_secure, origin_of, parse_allowed},
};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its name for people.
    pub display_name: String,
    /// When it was created.
    pub create_time: OffsetDateTime,
}

/// Who completes a flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// The gateway, at the callback.
    #[default]
    Automatic,
    /// The app's backend, with the confirmation that the browser brings.
    Confirm,
}

/// An HMAC key: 32 bytes or more.
pub type HmacKey = SecretSlice<u8>;

/// What a project decides. The HMAC keys are sealed in columns of their own; the rest is stored as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whether a Begin without a valid signature is refused.
    pub hmac_required: bool,
    /// Whether signatures of scheme v1 are refused.
    pub hmac_refuse_v1: bool,
    /// How many seconds in the future a v2 signature may expire.
    pub hmac_max_lifetime_seconds: i64,
    /// The active keys, at most two.
    #[serde(skip)]
    pub hmac_keys: Vec<HmacKey>,
    /// The `redirect_uri` to use instead of the gateway's.
    pub callback_url: Option<String>,
    /// Under which URLs a return URL must lie.
    pub allowed_return_urls: Vec<String>,
    /// The origins that the result page may tell.
    pub allowed_origins: Vec<String>,
    /// Who completes a flow.
    pub completion: Completion,
    /// Whether a callback must come from the browser that opened the flow.
    pub browser_binding: bool,
    /// Counts the changes, so that a writer knows whether it has seen the last one.
    #[serde(skip)]
    pub version: i64,
}

const MAX_KEYS: usize = 2;
const LIFETIME_SECONDS: std::ops::RangeInclusive<i64> = 60..=MAX_SIGNATURE_LIFETIME.whole_seconds();
const KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=1024;
const MAX_URLS: usize = 32;
const MAX_URL_BYTES: usize = 2048;
const PLACEHOLDER: &str = "{integration_id}";

impl Default for Settings {
    fn default() -> Self {
        Self {
            hmac_required: false,
            hmac_refuse_v1: false,
            hmac_max_lifetime_seconds: SIGNATURE_LIFETIME.whole_seconds(),
            hmac_keys: Vec::new(),
            callback_url: None,
            allowed_return_urls: Vec::new(),
            allowed_origins: Vec::new(),
            completion: Completion::Automatic,
            browser_binding: true,
            version: 0,
        }
    }
}

impl Settings {
    /// Checks every value, then that they go together.
    pub fn validate(&self) -> Result<()> {
        let mut bad = Vec::new();
        if self.hmac_keys.len() > MAX_KEYS {
            bad.push(FieldViolation::new("hmac.keys", "are too many: expected at most two"));
        }
        if self.hmac_keys.iter().any(|key| !KEY_BYTES.contains(&key.expose_secret().len())) {
            bad.push(FieldViolation::new("hmac.keys", "are malformed: expected 32 to 1,024 bytes each"));
        }
        if !LIFETIME_SECONDS.contains(&self.hmac_max_lifetime_seconds) {
            bad.push(FieldViolation::new(
                "hmac.max_lifetime",
                "is out of range: expected 1 minute to 1 hour",
            ));
        }
        if let Some(url) = &self.callback_url
            && let Err(problem) = check_callback_url(url)
        {
            bad.push(FieldViolation::new("callback_url", problem));
        }
        if self.allowed_return_urls.len() > MAX_URLS {
            bad.push(FieldViolation::new("allowed_return_urls", "are too many: expected at most 32"));
        }
        for (index, url) in self.allowed_return_urls.iter().enumerate().take(MAX_URLS) {
            if let Err(problem) = parse_allowed(url) {
                bad.push(FieldViolation::new(format!("allowed_return_urls[{index}]"), problem));
            }
        }
        if self.allowed_origins.len() > MAX_URLS {
            bad.push(FieldViolation::new("allowed_origins", "are too many: expected at most 32"));
        }
        for (index, origin) in self.allowed_origins.iter().enumerate().take(MAX_URLS) {
            if parse_allowed(origin).ok().and_then(|url| origin_of(&url)).as_deref() != Some(origin) {
                bad.push(FieldViolation::new(
                    format!("allowed_origins[{index}]"),
                    "is malformed: expected a scheme, a host and perhaps a port, such as `https://app.example.com`",
                ));
            }
        }
        if !bad.is_empty() {
            return Err(Error::FieldInvalid(bad));
        }
        self.validate_together()
    }

    fn validate_together(&self) -> Result<()> {
        let mut bad = Vec::new();
        if self.hmac_required && self.hmac_keys.is_empty() {
            bad.push(FieldViolation::new("hmac.required", "needs a key: set hmac.keys first"));
        }
        if self.completion == Completion::Confirm && self.allowed_return_urls.is_empty() {
            bad.push(FieldViolation::new(
                "completion",
                "needs allowed_return_urls: the browser brings the confirmation to a return URL",
            ));
        }
        if bad.is_empty() { Ok(()) } else { Err(Error::SettingsConflict(bad)) }
    }

    /// How far in the future a v2 signature may expire.
    #[must_use]
    pub fn hmac_max_lifetime(&self) -> Duration {
        Duration::seconds(self.hmac_max_lifetime_seconds)
    }

    /// The custom `redirect_uri` for an integration.
    #[must_use]
    pub fn own_redirect_uri(&self, integration_id: &IntegrationId) -> Option<String> {
        let template = self.callback_url.as_deref()?;
        Some(template.replace(PLACEHOLDER, integration_id.as_str()))
    }
}

/// A name for people: at most 255 characters, none of them a control character.
pub fn check_display_name(name: &str) -> Result<()> {
    if name.chars().count() <= 255 && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let problem = "is malformed: expected at most 255 characters, none of them a control character";
    Err(Error::field("display_name", problem))
}

fn check_callback_url(template: &str) -> Result<(), String> {
    if template.len() > MAX_URL_BYTES {
        return Err(format!("is too long: expected at most {MAX_URL_BYTES} bytes"));
    }
    if !template.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err("is malformed: expected printable ASCII without spaces and backslashes".to_owned());
    }
    let filled = template.replace(PLACEHOLDER, "integration");
    let url = Url::parse(&filled).map_err(|error| format!("is not a URL: {error}"))?;
    if filled.contains(['{', '}']) {
        return Err("is malformed: `{integration_id}` is the only placeholder".to_owned());
    }
    let probe = template.replace(PLACEHOLDER, "other");
    if Url::parse(&probe).ok().and_then(|url| origin_of(&url)) != origin_of(&url) {
        return Err("is malformed: `{integration_id}` may stand in the path only".to_owned());
    }
    if !is_secure(&url) {
        return Err("is malformed: expected https, or http on a loopback address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("is malformed: it may hold no user and no password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("is malformed: it may have no query and no fragment".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_url_is_https_and_plain() {
        for good in ["https://app.example.com/cb", "https://x/{integration_id}/cb", "http://127.0.0.1:1/cb"] {
            assert_eq!(check_callback_url(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "app.example.com/cb",
            "http://app.example.com/cb",
            "https://u@x/",
            "https://x/?a",
            "https://x/#a",
            "https://{integration_id}.x/",
            "https://x/{other}",
            "javascript:alert(1)",
            "https://x/cb\0",
            "https://x/c\tb",
            "https://x/c b",
        ] {
            assert!(check_callback_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_signature_cannot_be_required_without_a_key() {
        let mut settings = Settings { hmac_required: true, ..Settings::default() };
        assert!(matches!(settings.validate(), Err(Error::SettingsConflict(_))));
        settings.hmac_keys = vec![vec![7; 31].into()];
        assert!(matches!(settings.validate(), Err(Error::FieldInvalid(_))));
        settings.hmac_keys = vec![vec![7; 32].into()];
        assert!(settings.validate().is_ok());
    }
}
