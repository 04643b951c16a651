//! No value that a config field takes leads anywhere but to the provider's own hosts, and no faulty entry is loaded.
//!
//! The pins are read from the catalog's files here, so that the code under test is not its own witness.

mod corpus;
mod entries;
mod faults;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value};
use tokenwell::{
    model::{Config, ProviderId, SecretMap, StringMap},
    provider::{CallbackQuery, Catalog, Provider, Source},
};
use toml::Table;
use url::{Host, Url};

/// The built-in catalog, and its files as they are written.
struct House {
    catalog: Catalog,
    files: BTreeMap<String, Table>,
}

impl House {
    fn new() -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let id = path.file_stem().unwrap().to_str().unwrap().to_owned();
            files.insert(id, fs::read_to_string(&path).unwrap().parse().unwrap());
        }
        let files = files.iter().map(|(id, file)| (id.clone(), extended(&files, file))).collect();
        Self { catalog: Catalog::built_in().unwrap(), files }
    }

    fn provider(&self, id: &str) -> &Provider {
        self.catalog.get(&ProviderId::parse(id).unwrap()).unwrap()
    }

    /// The hosts that a provider's endpoints may have.
    fn pins(&self, id: &str) -> Vec<&str> {
        self.files[id].get("hosts").map(texts).unwrap_or_default()
    }

    /// The declared config fields of a provider.
    fn fields(&self, id: &str) -> impl Iterator<Item = (&str, &Table)> {
        let config = self.files[id].get("config").and_then(|config| config.as_table());
        config.into_iter().flatten().map(|(name, field)| (name.as_str(), field.as_table().unwrap()))
    }

    /// Whether a config field is part of an address.
    fn is_in_address(&self, id: &str, name: &str) -> bool {
        let field = format!("{{{name}}}");
        let written = self.files[id].iter().filter(|(key, _)| {
            key.ends_with("_endpoint")
                || ["issuer", "jwks_uri", "lookup", "revocation"].contains(&key.as_str())
        });
        written.into_iter().any(|(_, endpoint)| endpoint.to_string().contains(&field))
    }

    /// A config that is valid: every field that a caller may set, with its example.
    fn examples(&self, id: &str) -> StringMap {
        let settable = self.fields(id).filter(|(_, field)| is_settable(field));
        settable.map(|(name, field)| (name.to_owned(), text(field, "example").to_owned())).collect()
    }

    /// Gives a value to a field by every way there is. Says whether any of them took it, and fails if it then leads away.
    fn try_value(&self, id: &str, name: &str, field: &Table, value: &str) -> Result<bool, String> {
        let mut taken = false;
        if is_settable(field) {
            let mut given = self.examples(id);
            given.insert(name.to_owned(), value.to_owned());
            if let Ok(config) = self.provider(id).read_config(&given) {
                self.check_addresses(id, &config)?;
                // An empty value counts as none.
                taken |= !value.trim().is_empty();
            }
        }
        let mut config = self.provider(id).read_config(&self.examples(id)).unwrap();
        // A lookup does not touch what a caller chose.
        config.values.remove(name);
        for (from, key) in captures(field) {
            let captured = match from {
                "callback" => {
                    let query =
                        url::form_urlencoded::Serializer::new(String::new()).append_pair(key, value).finish();
                    let Ok(query) = CallbackQuery::parse(&query) else { continue };
                    self.provider(id).capture(Source::Callback(&query), &mut config)
                }
                "token_response" => {
                    let response = at(key.split('.'), value);
                    self.provider(id).capture(Source::TokenResponse(&response), &mut config)
                }
                "id_token" => {
                    let claims = at([key].into_iter(), value);
                    self.provider(id).capture(Source::IdToken(&claims), &mut config)
                }
                "lookup" => {
                    let answer = at(key.split('/').skip(1), value);
                    self.provider(id).capture(Source::Lookup(&answer), &mut config)
                }
                other => return Err(format!("`{other}` is no source that this test knows")),
            };
            if captured.is_ok() && config.get(name).is_some() {
                taken = true;
                self.check_addresses(id, &config)?;
                if text(field, "format") == "uri" {
                    check_url(config.get(name).unwrap_or_default(), &texts(&field["hosts"]))?;
                }
            }
        }
        Ok(taken)
    }

    /// Whether whatever can be made of this config leads to the provider. What cannot be made leads nowhere.
    fn check_addresses(&self, id: &str, config: &Config) -> Result<(), String> {
        let provider = self.provider(id);
        let none = SecretMap::new();
        let endpoints = [
            provider.authorization_endpoint(config),
            provider.token_endpoint(config),
            provider.refresh_endpoint(config),
            provider.revocation_endpoint(config),
            provider.introspection_endpoint(config),
            provider.request_token_endpoint(config),
            provider.jwks_uri(config),
            provider.lookup(config, &none).map(|request| request.map(|request| request.url)),
            provider.verification(config, &none).map(|request| request.map(|request| request.url)),
            provider.revocation(config, &none).map(|request| request.map(|request| request.url)),
        ];
        for url in endpoints.into_iter().filter_map(Result::ok).flatten() {
            let mut url = url;
            url.set_fragment(None);
            check_url(url.as_str(), &self.pins(id))?;
        }
        Ok(())
    }
}

/// An entry on top of the one that it extends: tables key by key.
pub fn extended(files: &BTreeMap<String, Table>, file: &Table) -> Table {
    fn merge(base: &mut Table, own: &Table) {
        for (key, value) in own {
            match (base.get_mut(key), value) {
                (Some(toml::Value::Table(base)), toml::Value::Table(own)) => merge(base, own),
                _ => drop(base.insert(key.clone(), value.clone())),
            }
        }
    }
    let mut whole = file.get("extends").map(|base| files[base.as_str().unwrap()].clone()).unwrap_or_default();
    merge(&mut whole, file);
    whole
}

/// A JSON value with this text at a path of members and places.
fn at<'a>(mut path: impl Iterator<Item = &'a str>, text: &str) -> Value {
    match path.next() {
        None => Value::String(text.to_owned()),
        Some(step) => match step.parse::<usize>() {
            Ok(place) => {
                let rest = at(path, text);
                Value::Array((0..=place).map(|_| rest.clone()).collect())
            }
            Err(_) => Value::Object(Map::from_iter([(step.to_owned(), at(path, text))])),
        },
    }
}

/// Whether a URL is one of these hosts' and nothing else.
fn check_url(text: &str, pins: &[&str]) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("{text}: {error}"))?;
    let pinned = match url.host() {
        Some(Host::Domain(host)) => pins.iter().any(|pin| match pin.strip_prefix('.') {
            // At least one label before the suffix, and the boundary between two labels.
            Some(suffix) => {
                host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            None => host == *pin,
        }),
        _ => false,
    };
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none()
        && url.fragment().is_none();
    // What a person or another parser reads in the text is the same host.
    let authority = text.strip_prefix("https://").unwrap_or_default();
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let same = url.host_str() == Some(authority.to_ascii_lowercase().as_str());
    if pinned && plain && same { Ok(()) } else { Err(format!("{text} is not one of {pins:?}")) }
}

/// Whether a caller may give the field.
fn is_settable(field: &Table) -> bool {
    !field.contains_key("capture") || field.get("settable").is_some_and(|it| it.as_bool() == Some(true))
}

/// Where a field is captured from: the kind of source, and the name there.
fn captures(field: &Table) -> impl Iterator<Item = (&str, &str)> {
    let sources = field.get("capture").and_then(|capture| capture.as_array());
    let tables = sources.into_iter().flatten().filter_map(|source| source.as_table());
    tables.flatten().map(|(from, key)| (from.as_str(), key.as_str().unwrap()))
}

fn text<'a>(table: &'a Table, key: &str) -> &'a str {
    table.get(key).and_then(|value| value.as_str()).unwrap_or_default()
}

fn texts(value: &toml::Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|host| host.as_str().unwrap()).collect()
}

/// The check itself: it lets no foreign address pass.
#[test]
fn the_check_finds_foreign_addresses() {
    let pins = [".acme.com", "login.acme.org"];
    for good in ["https://a.acme.com/x?y=z", "https://a.b.acme.com/", "https://login.acme.org"] {
        assert_eq!(check_url(good, &pins), Ok(()));
    }
    for bad in [
        "http://a.acme.com/",
        "https://acme.com/",
        "https://evilacme.com/",
        "https://a.acme.com.evil.com/",
        "https://a.acme.com./",
        "https://u@a.acme.com/",
        "https://:p@a.acme.com/",
        "https://a.acme.com:8443/",
        "https://a.acme.com:443/",
        "https://a.acme.com/#f",
        "https://x.login.acme.org/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://evil.com/.acme.com",
        "https://evil.com?.acme.com",
        "https://evil.com\\.acme.com",
        "https://a%2eacme.com/",
        "nothing",
    ] {
        assert!(check_url(bad, &pins).is_err(), "{bad}");
    }
}
