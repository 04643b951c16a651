//! Config that the provider itself tells: in the callback, in the token response, in an answer to a lookup.

use serde_json::Value;

use super::{Address, CallbackQuery, Field, Provider, config::put, definition::Capture, path::text_of};
use crate::model::{Config, Error, Result};

/// Where values are looked for.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// The callback's parameters.
    Callback(&'a CallbackQuery),
    /// The token response.
    TokenResponse(&'a Value),
    /// The claims of its `id_token`.
    IdToken(&'a Value),
    /// The answer to the lookup.
    Lookup(&'a Value),
}

/// A captured value does not fit its declaration. The others are in the config.
#[derive(Debug)]
pub struct Unfit {
    fields: Vec<String>,
}

// === impl Source ===

impl Source<'_> {
    fn read(self, capture: &Capture) -> Option<String> {
        match (self, capture) {
            (Self::Callback(query), Capture::Callback(name)) => query.get(name).map(str::to_owned),
            (Self::TokenResponse(response), Capture::TokenResponse(path)) => text_of(path.find(response)?),
            (Self::IdToken(claims), Capture::IdToken(claim)) => text_of(claims.get(claim)?),
            (Self::Lookup(answer), Capture::Lookup(pointer)) => text_of(answer.pointer(pointer)?),
            _ => None,
        }
    }
}

// === impl Unfit ===

impl Unfit {
    /// The failure of a flow whose callback brought it.
    #[must_use]
    pub fn in_callback(&self, provider: &Provider) -> Error {
        Error::CallbackInvalid(format!("its {} is not one of `{}`'s own", self.names(), provider.id))
    }

    /// The failure of a flow whose provider answered it.
    #[must_use]
    pub fn in_response(&self, provider: &Provider) -> Error {
        let problem = format!("its {} is not one of the provider's own", self.names());
        Error::ProviderResponseInvalid { provider: provider.id.clone(), problem }
    }

    /// The fields, for people.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<_> = self.fields.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }
}

// === impl Provider ===

impl Provider {
    /// Adds to the config what the source says. What does not fit is left out and named.
    pub fn capture(&self, source: Source<'_>, config: &mut Config) -> Result<(), Unfit> {
        let mut unfit = Vec::new();
        for field in &self.fields {
            // Which of several accounts a lookup tells of is the caller's choice, if there is one.
            let chosen = field.settable() && config.get(field.name()).is_some();
            if matches!(source, Source::Lookup(_)) && chosen {
                continue;
            }
            for value in field.captures().iter().filter_map(|capture| source.read(capture)) {
                match field.normalize(&value) {
                    Ok(value) => put(config, field, value),
                    // What leads nowhere is for people to read: that it is odd must not cost a grant.
                    Err(_) if !self.leads(field) => {}
                    Err(_) => unfit.push(field.name().to_owned()),
                }
            }
        }
        if unfit.is_empty() { Ok(()) } else { Err(Unfit { fields: unfit }) }
    }

    /// Whether callers or addresses of this entry go where the field says.
    fn leads(&self, field: &Field) -> bool {
        let in_address = |(_, address): (_, &Address)| address.fields().any(|name| name == field.name());
        field.pinned() || !field.choices().is_empty() || self.addresses().any(in_address)
    }
}
