//! `django-oauth-toolkit`, which rotates refresh tokens and takes a spent one again for a while.

use std::{path::Path, process::Command};

use serde_json::json;

use super::{
    Foreign,
    oidc::{CLIENT_ID, CLIENT_SECRET},
};

/// Starts it, with access tokens that live this long and this grace period, both in seconds.
pub async fn start(redirect_uri: &str, access_token_ttl: u32, grace_period: u32) -> Foreign {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/grace.py");
    let options = json!({
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uris": [redirect_uri],
        "access_token_ttl": access_token_ttl,
        "grace_period": grace_period,
    });
    Foreign::start(Command::new("python3").arg(script).arg(options.to_string())).await
}

/// The catalog entry `grace`, with the token endpoint at this origin.
pub fn entry(grace: &Foreign, token_origin: &str) -> (String, String) {
    let origin = &grace.origin;
    let text = format!(
        "display_name = \"Grace\"\ncategories = [\"test\"]\n\
         documentation = \"https://django-oauth-toolkit.readthedocs.io\"\n\
         authorization_endpoint = \"{origin}/o/authorize/\"\ntoken_endpoint = \"{token_origin}/o/token/\"\n\
         hosts = [\"127.0.0.1\"]\ntoken_endpoint_auth_method = \"client_secret_basic\"\n\
         default_scopes = [\"read\", \"write\"]\n"
    );
    ("grace.toml".to_owned(), text)
}
