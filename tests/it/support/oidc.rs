//! `oidc-provider`, a certified OpenID provider, which rotates refresh tokens and ends a grant whose spent one comes again.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use super::Foreign;

/// The client that it knows.
pub const CLIENT_ID: &str = "tokenwell";
pub const CLIENT_SECRET: &str = "a secret: with %, + and /";

/// Starts it, with access tokens that live this long, in seconds.
pub async fn start(redirect_uri: &str, access_token_ttl: u32) -> Foreign {
    start_with(redirect_uri, access_token_ttl, &json!({})).await
}

/// The same, with further options.
pub async fn start_with(redirect_uri: &str, access_token_ttl: u32, further: &Value) -> Foreign {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/oidc.mjs");
    let mut options = json!({
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uris": [redirect_uri],
        "access_token_ttl": access_token_ttl,
    });
    for (name, value) in further.as_object().unwrap() {
        options[name] = value.clone();
    }
    Foreign::start(Command::new("node").arg(script).arg(options.to_string())).await
}

/// The catalog entry `oidc`, with the token endpoint at this origin.
pub fn entry(oidc: &Foreign, token_origin: &str) -> (String, String) {
    let issuer = &oidc.origin;
    let text = format!(
        "display_name = \"OpenID\"\ncategories = [\"test\"]\n\
         documentation = \"https://openid.net/specs/openid-connect-core-1_0.html\"\n\
         authorization_endpoint = \"{issuer}/auth\"\ntoken_endpoint = \"{token_origin}/token\"\n\
         hosts = [\"127.0.0.1\"]\nissuer = \"{issuer}\"\n\
         authorization_response_iss_parameter_supported = true\n\
         token_endpoint_auth_method = \"client_secret_basic\"\ndefault_scopes = [\"openid\"]\n"
    );
    ("oidc.toml".to_owned(), text)
}
