//! One key of the connection config: reading what people paste into the one spelling that is kept.

use regex::Regex;
use url::{Host, Url};

use super::{
    Transport,
    definition::{Capture, Choice, FieldDefinition, Format},
    pin::HostPin,
};
use crate::model::Uuid;

const MAX_VALUE_BYTES: usize = 2048;
const LABEL: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const HOSTNAME: &str = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const UUID: &str = "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$";
/// The letters of HTML's own pattern, before a host name with a dot.
const EMAIL: &str = r"^[A-Za-z0-9.!#$&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$";

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
    pub(super) fn new(name: String, definition: FieldDefinition, tenants: bool) -> Result<Self, String> {
        let built_in = format_pattern(definition.format).map(str::to_owned);
        let own = definition.pattern.as_ref().map(|pattern| format!("^(?:{pattern})$"));
        let patterns = built_in.into_iter().chain(own);
        let patterns = patterns
            .map(|pattern| Regex::new(&pattern).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        let pins = definition.hosts.iter().map(|host| HostPin::parse(host, tenants));
        let pins = pins.collect::<Result<_, _>>()?;
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

    /// What kind of value it holds.
    #[must_use]
    pub fn format(&self) -> Format {
        self.definition.format
    }

    /// The regular expression for the whole value.
    #[must_use]
    pub fn pattern(&self) -> &str {
        let own = self.definition.pattern.as_deref();
        own.or_else(|| format_pattern(self.definition.format)).unwrap_or_default()
    }

    /// Text that people paste before and behind the value, which is taken off.
    #[must_use]
    pub fn affixes(&self) -> (&str, &str) {
        let FieldDefinition { prefix, suffix, .. } = &self.definition;
        (prefix.as_deref().unwrap_or_default(), suffix.as_deref().unwrap_or_default())
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

    /// Whether it is sealed at rest.
    #[must_use]
    pub fn secret(&self) -> bool {
        self.definition.secret
    }

    /// Whether Tokenwell captures it.
    #[must_use]
    pub fn captured(&self) -> bool {
        !self.definition.capture.is_empty()
    }

    /// Whether it tells which account a connection leads to.
    #[must_use]
    pub fn account(&self) -> bool {
        self.definition.account
    }

    /// Whether a caller may give it.
    #[must_use]
    pub fn settable(&self) -> bool {
        !self.captured() || self.definition.settable
    }

    pub(super) fn captures(&self) -> &[Capture] {
        &self.definition.capture
    }

    /// Whether its declaration says what a value may be made of.
    pub(super) fn constrained(&self) -> bool {
        !self.patterns.is_empty() || !self.definition.choices.is_empty() || !self.pins.is_empty()
    }

    /// Whether it has a pattern of its own.
    pub(super) fn has_pattern(&self) -> bool {
        self.definition.pattern.is_some()
    }

    /// Whether it names the hosts that it may have.
    pub(super) fn pinned(&self) -> bool {
        !self.pins.is_empty()
    }

    /// What goes into addresses for this value.
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
            Format::Text | Format::Email => Some(self.bare(trimmed).to_owned()),
            Format::Label => pasted_host(trimmed).and_then(|host| self.label(&host)),
            Format::Hostname => pasted_host(trimmed)
                .map(|host| self.bare(&host).to_owned())
                .filter(|host| self.pins.is_empty() || self.pins.iter().any(|pin| pin.matches(host))),
            Format::Uuid => {
                Uuid::parse_str(self.bare(trimmed)).ok().map(|uuid| uuid.hyphenated().to_string())
            }
            Format::Uri => self.uri(self.bare(trimmed)),
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

    /// Without what people paste with it, in whatever case.
    fn bare<'a>(&self, mut input: &'a str) -> &'a str {
        let (prefix, suffix) = self.affixes();
        let starts =
            |text: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if starts(input) {
            input = &input[prefix.len()..];
        }
        let end = input.len().saturating_sub(suffix.len());
        match input.get(end..) {
            Some(found) if found.eq_ignore_ascii_case(suffix) => &input[..end],
            _ => input,
        }
    }

    fn label(&self, host: &str) -> Option<String> {
        let label = self.bare(host);
        (!label.contains('.')).then(|| label.to_owned())
    }

    fn uri(&self, input: &str) -> Option<String> {
        // As the parser that checked it reads it: another one may read the same text otherwise.
        let url = Transport::Strict.parse(input, &self.pins).ok().filter(|url| url.query().is_none())?;
        Some(url.as_str().trim_end_matches('/').to_owned())
    }

    fn expected(&self) -> String {
        let mut text = "is malformed: expected ".to_owned();
        if self.definition.choices.is_empty() {
            text.push_str(self.definition.format.noun());
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

fn format_pattern(format: Format) -> Option<&'static str> {
    match format {
        Format::Label => Some(LABEL),
        Format::Hostname => Some(HOSTNAME),
        Format::Uuid => Some(UUID),
        Format::Email => Some(EMAIL),
        Format::Text | Format::Uri => None,
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
