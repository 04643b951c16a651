//! A `providers.yaml` as a whole: its YAML, and entries that are aliases of others.

use serde_json::{Map, Value};

use super::{Imported, Kind, Remark, entry};
use crate::{model::ProviderId, provider::Fault};

/// Aliases of aliases end here.
const MAX_ALIASES: usize = 8;

/// A file that was read.
#[derive(Debug)]
pub struct Source {
    entries: Map<String, Value>,
}

// === impl Source ===

impl Source {
    /// Reads the text of a file. Anchors, aliases and merge keys of YAML are resolved, within limits.
    pub fn read(file: &str, text: &str) -> Result<Self, Fault> {
        let mut options = serde_saphyr::Options::default();
        // As YAML 1.2 has it: `no` is a country before it is a boolean.
        options.strict_booleans = true;
        options.with_snippet = false;
        let fault = |line, problem| Fault { file: file.to_owned(), line, problem };
        let read = serde_saphyr::from_str_with_options::<Value>(text, options).map_err(|error| {
            let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
            fault(line, error.render_with_formatter(&serde_saphyr::UserMessageFormatter))
        })?;
        match read {
            Value::Object(entries) => Ok(Self { entries }),
            _ => Err(fault(None, "is not a mapping from ids to providers".to_owned())),
        }
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What becomes of each entry, one after the other.
    pub fn import(&self) -> impl Iterator<Item = Imported> {
        self.entries.iter().map(|(id, value)| self.entry(id, value))
    }

    fn entry(&self, id: &str, value: &Value) -> Imported {
        let id = super::one_line(id);
        let checked = ProviderId::parse(&id).map_err(|error| error.to_string());
        let keys = checked.and_then(|_| self.resolved(value, MAX_ALIASES));
        match keys {
            Ok(keys) => entry::import(id, &keys),
            Err(why) => {
                let remark = Remark { kind: Kind::Lost, key: String::new(), why: super::one_line(&why) };
                Imported { id, text: None, remarks: vec![remark] }
            }
        }
    }

    /// The keys of an entry on top of those of the one that it is an alias of.
    fn resolved(&self, value: &Value, steps: usize) -> Result<Map<String, Value>, String> {
        let Value::Object(own) = value else {
            return Err("it is not a mapping".to_owned());
        };
        let Some(alias) = own.get("alias") else {
            return Ok(own.clone());
        };
        let name = alias.as_str().unwrap_or_default();
        if steps == 0 {
            return Err(format!("its `alias` leads to `{name}` and on without an end"));
        }
        let base =
            self.entries.get(name).ok_or_else(|| format!("there is no entry `{name}`, its `alias`"))?;
        let mut keys = self.resolved(base, steps - 1)?;
        keys.extend(
            own.iter().filter(|(key, _)| *key != "alias").map(|(key, value)| (key.clone(), value.clone())),
        );
        Ok(keys)
    }
}
