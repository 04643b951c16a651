//! One entry of a `providers.yaml`, key by key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    Imported, Kind, Remark, Remarks,
    address::{Address, Reader},
    draft::{Draft, DraftCapture},
    field::{Declared, Reading},
    fields::{Fields, Use},
    host::{self, Tail},
    keys,
};
use crate::provider::{Catalog, Transport};

/// An entry while it is read.
pub(super) struct Entry<'a> {
    keys: &'a Map<String, Value>,
    /// The keys that something was made of.
    read: BTreeSet<&'static str>,
    pub(super) draft: Draft,
    pub(super) fields: Fields,
    pub(super) remarks: Remarks,
    declared: BTreeMap<&'a str, Declared<'a>>,
    captures: BTreeMap<String, Vec<DraftCapture>>,
}

/// Carries over an entry, or says why not.
pub(super) fn import(id: String, keys: &Map<String, Value>) -> Imported {
    let mut entry = Entry::new(keys);
    let text = entry.carry_over().and_then(|()| {
        let text = entry.draft.text(&id, &entry.remarks.0)?;
        // What is written must load.
        let loaded = Catalog::default().add(&format!("{id}.toml"), &text, Transport::Strict);
        loaded.map(|()| text).map_err(|faults| {
            let problems: Vec<_> = faults.into_iter().map(|fault| fault.problem).collect();
            format!("it would not load: {}", problems.join("; "))
        })
    });
    match text {
        Ok(text) => Imported { id, text: Some(text), remarks: entry.remarks.0 },
        Err(why) => {
            let remark = Remark { kind: Kind::Lost, key: String::new(), why: super::one_line(&why) };
            Imported { id, text: None, remarks: vec![remark] }
        }
    }
}

// === impl Entry ===

impl<'a> Entry<'a> {
    fn new(keys: &'a Map<String, Value>) -> Self {
        let mut remarks = Remarks::default();
        let config = keys.get("connection_config").and_then(Value::as_object);
        let declared = config.into_iter().flatten().filter_map(|(name, value)| {
            let declared = value.as_object().map(|keys| {
                (name.as_str(), Declared::new(keys, &format!("connection_config.{name}"), &mut remarks))
            });
            if declared.is_none() {
                remarks.lost(format!("connection_config.{name}"), "is not a mapping");
            }
            declared
        });
        let declared = declared.collect();
        Self {
            keys,
            read: BTreeSet::new(),
            draft: Draft::default(),
            fields: Fields::default(),
            remarks,
            declared,
            captures: BTreeMap::new(),
        }
    }

    fn carry_over(&mut self) -> Result<(), String> {
        let mode = self.text("auth_mode").unwrap_or_default();
        if let Some(why) = keys::no_entry(&mode) {
            return Err(why);
        }
        // First come the declared ones: should two have one name, it is theirs.
        let names: Vec<_> = self.declared.keys().copied().collect();
        for name in names {
            self.fields.name(name);
        }
        self.captured();
        match mode.as_str() {
            "OAUTH2" => self.oauth2()?,
            "OAUTH2_CC" => self.client_credentials()?,
            "OAUTH1" => self.oauth1()?,
            mode => self.static_credentials(mode),
        }
        self.about()?;
        self.config();
        let left: Vec<_> = self.keys.keys().filter(|key| !self.read.contains(key.as_str())).collect();
        for key in left {
            let (kind, why) = keys::left_over(key, &self.draft.grant_types);
            self.remarks.add(kind, key, why);
        }
        Ok(())
    }

    /// The value of a key, which is read herewith.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Value> {
        self.read.insert(key);
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// The text of a key.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.take(key).and_then(text_of)
    }

    /// The texts of a key that holds a list.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<String> {
        self.take(key).and_then(Value::as_array).into_iter().flatten().filter_map(text_of).collect()
    }

    /// The address in a text, whose pins become the entry's.
    pub(super) fn address(&mut self, key: &str, text: &str) -> Result<Vec<String>, String> {
        let tails: BTreeMap<String, Vec<Tail>> = self
            .declared
            .iter()
            .filter_map(|(name, declared)| Some(((*name).to_owned(), declared.tails()?)))
            .collect();
        let mut reader = Reader { fields: &mut self.fields, remarks: &mut self.remarks, tails: &tails };
        let Address { templates, pins } = reader.address(key, text)?;
        self.draft.hosts_are_tenants |= pins.iter().any(|pin| host::shared(pin));
        self.draft.hosts.extend(pins);
        Ok(templates)
    }

    fn about(&mut self) -> Result<(), String> {
        let categories = self.list("categories").into_iter().map(|category| slug(&category));
        self.draft.categories = categories.filter(|category| !category.is_empty()).collect();
        if self.draft.categories.is_empty() {
            self.draft.categories.push("other".to_owned());
            self.remarks.changed("categories", "had none, and an entry has one: it is `other`");
        }
        self.draft.display_name = match self.text("display_name") {
            Some(name) if !name.trim().is_empty() => name,
            _ => return Err("it has no `display_name`".to_owned()),
        };
        let mut docs = self.text("docs");
        if let Some(page) = docs.as_mut().filter(|page| page.starts_with("http://")) {
            *page = page.replacen("http://", "https://", 1);
            self.remarks.changed("docs", "is https here: see whether the page is there, too");
        }
        self.draft.documentation = if let Some(page) = docs.filter(|page| page.starts_with("https://")) {
            page
        } else {
            let page =
                self.draft.hosts.first().map(|host| format!("https://{}", host.trim_start_matches('.')));
            let page = page.ok_or("it has no `docs` with an https address")?;
            let why = format!("had no https address: it is `{page}`, which you may know better");
            self.remarks.changed("docs", why);
            page
        };
        Ok(())
    }

    /// Config that is found in callbacks and in token responses.
    fn captured(&mut self) {
        for name in self.list("redirect_uri_metadata") {
            self.fields.name(&name);
            self.captures.entry(name.clone()).or_default().push(DraftCapture::Callback(name));
        }
        for path in self.list("token_response_metadata") {
            self.fields.name(&path);
            self.captures.entry(path.clone()).or_default().push(DraftCapture::TokenResponse(path));
        }
    }

    /// The declarations of all fields that were named.
    fn config(&mut self) {
        self.read.insert("connection_config");
        for given in self.fields.given() {
            let of = self.fields.uses.get(&given).cloned().unwrap_or_default();
            if of.in_address() || !self.left_out(&given) {
                self.field(&given, &of);
            }
        }
    }

    /// Whether a field that no address has is left out, which is then said.
    fn left_out(&mut self, given: &str) -> bool {
        let key = format!("connection_config.{given}");
        let automated = self.declared.get(given).is_some_and(|declared| declared.flag("automated"));
        if self.fields.held.contains(given) || self.captures.contains_key(given) {
            return false;
        }
        // Named by a request that could not be carried over.
        if !self.declared.contains_key(given) {
            return true;
        }
        if given == "oauth_scopes" {
            self.remarks.changed(
                key,
                "is no config here: scopes are named by the integration, or when a connection is made",
            );
            return true;
        }
        if automated {
            self.remarks.lost(key, "is filled in by code of Nango that is not in the file");
            return true;
        }
        let placeholder = format!("${{connectionConfig.{given}}}");
        let called = self.keys.get("proxy").is_some_and(|proxy| proxy.to_string().contains(&placeholder));
        if self.fields.dropped.contains(given) && !called {
            self.remarks.lost(key, "is for addresses that were not carried over");
            return true;
        }
        false
    }

    fn field(&mut self, given: &str, of: &Use) {
        let undeclared = Map::new();
        let key = format!("connection_config.{given}");
        let name = self.fields.name(given);
        let captures = self.captures.remove(given).unwrap_or_default();
        let own = Declared::new(&undeclared, &key, &mut self.remarks);
        let declared = self.declared.get(given).unwrap_or(&own);
        let default = self.fields.defaults.get(given);
        let reading = Reading { key: key.clone(), name: &name, of, default, remarks: &mut self.remarks };
        let mut field = reading.field(declared);
        let automated = declared.flag("automated");
        // Who asks people for it, too, lets them give it.
        field.settable = !captures.is_empty() && self.declared.contains_key(given) && !automated;
        let filled = field.default.is_some() || (!captures.is_empty() && !field.settable);
        field.required = required(declared, of, filled);
        field.capture = captures;
        if automated && !filled {
            self.remarks.changed(&key, "was filled in by code of Nango: now whoever connects gives it");
        }
        if name != given {
            self.remarks.changed(&key, format!("is called `{name}` here"));
        }
        self.draft.config.insert(name, field);
    }
}

fn required(declared: &Declared<'_>, of: &Use, filled: bool) -> bool {
    let free = ["optional", "automated", "hidden"].iter().any(|flag| declared.flag(flag));
    !filled && (of.needed || !free)
}

/// A value as text, if it is one.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A category as the catalog spells it.
fn slug(category: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    category.trim().chars().map(plain).collect::<String>().trim_matches('-').to_owned()
}
