//! What comes back from a provider's page, and what it must prove before its code is sent anywhere.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use url::form_urlencoded;

use super::Provider;
use crate::model::{Config, Error, Result};

/// The largest query of a callback.
pub const MAX_QUERY_BYTES: usize = 16 * 1024;
const MAX_PARAMS: usize = 100;

/// A callback's parameters: each there once (RFC 6749, section 3.1). It holds a code, so its `Debug` shows names only.
#[derive(Clone)]
pub struct CallbackQuery {
    pairs: Vec<(String, String)>,
    raw: SecretString,
}

// === impl CallbackQuery ===

impl CallbackQuery {
    /// Reads a raw query string.
    pub fn parse(raw: &str) -> Result<Self> {
        let raw = raw.strip_prefix('?').unwrap_or(raw);
        if raw.len() > MAX_QUERY_BYTES {
            return Err(Error::CallbackInvalid(format!("it has more than {MAX_QUERY_BYTES} bytes")));
        }
        let pairs: Vec<(String, String)> = form_urlencoded::parse(raw.as_bytes()).into_owned().collect();
        if pairs.len() > MAX_PARAMS {
            return Err(Error::CallbackInvalid(format!("it has more than {MAX_PARAMS} parameters")));
        }
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::CallbackInvalid("a parameter is given twice".to_owned()));
        }
        Ok(Self { pairs, raw: raw.to_owned().into() })
    }

    /// The value of a parameter, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The query as it came.
    #[must_use]
    pub fn raw(&self) -> &SecretString {
        &self.raw
    }

    /// What a MAC over the query covers: all other parameters, sorted by name, encoded as in a query.
    fn signed_text(&self, param: &str) -> String {
        let mut pairs: Vec<_> = self.pairs.iter().filter(|(name, _)| name != param).collect();
        pairs.sort();
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

impl std::fmt::Debug for CallbackQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

// === impl Provider ===

impl Provider {
    /// The code of a callback, under whatever name.
    #[must_use]
    pub fn code<'a>(&self, query: &'a CallbackQuery) -> Option<&'a str> {
        let name = self.definition.callback.code_param.as_deref().unwrap_or("code");
        query.get(name).filter(|code| !code.is_empty())
    }

    /// Checks what the entry declares of callbacks with a code: the provider's own MAC under any of the client secrets,
    /// expected parameters.
    pub fn check_callback<'a>(
        &self,
        query: &CallbackQuery,
        config: &Config,
        client_secrets: impl IntoIterator<Item = &'a SecretString>,
    ) -> Result<()> {
        if let Some(param) = &self.definition.callback.hmac_param
            && !client_secrets.into_iter().any(|secret| mac_holds(query, param, secret.expose_secret()))
        {
            return Err(Error::CallbackInvalid(format!("its `{param}` does not match")));
        }
        for (name, template) in &self.definition.callback.expect {
            let expected = template.fill(|field| config.get(field));
            if expected.is_err() || query.get(name) != expected.ok().as_deref() {
                return Err(Error::CallbackInvalid(format!(
                    "its `{name}` is not the one that was begun with"
                )));
            }
        }
        Ok(())
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104, section 2)")]
fn mac_holds(query: &CallbackQuery, param: &str, secret: &str) -> bool {
    let Some(given) = query.get(param).and_then(|given| hex::decode(given).ok()) else {
        return false;
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(query.signed_text(param).as_bytes());
    !secret.is_empty() && mac.verify_slice(&given).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_excess_are_refused() {
        for bad in ["code=1&code=2", "state=a&x=1&state=a", "a=1&%61=2"] {
            assert!(CallbackQuery::parse(bad).is_err(), "{bad}");
        }
        assert!(CallbackQuery::parse(&format!("code={}", "a".repeat(MAX_QUERY_BYTES))).is_err());
        let many: Vec<_> = (0..=MAX_PARAMS).map(|n| format!("p{n}=1")).collect();
        assert!(CallbackQuery::parse(&many.join("&")).is_err());
        let query = CallbackQuery::parse("?code=a%20b&state=").ok();
        assert_eq!(query.as_ref().and_then(|query| query.get("code")), Some("a b"));
        assert_eq!(query.as_ref().and_then(|query| query.get("state")), Some(""));
    }

    #[test]
    fn debug_shows_no_value() {
        let text = CallbackQuery::parse("code=canary").map(|query| format!("{query:?}"));
        assert_eq!(text.ok().as_deref(), Some("{\"code\"}"));
    }
}
