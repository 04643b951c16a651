//! Loading the catalog: every entry is checked when it is read, so that a bad one is a message at start and not a
//! surprise in a flow.

use std::{collections::BTreeMap, fmt, sync::Arc};

use rust_embed::RustEmbed;
use toml::Table;
use url::Url;

use super::{
    SharedProvider,
    entry::Draft,
    pin::{HostPin, parse_pinned},
};
use crate::model::{Error, ProviderId, Result};

#[derive(RustEmbed)]
#[folder = "catalog/"]
#[include = "*.toml"]
struct Embedded;

/// Which addresses providers may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// https only.
    Strict,
    /// Also http on a loopback address: for the demo, for tests and for development.
    LoopbackHttp,
}

/// All providers, by id.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    providers: BTreeMap<ProviderId, SharedProvider>,
    /// The entries as written, for those that extend them.
    tables: BTreeMap<ProviderId, Table>,
}

/// What is wrong with a catalog file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file's name.
    pub file: String,
    /// The line, where it is known.
    pub line: Option<usize>,
    /// What is wrong, and what is expected.
    pub problem: String,
}

// === impl Transport ===

impl Transport {
    /// Parses an address and checks it against the pins.
    pub(super) fn parse(self, text: &str, pins: &[HostPin]) -> Result<Url, String> {
        parse_pinned(text, pins, self == Self::LoopbackHttp)
    }
}

// === impl Catalog ===

impl Catalog {
    /// The entries that come with Tokenwell.
    pub fn built_in() -> Result<Self, Vec<Fault>> {
        let files = Embedded::iter().filter_map(|name| {
            let file = Embedded::get(&name)?;
            Some((name.to_string(), String::from_utf8_lossy(&file.data).into_owned()))
        });
        let mut catalog = Self::default();
        catalog.add_files(files, Transport::Strict)?;
        Ok(catalog)
    }

    /// Adds one entry, given as the text of its file.
    pub fn add(&mut self, file: &str, text: &str, transport: Transport) -> Result<(), Vec<Fault>> {
        self.add_files([(file.to_owned(), text.to_owned())].into_iter(), transport)
    }

    /// The provider of this id.
    pub fn get(&self, id: &ProviderId) -> Result<&SharedProvider> {
        self.providers.get(id).ok_or_else(|| Error::ProviderNotFound(id.clone()))
    }

    /// All providers, sorted by id.
    pub fn iter(&self) -> impl Iterator<Item = &SharedProvider> {
        self.providers.values()
    }

    /// Adds entries, which may extend each other in any order: all or none.
    pub fn add_files(
        &mut self,
        files: impl Iterator<Item = (String, String)>,
        transport: Transport,
    ) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        let drafts: Vec<_> = files
            .filter_map(|(name, text)| Draft::read(&name, &text).map_err(|fault| faults.push(fault)).ok())
            .collect();
        let mut tables = self.tables.clone();
        tables.extend(drafts.iter().map(|draft| (draft.id.clone(), draft.table.clone())));
        let mut providers = Vec::new();
        for draft in &drafts {
            let base = draft.base().and_then(|base| ProviderId::parse(base).ok());
            match draft.finish(base.and_then(|base| tables.get(&base)), transport) {
                Ok(provider) => providers.push(provider),
                Err(found) => faults.extend(found),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.tables = tables;
        self.providers
            .extend(providers.into_iter().map(|provider| (provider.id().clone(), Arc::new(provider))));
        Ok(())
    }
}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.problem),
            None => write!(f, "{}: {}", self.file, self.problem),
        }
    }
}
