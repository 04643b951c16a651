//! Tokens for one resource (RFC 8707), at a server that is not ours.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{House, PUBLIC_URL, TTL};
use crate::support::oidc;

const RESOURCE: &str = "https://api.acme.example/v1";

/// The claims of an access token that is a JWT.
fn claims(access_token: &str) -> Value {
    let claims = access_token.split('.').nth(1).expect("the token is opaque: nobody named a resource");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_is_for_the_resource_that_the_entry_names() {
    let redirect_uri = format!("{PUBLIC_URL}/oauth/callback/default/oidc");
    let provider = oidc::start_with(&redirect_uri, TTL, &json!({ "resource": RESOURCE })).await;
    let params = ["authorization_params", "token_params", "refresh_params"]
        .map(|name| format!("[{name}]\nresource = \"{RESOURCE}\"\n"));
    let house = House::at(provider, &params.concat()).await;
    house.connect("ada").await;
    let first = house.token("ada").await.access_token;
    assert_eq!(claims(&first)["aud"], RESOURCE);
    house.expire();
    let second = house.token("ada").await.access_token;
    assert_ne!(first, second);
    assert_eq!(claims(&second)["aud"], RESOURCE, "after a refresh, too");
}
