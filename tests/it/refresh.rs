//! Refreshing: when it happens, what it leaves alone, and what a provider's refusal means.

use prost_types::Duration as PbDuration;
use tokenwell::{
    api::pb::connection::v1::{GetRequest, SetMetadataRequest, State},
    model::Duration,
    sandbox::{Failure, IssuesRefreshToken, Quirks},
};
use tonic::Code;

use crate::support::{
    Database, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused,
    server::get,
    steps::{basic, object, works},
};

/// A server with the connection `u1`, whose token has an hour.
async fn connected() -> (TestServer, TestProvider, Database) {
    let (server, provider, database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "u1").await;
    (server, provider, database)
}

/// The same with a provider of these quirks.
async fn quirky(quirks: Quirks) -> (TestServer, TestProvider, Database) {
    let clock = ManualClock::new();
    let provider = TestProvider::plain_with(quirks, &clock, |router| router).await;
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;
    server.connect("sandbox", "u1").await;
    (server, provider, database)
}

fn fresh_for(minutes: i64) -> GetRequest {
    GetRequest { min_ttl: Some(PbDuration { seconds: minutes * 60, nanos: 0 }), ..get("sandbox", "u1") }
}

fn forced() -> GetRequest {
    GetRequest { force_refresh: true, ..get("sandbox", "u1") }
}

fn error(status: u16, code: &str) -> Failure {
    Failure::Error { status, code: code.to_owned(), description: "no".to_owned() }
}

#[tokio::test]
async fn a_token_is_kept_while_it_is_valid_and_refreshed_when_it_is_not() -> TestResult {
    let (server, provider, _database) = connected().await;
    let (_, first) = server.token("sandbox", "u1").await?;
    // A minute later it would be renewed behind the caller's back.
    server.clock.advance(Duration::minutes(47));
    let (_, same) = server.token("sandbox", "u1").await?;
    assert_eq!((first, provider.sandbox.book().refreshes), (same.clone(), 0));

    // Less than the minute that a caller gets if it does not ask for more.
    server.clock.advance(Duration::minutes(12) + Duration::SECOND);
    let (connection, second) = server.token("sandbox", "u1").await?;
    assert_ne!(second.access_token, same.access_token);
    assert!(works(&provider, &second.access_token).await);
    assert_eq!(
        connection.refresh_time.unwrap().seconds,
        connection.create_time.unwrap().seconds + 59 * 60 + 1
    );
    assert_eq!(connection.update_time, connection.create_time, "a refresh is no update");
    assert_eq!(second.expire_time.unwrap().seconds, same.expire_time.unwrap().seconds + 59 * 60 + 1);

    server.clock.advance(Duration::days(30));
    let (_, third) = server.token("sandbox", "u1").await?;
    assert!(works(&provider, &third.access_token).await, "the rotated refresh token was stored");
    assert_eq!(provider.sandbox.book().refreshes, 2);
    assert_eq!(provider.sandbox.book().reuse_detected, 0);
    Ok(())
}

#[tokio::test]
async fn a_caller_may_ask_for_more_time() -> TestResult {
    let (server, provider, _database) = connected().await;
    server.clock.advance(Duration::minutes(40));
    server.get(fresh_for(19)).await?;
    assert_eq!(provider.sandbox.book().refreshes, 0);
    let (_, token) = server.get(fresh_for(21)).await?;
    assert_eq!(provider.sandbox.book().refreshes, 1);
    assert!(works(&provider, &token.access_token).await);
    for bad in [-1, 61] {
        let refused =
            assert_refused(server.get(fresh_for(bad)).await, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refused.fields, ["min_ttl"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_basic_view_refreshes_nothing() -> TestResult {
    let (server, provider, _database) = connected().await;
    server.clock.advance(Duration::hours(2));
    let connection = basic(&server, "sandbox", "u1").await?;
    assert_eq!((connection.state(), connection.credentials), (State::Active, None));
    assert_eq!(provider.sandbox.book().refreshes, 0);
    Ok(())
}

#[tokio::test]
async fn a_forced_refresh_replaces_a_valid_token() -> TestResult {
    let (server, provider, _database) = connected().await;
    let (_, first) = server.token("sandbox", "u1").await?;
    let (_, second) = server.get(forced()).await?;
    assert_ne!(first.access_token, second.access_token);
    assert!(works(&provider, &second.access_token).await);
    // Whoever forces a refresh was refused with the old token: it is not handed out again.
    provider.sandbox.fail_next(Failure::Status(503));
    assert_refused(server.get(forced()).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    Ok(())
}

#[tokio::test]
async fn an_old_refresh_token_stays_where_the_provider_sends_no_new_one() -> TestResult {
    let (server, provider, _database) = quirky(Quirks { rotate: false, ..Quirks::default() }).await;
    for refreshes in 1..=3 {
        server.clock.advance(Duration::hours(2));
        let (_, token) = server.token("sandbox", "u1").await?;
        assert!(works(&provider, &token.access_token).await);
        assert_eq!(provider.sandbox.book().refreshes, refreshes);
    }
    let redemptions: Vec<_> = provider.sandbox.book().redemptions.into_values().collect();
    assert_eq!(redemptions, [3], "it was one token all the time");
    Ok(())
}

#[tokio::test]
async fn without_a_refresh_token_the_user_has_to_connect_again() -> TestResult {
    let quirks = Quirks { issues_refresh_token: IssuesRefreshToken::Never, ..Quirks::default() };
    let (server, provider, _database) = quirky(quirks).await;
    server.clock.advance(Duration::minutes(50));
    server.get(fresh_for(30)).await?;
    let refused =
        assert_refused(server.get(forced()).await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(
        (&*refused.metadata["integration_id"], &*refused.metadata["connection_id"]),
        ("sandbox", "u1")
    );
    server.clock.advance(Duration::minutes(10));
    let expired = server.token("sandbox", "u1").await;
    assert_refused(expired, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(provider.sandbox.book().token_requests.len(), 1);
    server.connect("sandbox", "u1").await;
    server.token("sandbox", "u1").await?;
    Ok(())
}

#[tokio::test]
async fn while_the_provider_is_away_the_old_token_is_served_as_long_as_it_is_valid() -> TestResult {
    let (server, provider, _database) = connected().await;
    let (_, old) = server.token("sandbox", "u1").await?;
    server.clock.advance(Duration::minutes(50));
    for (tries, failure) in
        [Failure::Status(500), Failure::RetryAfter(429, "30".to_owned())].into_iter().enumerate()
    {
        provider.sandbox.fail_next(failure);
        let (_, token) = server.get(fresh_for(30)).await?;
        assert_eq!(token, old);
        assert_eq!(provider.sandbox.book().token_requests.len(), tries + 2, "it was tried");
        server.get(fresh_for(30)).await?;
        assert_eq!(provider.sandbox.book().token_requests.len(), tries + 2, "it is left alone for a moment");
        server.clock.wait_out();
    }
    server.clock.advance(Duration::minutes(10));
    provider.sandbox.fail_next(Failure::RetryAfter(503, "30".to_owned()));
    let refused =
        assert_refused(server.token("sandbox", "u1").await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert_eq!(refused.retry, Some(std::time::Duration::from_secs(30)));
    assert_eq!(refused.metadata["provider_id"], "sandbox");
    assert_eq!(basic(&server, "sandbox", "u1").await?.state(), State::Active);
    server.clock.advance(Duration::seconds(29));
    assert_refused(server.token("sandbox", "u1").await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    server.clock.advance(Duration::seconds(1));

    let (_, new) = server.token("sandbox", "u1").await?;
    assert!(works(&provider, &new.access_token).await);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_loses_nothing() -> TestResult {
    let (server, provider, _database) = connected().await;
    server.clock.advance(Duration::hours(1));
    for failure in [
        Failure::Html,
        Failure::Empty,
        Failure::Garbage("{\"access_token\":7}".to_owned()),
        Failure::Huge(10_000_000),
        Failure::Redirect("http://127.0.0.1:9/token".to_owned()),
    ] {
        provider.sandbox.fail_next(failure.clone());
        let refused = server.token("sandbox", "u1").await;
        assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
        assert_eq!(basic(&server, "sandbox", "u1").await?.state(), State::Active, "{failure:?}");
        server.clock.advance(Duration::minutes(5));
    }
    let (_, token) = server.token("sandbox", "u1").await?;
    assert!(works(&provider, &token.access_token).await);
    Ok(())
}

#[tokio::test]
async fn a_withdrawn_grant_needs_the_user_and_a_new_one_heals_it() -> TestResult {
    let (server, provider, _database) = connected().await;
    let gold = object(&[("plan", "gold")]);
    let request = SetMetadataRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "u1".to_owned(),
        metadata: Some(gold.clone()),
        etag: String::new(),
    };
    server.connection(&server.key).set_metadata(request).await?;
    provider.sandbox.revoke_all();
    server.clock.advance(Duration::hours(1));
    for _ in 0..3 {
        let refused = server.token("sandbox", "u1").await;
        let refused = assert_refused(refused, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
        assert_eq!(
            (&*refused.metadata["integration_id"], &*refused.metadata["connection_id"]),
            ("sandbox", "u1")
        );
        let connection = basic(&server, "sandbox", "u1").await?;
        assert_eq!(connection.state(), State::NeedsReauthorization);
    }
    assert_refused(server.get(forced()).await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(provider.sandbox.book().token_requests.len(), 2, "a dead refresh token is sent once");

    server.connect("sandbox", "u1").await;
    let (connection, token) = server.token("sandbox", "u1").await?;
    assert!(works(&provider, &token.access_token).await);
    assert_eq!((connection.state(), connection.metadata), (State::Active, Some(gold)));
    server.clock.advance(Duration::hours(1));
    let (_, next) = server.token("sandbox", "u1").await?;
    assert!(works(&provider, &next.access_token).await);
    Ok(())
}

#[tokio::test]
async fn a_refused_client_is_not_the_connections_fault() -> TestResult {
    let (server, provider, _database) = connected().await;
    server.clock.advance(Duration::hours(1));
    for (status, code) in [(401, "invalid_client"), (400, "unauthorized_client")] {
        provider.sandbox.fail_next(error(status, code));
        let refused = server.token("sandbox", "u1").await;
        let refused = assert_refused(refused, Code::FailedPrecondition, "CLIENT_REJECTED");
        assert_eq!((&*refused.metadata["provider_id"], &*refused.metadata["oauth_error"]), ("sandbox", code));
        assert_eq!(basic(&server, "sandbox", "u1").await?.state(), State::Active);
        server.clock.wait_out();
    }
    let (_, token) = server.token("sandbox", "u1").await?;
    assert!(works(&provider, &token.access_token).await);
    Ok(())
}
