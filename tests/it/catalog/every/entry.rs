//! An entry of the catalog, read from its file: what it says, and what its examples make of it.

use std::{collections::BTreeMap, fs, path::Path};

use toml::{Table, Value};
use url::Url;

use crate::injection::extended;

/// Config fields and their values.
pub type Config = BTreeMap<String, String>;

/// One entry, with what it takes over from another.
pub struct Entry {
    pub id: String,
    table: Table,
}

/// One field of the connection config.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    pub name: &'a str,
    table: &'a Table,
}

/// All entries of the catalog, by their ids.
pub fn all() -> Vec<Entry> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    let mut files = BTreeMap::new();
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let id = path.file_stem().unwrap().to_str().unwrap().to_owned();
        files.insert(id, fs::read_to_string(&path).unwrap().parse::<Table>().unwrap());
    }
    files.iter().map(|(id, file)| Entry { id: id.clone(), table: extended(&files, file) }).collect()
}

impl Entry {
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What is at a path of keys.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let value = self.table.get(first)?;
        rest.map_or(Some(value), |key| value.get(key))
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path).and_then(Value::as_str)
    }

    pub fn flag(&self, path: &str) -> bool {
        self.get(path).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A list of texts, or one that stands for a list.
    pub fn texts(&self, path: &str) -> Vec<String> {
        texts(self.get(path))
    }

    /// The texts of a table.
    pub fn pairs(&self, path: &str) -> Vec<(String, String)> {
        let table = self.get(path).and_then(Value::as_table).into_iter().flatten();
        table.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    }

    pub fn grants(&self) -> Vec<String> {
        let named = self.texts("grant_types");
        if named.is_empty() { vec!["authorization_code".to_owned()] } else { named }
    }

    /// What the provider calls a parameter of RFC 6749. `None`: it does not want it.
    pub fn param(&self, name: &str) -> Option<String> {
        let own = self.text(&format!("param_names.{name}")).unwrap_or(name);
        Some(own.to_owned()).filter(|name| !name.is_empty())
    }

    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let config = self.get("config").and_then(Value::as_table);
        let fields = config.into_iter().flatten();
        fields.filter_map(|(name, field)| Some(Field { name, table: field.as_table()? }))
    }

    /// What a caller gives: the examples of all fields, or only of those that have to be there.
    pub fn given(&self, only_required: bool) -> Config {
        let wanted = |field: &Field<'_>| field.required() || (!only_required && field.captures().is_empty());
        let fields = self.fields().filter(Field::settable).filter(wanted);
        fields.map(|field| (field.name.to_owned(), field.example())).collect()
    }

    /// What is kept of it, with the defaults.
    pub fn begun(&self, given: &Config) -> Config {
        let mut config = Config::new();
        for field in self.fields().filter(Field::settable) {
            let given = given.get(field.name).map(|value| field.kept(value));
            if let Some(value) = given.or_else(|| field.text("default").map(str::to_owned)) {
                config.insert(field.name.to_owned(), value);
            }
        }
        config
    }

    /// What a source tells: the fields, the places, and their examples.
    pub fn told(&self, source: &str) -> Vec<(Field<'_>, String, String)> {
        let of = |field: Field<'_>| {
            let places = field.captures().into_iter().filter(|(kind, _)| kind == source);
            places.map(|(_, place)| (place, field.example())).collect::<Vec<_>>()
        };
        let fields = self.fields().map(|field| (field, of(field)));
        fields
            .flat_map(|(field, places)| places.into_iter().map(move |(at, value)| (field, at, value)))
            .collect()
    }

    /// The config after a source has told what it has to tell.
    pub fn after(&self, source: &str, mut config: Config) -> Config {
        for (field, _, value) in self.told(source) {
            if source == "lookup" && field.settable() && config.contains_key(field.name) {
                continue;
            }
            config.insert(field.name.to_owned(), field.kept(&value));
        }
        config
    }

    /// A template with values in place, if they are all there.
    pub fn filled(&self, template: &str, config: &Config, credentials: &Config) -> Option<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, tail)) = rest.split_once('{') {
            let (name, after) = tail.split_once('}')?;
            text.push_str(before);
            match credentials.get(name) {
                Some(secret) => text.push_str(secret),
                None => text.push_str(&self.fields().find(|it| it.name == name)?.part(config.get(name)?)),
            }
            rest = after;
        }
        Some(text + rest)
    }

    /// The pairs of a table whose templates can be filled.
    pub fn filled_pairs(&self, path: &str, config: &Config, credentials: &Config) -> Vec<(String, String)> {
        let pairs = self.pairs(path).into_iter();
        pairs.filter_map(|(name, text)| Some((name, self.filled(&text, config, credentials)?))).collect()
    }

    /// The address at a key: the first of its templates that can be filled. It is on a host of the entry.
    pub fn address(&self, path: &str, config: &Config) -> Result<Option<Url>, String> {
        self.address_with(path, config, &Config::new())
    }

    /// The same, of which these credentials may be part.
    pub fn address_with(
        &self,
        path: &str,
        config: &Config,
        credentials: &Config,
    ) -> Result<Option<Url>, String> {
        let templates = self.texts(path);
        if templates.is_empty() {
            return Ok(None);
        }
        let filled = templates.iter().find_map(|template| self.filled(template, config, credentials));
        let text = filled.ok_or_else(|| format!("`{path}` cannot be made of {config:?}"))?;
        let url = Url::parse(&text).map_err(|error| format!("`{path}` is {text}: {error}"))?;
        self.check_pinned(&url)?;
        Ok(Some(url))
    }

    /// Whether an address is https and on one of the entry's hosts.
    pub fn check_pinned(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        let pinned = self.texts("hosts").iter().any(|pin| match pin.strip_prefix('.') {
            Some(_) => host.ends_with(pin.as_str()) && host.len() > pin.len(),
            None => host == pin,
        });
        let plain = url.scheme() == "https" && url.port().is_none();
        if pinned && plain { Ok(()) } else { Err(format!("{url} is none of the entry's addresses")) }
    }
}

impl Field<'_> {
    pub fn text(&self, key: &str) -> Option<&str> {
        self.table.get(key).and_then(Value::as_str)
    }

    fn flag(&self, key: &str) -> bool {
        self.table.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    pub fn required(&self) -> bool {
        self.flag("required")
    }

    pub fn secret(&self) -> bool {
        self.flag("secret")
    }

    /// Whether a caller may give it.
    pub fn settable(&self) -> bool {
        self.captures().is_empty() || self.flag("settable")
    }

    /// Where Tokenwell finds it: the kinds of sources, and the places there.
    pub fn captures(&self) -> Vec<(String, String)> {
        let sources = self.table.get("capture").and_then(Value::as_array).into_iter().flatten();
        let pairs = sources.filter_map(Value::as_table).flatten();
        pairs.filter_map(|(kind, place)| Some((kind.clone(), place.as_str()?.to_owned()))).collect()
    }

    /// The values to choose from.
    fn choices(&self) -> impl Iterator<Item = &Table> {
        let choices = self.table.get("enum").and_then(Value::as_array).into_iter().flatten();
        choices.filter_map(Value::as_table)
    }

    /// A value that is valid.
    pub fn example(&self) -> String {
        let first = || self.choices().next()?.get("value")?.as_str();
        let example = self.text("example").or_else(|| self.text("default")).or_else(first);
        example.map_or_else(|| format!("made-up-{}", self.name), str::to_owned)
    }

    /// The one spelling of a value that is kept.
    pub fn kept(&self, value: &str) -> String {
        let mut choices = self.choices();
        let means = |choice: &&Table| {
            let named = ["value", "substitute"].into_iter().filter_map(|key| choice.get(key)?.as_str());
            let aliases = texts(choice.get("aliases"));
            named.map(str::to_owned).chain(aliases).any(|text| text.eq_ignore_ascii_case(value))
        };
        if let Some(choice) = choices.find(means) {
            return choice["value"].as_str().unwrap_or_default().to_owned();
        }
        let (prefix, suffix) =
            (self.text("prefix").unwrap_or_default(), self.text("suffix").unwrap_or_default());
        let bare = value.strip_prefix(prefix).unwrap_or(value);
        let bare = bare.strip_suffix(suffix).unwrap_or(bare);
        match self.text("format") {
            Some("label" | "hostname" | "uuid") => bare.to_lowercase(),
            Some("uri") => bare.trim_end_matches('/').to_owned(),
            _ => bare.to_owned(),
        }
    }

    /// What goes into templates for a value.
    fn part(&self, value: &str) -> String {
        let mut choices = self.choices();
        let chosen = choices.find(|choice| choice.get("value").and_then(Value::as_str) == Some(value));
        let substitute = chosen.and_then(|choice| choice.get("substitute")?.as_str());
        substitute.unwrap_or(value).to_owned()
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => {
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}
