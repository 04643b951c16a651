//! The connection config of an entry while it is read: new names, and where each field is used.

use std::collections::{BTreeMap, BTreeSet};

/// Names that templates have for credentials. No field may have one.
const CREDENTIALS: [&str; 7] =
    ["access_token", "api_key", "client_id", "client_secret", "password", "refresh_token", "username"];

/// The fields, by the names that the file has for them.
#[derive(Debug, Default)]
pub(super) struct Fields {
    names: BTreeMap<String, String>,
    /// Where fields stand in addresses.
    pub(super) uses: BTreeMap<String, Use>,
    /// Fields that parameters and headers hold.
    pub(super) held: BTreeSet<String>,
    /// Fields of addresses that were not carried over.
    pub(super) dropped: BTreeSet<String>,
    /// Values for when none is given, from `${connectionConfig.x} || value`.
    pub(super) defaults: BTreeMap<String, String>,
}

/// How addresses use a field.
#[derive(Debug, Default, Clone)]
pub(super) struct Use {
    /// Whether there is an address that can't be made without it.
    pub(super) needed: bool,
    /// Whether it stands in a host in another way than as a whole label.
    pub(super) part_of_host: bool,
    /// Whether it stands behind a host.
    pub(super) behind_host: bool,
    /// What stands behind it in hosts of which it is a whole label.
    pub(super) label_before: BTreeSet<String>,
}

// === impl Use ===

impl Use {
    /// Whether it stands in a host.
    pub(super) fn in_host(&self) -> bool {
        self.part_of_host || !self.label_before.is_empty()
    }

    /// Whether it stands in an address.
    pub(super) fn in_address(&self) -> bool {
        self.in_host() || self.behind_host
    }
}

// === impl Fields ===

impl Fields {
    /// The name that a field has in the catalog.
    pub(super) fn name(&mut self, given: &str) -> String {
        if let Some(name) = self.names.get(given) {
            return name.clone();
        }
        let name = snake_case(given);
        let name = if CREDENTIALS.contains(&name.as_str()) { format!("config_{name}") } else { name };
        let taken = |name: &String| self.names.values().any(|other| other == name);
        let mut unique = name.clone();
        let mut number = 2;
        while taken(&unique) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        self.names.insert(given.to_owned(), unique.clone());
        unique
    }

    /// The use of a field.
    pub(super) fn used(&mut self, given: &str) -> &mut Use {
        self.uses.entry(given.to_owned()).or_default()
    }

    /// All fields that were named.
    pub(super) fn given(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }
}

/// `siteUrl` as `site_url`.
fn snake_case(given: &str) -> String {
    let mut name = String::new();
    let chars: Vec<char> = given.chars().collect();
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| chars.get(index));
        let behind = chars.get(index + 1);
        let begins = before.is_some_and(|before| before.is_ascii_lowercase() || before.is_ascii_digit())
            || (before.is_some_and(char::is_ascii_uppercase) && behind.is_some_and(char::is_ascii_lowercase));
        if c.is_ascii_uppercase() && begins && !name.ends_with('_') {
            name.push('_');
        }
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    if name.is_empty() { "field".to_owned() } else { name.to_owned() }
}

/// A name as a title for people.
pub(super) fn title(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_snake_case() {
        for (from, to) in [
            ("subdomain", "subdomain"),
            ("siteUrl", "site_url"),
            ("endpointURL", "endpoint_url"),
            ("URLPath", "url_path"),
            ("APP_ID", "app_id"),
            ("accounts-server", "accounts_server"),
            ("installation.uuid", "installation_uuid"),
            ("oauth2Host", "oauth2_host"),
            ("--", "field"),
        ] {
            assert_eq!(snake_case(from), to, "{from}");
        }
    }

    #[test]
    fn no_two_fields_have_one_name_and_none_that_of_a_credential() {
        let mut fields = Fields::default();
        assert_eq!(fields.name("siteUrl"), "site_url");
        assert_eq!(fields.name("site_url"), "site_url_2");
        assert_eq!(fields.name("siteURL"), "site_url_3");
        assert_eq!(fields.name("siteUrl"), "site_url");
        assert_eq!(fields.name("apiKey"), "config_api_key");
    }

    proptest! {
        #[test]
        fn any_name_becomes_one_that_the_catalog_takes(given in "\\PC{0,20}") {
            let name = snake_case(&given);
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            prop_assert!(!name.is_empty() && name.bytes().all(plain), "{}", name);
        }
    }
}
