//! Connection config: reading what people paste, checking it against the declaration, capturing what providers send.

use regex::Regex;
use serde_json::{Map, Value};
use url::{Host, Url};

use super::{
    CallbackQuery, Provider, Transport,
    definition::{Capture, Choice, FieldDefinition, Format},
    pin::HostPin,
};
use crate::model::{Error, FieldViolation, ProviderId, Result, StringMap};

const MAX_VALUE_BYTES: usize = 2048;
const MAX_VALUES: usize = 32;
const LABEL: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const HOSTNAME: &str = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

/// One declared key of a provider's connection config.
#[derive(Debug)]
pub struct Field {
    name: String,
    definition: FieldDefinition,
    patterns: Vec<Regex>,
    pins: Vec<HostPin>,
}

// === impl Field ===

impl Field {
    /// Compiles a declaration.
    pub(super) fn new(name: String, definition: FieldDefinition) -> Result<Self, String> {
        let built_in = match definition.format {
            Format::Label => Some(LABEL),
            Format::Hostname => Some(HOSTNAME),
            Format::Text | Format::Uri => None,
        };
        let own = definition.pattern.as_ref().map(|pattern| format!("^(?:{pattern})$"));
        let patterns = built_in.map(str::to_owned).into_iter().chain(own);
        let patterns = patterns
            .map(|pattern| Regex::new(&pattern).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        let pins = definition.hosts.iter().map(|host| HostPin::parse(host)).collect::<Result<_, _>>()?;
        Ok(Self { name, definition, patterns, pins })
    }

    /// The key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The label for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.definition.title
    }

    /// What it is and where to find it.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.definition.description
    }

    /// A value that is valid.
    #[must_use]
    pub fn example(&self) -> &str {
        &self.definition.example
    }

    /// The regular expression for the whole value.
    #[must_use]
    pub fn pattern(&self) -> &str {
        match (&self.definition.pattern, self.definition.format) {
            (Some(pattern), _) => pattern,
            (None, Format::Label) => LABEL,
            (None, Format::Hostname) => HOSTNAME,
            (None, Format::Text | Format::Uri) => "",
        }
    }

    /// The values to choose from.
    #[must_use]
    pub fn choices(&self) -> &[Choice] {
        &self.definition.choices
    }

    /// The value when none is given.
    #[must_use]
    pub fn default_value(&self) -> Option<&str> {
        self.definition.default.as_deref()
    }

    /// Whether a Begin must give it.
    #[must_use]
    pub fn required(&self) -> bool {
        self.definition.required
    }

    /// Whether Tokenwell captures it.
    #[must_use]
    pub fn captured(&self) -> bool {
        !self.definition.capture.is_empty()
    }

    /// Whether a caller may give it.
    #[must_use]
    pub fn settable(&self) -> bool {
        !self.captured() || self.definition.settable
    }

    /// What goes into URLs for this value.
    pub(super) fn substitute<'a>(&'a self, value: &'a str) -> Option<&'a str> {
        match self.definition.choices.iter().find(|choice| choice.value == value) {
            Some(choice) => Some(choice.substitute.as_deref().unwrap_or(value)),
            None => self.definition.choices.is_empty().then_some(value),
        }
    }

    /// Reads a value as a person or a provider gives it into the one spelling that is kept, or says what is expected.
    pub(super) fn normalize(&self, input: &str) -> Result<String, String> {
        let trimmed = input.trim();
        if trimmed.len() > MAX_VALUE_BYTES || trimmed.chars().any(char::is_control) {
            return Err(self.expected());
        }
        if !self.definition.choices.is_empty() {
            return self.choose(trimmed).ok_or_else(|| self.expected());
        }
        let value = match self.definition.format {
            Format::Text => Some(trimmed.to_owned()),
            Format::Label => pasted_host(trimmed).and_then(|host| self.label(&host)),
            Format::Hostname => pasted_host(trimmed),
            Format::Uri => self.uri(trimmed),
        };
        value
            .filter(|value| !value.is_empty() && self.patterns.iter().all(|pattern| pattern.is_match(value)))
            .ok_or_else(|| self.expected())
    }

    fn choose(&self, input: &str) -> Option<String> {
        let same = |text: &String| text.eq_ignore_ascii_case(input.trim_end_matches('/'));
        let choice = self.definition.choices.iter().find(|choice| {
            same(&choice.value)
                || choice.substitute.as_ref().is_some_and(same)
                || choice.aliases.iter().any(same)
        });
        choice.map(|choice| choice.value.clone())
    }

    fn label(&self, host: &str) -> Option<String> {
        let suffix = self.definition.suffix.as_deref();
        let label = suffix.and_then(|suffix| host.strip_suffix(suffix)).unwrap_or(host);
        (!label.contains('.')).then(|| label.to_owned())
    }

    fn uri(&self, input: &str) -> Option<String> {
        // As the parser that checked it reads it: another one may read the same text otherwise.
        let url = Transport::Strict.parse(input, &self.pins).ok()?;
        Some(url.as_str().trim_end_matches('/').to_owned())
    }

    fn expected(&self) -> String {
        let mut text = "is malformed: expected ".to_owned();
        if self.definition.choices.is_empty() {
            text.push_str(match self.definition.format {
                Format::Text => "text",
                Format::Label => "one part of a host name",
                Format::Hostname => "a host name",
                Format::Uri => "an https URL of the provider",
            });
            if let Some(pattern) = &self.definition.pattern {
                text.push_str(" matching `");
                text.push_str(pattern);
                text.push('`');
            }
        } else {
            let values: Vec<_> = self.definition.choices.iter().map(|choice| choice.value.as_str()).collect();
            text.push_str("one of ");
            text.push_str(&values.join(", "));
        }
        if !self.definition.example.is_empty() {
            text.push_str(", such as `");
            text.push_str(&self.definition.example);
            text.push('`');
        }
        text
    }
}

// === impl Provider ===

impl Provider {
    /// Reads the config of a Begin: refuses undeclared and captured keys, normalises, fills in defaults, and refuses what
    /// is missing. All faults are named at once.
    pub fn read_config(&self, given: &StringMap) -> Result<StringMap> {
        let mut bad = Vec::new();
        if given.len() > MAX_VALUES {
            let problem = format!("has too many keys: expected at most {MAX_VALUES}");
            return Err(invalid(&self.id, "", problem));
        }
        for name in given.keys() {
            match self.fields.iter().find(|field| field.name == *name) {
                None => bad.push(self.undeclared(name)),
                Some(field) if !field.settable() => {
                    bad.push(violation(name, "is captured from the provider and cannot be set"));
                }
                Some(_) => {}
            }
        }
        let mut config = StringMap::new();
        for field in self.fields.iter().filter(|field| field.settable()) {
            let value = given.get(&field.name).filter(|value| !value.trim().is_empty());
            match (value, field.default_value()) {
                (Some(value), _) => match field.normalize(value) {
                    Ok(value) => drop(config.insert(field.name.clone(), value)),
                    Err(problem) => bad.push(violation(&field.name, problem)),
                },
                (None, Some(default)) => drop(config.insert(field.name.clone(), default.to_owned())),
                (None, None) if field.required() => {
                    bad.push(violation(&field.name, format!("is missing: {}", missing(field))));
                }
                (None, None) => {}
            }
        }
        if !bad.is_empty() {
            return Err(Error::ConnectionConfigInvalid { provider: self.id.clone(), fields: bad });
        }
        // Whatever was accepted must make addresses of the provider's own hosts, before anything else happens.
        self.authorization_endpoint(&config)?;
        self.token_endpoint(&config)?;
        Ok(config)
    }

    /// Adds to the config what the callback's parameters say.
    pub fn capture_from_callback(&self, query: &CallbackQuery, config: &mut StringMap) -> Result<()> {
        self.capture(config, |capture| match capture {
            Capture::Callback(name) => query.get(name).map(str::to_owned),
            Capture::TokenResponse(_) => None,
        })
        .map_err(|field| Error::CallbackInvalid(format!("its `{field}` is not one of `{}`'s own", self.id)))
    }

    /// Adds to the config what the token response says.
    pub fn capture_from_response(&self, response: &Map<String, Value>, config: &mut StringMap) -> Result<()> {
        self.capture(config, |capture| match capture {
            Capture::TokenResponse(name) => response.get(name).and_then(text_of),
            Capture::Callback(_) => None,
        })
        .map_err(|field| Error::ProviderResponseInvalid {
            provider: self.id.clone(),
            problem: format!("its `{field}` is not one of the provider's own"),
        })
    }

    fn capture(
        &self,
        config: &mut StringMap,
        read: impl Fn(&Capture) -> Option<String>,
    ) -> Result<(), String> {
        for field in &self.fields {
            for value in field.definition.capture.iter().filter_map(&read) {
                let value = field.normalize(&value).map_err(|_| field.name.clone())?;
                config.insert(field.name.clone(), value);
            }
        }
        Ok(())
    }

    fn undeclared(&self, name: &str) -> FieldViolation {
        let known: Vec<_> = self.fields.iter().filter(|field| field.settable()).map(Field::name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        // An undeclared key is the caller's text: it is named, but not at any length.
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        violation(&name, format!("is not declared by `{}`: its fields are {known}", self.id))
    }
}

/// One fault of a provider's config. Without a field, the fault is of the whole.
pub(super) fn invalid(provider: &ProviderId, field: &str, problem: String) -> Error {
    Error::ConnectionConfigInvalid { provider: provider.clone(), fields: vec![violation(field, problem)] }
}

fn violation(field: &str, description: impl Into<String>) -> FieldViolation {
    let path =
        if field.is_empty() { "connection_config".to_owned() } else { format!("connection_config.{field}") };
    FieldViolation::new(path, description)
}

fn missing(field: &Field) -> String {
    if field.example().is_empty() {
        format!("give the {}", field.title())
    } else {
        format!("give the {}, such as `{}`", field.title(), field.example())
    }
}

/// The host in what a person pastes: a bare host or label, or an http(s) URL, whose path and query do not matter.
fn pasted_host(input: &str) -> Option<String> {
    // A bare label is no address: a parser would take one of digits for an IPv4 address.
    if !input.is_empty() && input.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Some(input.to_ascii_lowercase());
    }
    if input.contains(['\\', '@']) {
        return None;
    }
    let absolute = if input.contains("://") { input.to_owned() } else { format!("https://{input}") };
    let url = Url::parse(&absolute).ok()?;
    let plain = matches!(url.scheme(), "http" | "https") && url.port().is_none();
    // Only behind a whole address do a port and a path not matter: a label has nothing behind it.
    let plain = plain && (input.contains("://") || url.host_str().is_some_and(|host| host.contains('.')));
    match url.host() {
        // The text itself must name the host: what a parser decodes or maps (percent signs, IDNA) was not meant.
        Some(Host::Domain(host)) if plain && absolute.to_ascii_lowercase().contains(host) => {
            Some(host.to_owned())
        }
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
