//! `IntegrationService`: OAuth apps registered at providers, and their secrets, which come in and never go out.

use prost::Message as _;
use prost_types::FieldMask;
use tokenwell::{
    api::pb::{
        connection::v1::DeleteRequest as DeleteConnectionRequest,
        integration::v1::{
            CreateRequest, DeleteRequest, GetRequest, Integration, ListRequest, UpdateRequest,
            integration_service_client::IntegrationServiceClient,
        },
        project::v1::Settings,
    },
    model::{Clock as _, Duration},
};
use tonic::{Code, Status};

use crate::support::{
    TestResult, TestServer, assert_refused,
    provider::{CLIENT_ID, CLIENT_SECRET},
    server::{Keyed, begin, get},
};

type Client = IntegrationServiceClient<Keyed>;
type Change = fn(&mut Integration);

fn integration(integration_id: &str) -> Integration {
    Integration {
        integration_id: integration_id.to_owned(),
        provider_id: "sandbox".to_owned(),
        client_id: "client".to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        scopes: vec!["read".to_owned()],
        user_scopes: vec!["me".to_owned()],
        ..Integration::default()
    }
}

async fn create(client: &mut Client, integration: Integration) -> Result<Integration, Status> {
    let request = CreateRequest { integration: Some(integration) };
    Ok(client.create(request).await?.into_inner().integration.unwrap())
}

async fn fetch(client: &mut Client, integration_id: &str) -> Result<Integration, Status> {
    let request = GetRequest { integration_id: integration_id.to_owned() };
    Ok(client.get(request).await?.into_inner().integration.unwrap())
}

async fn update(
    client: &mut Client,
    integration: Integration,
    paths: Option<&[&str]>,
) -> Result<Integration, Status> {
    let mask = paths.map(|paths| FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let request = UpdateRequest { integration: Some(integration), update_mask: mask };
    Ok(client.update(request).await?.into_inner().integration.unwrap())
}

async fn delete(client: &mut Client, integration_id: &str) -> Result<(), Status> {
    let request = DeleteRequest { integration_id: integration_id.to_owned() };
    client.delete(request).await.map(drop)
}

#[tokio::test]
async fn an_integration_is_created_read_and_deleted() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    let now = server.clock.now().unix_timestamp();
    let made = create(&mut client, integration("mine")).await?;
    assert_eq!((made.integration_id.as_str(), made.provider_id.as_str()), ("mine", "sandbox"));
    assert_eq!((made.client_id.as_str(), made.client_secret_set), ("client", true));
    assert_eq!((&made.scopes[..], &made.user_scopes[..]), (&["read".to_owned()][..], &["me".to_owned()][..]));
    assert_eq!(made.create_time.map(|it| it.seconds), Some(now));
    assert_eq!(made.update_time, made.create_time);
    assert_eq!(fetch(&mut client, "mine").await?, made);

    delete(&mut client, "mine").await?;
    let refusal = assert_refused(fetch(&mut client, "mine").await, Code::NotFound, "INTEGRATION_NOT_FOUND");
    assert_eq!(refusal.metadata["integration_id"], "mine");
    assert_refused(delete(&mut client, "mine").await, Code::NotFound, "INTEGRATION_NOT_FOUND");
    let refused = update(&mut client, integration("mine"), None).await;
    assert_refused(refused, Code::NotFound, "INTEGRATION_NOT_FOUND");
    create(&mut client, integration("mine")).await?;
    Ok(())
}

#[tokio::test]
async fn a_client_secret_is_in_no_answer() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    let request = CreateRequest { integration: Some(integration("mine")) };
    let mut answers = vec![client.create(request).await?.into_inner().encode_to_vec()];
    let request = GetRequest { integration_id: "mine".to_owned() };
    answers.push(client.get(request).await?.into_inner().encode_to_vec());
    answers.push(client.list(ListRequest::default()).await?.into_inner().encode_to_vec());
    let request = UpdateRequest { integration: Some(integration("mine")), update_mask: None };
    answers.push(client.update(request).await?.into_inner().encode_to_vec());
    for answer in answers {
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("mine") && !text.contains("canary"), "{text}");
    }

    let public = Integration { client_secret: String::new(), ..integration("public") };
    assert!(!create(&mut client, public).await?.client_secret_set);
    assert!(!fetch(&mut client, "public").await?.client_secret_set);
    Ok(())
}

#[tokio::test]
async fn an_update_changes_the_fields_that_its_mask_names() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    let new = || Integration {
        client_id: "new".to_owned(),
        client_secret: String::new(),
        scopes: vec!["write".to_owned()],
        user_scopes: Vec::new(),
        ..integration("mine")
    };
    let is_new = |it: &Integration| {
        [it.client_id == "new", !it.client_secret_set, it.scopes == ["write"], it.user_scopes.is_empty()]
    };
    for (paths, expected) in [
        (&["client_id"][..], [true, false, false, false]),
        (&["client_secret"], [false, true, false, false]),
        (&["scopes"], [false, false, true, false]),
        (&["user_scopes"], [false, false, false, true]),
        (&["user_scopes", "client_id", "client_id"], [true, false, false, true]),
        (&["*"], [true, true, true, true]),
        (&["scopes", "*"], [true, true, true, true]),
    ] {
        let old = create(&mut client, integration("mine")).await?;
        server.clock.advance(Duration::seconds(1));
        let updated = update(&mut client, new(), Some(paths)).await?;
        assert_eq!(is_new(&updated), expected, "{paths:?}");
        assert_eq!(fetch(&mut client, "mine").await?, updated, "{paths:?}");
        assert_eq!(updated.create_time, old.create_time);
        assert_ne!(updated.update_time, old.update_time);
        delete(&mut client, "mine").await?;
    }
    Ok(())
}

#[tokio::test]
async fn private_addresses_are_allowed_by_who_says_so() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    assert!(!create(&mut client, integration("mine")).await?.allow_private_addresses);
    let bare = |allow_private_addresses| Integration {
        integration_id: "mine".to_owned(),
        allow_private_addresses,
        ..Integration::default()
    };
    let path: &[&str] = &["allow_private_addresses"];
    for (given, paths, expected) in [
        (true, Some(&["client_id"][..]), false),
        (true, None, true),
        (false, None, true),
        (false, Some(path), false),
        (true, Some(path), true),
        (false, Some(&["*"]), false),
    ] {
        let change = Integration { client_id: "client".to_owned(), ..bare(given) };
        let updated = update(&mut client, change, paths).await?;
        assert_eq!(updated.allow_private_addresses, expected, "{given} {paths:?}");
        assert_eq!(fetch(&mut client, "mine").await?, updated);
    }
    let own = Integration { allow_private_addresses: true, ..integration("own") };
    assert!(create(&mut client, own).await?.allow_private_addresses);
    assert!(fetch(&mut client, "own").await?.allow_private_addresses);
    Ok(())
}

#[tokio::test]
async fn an_update_without_a_mask_changes_the_fields_that_are_not_empty() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    create(&mut client, integration("mine")).await?;
    let bare = || Integration { integration_id: "mine".to_owned(), ..Integration::default() };
    let updated = update(&mut client, bare(), None).await?;
    assert_eq!((updated.client_id.as_str(), updated.client_secret_set), ("client", true));
    assert_eq!((updated.scopes.len(), updated.user_scopes.len()), (1, 1));
    let updated = update(&mut client, Integration { client_id: "new".to_owned(), ..bare() }, None).await?;
    assert_eq!((updated.client_id.as_str(), updated.client_secret_set), ("new", true));
    let scopes = vec!["a".to_owned(), "b".to_owned()];
    let updated = update(&mut client, Integration { scopes: scopes.clone(), ..bare() }, None).await?;
    assert_eq!((updated.scopes, updated.user_scopes), (scopes, vec!["me".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_in_a_mask() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    let made = create(&mut client, integration("mine")).await?;
    for path in
        ["provider_id", "integration_id", "callback_url", "client_secret_set", "create_time", "", "Scopes"]
    {
        let new = Integration { client_id: "new".to_owned(), ..integration("mine") };
        let refused = update(&mut client, new, Some(&["client_id", path])).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["update_mask"], "{path}");
    }
    assert_eq!(fetch(&mut client, "mine").await?, made);
    Ok(())
}

#[tokio::test]
async fn malformed_values_are_refused_by_field() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    let with = |change: Change| {
        let mut changed = integration("mine");
        change(&mut changed);
        changed
    };
    let bad: [(Change, &str); 14] = [
        (|it| it.integration_id.clear(), "integration_id"),
        (|it| it.integration_id = "a:b".to_owned(), "integration_id"),
        (|it| it.integration_id = "a/b".to_owned(), "integration_id"),
        (|it| it.integration_id = "..".to_owned(), "integration_id"),
        (|it| it.integration_id = "ä".to_owned(), "integration_id"),
        (|it| it.integration_id = "a".repeat(64), "integration_id"),
        (|it| it.provider_id = "../zendesk".to_owned(), "provider_id"),
        (|it| it.client_id.clear(), "client_id"),
        (|it| it.client_id = "a\nb".to_owned(), "client_id"),
        (|it| it.client_id = "a".repeat(1025), "client_id"),
        (|it| it.client_secret = "a".repeat(8193), "client_secret"),
        (|it| it.scopes.push("a b".to_owned()), "scopes"),
        (|it| it.scopes.push(String::new()), "scopes"),
        (|it| it.user_scopes.push("a\"b".to_owned()), "user_scopes"),
    ];
    for (change, field) in bad {
        let refused = create(&mut client, with(change)).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, [field]);
    }
    let good = with(|it| {
        it.integration_id = "Z".repeat(63);
        it.client_id = "c".repeat(1024);
        it.client_secret = "s".repeat(8192);
    });
    create(&mut client, good).await?;
    let made = create(&mut client, integration("mine")).await?;
    let refused = update(&mut client, with(|it| it.client_id.clear()), Some(&["*"])).await;
    let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refusal.fields, ["client_id"]);
    assert_eq!(fetch(&mut client, "mine").await?, made);
    let refused = client.create(CreateRequest::default()).await;
    let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refusal.fields, ["integration"]);
    assert_refused(fetch(&mut client, "a:b").await, Code::InvalidArgument, "FIELD_INVALID");
    assert_refused(delete(&mut client, "a:b").await, Code::InvalidArgument, "FIELD_INVALID");
    Ok(())
}

#[tokio::test]
async fn a_second_one_of_the_same_id_is_refused_and_changes_nothing() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    let made = create(&mut client, integration("mine")).await?;
    let other = Integration { client_id: "other".to_owned(), ..integration("mine") };
    let refusal =
        assert_refused(create(&mut client, other).await, Code::AlreadyExists, "INTEGRATION_ALREADY_EXISTS");
    assert_eq!(refusal.metadata["integration_id"], "mine");
    assert_eq!(fetch(&mut client, "mine").await?, made);
    Ok(())
}

#[tokio::test]
async fn an_integration_needs_a_provider_of_the_catalog() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    let request = Integration { provider_id: "nowhere".to_owned(), ..integration("mine") };
    let refusal = assert_refused(create(&mut client, request).await, Code::NotFound, "PROVIDER_NOT_FOUND");
    assert_eq!(refusal.metadata["provider_id"], "nowhere");
    assert_refused(fetch(&mut client, "mine").await, Code::NotFound, "INTEGRATION_NOT_FOUND");
}

#[tokio::test]
async fn lists_go_page_by_page_by_id() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    for id in ["c", "a", "b"] {
        create(&mut client, integration(id)).await?;
    }
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = client.list(ListRequest { page_size: 2, page_token }).await?.into_inner();
        ids.push(page.integrations.into_iter().map(|it| it.integration_id).collect::<Vec<_>>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        assert!(ids.len() < 4, "the pages have no end");
    }
    assert_eq!(ids, [["a", "b"], ["c", "sandbox"]]);
    let refused = client.list(ListRequest { page_size: 2, page_token: "AAAA".to_owned() }).await;
    assert_refused(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    Ok(())
}

#[tokio::test]
async fn an_integration_with_connections_stays() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    let mut client = server.integration(&server.key);
    let refusal =
        assert_refused(delete(&mut client, "sandbox").await, Code::FailedPrecondition, "INTEGRATION_IN_USE");
    assert_eq!(refusal.metadata["integration_id"], "sandbox");
    server.token("sandbox", "user-1").await?;
    let request = DeleteConnectionRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "user-1".to_owned(),
        ..DeleteConnectionRequest::default()
    };
    server.connection(&server.key).delete(request).await?;
    // A flow that nobody ends does not hold it.
    server.begin(begin("sandbox", "user-2")).await?;
    delete(&mut client, "sandbox").await?;
    Ok(())
}

#[tokio::test]
async fn the_callback_url_is_the_one_that_goes_to_the_provider() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut client = server.integration(&server.key);
    for (callback_url, expected) in [
        ("", format!("{}/oauth/callback/default/sandbox", server.public_url)),
        ("https://app.example.com/cb/{integration_id}/x", "https://app.example.com/cb/sandbox/x".to_owned()),
        ("https://app.example.com/cb", "https://app.example.com/cb".to_owned()),
    ] {
        let settings = Settings { callback_url: callback_url.to_owned(), ..Settings::default() };
        server.update_settings(settings, &["callback_url"]).await;
        assert_eq!(fetch(&mut client, "sandbox").await?.callback_url, expected);
        let listed = client.list(ListRequest::default()).await?.into_inner().integrations;
        assert_eq!(listed[0].callback_url, expected);
        let begun = server.begin(begin("sandbox", "user-1")).await?;
        let url = url::Url::parse(&begun.authorization_url)?;
        let sent = url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
        assert_eq!(sent, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_client_secret_is_used_by_the_next_refresh() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    let mut client = server.integration(&server.key);
    let with = |secret: &str| Integration {
        integration_id: "sandbox".to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: secret.to_owned(),
        ..Integration::default()
    };
    let refresh =
        || tokenwell::api::pb::connection::v1::GetRequest { force_refresh: true, ..get("sandbox", "user-1") };
    update(&mut client, with("not-the-secret"), Some(&["client_secret"])).await?;
    let refused = server.get(refresh()).await;
    assert_refused(refused, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert_eq!(provider.sandbox.book().refreshes, 0);
    update(&mut client, with(CLIENT_SECRET), Some(&["client_secret"])).await?;
    server.get(refresh()).await?;
    assert_eq!(provider.sandbox.book().refreshes, 1);
    Ok(())
}
