//! Addresses of a provider: templates, and the hosts that they are pinned to.

use url::Url;

use super::{Field, Provider, config, definition::Endpoint, template::Template};
use crate::model::{Config, Result};

/// What a value must not bring into an address, so that it stays in its part of it.
const DELIMITERS: [char; 8] = ['/', '?', '#', '\\', '@', '%', ':', '&'];

/// The `client_id`, which an address may hold where a provider wants it there.
pub(super) const CLIENT_ID: &str = "client_id";
/// Stands for it where an address is only tried.
const SOME_CLIENT_ID: &str = "client";

/// One address, as alternatives of which the first that can be filled is used.
#[derive(Debug, Clone)]
pub(super) struct Address {
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone)]
struct Alternative {
    template: Template,
    fragment: Option<String>,
}

// === impl Address ===

impl Address {
    pub(super) fn parse(endpoint: &Endpoint) -> Result<Self, String> {
        Self::read(endpoint, |text| Ok(Alternative { template: Template::parse(text)?, fragment: None }))
    }

    /// An address that may end in a fragment, which stays behind the parameters that are added.
    pub(super) fn with_fragment(endpoint: &Endpoint) -> Result<Self, String> {
        Self::read(endpoint, |text| match text.split_once('#') {
            Some((_, fragment)) if fragment.contains(['{', '}']) => {
                Err("has a field in its fragment".to_owned())
            }
            Some((text, fragment)) => {
                Ok(Alternative { template: Template::parse(text)?, fragment: Some(fragment.to_owned()) })
            }
            None => Ok(Alternative { template: Template::parse(text)?, fragment: None }),
        })
    }

    fn read(endpoint: &Endpoint, read: impl Fn(&str) -> Result<Alternative, String>) -> Result<Self, String> {
        if endpoint.0.is_empty() {
            return Err("is empty".to_owned());
        }
        let alternatives = endpoint.0.iter().map(|text| read(text)).collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// The alternatives, each as an address of its own.
    pub(super) fn each(&self) -> impl Iterator<Item = Self> {
        self.alternatives.iter().map(|alternative| Self { alternatives: vec![alternative.clone()] })
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().flat_map(|alternative| alternative.template.fields())
    }

    /// Whether its host depends on config.
    fn host_varies(&self) -> bool {
        self.alternatives.iter().any(|alternative| {
            let text = alternative.template.text();
            let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
            rest.split('/').next().is_some_and(|host| host.contains('{'))
        })
    }

    /// The first alternative whose fields all have values, or the last one.
    fn chosen(&self, config: &Config) -> Option<&Alternative> {
        let known = |name: &str| name == CLIENT_ID || config.values.contains_key(name);
        let complete = |alternative: &&Alternative| alternative.template.fields().all(known);
        self.alternatives.iter().find(complete).or(self.alternatives.last())
    }
}

impl Alternative {
    fn fill(&self, config: &Config, client_id: &str, fields: &[Field]) -> Result<String, String> {
        let leaves = |name: &str| Err(format!("`{name}` would leave its part of the address"));
        for name in self.template.fields() {
            if name == CLIENT_ID && (client_id.contains(DELIMITERS) || climbs(client_id)) {
                return leaves(name);
            }
            let Some(field) = fields.iter().find(|field| field.name() == name) else { continue };
            let value = part(name, config, fields).unwrap_or_default();
            // What the entry itself chose is as it was meant, and what leads may be a whole address: it was pinned by itself.
            let whole = !field.choices().is_empty() || self.template.starts_with_field(name);
            if climbs(value) || (!whole && value.contains(DELIMITERS)) {
                return leaves(name);
            }
        }
        self.template
            .fill(|name| if name == CLIENT_ID { Some(client_id) } else { part(name, config, fields) })
    }
}

fn climbs(value: &str) -> bool {
    value.split('/').any(|segment| segment == "." || segment == "..")
}

fn part<'a>(name: &str, config: &'a Config, fields: &'a [Field]) -> Option<&'a str> {
    let value = config.values.get(name)?;
    fields.iter().find(|field| field.name() == name)?.substitute(value)
}

// === impl Provider ===

impl Provider {
    /// The address for this config, checked against the pins.
    pub(super) fn fill(&self, address: &Address, config: &Config) -> Result<Url> {
        self.fill_for(address, config, SOME_CLIENT_ID)
    }

    /// The same, with this `client_id` where the address has it.
    pub(super) fn fill_for(&self, address: &Address, config: &Config, client_id: &str) -> Result<Url> {
        let chosen = address.chosen(config);
        let mut url = self.checked(self.text(chosen, config, client_id))?;
        url.set_fragment(chosen.and_then(|chosen| chosen.fragment.as_deref()));
        Ok(url)
    }

    /// The same, in the spelling of the entry: for what is compared as text.
    pub(super) fn fill_text(&self, address: &Address, config: &Config) -> Result<String> {
        let text = self.text(address.chosen(config), config, SOME_CLIENT_ID);
        self.checked(text.clone())?;
        Ok(text.unwrap_or_default())
    }

    /// Whether tokens are renewed at a host that depends on config, so that connections may have hosts of their own.
    #[must_use]
    pub fn token_host_varies(&self) -> bool {
        let endpoint = self.refresh_endpoint.as_ref().or(self.token_endpoint.as_ref());
        endpoint.or(self.issuer.as_ref()).is_some_and(Address::host_varies)
    }

    /// Checks an address that the provider's metadata names as one of the entry's own would be.
    pub fn pinned(&self, address: &str) -> Result<Url> {
        self.checked(Ok(address.to_owned()))
    }

    fn text(&self, chosen: Option<&Alternative>, config: &Config, client_id: &str) -> Result<String, String> {
        let none = || Err("it has no template".to_owned());
        chosen.map_or_else(none, |chosen| chosen.fill(config, client_id, &self.fields))
    }

    fn checked(&self, address: Result<String, String>) -> Result<Url> {
        let url = address.and_then(|text| self.transport.parse(&text, &self.pins));
        url.map_err(|problem| {
            config::invalid(&self.id, "", format!("makes no address of the provider: {problem}"))
        })
    }
}
