//! The query of a callback: every parameter once, and a provider's MAC over all of them.

use std::{collections::BTreeMap, sync::LazyLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokenwell::{
    model::{Config, ProviderId, SecretString},
    provider::{CallbackQuery, Catalog, MAX_QUERY_BYTES, SharedProvider},
};
use url::form_urlencoded;

const SECRET: &str = "the client's secret";
const MAC: &str = "hmac";

static SHOPIFY: LazyLock<SharedProvider> = LazyLock::new(|| {
    let catalog = Catalog::built_in().unwrap();
    catalog.get(&ProviderId::parse("shopify").unwrap()).unwrap().clone()
});

/// The bytes are the query.
pub fn run(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let given = raw.strip_prefix('?').unwrap_or(raw);
    let pairs: Vec<_> = form_urlencoded::parse(given.as_bytes()).into_owned().collect();
    let map: BTreeMap<_, _> = pairs.iter().cloned().collect();
    let fits = given.len() <= MAX_QUERY_BYTES && pairs.len() <= 100 && map.len() == pairs.len();
    let query = CallbackQuery::parse(raw);
    assert_eq!(query.is_ok(), fits, "{raw:?}");
    let Ok(query) = query else { return };
    for (name, value) in &map {
        assert_eq!(query.get(name), Some(value.as_str()), "{name:?}");
    }
    let shown = format!("{query:?}");
    assert!(
        shown.len() <= map.keys().map(|name| format!("{name:?}").len() + 2).sum::<usize>() + 2,
        "{shown}"
    );

    // The same MAC, made here, is the only one that holds.
    check_mac(&query, map.get(MAC).is_some_and(|given| given.eq_ignore_ascii_case(&mac(&map))));
    let mut signed = map.clone();
    signed.insert(MAC.to_owned(), mac(&map));
    let written = form_urlencoded::Serializer::new(String::new()).extend_pairs(&signed).finish();
    if let Ok(query) = CallbackQuery::parse(&written) {
        check_mac(&query, true);
    }
    signed.insert("shop".to_owned(), format!("{}.", map.get("shop").map_or("", String::as_str)));
    let written = form_urlencoded::Serializer::new(String::new()).extend_pairs(&signed).finish();
    if let Ok(query) = CallbackQuery::parse(&written) {
        check_mac(&query, false);
    }
}

fn check_mac(query: &CallbackQuery, holds: bool) {
    let mut config = Config::default();
    config.values.insert("subdomain".to_owned(), "acme".to_owned());
    let checked = SHOPIFY.check_callback(query, &config, [&SecretString::from(SECRET)]);
    // It expects the shop, too, which is another matter.
    let wrong_mac = checked.is_err_and(|error| error.to_string().contains(MAC));
    assert_eq!(!wrong_mac, holds, "{query:?}");
}

fn mac(map: &BTreeMap<String, String>) -> String {
    let signed = map.iter().filter(|(name, _)| *name != MAC);
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(signed).finish();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}
