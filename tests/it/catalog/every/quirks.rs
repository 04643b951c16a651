//! What an entry says of its provider that is the same in all ways to make a connection.

use serde_json::Value;
use tokenwell::sandbox::{
    AnswerQuirks, AuthMethod, ErrorQuirks, ExpiresIn, Lifetime, Quirks, RequestFormat, RequestQuirks,
};

use super::entry::Entry;

/// How many seconds an access token lives, unless the answer does not say it. It is not what Tokenwell supposes then.
pub const TTL: i64 = 5_400;
/// Where the sandbox says whose account a token opens.
pub const USERINFO_PATH: &str = "/the-sandbox/userinfo";
const REFRESH_TOKEN_TTL: i64 = 30 * 24 * 3_600;

/// What is the same for all ways to make a connection.
pub fn quirks(entry: &Entry) -> Result<Quirks, String> {
    let method = match entry.text("token_endpoint_auth_method") {
        None | Some("client_secret_post") => AuthMethod::Post,
        Some("client_secret_basic") => AuthMethod::Basic,
        Some("none") => AuthMethod::None,
        Some("private_key_jwt") => AuthMethod::PrivateKeyJwt,
        Some("tls_client_auth") => AuthMethod::TlsClientAuth,
        Some(other) => return Err(format!("{other} is no way to authenticate")),
    };
    let format = match (entry.text("token_request_method"), entry.text("token_request_format")) {
        (Some("GET"), _) => RequestFormat::Query,
        (_, Some("json")) => RequestFormat::Json,
        _ => RequestFormat::Form,
    };
    let told = entry.told("token_response").into_iter();
    let until = |key: &str| entry.text(&format!("token_response.{key}")).is_some();
    // The sandbox says both lives in one way.
    let alike = until("expires_at") == until("refresh_token_expires_at");
    Ok(Quirks {
        userinfo_path: USERINFO_PATH.to_owned(),
        revoke_path: None,
        introspect_path: None,
        auth_methods: vec![method],
        certificate_required: entry.flag("tls_client_certificate"),
        pkce_required: entry.get("pkce_disabled_reason").is_none(),
        scope_separator: entry.text("scope_separator").unwrap_or(" ").to_owned(),
        param_names: entry.pairs("param_names").into_iter().collect(),
        token_request: RequestQuirks { format, ..RequestQuirks::default() },
        token_answer: answer(entry),
        extra_token_members: told.map(|(_, path, value)| (path, Value::String(value))).collect(),
        token_type: Some(entry.text("token_response.token_type").map_or("Bearer", |_| "odd").to_owned()),
        // Where the entry has a lifetime of its own, the answer has none.
        expires_in: if entry.get("default_expires_in").is_some() {
            ExpiresIn::Never
        } else {
            ExpiresIn::Always
        },
        refresh_token_expires_in: alike.then_some(REFRESH_TOKEN_TTL),
        token_error: errors(entry),
        ..Quirks::default()
    })
}

fn answer(entry: &Entry) -> AnswerQuirks {
    let usual = AnswerQuirks::default();
    let at =
        |key: &str, usual: String| entry.text(&format!("token_response.{key}")).map_or(usual, str::to_owned);
    let unit = entry.text("token_response.expires_in_unit");
    let lifetime = match (entry.text("token_response.expires_at"), unit) {
        (Some(_), _) => Lifetime::UntilSeconds,
        (None, Some("milliseconds")) => Lifetime::Milliseconds,
        (None, _) => Lifetime::Seconds,
    };
    AnswerQuirks {
        path: at("path", usual.path),
        access_token: at("access_token", usual.access_token),
        refresh_token: at("refresh_token", usual.refresh_token),
        scope: at("scope", usual.scope),
        lifetime,
        expires_in: at("expires_in", usual.expires_in),
        expires_at: at("expires_at", usual.expires_at),
        refresh_token_expires_in: at("refresh_token_expires_in", usual.refresh_token_expires_in),
        refresh_token_expires_at: at("refresh_token_expires_at", usual.refresh_token_expires_at),
        ..AnswerQuirks::default()
    }
}

/// Errors as the entry has them. A provider that says success by a code says everything with status 200.
fn errors(entry: &Entry) -> ErrorQuirks {
    let success = entry.texts("token_error.success").into_iter().next();
    let numbers = success.as_ref().is_some_and(|code| code.parse::<i64>().is_ok());
    let said = |code: &str| match code.parse::<i64>() {
        Ok(number) if numbers => Value::from(number),
        _ => Value::from(code),
    };
    let codes = entry.pairs("error_codes").into_iter().map(|(own, code)| (code, said(&own))).collect();
    ErrorQuirks {
        status_200: success.is_some(),
        code: entry.text("token_error.code").unwrap_or("error").to_owned(),
        description: entry.text("token_error.description").map(str::to_owned),
        success: success.as_deref().map(said),
        codes,
    }
}
