//! RFC 7009: the revocation endpoint.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::KeyPair;
use serde_json::json;
use tokenwell::{
    oauth::{Failure, Revoked},
    sandbox::{AuthMethod, Client, OpenIdQuirks, Quirks},
};

use super::{Life, refused, steady, without_refresh};
use crate::support::{
    Acme, Database, TestResult,
    provider::{CLIENT_ID, CLIENT_SECRET, client},
    steps::works,
};

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
revocation_endpoint = "PROVIDER/revoke"
"#;
const NEW: &str = "canary-client-secret-new-9Zk";

#[tokio::test]
async fn a_refresh_token_is_revoked_and_takes_its_grant_with_it() -> TestResult {
    let life = Life::new(steady(), ENTRY).await;
    let tokens = life.tokens().await;
    let access_token = life.acme.token().await?;
    assert!(works(&life.acme.provider, &access_token).await);
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    let requests = life.requests();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    let mut form = request.form.clone();
    assert!(form.remove("token").unwrap().starts_with("sandbox_rt_"));
    assert_eq!(form.remove("token_type_hint").as_deref(), Some("refresh_token"));
    assert_eq!(form.remove("client_id").as_deref(), Some(CLIENT_ID));
    assert_eq!(form.remove("client_secret").as_deref(), Some(CLIENT_SECRET));
    assert!(form.is_empty() && request.authorization.is_none(), "{request:?}");
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/revoke"));
    assert!(!works(&life.acme.provider, &access_token).await && !life.refreshes().await);
    // What is dead is done, as often as somebody asks.
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    assert_eq!(life.acme.provider.sandbox.book().revocations, 1);
    Ok(())
}

#[tokio::test]
async fn an_access_token_alone_is_revoked() -> TestResult {
    let life = Life::new(steady(), ENTRY).await;
    let tokens = without_refresh(&life.tokens().await);
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    let request = &life.requests()[0];
    assert!(request.form["token"].starts_with("sandbox_at_"));
    assert_eq!(request.form["token_type_hint"], "access_token");
    assert!(!works(&life.acme.provider, &life.acme.token().await?).await);
    assert!(life.refreshes().await, "the grant lives on");
    Ok(())
}

/// RFC 7009, section 2.2.1.
#[tokio::test]
async fn where_one_kind_of_token_is_not_revoked_the_other_is() -> TestResult {
    for (refresh, access, expected, requests) in [
        (false, true, Revoked::Done, 2),
        (true, false, Revoked::Done, 1),
        (false, false, Revoked::Unsupported, 2),
    ] {
        let quirks = Quirks { revokes_refresh_tokens: refresh, revokes_access_tokens: access, ..steady() };
        let life = Life::new(quirks, ENTRY).await;
        let tokens = life.tokens().await;
        assert_eq!(life.revoke(&tokens).await, Ok(expected), "{refresh} {access}");
        assert_eq!(life.requests().len(), requests, "{refresh} {access}");
        let alive = works(&life.acme.provider, &life.acme.token().await?).await;
        assert_eq!(alive, expected == Revoked::Unsupported, "{refresh} {access}");
    }
    Ok(())
}

#[tokio::test]
async fn without_an_endpoint_there_is_no_way() {
    let life = Life::new(steady(), &ENTRY.replace("revocation_endpoint", "# ")).await;
    let tokens = life.tokens().await;
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Unsupported));
    assert_eq!(life.requests(), []);
    assert!(life.refreshes().await);
}

#[tokio::test]
async fn the_client_proves_itself_as_it_does_at_the_token_endpoint() -> TestResult {
    // By Basic, with both parts form-encoded.
    let entry = format!("{ENTRY}token_endpoint_auth_method = \"client_secret_basic\"\n");
    let life = Life::new(Quirks { auth_methods: vec![AuthMethod::Basic], ..steady() }, &entry).await;
    let tokens = life.tokens().await;
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    let request = &life.requests()[0];
    assert!(request.authorization.as_ref().unwrap().starts_with("Basic "));
    assert!(!request.form.contains_key("client_id") && !request.form.contains_key("client_secret"));

    // A public one by its name alone, even if it has a secret.
    let entry = format!("{ENTRY}token_endpoint_auth_method = \"none\"\n");
    let public = Client { client_secret: None, ..client() };
    let quirks = Quirks { auth_methods: vec![AuthMethod::None], ..steady() };
    let life = Life::of(Acme::of(Database::sqlite(), vec![public], quirks, &entry).await);
    let tokens = life.tokens().await;
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    let request = &life.requests()[0];
    assert!(request.form["client_id"] == CLIENT_ID && !request.form.contains_key("client_secret"));

    // By an assertion.
    let entry = format!("{ENTRY}token_endpoint_auth_method = \"private_key_jwt\"\n");
    let key = KeyPair::generate()?;
    let signing = Client { public_key: Some(key.public_key_pem()), client_secret: None, ..client() };
    let quirks = Quirks { auth_methods: vec![AuthMethod::PrivateKeyJwt], ..steady() };
    let mut life = Life::of(Acme::of(Database::sqlite(), vec![signing], quirks, &entry).await);
    life.give_key(&key.serialize_pem()).await;
    let tokens = life.tokens().await;
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    let request = &life.requests()[0];
    assert!(request.form.contains_key("client_assertion") && !request.form.contains_key("client_secret"));
    // Which is worth nothing at the token endpoint.
    let claims = request.form["client_assertion"].split('.').nth(1).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    assert_eq!(claims["aud"], format!("http://{}/revoke", life.acme.provider.address));
    Ok(())
}

#[tokio::test]
async fn the_providers_names_and_headers_are_used() {
    let names = [("client_id", "client_key"), ("client_secret", "client_token")];
    let mut quirks = steady();
    quirks.param_names = names.into_iter().map(|(name, own)| (name.to_owned(), own.to_owned())).collect();
    quirks.token_request.headers = vec![("x-version".to_owned(), "7".to_owned())];
    let entry = format!(
        "{ENTRY}param_names = {{ client_id = \"client_key\", client_secret = \"client_token\" }}\n\
         token_headers = {{ x-version = \"7\" }}\n"
    );
    let life = Life::new(quirks, &entry).await;
    let tokens = life.tokens().await;
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    let request = &life.requests()[0];
    assert_eq!(request.form["client_key"], CLIENT_ID);
    assert!(!request.form.contains_key("client_id"), "{request:?}");
}

#[tokio::test]
async fn a_revocation_is_tried_with_each_secret() {
    let mut life = Life::new(steady(), ENTRY).await;
    let tokens = life.tokens().await;
    life.acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    assert!(
        matches!(life.revoke(&tokens).await, Err(Failure::Refused { code, .. }) if code == "invalid_client")
    );
    life.integration.further_client_secrets = vec![NEW.into()];
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    let secrets: Vec<_> =
        life.requests().iter().map(|request| request.form["client_secret"].clone()).collect();
    assert_eq!(secrets, [CLIENT_SECRET, CLIENT_SECRET, NEW]);
}

#[tokio::test]
async fn an_answer_is_judged_by_its_status_and_its_error() {
    let life = Life::new(steady(), ENTRY).await;
    let tokens = life.tokens().await;
    let detour = |status: u16, body: &str| life.acme.detour.answer("/revoke", status, body);
    for (status, body) in [
        (200, ""),
        (204, ""),
        (200, "{}"),
        (200, "<html>"),
        // What was dead before is done: Google says so like this.
        (400, "{\"error\": \"invalid_token\"}"),
        (400, "{\"error\": \"invalid_grant\"}"),
    ] {
        detour(status, body);
        assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done), "{status} {body}");
    }
    for (status, body) in [(503, ""), (500, "{\"error\": \"invalid_token\"}"), (429, "{}"), (408, "")] {
        detour(status, body);
        let failed = life.revoke(&tokens).await;
        assert!(matches!(failed, Err(Failure::Unavailable { .. })), "{status} {body}");
    }
    for (status, code) in [(400, "invalid_request"), (200, "invalid_request"), (403, "access_denied")] {
        detour(status, &json!({ "error": code }).to_string());
        assert_eq!(life.revoke(&tokens).await, refused(code), "{status} {code}");
    }
    for (status, body) in [(400, ""), (404, "<html>"), (302, ""), (403, "{}")] {
        detour(status, body);
        let failed = life.revoke(&tokens).await;
        assert!(matches!(failed, Err(Failure::Invalid { .. })), "{status} {body}");
    }
    detour(401, "{}");
    assert_eq!(life.revoke(&tokens).await, Err(Failure::Unauthorized));
    life.acme.detour.end("/revoke");
    assert!(life.refreshes().await, "nothing of that came to the provider");
}

#[tokio::test]
async fn an_issuers_metadata_names_the_endpoint_and_no_foreign_one() -> TestResult {
    const CONFIGURATION: &str = "/.well-known/openid-configuration";
    let entry = "issuer = \"PROVIDER\"\ndiscovery = true\n";
    let openid = OpenIdQuirks { issuer: "http://{host}".to_owned(), ..OpenIdQuirks::default() };
    let quirks = || Quirks { openid: Some(openid.clone()), ..steady() };
    let life = Life::new(quirks(), entry).await;
    let tokens = life.tokens().await;
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    assert!(!life.refreshes().await);

    let life = Life::new(quirks(), entry).await;
    let origin = format!("http://{}", life.acme.provider.address);
    let metadata = json!({
        "issuer": origin,
        "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"),
        "revocation_endpoint": "https://canary.example/revoke",
    });
    life.acme.detour.answer(CONFIGURATION, 200, &metadata.to_string());
    // Flows and refreshes do without it.
    let tokens = life.tokens().await;
    assert!(matches!(life.revoke(&tokens).await, Err(Failure::Invalid { .. })));
    assert_eq!(life.requests(), []);
    Ok(())
}
