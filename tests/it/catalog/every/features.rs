//! What the catalog's format can say, some entry says: no feature rests on a test's entry alone.

use std::collections::BTreeSet;

use toml::Value;

use super::entry::all;

/// Keys that at least one entry uses: `=` and a value, `[]` for a list, `*` for any name, `{}` for a template.
const USED: [&str; 87] = [
    "authorization_endpoint#",
    "authorization_endpoint[]",
    "authorization_params.*={}",
    "callback.code_param",
    "callback.expect",
    "callback.hmac_param",
    "client_credentials_params",
    "config.*.capture.callback",
    "config.*.capture.id_token",
    "config.*.capture.lookup",
    "config.*.capture.token_response",
    "config.*.default",
    "config.*.enum.aliases",
    "config.*.enum.substitute",
    "config.*.format=email",
    "config.*.format=hostname",
    "config.*.format=label",
    "config.*.format=uri",
    "config.*.format=uuid",
    "config.*.hosts",
    "config.*.pattern",
    "config.*.prefix",
    "config.*.required=true",
    "config.*.secret=true",
    "config.*.settable=true",
    "config.*.suffix",
    "default_expires_in",
    "default_scopes",
    "discovery=true",
    "error_codes",
    "form_post=true",
    "grant_types=api_key",
    "grant_types=basic",
    "grant_types=client_credentials",
    "grant_types=oauth1",
    "introspection_endpoint",
    "issuer={}",
    "lookup.authorization",
    "lookup.headers",
    "lookup.method=POST",
    "lookup.params.*={}",
    "lookup.url",
    "nonce=true",
    "param_names.*=",
    "pkce_disabled_reason",
    "refresh_endpoint",
    "refresh_endpoint[]",
    "refresh_errors.final",
    "refresh_errors.transient",
    "refresh_params",
    "refresh_token_expires_in",
    "refresh_token_idle_expires_in",
    "request_token_endpoint",
    "revocation.authorization",
    "revocation.basic",
    "revocation.body",
    "revocation.form",
    "revocation.headers",
    "revocation.json",
    "revocation.method=DELETE",
    "revocation.method=POST",
    "revocation.params",
    "revocation.url={}",
    "revocation_endpoint",
    "revocation_ends_all_grants=true",
    "scope_separator",
    "signature_method=HMAC-SHA1",
    "tls_client_certificate=true",
    "token_endpoint[]",
    "token_endpoint_auth_method=client_secret_basic",
    "token_endpoint_auth_method=none",
    "token_endpoint_auth_method=private_key_jwt",
    "token_error.success",
    "token_headers",
    "token_params.*={}",
    "token_request_format=json",
    "token_request_method=GET",
    "token_response.access_token",
    "token_response.expires_at",
    "token_response.expires_in",
    "token_response.path",
    "token_response.refresh_token_expires_at",
    "token_response.refresh_token_expires_in",
    "token_response.scope",
    "token_response.token_type",
    "user_scope_param",
    "verification.body",
];

#[test]
fn some_entry_uses_every_feature() {
    let mut found = BTreeSet::new();
    for entry in all() {
        for (key, value) in entry.table() {
            collect(key, value, &mut found);
        }
    }
    let unused: Vec<_> = USED.iter().filter(|feature| !found.contains(**feature)).collect();
    assert!(unused.is_empty(), "no entry uses {unused:?}");
}

fn collect(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    match value {
        Value::String(text) => {
            let any = path.rsplit_once('.').map(|(parent, _)| format!("{parent}.*"));
            for path in std::iter::once(path).chain(any.as_deref()) {
                found.insert(format!("{path}={text}"));
                if text.contains('{') {
                    found.insert(format!("{path}={{}}"));
                }
            }
            if text.contains('#') {
                found.insert(format!("{path}#"));
            }
        }
        Value::Boolean(flag) => drop(found.insert(format!("{path}={flag}"))),
        Value::Array(items) => {
            found.insert(format!("{path}[]"));
            for item in items {
                collect(path, item, found);
            }
        }
        Value::Table(table) => {
            for (key, value) in table {
                // The names of fields are the entry's own.
                let key = if path == "config" { "*" } else { key };
                collect(&format!("{path}.{key}"), value, found);
            }
        }
        _ => {}
    }
}
