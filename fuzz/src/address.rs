//! Addresses of templates and connection config: whatever a config field takes, they lead to the provider's own hosts.

use std::sync::LazyLock;

use tokenwell::{
    model::StringMap,
    provider::{Catalog, SharedProvider, Transport},
};

use super::{check_pinned, choice};

/// Entries with a field in every part of an address, and the hosts that they are pinned to.
const ENTRIES: [(&str, &str, &[&str]); 5] = [
    ("https://{first}.acme.com/{second}", "format = \"label\"", &[".acme.com"]),
    ("https://{first}/of/{second}", "format = \"hostname\"", &[".acme.com", "acme.net"]),
    ("https://acme.com/{first}/{second}", "pattern = '.+'", &["acme.com"]),
    ("https://acme.com/a?b={first}&c={second}", "pattern = '.+'", &["acme.com"]),
    ("https://{first}-x.acme.com/{second}/", "pattern = '[^ ]+'", &[".acme.com"]),
];

static PROVIDERS: LazyLock<Vec<SharedProvider>> = LazyLock::new(|| {
    let mut catalog = Catalog::default();
    for (number, (address, rule, hosts)) in ENTRIES.iter().enumerate() {
        let text = format!(
            "display_name = \"Acme\"\ncategories = [\"crm\"]\ndocumentation = \"https://acme.com/\"\n\
             authorization_endpoint = \"{address}\"\ntoken_endpoint = \"{address}\"\nhosts = {hosts:?}\n\
             [config.first]\ntitle = \"First\"\nexample = \"{}\"\nrequired = true\n{rule}\n\
             [config.second]\ntitle = \"Second\"\nexample = \"b\"\nrequired = true\npattern = '.+'\n",
            if rule.contains("hostname") { "a.acme.com" } else { "a" }
        );
        catalog.add(&format!("acme-{number}.toml"), &text, Transport::Strict).unwrap();
    }
    catalog.iter().cloned().collect()
});

/// The first byte is the entry; the rest is what its fields are given, up to the first line's end and after it.
pub fn run(data: &[u8]) {
    let (entry, data) = choice(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, "b"));
    let (provider, (_, _, pins)) = (&PROVIDERS[entry % ENTRIES.len()], ENTRIES[entry % ENTRIES.len()]);
    let given =
        StringMap::from([("first".to_owned(), first.to_owned()), ("second".to_owned(), second.to_owned())]);
    let Ok(config) = provider.read_config(&given) else { return };
    for url in [provider.authorization_endpoint(&config), provider.token_endpoint(&config)] {
        let Ok(Some(url)) = url else { continue };
        check_pinned(&url, pins);
        // A value stays in its part of the address.
        let path = ENTRIES[entry % ENTRIES.len()].0.split_once("://").unwrap().1.split_once('/').unwrap().1;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        assert_eq!(url.path().matches('/').count(), path.matches('/').count() + 1, "{url}");
        assert_eq!(url.query_pairs().count(), query.matches('=').count(), "{url}");
        assert!(url.fragment().is_none(), "{url}");
    }
}
