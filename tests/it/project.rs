//! `ProjectService`: projects and API keys. Settings have a file of their own.

use prost::Message as _;
use prost_types::Timestamp;
use tokenwell::{
    api::pb::{
        integration::v1 as integration,
        project::v1::{
            ApiKey, ApiKeyKind, CreateApiKeyRequest, CreateRequest, GetSettingsRequest, ListApiKeysRequest,
            ListRequest, Permission, RevokeApiKeyRequest, project_service_client::ProjectServiceClient,
        },
        provider::v1 as provider,
    },
    model::{Clock as _, Duration},
};
use tonic::{Code, Status};

use crate::support::{
    Database, ManualClock, Options, TestResult, TestServer, assert_refused,
    server::{Keyed, begin},
};

type Client = ProjectServiceClient<Keyed>;

async fn server() -> (TestServer, Database) {
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::new(&ManualClock::new())).await;
    (server, database)
}

fn project(project_id: &str, display_name: &str) -> CreateRequest {
    CreateRequest { project_id: project_id.to_owned(), display_name: display_name.to_owned() }
}

fn key(permissions: &[Permission]) -> CreateApiKeyRequest {
    CreateApiKeyRequest {
        display_name: "Backend".to_owned(),
        permissions: permissions.iter().map(|permission| (*permission).into()).collect(),
        ..CreateApiKeyRequest::default()
    }
}

async fn keys(client: &mut Client, page_size: i32) -> Vec<Vec<ApiKey>> {
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let page =
            client.list_api_keys(ListApiKeysRequest { page_size, page_token }).await.unwrap().into_inner();
        pages.push(page.api_keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
        assert!(pages.len() < 10, "the pages have no end");
    }
}

async fn revoke(client: &mut Client, api_key_id: &str) -> Result<ApiKey, Status> {
    let request = RevokeApiKeyRequest { api_key_id: api_key_id.to_owned() };
    Ok(client.revoke_api_key(request).await?.into_inner().api_key.unwrap())
}

/// Whether a key that may read still counts.
async fn read(server: &TestServer, secret: &str) -> Result<(), Status> {
    server.provider(secret).list(provider::ListRequest::default()).await.map(drop)
}

#[tokio::test]
async fn a_new_instance_has_one_project_and_one_key_that_may_do_everything() -> TestResult {
    let (server, database) = server().await;
    assert!(server.key.starts_with("tw_sk_"));
    let mut client = server.project(&server.key);
    let projects = client.list(ListRequest::default()).await?.into_inner().projects;
    assert_eq!(projects.iter().map(|it| it.project_id.as_str()).collect::<Vec<_>>(), ["default"]);
    let pages = keys(&mut client, 0).await;
    let [first] = &pages[0][..] else { panic!("{pages:?}") };
    let permissions: Vec<_> = first.permissions().collect();
    assert_eq!(permissions.len(), 8, "{permissions:?}");
    assert_eq!(first.kind(), ApiKeyKind::Secret);

    // The key is shown once: the second start has none to show, and the old one still works.
    let (key, clock) = (server.key.clone(), server.clock.clone());
    server.stop().await;
    let server = TestServer::start(&database, Options::new(&clock)).await;
    assert_eq!(server.key, "");
    assert_eq!(keys(&mut server.project(&key), 0).await, pages);
    Ok(())
}

#[tokio::test]
async fn a_created_project_has_a_key_for_everything_of_its_own() -> TestResult {
    let (server, _database) = server().await;
    let made = server.project(&server.key).create(project("acme", "Acme, Inc.")).await?.into_inner();
    let (created, first) = (made.project.unwrap(), made.api_key.unwrap());
    assert_eq!((created.project_id.as_str(), created.display_name.as_str()), ("acme", "Acme, Inc."));
    assert_eq!(created.create_time.map(|it| it.seconds), Some(server.clock.now().unix_timestamp()));
    assert!(made.secret.starts_with("tw_sk_") && made.secret.starts_with(&first.prefix));
    assert_eq!(first.permissions().count(), 7);
    assert!(!first.permissions().any(|it| it == Permission::InstanceAdmin));

    let mut client = server.project(&made.secret);
    client.get_settings(GetSettingsRequest {}).await?;
    assert_eq!(keys(&mut client, 0).await, [[first]]);
    let integrations = integration::ListRequest::default();
    let listed = server.integration(&made.secret).list(integrations).await?.into_inner();
    assert!(listed.integrations.is_empty());
    for refused in [
        client.list(ListRequest::default()).await.map(drop),
        client.create(project("more", "")).await.map(drop),
    ] {
        let refusal = assert_refused(refused, Code::PermissionDenied, "PERMISSION_MISSING");
        assert_eq!(refusal.metadata["permission"], "instance_admin");
    }
    Ok(())
}

#[tokio::test]
async fn projects_are_listed_by_id_and_named_once() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    for id in ["zeta", "alpha", "0-9"] {
        client.create(project(id, "")).await?;
    }
    let refused = client.create(project("alpha", "Another")).await;
    let refusal = assert_refused(refused, Code::AlreadyExists, "PROJECT_ALREADY_EXISTS");
    assert_eq!(refusal.metadata["project_id"], "alpha");
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = client.list(ListRequest { page_size: 3, page_token }).await?.into_inner();
        names.push(page.projects.into_iter().map(|it| it.display_name).collect::<Vec<_>>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, [vec!["0-9", "alpha", "Default"], vec!["zeta"]]);
    let refused = client.list(ListRequest { page_size: -1, page_token: String::new() }).await;
    assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    let refused = client.list(ListRequest { page_size: 1, page_token: "AAAA".to_owned() }).await;
    assert_refused(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    Ok(())
}

#[tokio::test]
async fn malformed_projects_are_refused() {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let long = "a".repeat(64);
    for id in ["", "Acme", "-acme", "a_b", "a.b", "a/b", "ä", &long] {
        let refused = client.create(project(id, "")).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["project_id"], "{id}");
    }
    for name in ["a\nb", &"a".repeat(256)] {
        let refused = client.create(project("acme", name)).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["display_name"]);
    }
    client.create(project("acme", "")).await.unwrap();
}

/// The contract counts characters, not bytes.
#[tokio::test]
async fn names_for_people_may_have_255_characters_of_any_alphabet() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let name = "ж".repeat(255);
    let made = client.create(project("acme", &name)).await?.into_inner();
    assert_eq!(made.project.unwrap().display_name, name);
    let request = CreateApiKeyRequest { display_name: name.clone(), ..key(&[Permission::Read]) };
    let made = client.create_api_key(request).await?.into_inner();
    assert_eq!(made.api_key.unwrap().display_name, name);
    Ok(())
}

#[tokio::test]
async fn a_key_may_do_what_it_was_given_and_no_more() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let permissions = [Permission::Write, Permission::Read, Permission::Read];
    let made = client.create_api_key(key(&permissions)).await?.into_inner();
    let api_key = made.api_key.unwrap();
    let mut given: Vec<_> = api_key.permissions().collect();
    given.sort_unstable();
    assert_eq!(given, [Permission::Read, Permission::Write]);
    assert_eq!((api_key.kind(), api_key.display_name.as_str()), (ApiKeyKind::Secret, "Backend"));
    assert!(made.secret.starts_with("tw_sk_") && made.secret.starts_with(&api_key.prefix));
    assert!(made.secret.len() >= api_key.prefix.len() + 32, "the prefix gives too much away");
    assert_eq!(api_key.create_time.map(|it| it.seconds), Some(server.clock.now().unix_timestamp()));
    assert_eq!((api_key.expire_time, api_key.revoke_time), (None, None));
    read(&server, &made.secret).await?;
    let refused = server.auth(&made.secret).begin(begin("sandbox", "user-1")).await;
    assert_refused(refused, Code::PermissionDenied, "PERMISSION_MISSING");
    Ok(())
}

#[tokio::test]
async fn nobody_gives_a_permission_that_they_do_not_have() -> TestResult {
    let (server, _database) = server().await;
    let (_, admin) = server.create_key(&[Permission::ProjectAdmin, Permission::Read]).await;
    let mut client = server.project(&admin);
    for (wanted, lacking) in [
        (vec![Permission::Write], "write"),
        (vec![Permission::Read, Permission::ReadCredentials], "read_credentials"),
        (vec![Permission::InstanceAdmin], "instance_admin"),
    ] {
        let refused = client.create_api_key(key(&wanted)).await;
        let refusal = assert_refused(refused, Code::PermissionDenied, "PERMISSION_MISSING");
        assert_eq!(refusal.metadata["permission"], lacking);
    }
    // Not even to a frontend, whose permission goes without saying.
    let publishable = CreateApiKeyRequest { kind: ApiKeyKind::Publishable.into(), ..key(&[]) };
    let refused = client.create_api_key(publishable).await;
    let refusal = assert_refused(refused, Code::PermissionDenied, "PERMISSION_MISSING");
    assert_eq!(refusal.metadata["permission"], "begin");
    assert_eq!(keys(&mut client, 0).await[0].len(), 2);
    client.create_api_key(key(&[Permission::Read, Permission::ProjectAdmin])).await?;
    Ok(())
}

#[tokio::test]
async fn a_publishable_key_can_only_begin() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let publishable =
        |permissions| CreateApiKeyRequest { kind: ApiKeyKind::Publishable.into(), ..key(permissions) };
    for permissions in [&[][..], &[Permission::Begin]] {
        let made = client.create_api_key(publishable(permissions)).await?.into_inner();
        let api_key = made.api_key.unwrap();
        assert!(made.secret.starts_with("tw_pk_"));
        assert_eq!(api_key.kind(), ApiKeyKind::Publishable);
        assert_eq!(api_key.permissions().collect::<Vec<_>>(), [Permission::Begin]);
    }
    for permissions in [&[Permission::Read][..], &[Permission::Begin, Permission::Complete]] {
        let refused = client.create_api_key(publishable(permissions)).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["permissions"]);
    }
    Ok(())
}

#[tokio::test]
async fn malformed_keys_are_refused_by_field() {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let now = server.clock.now().unix_timestamp();
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let good = || key(&[Permission::Read]);
    let bad = [
        (key(&[]), "permissions"),
        (key(&[Permission::Unspecified]), "permissions"),
        (CreateApiKeyRequest { permissions: vec![3, 99], ..good() }, "permissions"),
        (CreateApiKeyRequest { kind: 99, ..good() }, "kind"),
        (CreateApiKeyRequest { display_name: "a\0b".to_owned(), ..good() }, "display_name"),
        (CreateApiKeyRequest { display_name: "a".repeat(256), ..good() }, "display_name"),
        (CreateApiKeyRequest { expire_time: at(now, 0), ..good() }, "expire_time"),
        (CreateApiKeyRequest { expire_time: at(now - 1, 0), ..good() }, "expire_time"),
        (CreateApiKeyRequest { expire_time: at(i64::MAX, 0), ..good() }, "expire_time"),
        (CreateApiKeyRequest { expire_time: at(now + 1, -1), ..good() }, "expire_time"),
        (CreateApiKeyRequest { expire_time: at(now + 1, 1_000_000_000), ..good() }, "expire_time"),
    ];
    for (request, field) in bad {
        let refused = client.create_api_key(request.clone()).await;
        assert!(refused.is_err(), "let through: {request:?}");
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, [field], "{request:?}");
    }
    assert_eq!(keys(&mut client, 0).await[0].len(), 1);
}

#[tokio::test]
async fn keys_are_listed_oldest_first_without_their_secrets() -> TestResult {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    let mut made = Vec::new();
    for name in ["one", "two", "three"] {
        server.clock.advance(Duration::seconds(1));
        let request = CreateApiKeyRequest { display_name: name.to_owned(), ..key(&[Permission::Read]) };
        made.push(client.create_api_key(request).await?.into_inner());
    }
    let pages = keys(&mut client, 3).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    let listed: Vec<_> = pages.into_iter().flatten().skip(1).collect();
    assert_eq!(listed, made.iter().map(|it| it.api_key.clone().unwrap()).collect::<Vec<_>>());

    let bytes = client.list_api_keys(ListApiKeysRequest::default()).await?.into_inner().encode_to_vec();
    let text = String::from_utf8_lossy(&bytes);
    for secret in made.iter().map(|it| &it.secret).chain([&server.key]) {
        assert!(!text.contains(secret.as_str()), "a secret is listed");
    }
    let refused = client.list_api_keys(ListApiKeysRequest { page_size: -1, page_token: String::new() }).await;
    assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    let refused = client.list_api_keys(ListApiKeysRequest { page_size: 1, page_token: "?".to_owned() }).await;
    assert_refused(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    Ok(())
}

#[tokio::test]
async fn a_revoked_key_stops_at_once_and_stays_revoked() -> TestResult {
    let (server, _database) = server().await;
    let (made, secret) = server.create_key(&[Permission::Read]).await;
    read(&server, &secret).await?;
    let mut client = server.project(&server.key);
    let revoked = revoke(&mut client, &made.api_key_id).await?;
    let now = server.clock.now().unix_timestamp();
    assert_eq!(revoked.revoke_time.map(|it| it.seconds), Some(now));
    assert_refused(read(&server, &secret).await, Code::Unauthenticated, "API_KEY_INVALID");

    server.clock.advance(Duration::hours(1));
    assert_eq!(revoke(&mut client, &made.api_key_id).await?, revoked);
    assert_refused(read(&server, &secret).await, Code::Unauthenticated, "API_KEY_INVALID");
    assert!(keys(&mut client, 0).await[0].contains(&revoked));
    read(&server, &server.key).await?;
    Ok(())
}

#[tokio::test]
async fn a_key_ends_when_its_time_has_come() -> TestResult {
    let (server, _database) = server().await;
    let seconds = server.clock.now().unix_timestamp() + 60;
    let expire_time = Some(Timestamp { seconds, nanos: 0 });
    let request = CreateApiKeyRequest { expire_time, ..key(&[Permission::Read]) };
    let made = server.project(&server.key).create_api_key(request).await?.into_inner();
    assert_eq!(made.api_key.unwrap().expire_time, expire_time);
    server.clock.advance(Duration::seconds(60) - Duration::MICROSECOND);
    read(&server, &made.secret).await?;
    server.clock.advance(Duration::MICROSECOND);
    assert_refused(read(&server, &made.secret).await, Code::Unauthenticated, "API_KEY_INVALID");
    Ok(())
}

#[tokio::test]
async fn only_a_key_that_is_there_is_revoked() {
    let (server, _database) = server().await;
    let mut client = server.project(&server.key);
    for malformed in ["", "nonsense", "0190a0a0-0000-7000-8000-00000000000", &server.key] {
        let refused = revoke(&mut client, malformed).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["api_key_id"]);
        assert!(malformed.len() < 30 || !refusal.message.contains(malformed), "the message repeats a secret");
    }
    let unknown = "0190a0a0-0000-7000-8000-000000000000";
    let refusal = assert_refused(revoke(&mut client, unknown).await, Code::NotFound, "API_KEY_NOT_FOUND");
    assert_eq!(refusal.metadata["api_key_id"], unknown);
}
