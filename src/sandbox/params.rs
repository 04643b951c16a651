//! The parameters of a query, of a form or of a JSON object.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::answer::Refusal;

/// Names and values. Of a name that came twice, the first value.
#[derive(Clone, Default)]
pub(super) struct Params {
    map: BTreeMap<String, String>,
    repeated: BTreeSet<String>,
}

// === impl Params ===

impl Params {
    /// Reads a query or a form.
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut params = Self::default();
        for (name, value) in form_urlencoded::parse(text) {
            params.insert(name.into_owned(), value.into_owned());
        }
        params
    }

    /// Reads a JSON object of plain values. `None`: it is none.
    pub(super) fn parse_json(text: &[u8]) -> Option<Self> {
        let members: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let mut params = Self::default();
        for (name, value) in members {
            let value = match value {
                Value::String(text) => text,
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => return None,
            };
            params.insert(name, value);
        }
        Some(params)
    }

    fn insert(&mut self, name: String, value: String) {
        match self.map.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(entry) => {
                self.repeated.insert(entry.key().clone());
            }
        }
    }

    /// The parameters under their names in RFC 6749, of which `names` tells the provider's own. What has another name, or
    /// none, must not come under its name in the RFC, unless the provider has something else under it: it is one
    /// of its further parameters, and so not what the RFC means.
    pub(super) fn renamed(
        &self,
        names: &BTreeMap<String, String>,
        is_further: impl Fn(&str) -> bool,
    ) -> Result<Self, Refusal> {
        let own: BTreeMap<&str, &str> = names
            .iter()
            .filter(|(_, own)| !own.is_empty())
            .map(|(name, own)| (own.as_str(), name.as_str()))
            .collect();
        let mut renamed = Self::default();
        for (name, value) in &self.map {
            let known = match own.get(name.as_str()) {
                Some(known) => known,
                None if names.get(name).is_some_and(String::is_empty) && is_further(name) => {
                    continue;
                }
                None if names.contains_key(name) => {
                    return Err(Refusal::invalid_request(format!("there is no parameter {name} here")));
                }
                None => name.as_str(),
            };
            renamed.insert(known.to_owned(), value.clone());
            if self.repeated.contains(name) {
                renamed.repeated.insert(known.to_owned());
            }
        }
        Ok(renamed)
    }

    /// A parameter's value. An empty one counts as none (RFC 6749, section 3.1).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.map.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::invalid_request(format!("the parameter {name} is missing")))
    }

    /// A number of seconds, if the parameter is there.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        // More than a century is a mistake, and further on would overflow.
        match value.parse() {
            Ok(seconds @ 1..=3_155_760_000) => Ok(Some(seconds)),
            _ => Err(Refusal::invalid_request(format!("{name} is not a number of seconds"))),
        }
    }

    /// Whether a parameter has this value.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    /// Refuses what lacks one of these parameters, or has another value for it.
    pub(super) fn check_all<'a>(
        &self,
        mut expected: impl Iterator<Item = &'a (String, String)>,
    ) -> Result<(), Refusal> {
        match expected.find(|(name, value)| self.map.get(name) != Some(value)) {
            Some((name, _)) => {
                Err(Refusal::invalid_request(format!("the parameter {name} is missing or wrong")))
            }
            None => Ok(()),
        }
    }

    /// Refuses a parameter that came twice (RFC 6749, sections 3.1 and 3.2).
    pub(super) fn check_unique(&self) -> Result<(), Refusal> {
        if !self.repeated.is_empty() {
            return Err(Refusal::invalid_request("a parameter came more than once"));
        }
        Ok(())
    }

    /// A parameter that came once.
    pub(super) fn get_unique(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|_| !self.repeated.contains(name))
    }

    /// All of them, as they came.
    pub(super) fn as_map(&self) -> &BTreeMap<String, String> {
        &self.map
    }
}
