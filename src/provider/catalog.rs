//! Loading the catalog: every entry is checked when it is read, so that a bad one is a message at start and not a
//! surprise in a flow.

use std::{collections::BTreeMap, fmt, fs, io, path::Path, sync::Arc};

use rust_embed::RustEmbed;
use url::Url;

use super::{
    Field, Provider, RESERVED_PARAMS, SharedProvider,
    definition::Definition,
    pin::{HostPin, parse_pinned},
    template::Template,
};
use crate::model::{Error, ProviderId, Result, StringMap};

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
#[derive(Debug, Default)]
pub struct Catalog {
    providers: BTreeMap<ProviderId, SharedProvider>,
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

    /// Adds the `*.toml` files of a directory. An entry of the same id replaces a built-in one.
    pub fn add_directory(&mut self, directory: &Path, transport: Transport) -> Result<(), Vec<Fault>> {
        let files = read_directory(directory).map_err(|error| {
            vec![Fault { file: directory.display().to_string(), line: None, problem: error.to_string() }]
        })?;
        self.add_files(files.into_iter(), transport)
    }

    /// Adds one entry, given as the text of its file.
    pub fn add(&mut self, file: &str, text: &str, transport: Transport) -> Result<(), Fault> {
        let provider = Provider::parse(file, text, transport)?;
        self.providers.insert(provider.id.clone(), Arc::new(provider));
        Ok(())
    }

    /// The provider of this id.
    pub fn get(&self, id: &ProviderId) -> Result<&SharedProvider> {
        self.providers.get(id).ok_or_else(|| Error::ProviderNotFound(id.clone()))
    }

    /// All providers, sorted by id.
    pub fn iter(&self) -> impl Iterator<Item = &SharedProvider> {
        self.providers.values()
    }

    fn add_files(
        &mut self,
        files: impl Iterator<Item = (String, String)>,
        transport: Transport,
    ) -> Result<(), Vec<Fault>> {
        let faults: Vec<_> =
            files.filter_map(|(name, text)| self.add(&name, &text, transport).err()).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

// === impl Provider ===

impl Provider {
    fn parse(file: &str, text: &str, transport: Transport) -> Result<Self, Fault> {
        let fault = |problem: String| Fault { file: file.to_owned(), line: None, problem };
        let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let id = ProviderId::parse(stem).map_err(|error| fault(format!("the file's name: {error}")))?;
        let definition: Definition = toml::from_str(text).map_err(|error| Fault {
            file: file.to_owned(),
            line: error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1),
            problem: error.message().to_owned(),
        })?;
        Self::new(id, definition, transport).map_err(fault)
    }

    fn new(id: ProviderId, definition: Definition, transport: Transport) -> Result<Self, String> {
        let pins: Vec<_> =
            definition.hosts.iter().map(|host| pin(host, transport)).collect::<Result<_, _>>()?;
        if pins.is_empty() {
            return Err("`hosts` is empty: name the hosts of the endpoints".to_owned());
        }
        let endpoint =
            |name: &str, text: &str| Template::parse(text).map_err(|problem| format!("`{name}` {problem}"));
        let provider = Self {
            authorization_endpoint: endpoint("authorization_endpoint", &definition.authorization_endpoint)?,
            token_endpoint: endpoint("token_endpoint", &definition.token_endpoint)?,
            fields: definition
                .config
                .iter()
                .map(|(name, field)| {
                    Field::new(name.clone(), field.clone())
                        .map_err(|problem| format!("`config.{name}`: {problem}"))
                })
                .collect::<Result<_, _>>()?,
            id,
            definition,
            transport,
            pins,
        };
        provider.check()?;
        Ok(provider)
    }

    /// What cannot be said by the types: placeholders have fields, parameters are not reserved, examples work.
    fn check(&self) -> Result<(), String> {
        let definition = &self.definition;
        let expectations = definition.callback.expect.values().map(|text| Template::parse(text));
        let expectations = expectations.collect::<Result<Vec<_>, _>>()?;
        let templates = [&self.authorization_endpoint, &self.token_endpoint];
        for name in templates.into_iter().chain(&expectations).flat_map(Template::fields) {
            if !self.fields.iter().any(|field| field.name() == name) {
                return Err(format!("`{{{name}}}` is not declared: add `[config.{name}]`"));
            }
        }
        let reserved =
            definition.authorization_params.keys().find(|name| RESERVED_PARAMS.contains(&name.as_str()));
        if let Some(name) = reserved {
            return Err(format!("`authorization_params.{name}` is set by tokenwell itself"));
        }
        if definition.pkce_disabled_reason.as_ref().is_some_and(|reason| reason.trim().len() < 20) {
            return Err(
                "`pkce_disabled_reason` says nothing: write down why the provider refuses PKCE".to_owned()
            );
        }
        let mut example = StringMap::new();
        for field in &self.fields {
            example.extend(Self::example_of(field)?);
        }
        let urls = [self.authorization_endpoint(&example), self.token_endpoint(&example)];
        urls.into_iter()
            .try_for_each(|url| url.map(drop))
            .map_err(|error| format!("with its examples: {error}"))
    }

    fn example_of(field: &Field) -> Result<Option<(String, String)>, String> {
        let name = field.name();
        if let Some(default) = field.default_value()
            && field.normalize(default).as_deref() != Ok(default)
        {
            return Err(format!("`config.{name}.default` is not a valid value"));
        }
        let example = match field.example() {
            "" => field.default_value().unwrap_or_default(),
            example => example,
        };
        if example.is_empty() {
            return Ok(None);
        }
        let value =
            field.normalize(example).map_err(|problem| format!("`config.{name}.example` {problem}"))?;
        Ok(Some((name.to_owned(), value)))
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

fn pin(host: &str, transport: Transport) -> Result<HostPin, String> {
    let loopback = host == "127.0.0.1" || host == "localhost";
    if loopback && transport == Transport::Strict {
        return Err(format!("`hosts` names `{host}`, which is allowed in development only"));
    }
    HostPin::parse(host)
}

fn read_directory(directory: &Path) -> io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(files)
}
