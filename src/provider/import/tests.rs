//! Whole entries, from YAML to the text of a catalog file.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Imported, Kind, Outcome, Source, entry};

fn import(yaml: &str) -> Vec<Imported> {
    Source::read("providers.yaml", yaml).unwrap().import().collect()
}

/// The one entry with these keys on top of some that make it whole.
#[track_caller]
fn acme(keys: &str) -> Imported {
    let own = "display_name: Acme\ncategories: [crm]\ndocs: https://docs.acme.com";
    let lines = own.lines().chain(keys.lines()).collect::<Vec<_>>();
    let yaml = format!("acme:\n  {}\n", lines.join("\n  "));
    import(&yaml).remove(0)
}

#[track_caller]
fn written(keys: &str) -> (toml::Table, Imported) {
    let imported = acme(keys);
    let text = imported.text.clone().unwrap_or_else(|| panic!("{imported:?}"));
    (text.parse().unwrap(), imported)
}

#[track_caller]
fn why_skipped(keys: &str) -> String {
    let imported = acme(keys);
    assert_eq!((imported.outcome(), imported.remarks.len()), (Outcome::Skipped, 1), "{imported:?}");
    imported.remarks[0].why.clone()
}

/// The keys of this kind of remark.
fn keys(imported: &Imported, kind: Kind) -> Vec<&str> {
    imported.remarks.iter().filter(|it| it.kind == kind).map(|it| it.key.as_str()).collect()
}

const OAUTH2: &str = "auth_mode: OAUTH2
authorization_url: https://${connectionConfig.subdomain}.acme.com/authorize
token_url: https://${connectionConfig.subdomain}.acme.com/token
";

#[test]
fn an_entry_is_written_as_it_is_taught() {
    let (_, imported) = written(
        "auth_mode: OAUTH2
authorization_url: https://${connectionConfig.subdomain}.acme.com/authorize
token_url: https://${connectionConfig.subdomain}.acme.com/token
authorization_params:
  response_type: code
  prompt: consent
token_params:
  grant_type: authorization_code
  tenant: ${connectionConfig.tenantId}
refresh_params:
  grant_type: refresh_token
token_request_auth_method: basic
body_format: json
scope_separator: ','
default_scopes: [read, write]
disable_pkce: true
token_response_metadata: [team.id]
proxy:
  base_url: https://api.acme.com
connection_config:
  subdomain:
    type: string
    title: Acme subdomain
    description: Where you sign in.
    pattern: '^[a-z0-9_-]+$'
    suffix: .acme.com
    prefix: https://
    order: 1
  tenantId:
    type: string
    title: Tenant
    format: uuid
    optional: true",
    );
    let expected = r#"# Imported from `acme` of a providers.yaml.
# Changed: `connection_config.team.id`: is called `team_id` here
# Changed: `connection_config.tenantId`: is called `tenant_id` here
display_name = "Acme"
categories = ["crm"]
documentation = "https://docs.acme.com"
authorization_endpoint = "https://{subdomain}.acme.com/authorize"
token_endpoint = "https://{subdomain}.acme.com/token"
hosts = [".acme.com"]
token_endpoint_auth_method = "client_secret_basic"
token_request_format = "json"
scope_separator = ","
default_scopes = [
    "read",
    "write",
]
pkce_disabled_reason = "The providers.yaml that this was imported from turns PKCE off, and does not say why."

[authorization_params]
prompt = "consent"

[token_params]
tenant = "{tenant_id}"

[config.subdomain]
title = "Acme subdomain"
description = "Where you sign in."
example = "acme"
format = "label"
suffix = ".acme.com"
required = true

[config.team_id]
title = "Team id"

[[config.team_id.capture]]
token_response = "team.id"

[config.tenant_id]
title = "Tenant"
format = "uuid"
"#;
    assert_eq!(imported.text.as_deref(), Some(expected));
    assert_eq!(imported.outcome(), Outcome::WrittenWithRemarks);
    assert_eq!(keys(&imported, Kind::Outside), ["connection_config.*.order", "proxy"]);
    assert!(!imported.lost());
}

#[test]
fn modes_without_a_flow_are_skipped_each_for_its_reason() {
    for (mode, why) in [
        ("TWO_STEP", "no OAuth"),
        ("JWT", "signs"),
        ("APP", "installed app"),
        ("MCP_OAUTH2", "RFC 7591"),
        ("TBA", "by hand"),
        ("AWS_SIGV4", "AWS"),
        ("NONE", "nothing to connect"),
        ("SOMETHING", "`SOMETHING` is not known"),
    ] {
        let skipped = why_skipped(&format!("auth_mode: {mode}"));
        assert!(skipped.contains(why), "{mode}: {skipped}");
    }
    assert!(why_skipped("alias: ''").contains("no entry ``"));
    assert!(why_skipped("proxy: {}").contains("no `auth_mode`"));
}

#[test]
fn a_host_that_anybody_may_choose_is_never_written() {
    let of = |config: &str| {
        format!(
            "auth_mode: OAUTH2_CC\ntoken_url: https://${{connectionConfig.host}}/token\nconnection_config:\n  host:\n    title: Host\n    {config}"
        )
    };
    for open in ["format: hostname", "pattern: '^[a-z.]+$'", "pattern: '^[a-z]+\\.com$'", "enum: [com, acme]"]
    {
        let why = why_skipped(&of(open));
        assert!(why.starts_with("`token_url`: "), "{open}: {why}");
    }
    let (table, _) = written(&of("enum: [eu.acme.com, us.acme.com]"));
    assert_eq!(table["hosts"], toml::Value::from(vec!["eu.acme.com", "us.acme.com"]));
    let (table, _) = written(&of("pattern: '^[a-z-]+\\.acme\\.(com|eu)$'"));
    assert_eq!(table["hosts"], toml::Value::from(vec![".acme.com", ".acme.eu"]));
    assert_eq!(table["config"]["host"]["example"].as_str(), Some("acme.acme.com"));
    assert!(why_skipped("auth_mode: OAUTH2_CC\ntoken_url: http://acme.com/token").contains("https"));
    assert!(why_skipped("auth_mode: OAUTH2_CC").contains("no `token_url`"));
}

#[test]
fn aliases_take_over_keys_and_go_on() {
    let imported = import(
        "base: {display_name: Base, categories: [a], docs: 'https://docs.acme.com', auth_mode: OAUTH2_CC, token_url: 'https://acme.com/token'}
one: {display_name: One, alias: base}
two: {alias: one, token_url: 'https://two.acme.com/token'}
lost: {alias: nobody}
loop: {alias: loop}
text: hello
UPPER: {}",
    );
    let of = |id: &str| imported.iter().find(|it| it.id == id).unwrap();
    let two: toml::Table = of("two").text.as_ref().unwrap().parse().unwrap();
    assert_eq!(two["display_name"].as_str(), Some("One"));
    assert_eq!(two["hosts"], toml::Value::from(vec!["two.acme.com"]));
    for (id, why) in [
        ("lost", "there is no entry `nobody`"),
        ("loop", "without an end"),
        ("text", "not a mapping"),
        ("UPPER", "provider_id"),
    ] {
        assert_eq!(of(id).outcome(), Outcome::Skipped, "{id}");
        assert!(of(id).remarks[0].why.contains(why), "{:?}", of(id));
    }
}

#[test]
fn anchors_and_merge_keys_are_resolved_and_bombs_are_not() {
    let imported = import(
        "x-base: &base {categories: [a], docs: 'https://docs.acme.com', auth_mode: OAUTH2_CC, token_url: 'https://acme.com/token'}
acme: {<<: *base, display_name: Acme}",
    );
    let acme = imported.iter().find(|it| it.id == "acme").unwrap();
    assert_eq!(acme.outcome(), Outcome::Written, "{acme:?}");

    let fault = Source::read("f.yaml", "a:\n  b: 1\n  c: [\n").unwrap_err();
    assert!(fault.line.is_some_and(|line| line >= 3), "{fault}");
    assert!(Source::read("f.yaml", "- a\n").unwrap_err().problem.contains("not a mapping"));
    let mut bomb = "a0: &a0 [lol]\n".to_owned();
    for level in 1..30 {
        let (level, before) = (level.to_string(), vec![format!("*a{}", level - 1); 10].join(", "));
        bomb.extend(["a", &level, ": &a", &level, " [", &before, "]\n"]);
    }
    assert!(Source::read("f.yaml", &bomb).is_err());
}

#[test]
fn what_has_no_place_is_named() {
    let (table, imported) = written(&format!(
        "{OAUTH2}authorization_params: {{nonce: '${{random}}', state: x, access: '${{clientId}}', scope: 'a b'}}
token_params: {{grant_type: other, when: '${{now}}', list: [1]}}
post_connection_script: x
surprise: 1
connection_config:
  subdomain: {{type: string, title: S}}
  account: {{type: string, title: A, automated: true}}"
    ));
    assert_eq!(table["nonce"].as_bool(), Some(true));
    assert_eq!(table["default_scopes"], toml::Value::from(vec!["a", "b"]));
    assert_eq!(table["token_params"]["grant_type"].as_str(), Some("other"));
    assert_eq!(
        keys(&imported, Kind::Lost),
        [
            "authorization_params.access",
            "authorization_params.state",
            "token_params.list",
            "token_params.when",
            "connection_config.account",
            "post_connection_script",
            "surprise",
        ]
    );
    assert!(imported.lost());
}

#[test]
fn client_credentials_and_oauth1_have_their_own_keys() {
    let (table, _) = written(
        "auth_mode: OAUTH2_CC
token_url: {OAUTH2_CC: https://acme.com/token, APP: https://acme.com/app}
token_request_auth_method: custom
require_client_certificate: true
expires_in_unit: milliseconds
token_expires_in_ms: 3600000
token_headers: {Accept: application/json, Content-Type: x}
token_params: {grant_type: client_credentials, scope: all, audience: '${connectionConfig.audience} || https://api.acme.com'}",
    );
    let expected = json!({
        "grant_types": ["client_credentials"], "token_endpoint": "https://acme.com/token", "hosts": ["acme.com"],
        "tls_client_certificate": true, "default_scopes": ["all"], "default_expires_in": 3600,
        "param_names": {"client_id": "username", "client_secret": "password"},
        "client_credentials_params": {"audience": "{audience}"}, "token_headers": {"accept": "application/json"},
        "token_response": {"expires_in_unit": "milliseconds"},
        "config": {"audience": {"title": "Audience", "default": "https://api.acme.com"}},
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(serde_json::to_value(&table[key]).unwrap(), *value, "{key}");
    }
    let (table, _) = written(
        "auth_mode: OAUTH1
request_url: https://acme.com/request
authorization_url: https://acme.com/authorize
token_url: https://acme.com/token
signature_method: PLAINTEXT",
    );
    assert_eq!(table["request_token_endpoint"].as_str(), Some("https://acme.com/request"));
    assert_eq!(table["signature_method"].as_str(), Some("PLAINTEXT"));
}

#[test]
fn static_credentials_bring_their_verification() {
    let (table, imported) = written(
        "auth_mode: API_KEY
proxy:
  base_url: https://${connectionConfig.subdomain}.acme.com/api/
  headers: {Authorization: 'Token ${apiKey}', x-version: '${connectionConfig.version} || 2', content-type: application/json}
  query: {key: '${apiKey}'}
  verification: {method: POST, endpoints: [/me], data: {limit: 1}}
credentials:
  apiKey: {type: string, title: Key, pattern: '^a+$'}",
    );
    let verification = json!({
        "url": "https://{subdomain}.acme.com/api/me", "method": "POST", "authorization": "Token {api_key}",
        "body": "{\"limit\":1}", "params": {"key": "{api_key}"}, "headers": {"x-version": "{version}"},
    });
    assert_eq!(serde_json::to_value(&table["verification"]).unwrap(), verification);
    assert_eq!(table["config"]["version"]["default"].as_str(), Some("2"));
    assert_eq!(imported.outcome(), Outcome::Written, "{imported:?}");

    let (table, _) = written(
        "auth_mode: BASIC
proxy:
  base_url: https://api.acme.com
  headers: {authorization: 'Basic ${base64(${credentials.username}/token:${credentials.password})}'}
  verification: {endpoints: [me]}",
    );
    assert_eq!(table["verification"]["basic"].as_str(), Some("{username}/token:{password}"));
    // A host that is not known takes the verification away, not the entry.
    let (table, imported) = written(
        "auth_mode: BASIC
proxy: {base_url: 'https://${connectionConfig.host}', verification: {endpoints: [/me]}}",
    );
    assert!(!table.contains_key("verification") && !table.contains_key("hosts"), "{table:?}");
    assert_eq!(keys(&imported, Kind::Lost), ["proxy.verification"]);
}

/// Values of the shapes that a file may have anywhere.
fn value() -> impl Strategy<Value = Value> {
    let text = "(https://)?(\\$\\{(connectionConfig\\.[a-zA-Z_.]{1,4}|apiKey|now)\\}|[a-zA-Z/.:{}|^$\\[\\]+-]{0,4}|\\.acme\\.com| \\|\\| ){0,4}|\\PC{0,8}";
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let names = proptest::sample::select(vec![
            "a",
            "b",
            "pattern",
            "enum",
            "format",
            "example",
            "default_value",
            "suffix",
            "secret",
            "automated",
            "title",
            "grant_type",
            "nonce",
            "verification",
            "headers",
            "endpoints",
            "base_url",
            "authorization",
            "data",
            "query",
        ]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(names.prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever an entry holds, there is a file that loads or a reason, and never a host without a pin.
    #[test]
    fn any_entry_is_written_or_skipped(
        mode in proptest::sample::select(vec!["OAUTH2", "OAUTH2_CC", "OAUTH1", "API_KEY", "BASIC"]),
        given in proptest::collection::btree_map(proptest::sample::select(vec![
            "authorization_url", "token_url", "refresh_url", "request_url", "authorization_params", "token_params",
            "refresh_params", "connection_config", "proxy", "credentials", "token_headers", "scope_separator",
            "default_scopes", "token_response_metadata", "redirect_uri_metadata", "categories", "docs", "display_name",
            "authorization_url_replacements", "signature_method", "body_format", "token_expires_in_ms",
        ]), value(), 0..12),
    ) {
        let mut keys: Map<String, Value> = Map::new();
        for (key, value) in [("docs", "https://acme.com"), ("display_name", "A"), ("auth_mode", mode)] {
            keys.insert(key.to_owned(), value.into());
        }
        keys.extend(given.into_iter().map(|(key, value)| (key.to_owned(), value)));
        let imported = entry::import("acme".to_owned(), &keys);
        prop_assert!(imported.text.is_some() || !imported.remarks.is_empty());
        prop_assert!(imported.remarks.iter().all(|remark| !remark.why.is_empty() && !remark.why.contains('\n')));
    }
}
