//! Steps that tests of flows share.

use std::time::Duration;

use prost_types::{Struct, Value, value::Kind};
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait as _, Statement};
use tokenwell::{
    api::pb::{
        auth::v1::{
            BeginRequest, BeginResponse, Callback, CompleteRequest, CompleteResponse, Confirmation,
            complete_request::End,
        },
        connection::v1::{Connection, GetRequest, View},
        project::v1::{ApiKeyKind, CreateApiKeyRequest, CreateRequest, Permission},
    },
    model::Clock as _,
};
use tokio::time::{Instant, sleep};
use tonic::Status;
use url::Url;

use super::{Browser, Database, ManualClock, TestProvider, TestServer, server::get};

/// How long what is waited for may take: well below the minute after which some things happen by themselves.
const PATIENCE: Duration = Duration::from_secs(30);

/// Begins a flow and walks it to the redirect back to the callback URL, which is given and not followed.
pub async fn walk(server: &TestServer, browser: &mut Browser, request: BeginRequest) -> (BeginResponse, Url) {
    let begun = server.begin(request).await.unwrap();
    let back = server.consent(browser, &begun.connect_url, "approve").await;
    let callback = back.location().expect("the provider did not send the browser back");
    (begun, callback)
}

/// Complete with a callback's query, by the backend that has this key.
pub async fn complete(server: &TestServer, key: &str, query: &str) -> Result<CompleteResponse, Status> {
    let end = Some(End::Callback(Callback { query: query.to_owned(), ..Callback::default() }));
    Ok(server.auth(key).complete(CompleteRequest { end }).await?.into_inner())
}

/// Complete with a confirmation, by the backend that has this key.
pub async fn confirm(
    server: &TestServer,
    key: &str,
    flow_id: &str,
    code: &str,
) -> Result<CompleteResponse, Status> {
    let confirmation =
        Confirmation { flow_id: flow_id.to_owned(), code: code.to_owned(), ..Confirmation::default() };
    let end = Some(End::Confirmation(confirmation));
    Ok(server.auth(key).complete(CompleteRequest { end }).await?.into_inner())
}

/// Makes a further project. Gives its key.
pub async fn other_project(server: &TestServer, project_id: &str) -> String {
    let request = CreateRequest { project_id: project_id.to_owned(), ..CreateRequest::default() };
    server.project(&server.key).create(request).await.unwrap().into_inner().secret
}

/// Makes a key for frontends.
pub async fn publishable_key(server: &TestServer) -> String {
    let request = CreateApiKeyRequest {
        display_name: "frontend".to_owned(),
        kind: ApiKeyKind::Publishable.into(),
        permissions: vec![Permission::Begin.into()],
        expire_time: None,
    };
    server.project(&server.key).create_api_key(request).await.unwrap().into_inner().secret
}

/// A connection without its credentials.
pub async fn basic(
    server: &TestServer,
    integration_id: &str,
    connection_id: &str,
) -> Result<Connection, Status> {
    let request = GetRequest { view: View::Basic.into(), ..get(integration_id, connection_id) };
    Ok(server.connection(&server.key).get(request).await?.into_inner().connection.unwrap())
}

/// Whether an access token works at the plain sandbox.
pub async fn works(provider: &TestProvider, access_token: &str) -> bool {
    let url = format!("http://{}/userinfo", provider.address);
    let bearer = format!("Bearer {access_token}");
    let answer = Browser::new().send_with(Method::GET, &url, &[("authorization", &bearer)]).await;
    assert!([StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&answer.status), "{answer:?}");
    answer.status == StatusCode::OK
}

/// The values of a query parameter.
pub fn params(url: &Url, name: &str) -> Vec<String> {
    url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
}

/// The value of a query parameter that is there once.
#[track_caller]
pub fn param(url: &Url, name: &str) -> String {
    let found = params(url, name);
    assert_eq!(found.len(), 1, "{name} in {url}");
    found.into_iter().next().unwrap()
}

/// An object of texts.
pub fn object(members: &[(&str, &str)]) -> Struct {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    Struct { fields: members.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect() }
}

/// In how many minutes the connection `ada` is due.
pub async fn due_in(database: &Database, clock: &ManualClock) -> i64 {
    let db = database.connect().await;
    let sql = "SELECT due_time FROM connections WHERE connection_id = 'ada'";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    let due: i64 = row.unwrap().try_get_by_index(0).unwrap();
    db.close().await.unwrap();
    let now = clock.now().unix_timestamp_nanos() / 1_000;
    i64::try_from((i128::from(due) - now) / 60_000_000).unwrap()
}

/// How many revocations are left in the outbox.
pub async fn in_outbox(database: &Database) -> i64 {
    let db = database.connect().await;
    let sql = "SELECT count(*) FROM revocations";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    db.close().await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

/// Asks until the answer is the one that is waited for.
pub async fn until<T: std::fmt::Debug>(mut ask: impl AsyncFnMut() -> T, is_it: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        if is_it(&answer) {
            return answer;
        }
        assert!(Instant::now() < end, "it never came, the last answer is {answer:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
