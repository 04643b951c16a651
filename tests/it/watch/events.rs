//! Which events there are, and who is told of them.

use tokenwell::{
    api::pb::{
        connection::v1::{
            EventType, GetRequest, ImportCredentials, ImportOAuth2, ImportRequest, ListRequest,
            ReauthorizationReason, State, WatchRequest, import_credentials::Kind,
        },
        error::v1::ErrorReason,
    },
    model::Duration,
    sandbox::Failure,
};
use tonic::Code;

use super::{Feed, delete, touch};
use crate::support::{
    TestResult, TestServer, assert_refused,
    server::get,
    steps::{basic, other_project},
};

fn forced(connection_id: &str) -> GetRequest {
    GetRequest { force_refresh: true, ..get("sandbox", connection_id) }
}

/// Makes a connection without a browser.
async fn import(server: &TestServer, key: &str, integration_id: &str, connection_id: &str) {
    let kind = Kind::Oauth2(ImportOAuth2 { access_token: "a".to_owned(), ..ImportOAuth2::default() });
    let request = ImportRequest {
        integration_id: integration_id.to_owned(),
        connection_id: connection_id.to_owned(),
        credentials: Some(ImportCredentials { kind: Some(kind) }),
        ..ImportRequest::default()
    };
    server.connection(key).import(request).await.unwrap();
}

#[tokio::test]
async fn changes_are_told_and_reading_is_none() -> TestResult {
    use EventType::{Created, Deleted, Refreshed, Updated};

    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut feed = Feed::all(&server).await;
    server.connect("sandbox", "u1").await;
    let created = feed.event().await;
    let connection = basic(&server, "sandbox", "u1").await?;
    assert_eq!((created.r#type(), &*created.provider_id), (Created, "sandbox"));
    assert_eq!((&*created.integration_id, &*created.connection_id), ("sandbox", "u1"));
    assert_eq!(created.event_time, connection.create_time);
    assert_eq!(created.event_id.len(), 36);

    // What is only read is followed by something that is told.
    for _ in 0..3 {
        server.token("sandbox", "u1").await?;
        basic(&server, "sandbox", "u1").await?;
        server.connection(&server.key).list(ListRequest::default()).await?;
    }
    touch(&server, &server.key, "u1").await;
    server.get(forced("u1")).await?;
    server.connect("sandbox", "u1").await;
    delete(&server, "u1").await;
    let told: Vec<_> = feed.told(4).await.into_iter().map(|(event_type, _)| event_type).collect();
    assert_eq!(told, [Updated, Refreshed, Updated, Deleted]);

    // One that comes again under the same name is another one.
    server.connect("sandbox", "u1").await;
    let again = feed.event().await;
    assert_eq!(again.r#type(), Created);
    assert_ne!(again.event_id, created.event_id);
    Ok(())
}

#[tokio::test]
async fn only_the_first_failure_of_a_refresh_is_told_and_that_it_is_over() -> TestResult {
    use EventType::{Created, Recovered, RefreshFailed, Refreshed};

    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut feed = Feed::all(&server).await;
    server.connect("sandbox", "u1").await;
    server.clock.advance(Duration::hours(2));
    let begin = basic(&server, "sandbox", "u1").await?;
    assert_eq!(begin.refresh_failure, None);
    for failures in 1..=3 {
        provider.sandbox.fail_next(Failure::Status(503));
        let refused = server.token("sandbox", "u1").await;
        assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
        let connection = basic(&server, "sandbox", "u1").await?;
        assert_eq!(connection.state(), State::Active);
        let failure = connection.refresh_failure.unwrap();
        assert_eq!((failure.reason(), failure.count), (ErrorReason::ProviderUnavailable, failures));
        let (begin, retry) = (failure.begin_time.unwrap(), failure.retry_time.unwrap());
        assert!(retry.seconds >= begin.seconds + i64::from(failures - 1) * 600, "{failure:?}");
        // Longer than any back-off.
        server.clock.advance(Duration::minutes(10));
    }
    server.token("sandbox", "u1").await?;
    assert_eq!(basic(&server, "sandbox", "u1").await?.refresh_failure, None);

    assert_eq!(feed.event().await.r#type(), Created);
    let failed = feed.event().await;
    assert_eq!(failed.r#type(), RefreshFailed);
    assert_eq!(failed.refresh_failure_reason(), ErrorReason::ProviderUnavailable);
    assert_eq!(failed.reauthorization_reason(), ReauthorizationReason::Unspecified);
    let told: Vec<_> = feed.told(2).await.into_iter().map(|(event_type, _)| event_type).collect();
    assert_eq!(told, [Refreshed, Recovered]);
    Ok(())
}

#[tokio::test]
async fn a_grant_that_is_gone_is_told_once_with_its_reason() -> TestResult {
    use EventType::{Created, NeedsReauthorization, Recovered, Updated};

    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut feed = Feed::all(&server).await;
    server.connect("sandbox", "u1").await;
    provider.sandbox.revoke_all();
    server.clock.advance(Duration::hours(2));
    for _ in 0..3 {
        let refused = server.token("sandbox", "u1").await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
        assert_eq!(refusal.metadata["reauthorization_reason"], "GRANT_REFUSED");
        let connection = basic(&server, "sandbox", "u1").await?;
        assert_eq!(connection.state(), State::NeedsReauthorization);
        assert_eq!(connection.reauthorization_reason(), ReauthorizationReason::GrantRefused);
    }
    server.connect("sandbox", "u1").await;
    let healed = basic(&server, "sandbox", "u1").await?;
    assert_eq!(healed.reauthorization_reason(), ReauthorizationReason::Unspecified);

    assert_eq!(feed.event().await.r#type(), Created);
    let gone = feed.event().await;
    assert_eq!(gone.r#type(), NeedsReauthorization);
    assert_eq!(gone.reauthorization_reason(), ReauthorizationReason::GrantRefused);
    assert_eq!(gone.refresh_failure_reason(), ErrorReason::Unspecified);
    let told: Vec<_> = feed.told(2).await.into_iter().map(|(event_type, _)| event_type).collect();
    assert_eq!(told, [Updated, Recovered]);
    Ok(())
}

#[tokio::test]
async fn filters_let_through_what_they_name() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.create_integration("second", "sandbox").await;
    let request = |integration: &str, connection: &str, types: &[EventType]| WatchRequest {
        integration_id: integration.to_owned(),
        connection_id: connection.to_owned(),
        event_types: types.iter().map(|event_type| (*event_type).into()).collect(),
        cursor: String::new(),
    };
    let open = async |request: WatchRequest| Feed::open(&server, &server.key, request).await;
    let mut all = open(request("", "", &[])).await?;
    let mut second = open(request("second", "", &[])).await?;
    let mut ada = open(request("", "ada", &[])).await?;
    let mut second_ada = open(request("second", "ada", &[])).await?;
    let mut deleted = open(request("", "", &[EventType::Deleted, EventType::Updated])).await?;

    for (integration, connection) in
        [("sandbox", "ada"), ("second", "bob"), ("second", "ada"), ("sandbox", "bob")]
    {
        import(&server, &server.key, integration, connection).await;
    }
    delete(&server, "ada").await;
    import(&server, &server.key, "second", "ada").await;
    let name = async |feed: &mut Feed| {
        let event = feed.event().await;
        format!("{} {} {}", event.r#type().as_str_name(), event.integration_id, event.connection_id)
    };
    for expected in [
        "EVENT_TYPE_CREATED sandbox ada",
        "EVENT_TYPE_CREATED second bob",
        "EVENT_TYPE_CREATED second ada",
        "EVENT_TYPE_CREATED sandbox bob",
        "EVENT_TYPE_DELETED sandbox ada",
        "EVENT_TYPE_UPDATED second ada",
    ] {
        let event = name(&mut all).await;
        assert_eq!(event, expected);
        if event.contains("second") {
            assert_eq!(name(&mut second).await, expected);
        }
        if event.contains("ada") {
            assert_eq!(name(&mut ada).await, expected);
        }
        if event.contains("second ada") {
            assert_eq!(name(&mut second_ada).await, expected);
        }
        if !event.contains("CREATED") {
            assert_eq!(name(&mut deleted).await, expected);
        }
    }
    Ok(())
}

#[tokio::test]
async fn another_projects_events_are_not_told() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let other = other_project(&server, "other").await;
    server.connect("sandbox", "u1").await;
    let mut theirs = Feed::open(&server, &other, WatchRequest::default()).await?;
    let same = WatchRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "u1".to_owned(),
        ..WatchRequest::default()
    };
    let mut named = Feed::open(&server, &other, same).await?;
    touch(&server, &server.key, "u1").await;
    touch(&server, &server.key, "u1").await;
    TestServer::elsewhere(server.addresses, other.clone()).create_integration("sandbox", "sandbox").await;
    import(&server, &other, "sandbox", "u1").await;
    import(&server, &other, "sandbox", "u1").await;
    // The first that they are told is the first of their own.
    for feed in [&mut theirs, &mut named] {
        let told: Vec<_> = feed.told(2).await.into_iter().map(|(event_type, _)| event_type).collect();
        assert_eq!(told, [EventType::Created, EventType::Updated]);
    }
    Ok(())
}

#[tokio::test]
async fn malformed_requests_are_refused_by_their_fields() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let other = other_project(&server, "other").await;
    let refused = async |request: WatchRequest, reason: &str| {
        let refused = server.connection(&server.key).watch(request).await.map(|_| ());
        assert_refused(refused, Code::InvalidArgument, reason).fields
    };
    let plain = WatchRequest::default;
    for value in [0, 10, -1] {
        let request = WatchRequest { event_types: vec![1, value], ..plain() };
        assert_eq!(refused(request, "FIELD_INVALID").await, ["event_types"]);
    }
    let bad_id = WatchRequest { integration_id: "a:b".to_owned(), ..plain() };
    assert_eq!(refused(bad_id, "FIELD_INVALID").await, ["integration_id"]);
    let bad_name = WatchRequest { connection_id: " u1".to_owned(), ..plain() };
    assert_eq!(refused(bad_name, "FIELD_INVALID").await, ["connection_id"]);

    let (mine, theirs) =
        (Feed::all(&server).await.cursor, Feed::open(&server, &other, plain()).await?.cursor);
    for cursor in ["nonsense", &theirs, &mine[1..]] {
        let request = WatchRequest { cursor: cursor.to_owned(), ..plain() };
        assert_eq!(refused(request, "CURSOR_INVALID").await, ["cursor"]);
    }
    let narrower = WatchRequest { cursor: mine.clone(), event_types: vec![1], ..plain() };
    assert_eq!(refused(narrower, "CURSOR_INVALID").await, ["cursor"]);
    let page = ListRequest { page_size: 1, page_token: mine.clone(), ..ListRequest::default() };
    let refused = server.connection(&server.key).list(page).await;
    assert_refused(refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    Feed::after(&server, &mine).await?;
    Ok(())
}
