//! The link with which a frontend begins a flow.

use std::collections::BTreeMap;

use tokenwell::{
    api::pb::project::v1::{HmacSettings, Settings},
    model::{HmacKey, Signed},
};
use url::Url;

use crate::support::{
    Browser, TestResult, TestServer,
    browser::Answer,
    server::begin,
    steps::{other_project, param, params, publishable_key},
};

const KEY: [u8; 32] = [7; 32];
const RETURN_URL: &str = "https://app.example.com/done";

fn link(server: &TestServer, integration_id: &str, query: &[(&str, &str)]) -> String {
    let url = format!("{}/oauth/connect/{integration_id}", server.public_url);
    Url::parse_with_params(&url, query).unwrap().into()
}

fn sign(integration_id: &str, connection_id: &str) -> String {
    let signed = Signed {
        project_id: "default",
        integration_id,
        connection_id,
        connection_config: &BTreeMap::new(),
        authorization_params: &BTreeMap::new(),
        scopes: &[],
        user_scopes: &[],
        return_url: "",
    };
    signed.sign_v1(&HmacKey::from(KEY.to_vec()))
}

async fn require_signatures(server: &TestServer) {
    let hmac = HmacSettings { required: true, keys: vec![KEY.to_vec()], ..HmacSettings::default() };
    let settings = Settings { hmac: Some(hmac), ..Settings::default() };
    server.update_settings(settings, &["hmac.required", "hmac.keys"]).await;
}

#[track_caller]
fn assert_page(answer: &Answer, status: u16, error: &str) {
    let found = (answer.status.as_u16(), answer.result("data-status"), answer.result("data-error"));
    assert_eq!(found, (status, "error", error), "{}", answer.body);
    assert_eq!((answer.header("location"), answer.header("set-cookie")), ("", ""));
}

#[tokio::test]
async fn a_frontend_connects_a_user_by_a_link() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    require_signatures(&server).await;
    let settings = Settings { allowed_return_urls: vec![RETURN_URL.to_owned()], ..Settings::default() };
    server.update_settings(settings, &["allowed_return_urls"]).await;
    let key = publishable_key(&server).await;
    let query = [
        ("public_key", key.as_str()),
        ("connection_id", "u&1"),
        ("hmac", &sign("sandbox", "u&1")),
        ("authorization_params[prompt]", "login"),
        ("return_url", RETURN_URL),
    ];
    let mut browser = Browser::new();
    let answer = browser.get(&link(&server, "sandbox", &query)).await;
    assert_eq!(answer.status.as_u16(), 302, "{}", answer.body);
    let location = answer.location().unwrap();
    assert_eq!(param(&location, "prompt"), "login");
    for own in ["public_key", "hmac", "connection_id", "return_url"] {
        assert!(params(&location, own).is_empty(), "{location}");
    }
    assert!(browser.cookie(&server.public_url, "tokenwell_browser").is_some());

    let consent = browser.open(location.as_str()).await;
    let back = browser.decide(&consent, "approve").await.location().unwrap();
    assert_eq!(Browser::new().get(back.as_str()).await.header("set-cookie"), "");
    let done = browser.get(back.as_str()).await;
    assert_eq!(done.status.as_u16(), 303);
    let done = done.location().unwrap();
    assert_eq!(param(&done, "tokenwell_status"), "success");
    assert_eq!(param(&done, "tokenwell_connection_id"), "u&1");
    server.token("sandbox", "u&1").await?;
    Ok(())
}

#[tokio::test]
async fn a_link_carries_config() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.create_integration("desk", "zendesk").await;
    let key = publishable_key(&server).await;
    let good = [("public_key", key.as_str()), ("connection_id", "u1"), ("params[subdomain]", "acme")];
    let location = Browser::new().get(&link(&server, "desk", &good)).await.location().unwrap();
    assert_eq!(location.host_str(), Some("acme.zendesk.com"));
    for bad in ["params[subdomain", "params[colour]", "params[]"] {
        let query = [("public_key", key.as_str()), ("connection_id", "u1"), (bad, "acme")];
        let answer = Browser::new().get(&link(&server, "desk", &query)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (400, ""), "{bad}");
    }
    let query = [("public_key", key.as_str()), ("connection_id", "u1"), ("params[subdomain]", "evil.com/")];
    assert_page(&Browser::new().get(&link(&server, "desk", &query)).await, 400, "CONNECTION_CONFIG_INVALID");
}

#[tokio::test]
async fn what_a_link_does_not_have_is_refused() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let key = publishable_key(&server).await;
    for bad in [
        ("metadata", "{}"),
        ("tokenwell_state", "x"),
        ("scopes", "admin"),
        ("redirect_uri", "https://evil.com"),
        ("public_key", "twice"),
        ("Connection_Id", "u1"),
        ("<script>alert(1)</script>", "x"),
    ] {
        let query = [("public_key", key.as_str()), ("connection_id", "u1"), bad];
        let answer = Browser::new().get(&link(&server, "sandbox", &query)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (400, ""), "{bad:?}");
        assert!(!answer.body.contains("<script>alert"), "{}", answer.body);
    }
    for (name, value, error) in [
        ("authorization_params[state]", "x", "AUTHORIZATION_PARAM_RESERVED"),
        ("authorization_params[Redirect_uri]", "https://evil.com", "AUTHORIZATION_PARAM_RESERVED"),
        ("return_url", "https://evil.com/", "RETURN_URL_NOT_ALLOWED"),
        ("user_scope", "a", "FIELD_INVALID"),
    ] {
        let query = [("public_key", key.as_str()), ("connection_id", "u1"), (name, value)];
        assert_page(&Browser::new().get(&link(&server, "sandbox", &query)).await, 400, error);
    }
    assert_eq!(provider.sandbox.book().token_requests, []);
}

#[tokio::test]
async fn a_link_needs_a_publishable_key_of_the_project() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let key = publishable_key(&server).await;
    let mut browser = Browser::new();
    let mut open = async |integration_id: &str, key: &str| {
        let query = [("public_key", key), ("connection_id", "u1")];
        browser.get(&link(&server, integration_id, &query)).await
    };
    assert_page(&open("sandbox", "").await, 401, "API_KEY_MISSING");
    for wrong in ["x", "tw_pk_unknown", &format!("{key}x"), &key.to_uppercase()] {
        assert_page(&open("sandbox", wrong).await, 401, "API_KEY_INVALID");
    }
    assert_page(&open("nope", &key).await, 404, "INTEGRATION_NOT_FOUND");
    let other = other_project(&server, "other").await;
    assert_eq!(open("sandbox", &other).await.header("location"), "");
    assert_eq!(open("sandbox", &key).await.status.as_u16(), 302);
}

/// A secret key in a browser's address bar is a secret key in its history and in logs: that it works would hide it.
#[tokio::test]
async fn a_link_with_a_secret_key_is_refused() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    for key in [server.key.clone(), format!(" {}", server.key)] {
        let query = [("public_key", key.as_str()), ("connection_id", "u1")];
        let answer = Browser::new().get(&link(&server, "sandbox", &query)).await;
        assert_eq!(
            (answer.status.is_client_error(), answer.header("location")),
            (true, ""),
            "{}",
            answer.status
        );
        assert!(!answer.body.contains(&server.key), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_link_is_signed_where_the_project_wants_it() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    require_signatures(&server).await;
    let key = publishable_key(&server).await;
    let mut browser = Browser::new();
    let mut open = async |connection_id: &str, hmac: &str| {
        let query = [("public_key", key.as_str()), ("connection_id", connection_id), ("hmac", hmac)];
        browser.get(&link(&server, "sandbox", &query)).await
    };
    assert_page(&open("u1", "").await, 401, "SIGNATURE_MISSING");
    for wrong in [
        "x",
        &"0".repeat(64),
        &sign("sandbox", "u2"),
        &sign("sandbox2", "u1"),
        &sign("sandbox", "u1").to_uppercase(),
        &sign("sandbox", "u1")[..63],
    ] {
        assert_page(&open("u1", wrong).await, 401, "SIGNATURE_INVALID");
    }
    assert_eq!(open("u1", &sign("sandbox", "u1")).await.status.as_u16(), 302);
    assert!(server.begin(begin("sandbox", "u1")).await.is_err(), "it is the same rule for backends");
    Ok(())
}
