//! `ConnectionService`: getting, listing and deleting connections, and their config.

use std::collections::{BTreeSet, HashMap};

use prost::Message as _;
use prost_types::Duration as PbDuration;
use tokenwell::{
    api::pb::{
        auth::v1::BeginRequest,
        connection::v1::{
            Connection, DeleteRequest, GetConfigRequest, GetRequest, ListRequest, State, View,
            connection_service_client::ConnectionServiceClient,
        },
        integration::v1,
    },
    model::{Clock as _, Duration},
};
use tonic::{Code, Status};

use crate::support::{
    Browser, Database, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused,
    server::{Keyed, begin, get},
};

fn delete(integration_id: &str, connection_id: &str) -> DeleteRequest {
    DeleteRequest {
        integration_id: integration_id.to_owned(),
        connection_id: connection_id.to_owned(),
        ..DeleteRequest::default()
    }
}

fn get_config(integration_id: &str, connection_id: &str) -> GetConfigRequest {
    GetConfigRequest { integration_id: integration_id.to_owned(), connection_id: connection_id.to_owned() }
}

fn list(integration_id: &str, page_size: i32, page_token: &str) -> ListRequest {
    ListRequest { integration_id: integration_id.to_owned(), page_size, page_token: page_token.to_owned() }
}

async fn basic(client: &mut ConnectionServiceClient<Keyed>, id: &str) -> Result<Connection, Status> {
    let request = GetRequest { view: View::Basic.into(), ..get("sandbox", id) };
    Ok(client.get(request).await?.into_inner().connection.unwrap())
}

/// Connects these, a second apart, so that there is an order to list them in.
async fn connect_in_turn(server: &TestServer, connections: &[(&str, &str)]) {
    for (integration, connection) in connections {
        server.connect(integration, connection).await;
        server.clock.advance(Duration::seconds(1));
    }
}

/// Walks through all pages. Gives the ids page by page.
async fn pages(server: &TestServer, integration_id: &str, page_size: i32) -> Vec<Vec<String>> {
    let mut client = server.connection(&server.key);
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let page = client.list(list(integration_id, page_size, &token)).await.unwrap().into_inner();
        pages.push(page.connections.into_iter().map(|it| it.connection_id).collect());
        token = page.next_page_token;
        if token.is_empty() {
            return pages;
        }
        assert!(pages.len() < 10, "the pages have no end");
    }
}

#[tokio::test]
async fn a_full_view_has_a_token_that_works_and_says_when_it_expires() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    for view in [View::Unspecified, View::Full] {
        let request = GetRequest { view: view.into(), ..get("sandbox", "user-1") };
        let (connection, token) = server.get(request).await?;
        assert_eq!(connection.integration_id, "sandbox");
        assert_eq!(connection.connection_id, "user-1");
        assert_eq!(connection.provider_id, "sandbox");
        assert_eq!(connection.state(), State::Active);
        let granted: BTreeSet<_> = connection.granted_scopes.iter().map(String::as_str).collect();
        assert_eq!(granted, BTreeSet::from(["read", "write"]));
        let now = server.clock.now().unix_timestamp();
        for time in [connection.create_time, connection.update_time, connection.refresh_time] {
            assert_eq!(time.map(|it| it.seconds), Some(now));
        }
        assert_eq!(token.token_type, "Bearer");
        assert_eq!(token.expire_time.map(|it| it.seconds), Some(now + 3600));
        let headers = [("authorization", &*format!("Bearer {}", token.access_token))];
        let url = format!("http://{}/userinfo", provider.address);
        let answer = Browser::new().send_with(reqwest::Method::GET, &url, &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_is_in_no_answer() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    let mut client = server.connection(&server.key);
    for force_refresh in [false, true] {
        let request = GetRequest { force_refresh, ..get("sandbox", "user-1") };
        let bytes = client.get(request).await?.into_inner().encode_to_vec();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("sandbox_at_"), "the answer has no access token");
        assert!(!text.contains("sandbox_rt_"), "the answer has a refresh token");
    }
    let listed = client.list(list("", 0, "")).await?.into_inner().encode_to_vec();
    let text = String::from_utf8_lossy(&listed);
    assert!(text.contains("user-1") && !text.contains("sandbox_at_") && !text.contains("sandbox_rt_"));
    Ok(())
}

#[tokio::test]
async fn a_basic_view_has_no_credentials_and_refreshes_nothing() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    server.clock.advance(Duration::hours(2));
    let mut client = server.connection(&server.key);
    let request = GetRequest { view: View::Basic.into(), force_refresh: true, ..get("sandbox", "user-1") };
    let connection = client.get(request).await?.into_inner().connection.unwrap();
    assert_eq!(connection.credentials, None);
    assert_eq!(connection.connection_id, "user-1");
    assert_eq!(connection.metadata, Some(prost_types::Struct::default()));
    assert!(!connection.etag.is_empty());
    assert_eq!(provider.sandbox.book().refreshes, 0);
    server.token("sandbox", "user-1").await?;
    assert_eq!(provider.sandbox.book().refreshes, 1);
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_named_in_the_refusal() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    let mut client = server.connection(&server.key);
    for (integration, connection) in [("sandbox", "user-2"), ("other", "user-1"), ("sandbox", "USER-1")] {
        let refusals = [
            assert_refused(
                client.get(get(integration, connection)).await,
                Code::NotFound,
                "CONNECTION_NOT_FOUND",
            ),
            assert_refused(
                client.get(GetRequest { view: View::Basic.into(), ..get(integration, connection) }).await,
                Code::NotFound,
                "CONNECTION_NOT_FOUND",
            ),
            assert_refused(
                client.get_config(get_config(integration, connection)).await,
                Code::NotFound,
                "CONNECTION_NOT_FOUND",
            ),
            assert_refused(
                client.delete(delete(integration, connection)).await,
                Code::NotFound,
                "CONNECTION_NOT_FOUND",
            ),
        ];
        for refusal in refusals {
            assert_eq!(refusal.metadata["integration_id"], integration);
            assert_eq!(refusal.metadata["connection_id"], connection);
        }
    }
    Ok(())
}

#[tokio::test]
async fn malformed_ids_are_refused_by_field() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.connection(&server.key);
    let long = "a".repeat(256);
    for (integration, connection, field) in [
        ("", "user-1", "integration_id"),
        ("sand:box", "user-1", "integration_id"),
        ("sandbox", "", "connection_id"),
        ("sandbox", "user\n1", "connection_id"),
        ("sandbox", "user\u{85}1", "connection_id"),
        ("sandbox", &long, "connection_id"),
    ] {
        let refused = client.get(get(integration, connection)).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, [field], "{integration:?}, {connection:?}");
    }
    let refused = client.list(list("sand:box", 0, "")).await;
    let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refusal.fields, ["integration_id"]);
}

/// The contract counts characters, not bytes.
#[tokio::test]
async fn a_connection_id_may_have_255_characters_of_any_alphabet() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let id = "ж".repeat(255);
    server.connect("sandbox", &id).await;
    let (connection, _) = server.token("sandbox", &id).await?;
    assert_eq!(connection.connection_id, id);
    let refused = server.token("sandbox", &"ж".repeat(256)).await;
    assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    Ok(())
}

#[tokio::test]
async fn the_least_validity_is_between_nothing_and_an_hour() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    let ask = |seconds, nanos| GetRequest {
        min_ttl: Some(PbDuration { seconds, nanos }),
        ..get("sandbox", "user-1")
    };
    for (seconds, nanos) in [(-1, 0), (0, -1), (3600, 1), (3601, 0), (i64::MAX, 0), (i64::MIN, 0)] {
        let refused = server.get(ask(seconds, nanos)).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["min_ttl"], "{seconds} s {nanos} ns");
    }
    server.get(ask(0, 0)).await?;
    server.get(ask(3600, 0)).await?;
    assert_eq!(provider.sandbox.book().refreshes, 0);
    Ok(())
}

#[tokio::test]
async fn a_validity_that_overflows_is_refused_like_any_other() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    for (seconds, nanos) in [(i64::MAX, i32::MAX), (i64::MIN, i32::MIN)] {
        let min_ttl = Some(PbDuration { seconds, nanos });
        let refused = server.get(GetRequest { min_ttl, ..get("sandbox", "user-1") }).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["min_ttl"]);
    }
}

#[tokio::test]
async fn a_longer_validity_than_is_left_refreshes() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    let (_, first) = server.token("sandbox", "user-1").await?;
    server.clock.advance(Duration::minutes(30));
    let ask =
        |seconds| GetRequest { min_ttl: Some(PbDuration { seconds, nanos: 0 }), ..get("sandbox", "user-1") };
    let (_, same) = server.get(ask(1799)).await?;
    assert_eq!((same.access_token, provider.sandbox.book().refreshes), (first.access_token.clone(), 0));
    let (_, fresh) = server.get(ask(1801)).await?;
    assert_ne!(fresh.access_token, first.access_token);
    assert_eq!(provider.sandbox.book().refreshes, 1);
    Ok(())
}

#[tokio::test]
async fn lists_go_page_by_page_oldest_first() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.create_integration("second", "sandbox").await;
    let made = [("sandbox", "e"), ("second", "d"), ("sandbox", "c"), ("second", "b"), ("sandbox", "a")];
    connect_in_turn(&server, &made).await;
    assert_eq!(pages(&server, "", 2).await, [vec!["e", "d"], vec!["c", "b"], vec!["a"]]);
    assert_eq!(pages(&server, "", 5).await, [vec!["e", "d", "c", "b", "a"]]);
    assert_eq!(pages(&server, "", 0).await, [vec!["e", "d", "c", "b", "a"]]);
    assert_eq!(pages(&server, "", i32::MAX).await, [vec!["e", "d", "c", "b", "a"]]);
    assert_eq!(pages(&server, "sandbox", 2).await, [vec!["e", "c"], vec!["a"]]);
    assert_eq!(pages(&server, "second", 1).await, [["d"], ["b"]]);
    assert_eq!(pages(&server, "nowhere", 1).await, [Vec::<String>::new()]);
}

/// A page continues where the last one ended, whatever has happened to its rows since.
#[tokio::test]
async fn a_deleted_row_does_not_shift_the_next_page() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    connect_in_turn(&server, &[("sandbox", "a"), ("sandbox", "b"), ("sandbox", "c")]).await;
    let mut client = server.connection(&server.key);
    let first = client.list(list("", 2, "")).await?.into_inner();
    client.delete(delete("sandbox", "a")).await?;
    client.delete(delete("sandbox", "b")).await?;
    let second = client.list(list("", 2, &first.next_page_token)).await?.into_inner();
    let ids: Vec<_> = second.connections.iter().map(|it| it.connection_id.as_str()).collect();
    assert_eq!((ids, second.next_page_token.as_str()), (vec!["c"], ""));
    Ok(())
}

#[tokio::test]
async fn a_page_token_belongs_to_one_list() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.create_integration("second", "sandbox").await;
    connect_in_turn(&server, &[("sandbox", "a"), ("sandbox", "b")]).await;
    let mut client = server.connection(&server.key);
    let of_one = client.list(list("sandbox", 1, "")).await?.into_inner().next_page_token;
    let integrations = v1::ListRequest { page_size: 1, page_token: String::new() };
    let of_others = server.integration(&server.key).list(integrations).await?.into_inner().next_page_token;
    assert!(!of_one.is_empty() && !of_others.is_empty());
    let mut bent = of_one.clone();
    bent.pop();
    for (integration, token) in [
        ("", &*of_one),
        ("second", &of_one),
        ("sandbox", &of_others),
        ("sandbox", &bent),
        ("sandbox", "?"),
        ("sandbox", "AAAA"),
    ] {
        let refused = client.list(list(integration, 1, token)).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
        assert_eq!(refusal.fields, ["page_token"], "{token}");
    }
    client.list(list("sandbox", 1, &of_one)).await?;
    Ok(())
}

#[tokio::test]
async fn a_negative_page_size_is_refused() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    for page_size in [-1, i32::MIN] {
        let refused = server.connection(&server.key).list(list("", page_size, "")).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["page_size"]);
    }
}

#[tokio::test]
async fn a_deleted_connection_is_gone_and_its_name_is_free() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    connect_in_turn(&server, &[("sandbox", "user-1"), ("sandbox", "user-2")]).await;
    let mut client = server.connection(&server.key);
    let before = basic(&mut client, "user-1").await?;
    client.delete(delete("sandbox", "user-1")).await?;
    assert_refused(server.token("sandbox", "user-1").await, Code::NotFound, "CONNECTION_NOT_FOUND");
    assert_refused(basic(&mut client, "user-1").await, Code::NotFound, "CONNECTION_NOT_FOUND");
    let again = client.delete(delete("sandbox", "user-1")).await;
    assert_refused(again, Code::NotFound, "CONNECTION_NOT_FOUND");
    assert_eq!(pages(&server, "", 0).await, [["user-2"]]);
    server.token("sandbox", "user-2").await?;

    server.connect("sandbox", "user-1").await;
    assert_ne!(basic(&mut client, "user-1").await?.create_time, before.create_time);
    Ok(())
}

#[tokio::test]
async fn the_config_given_at_begin_is_kept_with_its_defaults() -> TestResult {
    let clock = ManualClock::new();
    let mut provider = TestProvider::plain(&clock).await;
    let (_, entry) = provider.entry.as_mut().unwrap();
    entry.push_str("[config.region]\ntitle = \"Region\"\npattern = \"[a-z]{2}\"\ndefault = \"eu\"\n");
    entry.push_str("[config.tenant]\ntitle = \"Tenant\"\npattern = \"[a-z]+\"\n");
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;

    let given = HashMap::from([("tenant".to_owned(), "acme".to_owned())]);
    let request = BeginRequest { connection_config: given, ..begin("sandbox", "user-1") };
    let begun = server.begin(request).await?;
    let mut browser = Browser::new();
    let back = server.consent(&mut browser, &begun.connect_url, "approve").await;
    browser.get(back.location().unwrap().as_str()).await;

    let expected = HashMap::from([("region", "eu"), ("tenant", "acme")]);
    let expected: HashMap<_, _> =
        expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut client = server.connection(&server.key);
    let config = client.get_config(get_config("sandbox", "user-1")).await?.into_inner();
    assert_eq!(config.connection_config, expected);
    assert_eq!(basic(&mut client, "user-1").await?.connection_config, expected);
    Ok(())
}
