//! One field of the connection config.

use serde_json::{Map, Value};

use super::{
    Remarks,
    draft::{DraftChoice, DraftField},
    entry::text_of,
    fields::{self, Use},
    host::Tail,
    pattern::Pattern,
};
use crate::provider::{Field, definition::FieldDefinition};

/// What a value in an address may be made of when the file does not say.
const IN_HOST: &str = "[A-Za-z0-9.-]+";
const IN_PATH: &str = "[A-Za-z0-9._~-]+";
/// Patterns that say no more than that a value is a label.
const LABELS: [&str; 6] =
    ["[a-z0-9_-]+", "[a-z0-9-]+", "[a-zA-Z0-9_-]+", "[a-zA-Z0-9-_]+", "[a-zA-Z0-9-]+", "[A-Za-z0-9_-]+"];
/// What a value must not bring into an address.
const DELIMITERS: [char; 8] = ['/', '?', '#', '\\', '@', '%', ':', '&'];
const UUID: &str = "123e4567-e89b-12d3-a456-426614174000";

/// A declaration in the file.
pub(super) struct Declared<'a> {
    keys: &'a Map<String, Value>,
    pattern: Option<Pattern>,
}

/// A field, and the remarks on the way to it.
pub(super) struct Reading<'a> {
    pub(super) key: String,
    pub(super) name: &'a str,
    pub(super) of: &'a Use,
    pub(super) default: Option<&'a String>,
    pub(super) remarks: &'a mut Remarks,
}

// === impl Declared ===

impl<'a> Declared<'a> {
    /// Reads a declaration.
    pub(super) fn new(keys: &'a Map<String, Value>, key: &str, remarks: &mut Remarks) -> Self {
        let read =
            keys.get("pattern").and_then(Value::as_str).filter(|text| !text.is_empty()).map(Pattern::read);
        let pattern = match read {
            Some(Ok(pattern)) => {
                if pattern.partial {
                    remarks
                        .changed(format!("{key}.pattern"), "matched a part of the value, and now all of it");
                }
                Some(pattern)
            }
            Some(Err(why)) => {
                remarks.lost(format!("{key}.pattern"), why);
                None
            }
            None => None,
        };
        Self { keys, pattern }
    }

    /// Whether this is set.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.keys.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    /// What values end in, if that is known.
    pub(super) fn tails(&self) -> Option<Vec<Tail>> {
        let choices = self.choices();
        if choices.is_empty() {
            return self.pattern.as_ref().and_then(Pattern::tails);
        }
        Some(choices.into_iter().map(|text| Tail { text, whole: true }).collect())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.keys
            .get(key)
            .and_then(text_of)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    fn choices(&self) -> Vec<String> {
        let choices = self.keys.get("enum").and_then(Value::as_array);
        choices.into_iter().flatten().filter_map(text_of).filter(|text| !text.is_empty()).collect()
    }
}

// === impl Reading ===

impl Reading<'_> {
    /// The field for a declaration.
    pub(super) fn field(mut self, declared: &Declared<'_>) -> DraftField {
        let mut field = DraftField {
            title: declared.text("title").unwrap_or_else(|| fields::title(self.name)),
            description: declared.text("description"),
            secret: declared.flag("secret"),
            ..DraftField::default()
        };
        self.leftovers(declared);
        let choice = |value: String| DraftChoice { title: value.clone(), value };
        field.choices = declared.choices().into_iter().map(choice).collect();
        if field.secret && !field.choices.is_empty() {
            field.choices.clear();
            self.remarks.lost(format!("{}.enum", self.key), "a secret has no values to choose from");
        }
        if field.choices.is_empty() {
            self.shape(declared, &mut field);
        }
        self.default(declared, &mut field);
        self.example(declared, &mut field);
        field
    }

    fn leftovers(&mut self, declared: &Declared<'_>) {
        const READ: [&str; 13] = [
            "automated",
            "default_value",
            "description",
            "enum",
            "example",
            "format",
            "hidden",
            "optional",
            "pattern",
            "prefix",
            "secret",
            "suffix",
            "title",
        ];
        for (key, value) in declared.keys {
            let path = format!("{}.{key}", self.key);
            match key.as_str() {
                "type" if value == "string" => {}
                "type" => self.remarks.lost(path, "values are texts here"),
                "order" | "doc_section" => {
                    self.remarks.outside(format!("connection_config.*.{key}"), "is about Nango's own form");
                }
                _ if READ.contains(&key.as_str()) => {}
                _ => self.remarks.lost(path, "is a key that this import does not know"),
            }
        }
    }

    /// Format, pattern, prefix and suffix.
    fn shape(&mut self, declared: &Declared<'_>, field: &mut DraftField) {
        let format = declared.text("format").unwrap_or_default();
        field.pattern = declared.pattern.as_ref().map(|pattern| pattern.text.clone());
        field.prefix = declared.text("prefix");
        field.suffix = declared.text("suffix").filter(|suffix| !suffix.contains(['(', '|', '*', '[']));
        if declared.text("suffix").is_some() && field.suffix.is_none() {
            self.remarks.lost(format!("{}.suffix", self.key), "is a pattern, where a text is taken off");
        }
        match format.as_str() {
            _ if self.label(declared, &format, field) => return,
            "hostname" => {
                field.format = Some("hostname");
                bare_host(field);
            }
            "uuid" => field.format = Some("uuid"),
            "email" => field.format = Some("email"),
            "uri" | "url" => {
                field.pattern.get_or_insert_with(|| "https://.+".to_owned());
                let why = "is a text here: for a URI an entry names the hosts that it may have";
                self.remarks.changed(format!("{}.format", self.key), why);
            }
            "" | "string" | "text" => {}
            other => {
                self.remarks.lost(format!("{}.format", self.key), format!("`{other}` is no format here"));
            }
        }
        let in_address = self.of.in_address();
        if in_address && field.pattern.is_none() && field.format.is_none() {
            let pattern = if self.of.in_host() { IN_HOST } else { IN_PATH };
            field.pattern = Some(pattern.to_owned());
            let why = format!("had none, and is part of an address: `{pattern}` is as wide as that can be");
            self.remarks.changed(format!("{}.pattern", self.key), why);
        }
    }

    /// Makes it a label if that is what it is: then it is read out of whatever people paste.
    fn label(&self, declared: &Declared<'_>, format: &str, field: &mut DraftField) -> bool {
        let alone = !self.of.label_before.is_empty() && !self.of.part_of_host && !self.of.behind_host;
        let undotted = !declared.text("example").is_some_and(|example| example.contains('.'));
        let dotted = |pattern: &Pattern| {
            ["a.b", "acme.eu", "a1.b2", "api.eu"].iter().any(|text| pattern.matches(text))
        };
        let of_label = match format {
            "" => true,
            "hostname" => declared.text("example").is_some(),
            _ => false,
        };
        if !(alone && undotted && of_label) || declared.pattern.as_ref().is_some_and(dotted) {
            return false;
        }
        let mut label = field.clone();
        label.format = Some("label");
        label.pattern = label.pattern.filter(|pattern| !LABELS.contains(&pattern.as_str()));
        bare_host(&mut label);
        let mut behind = self.of.label_before.iter();
        if let (Some(only), None) = (behind.next(), behind.next())
            && !only.ends_with(['.', '-'])
        {
            label.suffix = Some(only.clone());
        }
        // A pattern of capital letters, say, is no pattern of a label.
        if !candidates(declared, &label).iter().any(|value| normalized(self.name, &label, value).is_some()) {
            return false;
        }
        *field = label;
        true
    }

    fn default(&mut self, declared: &Declared<'_>, field: &mut DraftField) {
        let key = format!("{}.default_value", self.key);
        let Some(default) = declared.text("default_value").or(self.default.cloned()) else { return };
        if field.secret {
            self.remarks.lost(key, "a secret has no default");
            return;
        }
        match normalized(self.name, field, &default) {
            Some(default) => field.default = Some(default),
            None => self.remarks.lost(key, format!("`{default}` is not a valid value")),
        }
    }

    fn example(&mut self, declared: &Declared<'_>, field: &mut DraftField) {
        if !field.choices.is_empty() || field.secret {
            field.example = field.choices.first().map(|choice| choice.value.clone());
            return;
        }
        let in_address = self.of.in_address();
        let fits = |value: &String| {
            normalized(self.name, field, value).is_some_and(|value| {
                !(in_address && (value.contains(DELIMITERS) || value.split('.').all(str::is_empty)))
            })
        };
        let given = declared.text("example");
        let found = candidates(declared, field).into_iter().find(fits);
        if given.is_some() && given != found {
            self.remarks.changed(format!("{}.example", self.key), "is not a valid value, and was replaced");
        }
        let wanted = given.is_some() || (in_address && field.default.is_none());
        field.example = found.filter(|_| wanted);
    }
}

/// The URL's beginning and the path are read away from hosts anyway.
fn bare_host(field: &mut DraftField) {
    field.prefix = field.prefix.take().filter(|prefix| !prefix.contains("://"));
    field.suffix = field.suffix.take().filter(|suffix| !suffix.starts_with('/'));
}

/// Values that may be examples, the best first.
fn candidates(declared: &Declared<'_>, field: &DraftField) -> Vec<String> {
    let mut values: Vec<_> = declared.text("example").into_iter().collect();
    values.extend(field.default.clone());
    values.push("acme".to_owned());
    let tails = declared.pattern.as_ref().and_then(Pattern::tails).unwrap_or_default();
    values.extend(
        tails.iter().map(|tail| if tail.whole { tail.text.clone() } else { format!("acme{}", tail.text) }),
    );
    values
        .extend(["acme.example.com", UUID, "ada@example.com", "https://acme.example.com"].map(str::to_owned));
    values.extend(declared.pattern.as_ref().and_then(Pattern::value));
    values
}

/// A value as the catalog keeps it, if the field takes it.
fn normalized(name: &str, field: &DraftField, value: &str) -> Option<String> {
    let definition: FieldDefinition = toml::from_str(&toml::to_string(field).ok()?).ok()?;
    Field::new(name.to_owned(), definition, false).ok()?.normalize(value).ok()
}
