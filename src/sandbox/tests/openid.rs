//! OpenID Connect.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::json;

use super::*;
use crate::sandbox::OpenIdQuirks;

fn with_openid(openid: OpenIdQuirks) -> Stage {
    Stage::new(Quirks { openid: Some(openid), ..Quirks::default() })
}

/// The claims of an id token, whose signature is checked with the published key.
async fn claims(stage: &Stage, tokens: &Value) -> Value {
    let keys: JwkSet = serde_json::from_value(stage.get("/.well-known/jwks.json", &[]).await.json()).unwrap();
    let token = tokens["id_token"].as_str().unwrap();
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.set_audience(&[CLIENT_ID]);
    jsonwebtoken::decode(token, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn an_id_token_comes_with_its_scope() {
    let stage = with_openid(OpenIdQuirks::default());
    let tokens = stage.connect(&[("scope", "read openid"), ("nonce", "n-1")], &[]).await;
    let now = stage.clock.now().unix_timestamp();
    let expected = json!({
        "iss": format!("https://{HOST}"),
        "sub": "ada@example.com",
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 300,
        "nonce": "n-1",
    });
    assert_eq!(claims(&stage, &tokens).await, expected);
    let refreshed = stage.refresh(refresh_token(&tokens), &[]).await.json();
    assert_eq!(claims(&stage, &refreshed).await.get("nonce"), None);

    let without = stage.connect(&[("scope", "read")], &[]).await;
    assert_eq!(without.get("id_token"), None);
    let plain = Stage::strict().connect(&[("scope", "openid")], &[]).await;
    assert_eq!(plain.get("id_token"), None);
}

#[tokio::test]
async fn an_id_token_has_further_claims() {
    let claims_of_quirk = json!({ "tenant": "acme", "sub": "other" }).as_object().unwrap().clone();
    let stage = with_openid(OpenIdQuirks {
        issuer: "https://login.test/tenant".to_owned(),
        always: true,
        nonce_required: true,
        claims: claims_of_quirk,
        ..OpenIdQuirks::default()
    });
    assert_eq!(stage.ask(&[]).await.callback()["error"], "invalid_request");
    let tokens = stage.connect(&[("nonce", "n-2")], &[]).await;
    let claims = claims(&stage, &tokens).await;
    assert_eq!((&claims["tenant"], &claims["sub"]), (&json!("acme"), &json!("other")));
    assert_eq!((&claims["iss"], &claims["nonce"]), (&json!("https://login.test/tenant"), &json!("n-2")));
}

#[tokio::test]
async fn the_configuration_is_under_the_issuers_path() {
    let openid = OpenIdQuirks { issuer: "https://{host}/tenant/".to_owned(), ..OpenIdQuirks::default() };
    let iss = Some("https://{host}/tenant/".to_owned());
    let stage = Stage::new(Quirks { openid: Some(openid), iss, https: false, ..Quirks::default() });
    let path = "/tenant/.well-known/openid-configuration";
    let configuration = stage.get(path, &[]).await.json();
    assert_eq!(configuration["issuer"], format!("https://{HOST}/tenant/"));
    assert_eq!(configuration["authorization_endpoint"], format!("http://{HOST}/authorize"));
    assert_eq!(configuration["token_endpoint"], format!("http://{HOST}/token"));
    assert_eq!(configuration["revocation_endpoint"], format!("http://{HOST}/revoke"));
    assert_eq!(configuration["authorization_response_iss_parameter_supported"], true);
    let methods = json!(["client_secret_basic", "client_secret_post"]);
    assert_eq!(configuration["token_endpoint_auth_methods_supported"], methods);
    assert_eq!(stage.approve(&[]).await["iss"], configuration["issuer"].as_str().unwrap());
    assert_eq!(stage.sandbox.book().requests[path], 1);
    let root = "/.well-known/openid-configuration";
    assert_eq!(stage.get(root, &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(Stage::strict().get(root, &[]).await.status, StatusCode::NOT_FOUND);
}
