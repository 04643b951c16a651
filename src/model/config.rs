//! Connection config: what a provider's addresses and API calls need.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::StringMap;

/// The most keys that a config may have.
pub const MAX_CONFIG_KEYS: usize = 32;

/// Secrets by name, sorted.
pub type SecretMap = BTreeMap<String, SecretString>;

/// One connection's config, checked. Its fields that the provider's entry calls secret are kept apart.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// In clear.
    pub values: StringMap,
    /// Sealed at rest, and handed out only with credentials.
    pub secrets: SecretMap,
}

impl Config {
    /// A value, secret or not.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let secret = || self.secrets.get(name).map(ExposeSecret::expose_secret);
        self.values.get(name).map(String::as_str).or_else(secret)
    }

    /// The keys whose values are others than there.
    pub fn changed_since<'a>(&'a self, old: &'a Self) -> impl Iterator<Item = &'a str> {
        let names = self.values.keys().chain(self.secrets.keys()).map(String::as_str);
        names.filter(|name| self.get(name) != old.get(name))
    }

    /// Takes over the value of a key from there.
    pub fn take_over(&mut self, name: &str, from: &Self) {
        if let Some(value) = from.values.get(name) {
            self.values.insert(name.to_owned(), value.clone());
        }
        if let Some(secret) = from.secrets.get(name) {
            self.secrets.insert(name.to_owned(), secret.clone());
        }
    }
}

impl From<StringMap> for Config {
    fn from(values: StringMap) -> Self {
        Self { values, secrets: SecretMap::new() }
    }
}
