//! The built-in entries: all are there, and each makes addresses of its examples.

use std::collections::BTreeSet;

use url::Url;

use super::{House, captures, check_url, is_settable, text, texts};

#[test]
fn every_built_in_entry_is_loaded() {
    let house = House::new();
    let loaded: BTreeSet<String> = house.catalog.iter().map(|provider| provider.id().to_string()).collect();
    let written: BTreeSet<String> = house.files.keys().cloned().collect();
    assert_eq!(loaded, written);
    for id in ["gorgias", "qualtrics", "salesforce", "shopify", "zendesk", "zoho"] {
        assert!(loaded.contains(id), "{id}");
    }
}

#[test]
fn the_examples_of_every_entry_make_its_addresses() {
    let house = House::new();
    for (id, file) in &house.files {
        let config = house.provider(id).read_config(&house.examples(id)).unwrap();
        for (key, endpoint) in [
            ("authorization_endpoint", house.provider(id).authorization_endpoint(&config)),
            ("token_endpoint", house.provider(id).token_endpoint(&config)),
            ("refresh_endpoint", house.provider(id).refresh_endpoint(&config)),
        ] {
            let Some(written) = file.get(key) else { continue };
            // The first alternative: all examples are there. What is only captured is not.
            let written = written.as_str().unwrap_or_else(|| texts(written)[0]);
            let mut expected = written.to_owned();
            for (name, field) in house.fields(id).filter(|(_, field)| is_settable(field)) {
                let value = text(field, "example");
                let choices = field.get("enum").and_then(|choices| choices.as_array());
                let choice =
                    choices.into_iter().flatten().find(|choice| choice["value"].as_str() == Some(value));
                let value = choice.and_then(|choice| choice.get("substitute")?.as_str()).unwrap_or(value);
                expected = expected.replace(&format!("{{{name}}}"), value);
            }
            if expected.contains('{') {
                continue;
            }
            assert_eq!(endpoint.unwrap().unwrap(), Url::parse(&expected).unwrap(), "{id}");
            let address = expected.split('#').next().unwrap();
            check_url(Url::parse(address).unwrap().as_str(), &house.pins(id)).unwrap();
        }
    }
}

#[test]
fn every_entry_says_who_it_is_and_what_its_fields_are() {
    let house = House::new();
    for (id, file) in &house.files {
        let provider = house.provider(id);
        assert_eq!(Url::parse(provider.documentation()).unwrap().scheme(), "https", "{id}");
        assert!(!provider.display_name().is_empty() && !provider.categories().is_empty(), "{id}");
        assert!(provider.pkce() || file.contains_key("pkce_disabled_reason"), "{id}");
        for (name, field) in house.fields(id) {
            // An example of a secret would only be taken for one.
            let keys: &[_] = if field.contains_key("secret") {
                &["title", "description"]
            } else {
                &["title", "description", "example"]
            };
            for key in keys {
                assert!(!text(field, key).is_empty(), "{id}.{name} has no {key}");
            }
        }
    }
}

/// A default is used as it stands, and a captured value is pinned to the provider's own domains.
#[test]
fn captured_addresses_are_pinned_and_defaults_are_valid() {
    let house = House::new();
    let mut uris = 0;
    for id in house.files.keys() {
        for (name, field) in house.fields(id) {
            if text(field, "format") == "uri" {
                assert!(!texts(&field["hosts"]).is_empty(), "{id}.{name} is pinned to nothing");
                uris += 1;
            }
            let default = text(field, "default");
            if !default.is_empty() {
                let mut given = house.examples(id);
                given.remove(name);
                let config = house.provider(id).read_config(&given).unwrap();
                assert_eq!(config.values[name], default, "{id}.{name}");
            }
        }
    }
    assert!(uris >= 3, "only {uris} captured addresses");
}

/// A browser may say where a secret goes only among what the entry itself lists, or among the provider's own customers.
#[test]
fn a_browser_chooses_a_host_from_a_list_or_among_customers() {
    const CUSTOMERS: [(&str, &str); 3] = [
        ("lightspeed-retail-x", "domain_prefix"),
        ("sharefile", "control_plane"),
        ("sharefile", "subdomain"),
    ];
    let house = House::new();
    let (mut listed, mut customers) = (0, Vec::new());
    for id in house.files.keys() {
        for (name, field) in house.fields(id) {
            if !captures(field).any(|(from, _)| from == "callback") || !house.is_in_address(id, name) {
                continue;
            }
            if field.contains_key("enum") {
                listed += 1;
            } else {
                customers.push((id.as_str(), name));
            }
        }
    }
    assert_eq!(customers, CUSTOMERS, "list the hosts, or say why each customer has one");
    assert!(listed >= 10, "only {listed} of Zoho's and others' data centers");
    for (id, name) in CUSTOMERS {
        let field = house.fields(id).find(|(field, _)| *field == name).unwrap().1;
        for value in
            ["evil.com", "evil.com/", "evil.com#", "evil.com?", "a@evil.com", "evil.com\\", "127.0.0.1"]
        {
            house.try_value(id, name, field, value).unwrap();
        }
    }
}
