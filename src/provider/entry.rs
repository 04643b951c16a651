//! From the text of a catalog file to a checked entry, or to everything that is wrong with it.

use std::path::Path;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::{
    Fault, Field, Provider, Transport,
    address::Address,
    check,
    definition::{Definition, Endpoint},
    lines::{Lines, line_at},
    pin::HostPin,
    request::Request,
};
use crate::model::ProviderId;

/// More faults than this in one file are not counted.
const MAX_FAULTS: usize = 50;
const AUTHORIZATION: &str = "authorization_endpoint";

/// What is wrong, and at which key.
pub(super) type Problem = (String, String);

/// A file, read but not yet checked.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: ProviderId,
    pub(super) table: Table,
    file: String,
    lines: Lines,
}

// === impl Draft ===

impl Draft {
    /// Reads a file's text.
    pub(super) fn read(file: &str, text: &str) -> Result<Self, Fault> {
        let fault = |line, problem| Fault { file: file.to_owned(), line, problem };
        let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let id = ProviderId::parse(stem).map_err(|error| fault(None, format!("the file's name: {error}")))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            fault(error.span().map(|span| line_at(text, span.start)), error.message().to_owned())
        })?;
        Ok(Self { id, table, file: file.to_owned(), lines: Lines::of(text) })
    }

    /// The entry that this one extends.
    pub(super) fn base(&self) -> Option<&str> {
        self.table.get("extends").and_then(Value::as_str)
    }

    /// Checks the entry, on top of the one that it extends.
    pub(super) fn finish(&self, base: Option<&Table>, transport: Transport) -> Result<Provider, Vec<Fault>> {
        let table = match (self.base(), base) {
            (None, _) => self.table.clone(),
            (Some(id), None) => {
                return Err(
                    self.faults(vec![("extends".to_owned(), format!("there is no entry `{id}` to extend"))])
                );
            }
            (Some(id), Some(base)) if base.contains_key("extends") => {
                let problem = format!("`{id}` extends another entry itself: extend that one");
                return Err(self.faults(vec![("extends".to_owned(), problem)]));
            }
            (Some(_), Some(base)) => merged(base, &self.table),
        };
        let definition = definition_of(table).map_err(|problems| self.faults(problems))?;
        let provider =
            build(self.id.clone(), definition, transport).map_err(|problems| self.faults(problems))?;
        let problems = check::problems(&provider);
        if problems.is_empty() { Ok(provider) } else { Err(self.faults(problems)) }
    }

    fn faults(&self, problems: Vec<Problem>) -> Vec<Fault> {
        let fault = |(path, problem): Problem| Fault {
            file: self.file.clone(),
            // A key that another entry gave stands where that one is named.
            line: self.lines.find(&path).or_else(|| self.lines.find("extends").filter(|_| !path.is_empty())),
            problem,
        };
        let mut faults: Vec<_> = problems.into_iter().map(fault).collect();
        // In the order of the file; what has no place in it comes last.
        faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        faults
    }
}

/// Tables are merged key by key, everything else is replaced.
fn merged(base: &Table, own: &Table) -> Table {
    let mut merged = base.clone();
    for (key, value) in own {
        let value = match (base.get(key), value) {
            (Some(Value::Table(base)), Value::Table(own)) => Value::Table(self::merged(base, own)),
            _ => value.clone(),
        };
        merged.insert(key.clone(), value);
    }
    merged
}

/// Gives the table its types. A key that has the wrong one is taken out, and the rest is read again, so that one look finds
/// all faults.
fn definition_of(table: Table) -> Result<Definition, Vec<Problem>> {
    let mut root = Value::Table(table);
    let mut problems = Vec::new();
    loop {
        let mut track = serde_path_to_error::Track::new();
        let read = serde_path_to_error::Deserializer::new(root.clone(), &mut track);
        let error = match Definition::deserialize(read) {
            Ok(definition) if problems.is_empty() => return Ok(definition),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let path: Vec<_> = track.path().iter().map(ToString::to_string).collect();
        let message = error.message().to_owned();
        let (path, removed) = take_out(&mut root, &path, &message);
        // A required key that was taken out for its type is not missing, too.
        let echo = problems.iter().any(|(path, _): &Problem| message.contains(&format!("`{path}`")));
        if !(echo && message.starts_with("missing field")) {
            problems.push((path, message));
        }
        if !removed || problems.len() >= MAX_FAULTS {
            return Err(problems);
        }
    }
}

/// Removes what a message is about. Gives its path, and whether there was something to remove.
fn take_out(root: &mut Value, path: &[String], message: &str) -> (String, bool) {
    let mut steps: Vec<&str> = path.iter().map(String::as_str).filter(|step| *step != ".").collect();
    let quoted = message.split('`').nth(1).unwrap_or_default();
    if message.starts_with("unknown field") && steps.last() != Some(&quoted) {
        steps.push(quoted);
    }
    let mut node = &mut *root;
    let mut name = String::new();
    let mut parents = steps.as_slice();
    while let [step, rest @ ..] = parents {
        let Value::Table(table) = node else { break };
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(step);
        // Lists are taken out as a whole.
        let leaf = rest.is_empty() || !matches!(table.get(*step), Some(Value::Table(_)));
        if leaf {
            let path = if rest.is_empty() { name } else { steps.join(".").replace(".[", "[") };
            return (path, table.remove(*step).is_some());
        }
        let Some(next) = table.get_mut(*step) else { break };
        node = next;
        parents = rest;
    }
    (name, false)
}

fn build(id: ProviderId, definition: Definition, transport: Transport) -> Result<Provider, Vec<Problem>> {
    let mut problems = Vec::new();
    let tenants = definition.hosts_are_tenants;
    let pins: Vec<HostPin> = definition
        .hosts
        .iter()
        .enumerate()
        .filter_map(|(index, host)| {
            note(&mut problems, &format!("hosts[{index}]"), pin(host, tenants, transport))
        })
        .collect();
    let authorization_endpoint = definition.authorization_endpoint.as_ref().and_then(|endpoint| {
        let parsed = Address::with_fragment(endpoint);
        note(&mut problems, AUTHORIZATION, parsed.map_err(|problem| format!("`{AUTHORIZATION}` {problem}")))
    });
    let mut address = |name: &str, endpoint: &Option<Endpoint>| {
        let parsed = endpoint.as_ref().map(Address::parse)?;
        note(&mut problems, name, parsed.map_err(|problem| format!("`{name}` {problem}")))
    };
    let token_endpoint = address("token_endpoint", &definition.token_endpoint);
    let refresh_endpoint = address("refresh_endpoint", &definition.refresh_endpoint);
    let revocation_endpoint = address("revocation_endpoint", &definition.revocation_endpoint);
    let introspection_endpoint = address("introspection_endpoint", &definition.introspection_endpoint);
    let request_token_endpoint = address("request_token_endpoint", &definition.request_token_endpoint);
    let issuer = address("issuer", &definition.issuer);
    let jwks_uri = address("jwks_uri", &definition.jwks_uri);
    let mut request = |name: &str, given: &Option<_>| {
        let parsed = given.as_ref().map(Request::new)?;
        note(&mut problems, name, parsed.map_err(|problem| format!("`{name}` {problem}")))
    };
    let lookup = request("lookup", &definition.lookup);
    let verification = request("verification", &definition.verification);
    let revocation = request("revocation", &definition.revocation);
    let fields: Vec<Field> = definition
        .config
        .iter()
        .filter_map(|(name, field)| {
            let path = format!("config.{name}");
            let field = Field::new(name.clone(), field.clone(), tenants);
            note(&mut problems, &path, field.map_err(|problem| format!("`{path}`: {problem}")))
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Provider {
        id,
        definition,
        transport,
        pins,
        authorization_endpoint,
        token_endpoint,
        refresh_endpoint,
        revocation_endpoint,
        introspection_endpoint,
        request_token_endpoint,
        issuer,
        jwks_uri,
        lookup,
        verification,
        revocation,
        fields,
    })
}

fn note<T>(problems: &mut Vec<Problem>, path: &str, result: Result<T, String>) -> Option<T> {
    result.map_err(|problem| problems.push((path.to_owned(), problem))).ok()
}

fn pin(host: &str, tenants: bool, transport: Transport) -> Result<HostPin, String> {
    let loopback = host == "127.0.0.1" || host == "localhost";
    if loopback && transport == Transport::Strict {
        return Err(format!("`hosts` names `{host}`, which is allowed in development only"));
    }
    HostPin::parse(host, tenants)
}
