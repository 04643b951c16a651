//! Begin, and the whole way to a connection: what is asked for, what arrives at the provider, what is stored.

use std::collections::HashMap;

use tokenwell::{
    api::pb::{
        auth::v1::BeginRequest,
        connection::v1::State,
        integration::v1::{CreateRequest, Integration},
        project::v1::Settings,
    },
    model::{Duration, Uuid},
};
use tonic::Code;
use url::Url;

use crate::support::{
    Browser, Database, ManualClock, Options, TestResult, TestServer, assert_refused,
    server::begin,
    steps::{basic, object, other_project, param, params, walk, works},
};

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn zendesk() -> (TestServer, Database) {
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::new(&ManualClock::new())).await;
    server.create_integration("desk", "zendesk").await;
    (server, database)
}

fn desk(config: &[(&str, &str)]) -> BeginRequest {
    BeginRequest { connection_config: map(config), ..begin("desk", "u1") }
}

#[tokio::test]
async fn a_user_connects_and_the_token_works_at_the_provider() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (begun, callback) = walk(&server, &mut browser, begin("sandbox", "user-1")).await;
    assert_eq!(begun.connection_id, "user-1");
    assert!(begun.connect_url.starts_with(&server.public_url), "{}", begun.connect_url);
    assert_eq!(provider.sandbox.book().token_requests, []);
    assert_refused(server.token("sandbox", "user-1").await, Code::NotFound, "CONNECTION_NOT_FOUND");

    let page = browser.get(callback.as_str()).await;
    assert_eq!((page.status.as_u16(), page.result("data-status")), (200, "success"));
    assert_eq!(page.result("data-flow-id"), begun.flow_id);
    assert_eq!(
        (page.result("data-integration-id"), page.result("data-connection-id")),
        ("sandbox", "user-1")
    );

    let (connection, token) = server.token("sandbox", "user-1").await?;
    assert!(works(&provider, &token.access_token).await);
    assert!(!works(&provider, "another").await);
    assert_eq!(token.token_type, "Bearer");
    assert_eq!((connection.state(), connection.provider_id.as_str()), (State::Active, "sandbox"));
    assert_eq!(connection.granted_scopes, ["read", "write"]);

    let book = provider.sandbox.book();
    assert_eq!(
        (book.authorizations, book.exchanges, book.refreshes, book.token_requests.len()),
        (1, 1, 0, 1)
    );
    let form = &book.token_requests[0].form;
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["redirect_uri"], format!("{}/oauth/callback/default/sandbox", server.public_url));
    assert!(form.contains_key("code_verifier") && !form.contains_key("client_secret"), "{:?}", form.keys());
    Ok(())
}

#[tokio::test]
async fn a_connection_id_is_made_when_none_is_given() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let other = server.begin(begin("sandbox", "")).await?;
    let (begun, callback) = walk(&server, &mut browser, begin("sandbox", "")).await;
    assert_eq!(begun.connection_id.parse::<Uuid>()?.get_version_num(), 7);
    assert_ne!(begun.connection_id, other.connection_id);
    let page = browser.get(callback.as_str()).await;
    assert_eq!(page.result("data-connection-id"), begun.connection_id);
    server.token("sandbox", &begun.connection_id).await?;
    Ok(())
}

#[tokio::test]
async fn connecting_again_replaces_the_tokens_and_keeps_the_metadata() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let gold = object(&[("plan", "gold"), ("seat", "7")]);
    let request = BeginRequest { metadata: Some(gold.clone()), ..begin("sandbox", "u1") };
    let (_, callback) = walk(&server, &mut browser, request).await;
    browser.get(callback.as_str()).await;
    let (first, old) = server.token("sandbox", "u1").await?;
    assert_eq!(first.metadata.as_ref(), Some(&gold));

    server.clock.advance(Duration::minutes(1));
    server.connect("sandbox", "u1").await;
    let (second, new) = server.token("sandbox", "u1").await?;
    assert_ne!(old.access_token, new.access_token);
    assert!(works(&provider, &new.access_token).await);
    assert_eq!((second.metadata, second.create_time), (Some(gold), first.create_time));
    assert_ne!((second.update_time, second.refresh_time), (first.update_time, first.refresh_time));

    let silver = object(&[("plan", "silver")]);
    let request = BeginRequest { metadata: Some(silver.clone()), ..begin("sandbox", "u1") };
    let (_, callback) = walk(&server, &mut browser, request).await;
    assert_eq!(basic(&server, "sandbox", "u1").await?.etag, second.etag, "only the end of a flow writes");
    browser.get(callback.as_str()).await;
    let third = basic(&server, "sandbox", "u1").await?;
    assert_eq!(third.metadata, Some(silver), "metadata of a Begin replaces, it is not merged");
    assert_ne!(third.etag, second.etag);
    Ok(())
}

#[tokio::test]
async fn an_integration_that_the_project_does_not_have_is_refused() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let refused =
        assert_refused(server.begin(begin("nope", "u1")).await, Code::NotFound, "INTEGRATION_NOT_FOUND");
    assert_eq!(refused.metadata["integration_id"], "nope");
    let key = other_project(&server, "other").await;
    let begun = server.auth(&key).begin(begin("sandbox", "u1")).await;
    assert_refused(begun, Code::NotFound, "INTEGRATION_NOT_FOUND");
}

#[tokio::test]
async fn config_that_the_provider_does_not_declare_is_refused_by_its_key() {
    let (server, _database) = zendesk().await;
    let refuse = async |config: &[(&str, &str)]| {
        let begun = server.begin(desk(config)).await;
        let refused = assert_refused(begun, Code::InvalidArgument, "CONNECTION_CONFIG_INVALID");
        assert_eq!(refused.metadata["provider_id"], "zendesk");
        refused.fields
    };
    assert_eq!(refuse(&[]).await, ["connection_config.subdomain"]);
    assert_eq!(refuse(&[("subdomain", "")]).await, ["connection_config.subdomain"]);
    assert_eq!(refuse(&[("subdomain", "acme"), ("colour", "red")]).await, ["connection_config.colour"]);
    let mut both = refuse(&[("Subdomain", "acme")]).await;
    both.sort();
    assert_eq!(both, ["connection_config.Subdomain", "connection_config.subdomain"]);
    // However much is wrong, the answer stays small enough to be read.
    let names: Vec<_> = (0..10_000).map(|n| format!("k{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    assert_eq!(refuse(&many).await, ["connection_config"]);
}

#[tokio::test]
async fn a_subdomain_that_would_lead_elsewhere_is_refused() {
    let (server, _database) = zendesk().await;
    for bad in [
        "evil.com",
        "evil.com/",
        "evil.com#",
        "evil.com?",
        "acme.zendesk.com.evil.com",
        "acme@evil.com",
        "acme\\evil",
        "acme:8443",
        "a_b",
        "-acme",
        "ac me",
        "ac\u{0}me",
        "%61cme",
        "127.0.0.1",
        "ftp://acme.zendesk.com",
        &"a".repeat(64),
        &"a".repeat(5000),
    ] {
        let begun = server.begin(desk(&[("subdomain", bad)])).await;
        let refused = assert_refused(begun, Code::InvalidArgument, "CONNECTION_CONFIG_INVALID");
        assert_eq!(refused.fields, ["connection_config.subdomain"], "{bad:?}");
    }
}

#[tokio::test]
async fn a_subdomain_may_be_pasted_as_people_have_it() -> TestResult {
    let (server, _database) = zendesk().await;
    for good in ["acme", "ACME", " acme ", "acme.zendesk.com", "https://acme.zendesk.com/agent?x=1"] {
        let begun = server.begin(desk(&[("subdomain", good)])).await?;
        let url = Url::parse(&begun.authorization_url)?;
        assert_eq!(url.host_str(), Some("acme.zendesk.com"), "{good}");
        assert_eq!((url.scheme(), url.path()), ("https", "/oauth/authorizations/new"));
    }
    Ok(())
}

#[tokio::test]
async fn an_authorization_param_of_tokenwells_own_is_refused_in_every_case() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    for name in [
        "client_id",
        "client_secret",
        "code",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "grant_type",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
        "STATE",
        "Redirect_Uri",
        "CODE_CHALLENGE",
        // As servers in PHP read them.
        "redirect.uri",
        "code.challenge",
        "client.id",
        "nonce",
        "client_assertion",
        "dpop_jkt",
    ] {
        let params = map(&[(name, "x"), ("prompt", "login")]);
        let request = BeginRequest { authorization_params: params, ..begin("sandbox", "u1") };
        let refused = assert_refused(
            server.begin(request).await,
            Code::InvalidArgument,
            "AUTHORIZATION_PARAM_RESERVED",
        );
        assert_eq!(refused.fields, [format!("authorization_params.{name}")]);
    }
}

#[tokio::test]
async fn an_authorization_param_has_a_plain_name() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    for name in ["state[]", "state[0]", "redirect[uri", "a b", "a+b", "a%5f", "scope[]", "", "é"] {
        let request = BeginRequest { authorization_params: map(&[(name, "x")]), ..begin("sandbox", "u1") };
        let refused = assert_refused(server.begin(request).await, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refused.fields, ["authorization_params"], "{name}");
    }
}

#[tokio::test]
async fn further_authorization_params_arrive_at_the_provider_as_given() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let given = [("prompt", "login"), ("login_hint", "ada+x@example.com&state=forged#ü")];
    let request = BeginRequest { authorization_params: map(&given), ..begin("sandbox", "u1") };
    let begun = server.begin(request).await?;
    let consent = Browser::new().open(&begun.connect_url).await;
    assert_eq!((consent.url.host_str(), consent.url.path()), (Some("127.0.0.1"), "/authorize"));
    assert_eq!(consent.url.port(), Some(provider.address.port()));
    assert!(consent.body.contains("name=\"consent\""), "{}", consent.body);
    for (name, value) in given {
        assert_eq!(param(&consent.url, name), value);
    }
    assert_ne!(param(&consent.url, "state"), "forged");
    assert_eq!(param(&consent.url, "code_challenge_method"), "S256");
    Ok(())
}

#[tokio::test]
async fn authorization_params_beyond_the_limits_are_refused() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let many: HashMap<_, _> = (0..33).map(|n| (format!("p{n}"), "x".to_owned())).collect();
    for bad in [many, map(&[("", "x")]), map(&[("x", "a\nb")]), map(&[("x", &"a".repeat(2049))])] {
        let request = BeginRequest { authorization_params: bad, ..begin("sandbox", "u1") };
        let refused = assert_refused(server.begin(request).await, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refused.fields, ["authorization_params"]);
    }
    let most: HashMap<_, _> = (0..32).map(|n| (format!("p{n}"), "x".repeat(64))).collect();
    let request = BeginRequest { authorization_params: most, ..begin("sandbox", "u1") };
    assert!(server.begin(request).await.is_ok());
}

#[tokio::test]
async fn the_most_particular_scopes_are_asked_for_and_granted() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let own = server.create_integration("plain", "sandbox").await;
    let integration = Integration {
        integration_id: "scoped".to_owned(),
        scopes: vec!["tickets:read".to_owned()],
        client_secret: crate::support::provider::CLIENT_SECRET.to_owned(),
        ..own
    };
    server.integration(&server.key).create(CreateRequest { integration: Some(integration) }).await?;
    let asked = vec!["one".to_owned(), "two".to_owned()];
    for (integration_id, scopes, expected) in
        [("plain", vec![], "read write"), ("scoped", vec![], "tickets:read"), ("scoped", asked, "one two")]
    {
        let mut browser = Browser::new();
        let request = BeginRequest { scopes, ..begin(integration_id, "u1") };
        let begun = server.begin(request).await?;
        let consent = browser.open(&begun.connect_url).await;
        assert_eq!(param(&consent.url, "scope"), expected);
        let back = browser.decide(&consent, "approve").await;
        browser.get(back.location().unwrap().as_str()).await;
        let connection = basic(&server, integration_id, "u1").await?;
        assert_eq!(connection.granted_scopes.join(" "), expected);
    }
    Ok(())
}

#[tokio::test]
async fn malformed_scopes_are_refused() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    for bad in ["", "a b", "a\"b", "a\\b", "ü"] {
        let request = BeginRequest { scopes: vec![bad.to_owned()], ..begin("sandbox", "u1") };
        let refused = assert_refused(server.begin(request).await, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refused.fields, ["scopes"], "{bad:?}");
    }
    let request = BeginRequest { user_scopes: vec!["a".to_owned()], ..begin("sandbox", "u1") };
    let refused = assert_refused(server.begin(request).await, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refused.fields, ["user_scopes"], "the sandbox has no user scopes");
}

#[tokio::test]
async fn only_return_urls_of_the_projects_list_are_allowed() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let to = |url: &str| BeginRequest { return_url: url.to_owned(), ..begin("sandbox", "u1") };
    let good = "https://app.example.com/done?tab=1";
    assert_refused(server.begin(to(good)).await, Code::InvalidArgument, "RETURN_URL_NOT_ALLOWED");
    let allowed_return_urls = vec!["https://app.example.com/done".to_owned()];
    let settings = Settings { allowed_return_urls, ..Settings::default() };
    server.update_settings(settings, &["allowed_return_urls"]).await;
    for bad in
        ["https://app.example.com/other", "https://app.example.com.evil.com/done", "/done", "javascript:x"]
    {
        let refused =
            assert_refused(server.begin(to(bad)).await, Code::InvalidArgument, "RETURN_URL_NOT_ALLOWED");
        assert_eq!(refused.fields, ["return_url"], "{bad}");
    }
    // An app would read this before what the gateway adds.
    for bad in ["?tokenwell_status=success", "?a=1&%74okenwell_connection_id=x"] {
        let begun = server.begin(to(&format!("https://app.example.com/done{bad}"))).await;
        assert_eq!(
            assert_refused(begun, Code::InvalidArgument, "FIELD_INVALID").fields,
            ["return_url"],
            "{bad}"
        );
    }

    let mut browser = Browser::new();
    let (begun, callback) = walk(&server, &mut browser, to(good)).await;
    let answer = browser.get(callback.as_str()).await;
    let location = answer.location().unwrap();
    assert_eq!(answer.status.as_u16(), 303);
    assert!(location.as_str().starts_with("https://app.example.com/done?tab=1&"), "{location}");
    assert_eq!(param(&location, "tokenwell_status"), "success");
    assert_eq!(param(&location, "tokenwell_flow_id"), begun.flow_id);
    assert_eq!(param(&location, "tokenwell_integration_id"), "sandbox");
    assert_eq!(param(&location, "tokenwell_connection_id"), "u1");
    for secret in ["code", "state", "tokenwell_confirmation"] {
        assert!(params(&location, secret).is_empty(), "{location}");
    }
    Ok(())
}
