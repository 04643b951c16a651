//! Connection config as callers give it: checked against the declaration, completed, changed.

use super::{Field, Provider};
use crate::model::{Config, Error, FieldViolation, MAX_CONFIG_KEYS, ProviderId, Result, StringMap};

// === impl Provider ===

impl Provider {
    /// Reads the config of a Begin or an Import: refuses undeclared and captured keys, normalises, fills in defaults, and
    /// refuses what is missing. All faults are named at once.
    pub fn read_config(&self, given: &StringMap) -> Result<Config> {
        self.read(given, Config::default())
    }

    /// Changes the config of a connection: given keys replace those that are there, an empty value takes one away. The
    /// result is checked as the config of a Begin is.
    pub fn update_config(&self, old: &Config, given: &StringMap) -> Result<Config> {
        self.read(given, old.clone())
    }

    fn read(&self, given: &StringMap, mut config: Config) -> Result<Config> {
        let mut bad = Vec::new();
        if given.len() > MAX_CONFIG_KEYS {
            let problem = format!("has too many keys: expected at most {MAX_CONFIG_KEYS}");
            return Err(invalid(&self.id, "", problem));
        }
        for name in given.keys() {
            match self.field(name) {
                None => bad.push(self.undeclared(name)),
                Some(field) if !field.settable() => {
                    bad.push(violation(name, "is captured from the provider and cannot be set"));
                }
                Some(_) => {}
            }
        }
        for field in self.fields.iter().filter(|field| field.settable()) {
            let name = field.name();
            match given.get(name).map(|value| value.trim()) {
                Some("") => drop((config.values.remove(name), config.secrets.remove(name))),
                Some(value) => match field.normalize(value) {
                    Ok(value) => put(&mut config, field, value),
                    Err(problem) => bad.push(violation(name, problem)),
                },
                None => {}
            }
            let faulty = given.contains_key(name) && bad.iter().any(|bad| bad.field == path_of(name));
            match field.default_value() {
                _ if faulty || config.get(name).is_some() => {}
                Some(default) => put(&mut config, field, default.to_owned()),
                None if field.required() => {
                    bad.push(violation(name, format!("is missing: {}", missing(field))));
                }
                None => {}
            }
        }
        if !bad.is_empty() {
            return Err(Error::ConnectionConfigInvalid { provider: self.id.clone(), fields: bad });
        }
        // Whatever was accepted must make addresses of the provider's own hosts, before anything else happens.
        self.check_addresses(&config)?;
        Ok(config)
    }

    /// The secret fields among these, which a browser must not bring.
    pub fn secret_fields<'a>(&self, given: &'a StringMap) -> impl Iterator<Item = &'a str> {
        let secret = |name: &&String| self.field(name).is_some_and(Field::secret);
        given.keys().filter(secret).map(String::as_str)
    }

    fn undeclared(&self, name: &str) -> FieldViolation {
        let known: Vec<_> = self.fields.iter().filter(|field| field.settable()).map(Field::name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        // An undeclared key is the caller's text: it is named, but not at any length.
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        violation(&name, format!("is not declared by `{}`: its fields are {known}", self.id))
    }
}

/// Puts a value where its declaration says.
pub(super) fn put(config: &mut Config, field: &Field, value: String) {
    if field.secret() {
        config.secrets.insert(field.name().to_owned(), value.into());
    } else {
        config.values.insert(field.name().to_owned(), value);
    }
}

/// One fault of a provider's config. Without a field, the fault is of the whole.
pub(super) fn invalid(provider: &ProviderId, field: &str, problem: String) -> Error {
    Error::ConnectionConfigInvalid { provider: provider.clone(), fields: vec![violation(field, problem)] }
}

fn violation(field: &str, description: impl Into<String>) -> FieldViolation {
    FieldViolation::new(path_of(field), description)
}

fn path_of(field: &str) -> String {
    if field.is_empty() { "connection_config".to_owned() } else { format!("connection_config.{field}") }
}

fn missing(field: &Field) -> String {
    if field.example().is_empty() {
        format!("give the {}", field.title())
    } else {
        format!("give the {}, such as `{}`", field.title(), field.example())
    }
}
