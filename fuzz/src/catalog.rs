//! A catalog file: it is refused in words, or it is an entry whose addresses lead to its hosts.

use tokenwell::{
    model::StringMap,
    provider::{Catalog, Transport},
};
use toml::Table;

use super::check_pinned;

/// The bytes are the file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut catalog = Catalog::default();
    if let Err(faults) = catalog.add("fuzzed.toml", text, Transport::Strict) {
        assert!(!faults.is_empty(), "it is refused for nothing");
        for fault in faults {
            let line = fault.line.unwrap_or(1);
            assert!((1..=text.lines().count().max(1) + 1).contains(&line), "{fault}");
            assert!(!fault.problem.is_empty(), "{fault}");
        }
        return;
    }
    let table: Table = text.parse().unwrap();
    let hosts = table.get("hosts").and_then(|hosts| hosts.as_array()).into_iter().flatten();
    let pins: Vec<_> = hosts.filter_map(|host| host.as_str()).collect();
    let provider = catalog.iter().next().unwrap();
    let settable = provider.fields().iter().filter(|field| field.settable() && !field.example().is_empty());
    let examples: StringMap =
        settable.map(|field| (field.name().to_owned(), field.example().to_owned())).collect();
    let Ok(config) = provider.read_config(&examples) else { return };
    for url in [
        provider.authorization_endpoint(&config),
        provider.token_endpoint(&config),
        provider.refresh_endpoint(&config),
        provider.revocation_endpoint(&config),
        provider.introspection_endpoint(&config),
        provider.request_token_endpoint(&config),
    ] {
        if let Ok(Some(url)) = url {
            check_pinned(&url, &pins);
        }
    }
}
