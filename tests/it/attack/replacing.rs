//! A publishable key is for everybody to read. Without a signature it names any connection, and so it may give none another account.

use std::collections::BTreeMap;

use tokenwell::{
    api::pb::{
        auth::v1::BeginRequest,
        project::v1::{HmacSettings, Settings},
    },
    model::{Clock as _, Duration, HmacKey, Signed},
};
use tonic::Code;

use crate::support::{
    Browser, Database, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused,
    database::Kind,
    server::begin,
    steps::{publishable_key, until, works},
};

const KEY: [u8; 32] = [7; 32];

async fn stage(kind: Kind) -> (TestServer, TestProvider, Database, String) {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::new(kind).await;
    let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;
    let hmac = HmacSettings { keys: vec![KEY.to_vec()], ..HmacSettings::default() };
    server.update_settings(Settings { hmac: Some(hmac), ..Settings::default() }, &["hmac.keys"]).await;
    let key = publishable_key(&server).await;
    (server, provider, database, key)
}

/// A flow of a frontend to its end. Gives the error, if it had one.
async fn connect(server: &TestServer, key: &str, request: BeginRequest) -> Result<String, tonic::Status> {
    let begun = server.auth(key).begin(request).await?.into_inner();
    let mut browser = Browser::new();
    let callback = server.consent(&mut browser, &begun.connect_url, "approve").await.location().unwrap();
    Ok(browser.get(callback.as_str()).await.result("data-error").to_owned())
}

/// By scheme v2 if it is to expire.
fn sign(request: BeginRequest, expiry: Option<i64>) -> BeginRequest {
    let signed = Signed {
        project_id: "default",
        integration_id: &request.integration_id,
        connection_id: &request.connection_id,
        connection_config: &BTreeMap::new(),
        authorization_params: &BTreeMap::new(),
        scopes: &request.scopes,
        user_scopes: &[],
        return_url: "",
    };
    let key = HmacKey::from(KEY.to_vec());
    let signature = expiry.map_or_else(|| signed.sign_v1(&key), |expiry| signed.sign_v2(&key, expiry, "n"));
    BeginRequest { signature, ..request }
}

async fn an_unsigned_frontend_replaces_no_connection(kind: Kind) -> TestResult {
    let (server, provider, _database, key) = stage(kind).await;
    assert_eq!(connect(&server, &key, begin("sandbox", "u1")).await?, "", "a new one may be made");
    let (_, before) = server.token("sandbox", "u1").await?;
    assert_eq!(connect(&server, &key, begin("sandbox", "u1")).await?, "CONNECTION_ALREADY_EXISTS");
    let (_, after) = server.token("sandbox", "u1").await?;
    assert_eq!(before.access_token, after.access_token);
    assert!(works(&provider, &after.access_token).await);

    // Whom a backend stands for may.
    let expiry = (server.clock.now() + Duration::minutes(1)).unix_timestamp();
    for signed in [sign(begin("sandbox", "u1"), None), sign(begin("sandbox", "u1"), Some(expiry))] {
        assert_eq!(connect(&server, &key, signed).await?, "");
    }
    assert_eq!(connect(&server, &server.key, begin("sandbox", "u1")).await?, "");
    let (_, after) = server.token("sandbox", "u1").await?;
    assert_ne!(before.access_token, after.access_token);
    Ok(())
}

#[tokio::test]
async fn an_unsigned_frontend_replaces_no_connection_on_sqlite() -> TestResult {
    an_unsigned_frontend_replaces_no_connection(Kind::Sqlite).await
}

#[tokio::test]
async fn an_unsigned_frontend_replaces_no_connection_on_postgresql() -> TestResult {
    an_unsigned_frontend_replaces_no_connection(Kind::Postgres).await
}

/// What was granted for nothing is given back.
#[tokio::test]
async fn what_replaces_nothing_is_revoked() -> TestResult {
    let clock = ManualClock::new();
    let mut provider = TestProvider::plain(&clock).await;
    let revocation = format!("revocation_endpoint = \"http://{}/revoke\"\n", provider.address);
    provider.entry.as_mut().unwrap().1.push_str(&revocation);
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;
    let key = publishable_key(&server).await;
    server.connect("sandbox", "u1").await;
    assert_eq!(connect(&server, &key, begin("sandbox", "u1")).await?, "CONNECTION_ALREADY_EXISTS");
    until(async || provider.sandbox.book().revocation_requests.len(), |count| *count > 0).await;
    let (_, token) = server.token("sandbox", "u1").await?;
    assert!(works(&provider, &token.access_token).await);
    Ok(())
}

/// Nor does a frontend have its user grant more than the app asks for, or get past what the provider's entry insists on.
#[tokio::test]
async fn an_unsigned_frontend_asks_for_no_more_than_the_integration() -> TestResult {
    let clock = ManualClock::new();
    let mut provider = TestProvider::plain(&clock).await;
    provider.entry.as_mut().unwrap().1.push_str("[authorization_params]\naudience = \"api\"\n");
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;
    let hmac = HmacSettings { keys: vec![KEY.to_vec()], ..HmacSettings::default() };
    server.update_settings(Settings { hmac: Some(hmac), ..Settings::default() }, &["hmac.keys"]).await;
    let key = publishable_key(&server).await;
    let scopes = |scopes: &[&str]| BeginRequest {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..begin("sandbox", "u1")
    };
    server.auth(&key).begin(scopes(&["read"])).await?;
    let refused = server.auth(&key).begin(scopes(&["read", "admin"])).await;
    let refused = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refused.fields, ["scopes"]);
    let v1 = sign(scopes(&["admin"]), None);
    assert_refused(server.auth(&key).begin(v1).await, Code::InvalidArgument, "FIELD_INVALID");
    let expiry = (server.clock.now() + Duration::minutes(1)).unix_timestamp();
    let v2 = sign(scopes(&["admin"]), Some(expiry));
    server.auth(&key).begin(v2).await?;
    server.begin(scopes(&["admin"])).await?;

    let audience = BeginRequest {
        authorization_params: [("audience".to_owned(), "other".to_owned())].into(),
        ..begin("sandbox", "u1")
    };
    let refused = server.auth(&key).begin(audience.clone()).await;
    let refused = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refused.fields, ["authorization_params.audience"]);
    server.begin(audience).await?;
    Ok(())
}
