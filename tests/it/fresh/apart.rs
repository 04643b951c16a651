//! What is one connection's own, be it a fault, a host or a client, is not held against the others of its integration.

use tokenwell::{
    api::pb::{
        connection::v1::{ImportClientCredentials, ImportRequest, import_credentials::Kind},
        integration::v1::Integration,
    },
    model::Duration,
    sandbox::{Failure, Quirks},
};
use tonic::Code;

use super::{NAMES, expired, integration};
use crate::support::{
    Acme, TestResult,
    acme::{ACME, import, plain},
    assert_refused,
    provider::{CLIENT_ID, CLIENT_SECRET},
};

/// The longest back-off of a connection.
const BACKOFF: Duration = Duration::minutes(5);
/// Tokens are renewed where the connection's config says.
const OWN_PATH: &str = r#"
refresh_endpoint = "PROVIDER/{path}"
[config.path]
title = "Path"
default = "token"
pattern = "[a-z]+"
"#;
const OWN_HOST: &str = r#"
refresh_endpoint = "{origin}/token"
[config.origin]
title = "Origin"
default = "only"
enum = [{ value = "only", title = "The only one", substitute = "PROVIDER" }]
"#;

async fn unavailable(acme: &Acme, name: &str) -> Option<std::time::Duration> {
    assert_refused(acme.server.token(ACME, name).await, Code::Unavailable, "PROVIDER_UNAVAILABLE").retry
}

async fn fails(acme: &Acme, name: &str) {
    acme.provider.sandbox.fail_next(Failure::Status(502));
    unavailable(acme, name).await;
}

/// Lets the provider ask for two minutes of peace.
async fn is_asked_to_wait(acme: &Acme, name: &str) {
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "120".to_owned()));
    assert_eq!(unavailable(acme, name).await, Some(std::time::Duration::from_mins(2)));
}

async fn client_is_refused(acme: &Acme, name: &str) {
    assert_refused(acme.server.token(ACME, name).await, Code::FailedPrecondition, "CLIENT_REJECTED");
}

#[tokio::test]
async fn failures_of_one_connection_alone_open_no_breaker() -> TestResult {
    let acme = expired(plain(), "").await;
    for _ in 0..6 {
        acme.clock.advance(BACKOFF);
        fails(&acme, "a").await;
    }
    acme.server.token(ACME, "b").await?;
    Ok(())
}

#[tokio::test]
async fn a_request_that_is_never_sent_says_nothing_of_the_provider() -> TestResult {
    let acme = expired(plain(), OWN_PATH).await;
    acme.database.execute("UPDATE connections SET config = '{}' WHERE connection_id IN ('a', 'b')").await;
    let before = acme.token_requests().len();
    for name in ["a", "b", "a", "b", "a", "b"] {
        acme.clock.advance(BACKOFF);
        let refused = acme.server.token(ACME, name).await;
        assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    }
    assert_eq!(acme.token_requests().len(), before);
    let clear = acme.database.number("SELECT count(*) FROM refresh_attempts WHERE outcome = 'failed'").await;
    assert_eq!(clear, 6, "the provider cannot have spent a token that it never saw");
    is_asked_to_wait(&acme, "c").await;
    acme.clock.advance(BACKOFF);
    // It would go first, and does not go: so the next one does.
    let refused = acme.server.token(ACME, "a").await;
    assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    acme.server.token(ACME, "d").await?;
    Ok(())
}

#[tokio::test]
async fn a_host_of_the_connections_own_is_no_concern_of_the_others() -> TestResult {
    let acme = expired(plain(), OWN_HOST).await;
    for name in &NAMES[..6] {
        fails(&acme, name).await;
    }
    is_asked_to_wait(&acme, "g").await;
    acme.server.token(ACME, "h").await?;
    acme.clock.wait_out();
    acme.server.token(ACME, "a").await?;
    assert!(unavailable(&acme, "g").await.is_some(), "it waits as long as its host wishes");
    Ok(())
}

/// The client is the same at all hosts: the integration is marked, but the others may find that it works.
#[tokio::test]
async fn a_client_that_is_refused_at_one_host_is_tried_at_the_others() -> TestResult {
    let acme = expired(plain(), OWN_HOST).await;
    let before = acme.token_requests().len();
    acme.refuse_next("invalid_client");
    client_is_refused(&acme, "a").await;
    assert_eq!(integration(&acme).await.client_failure.unwrap().oauth_error, "invalid_client");
    client_is_refused(&acme, "a").await;
    assert_eq!(acme.token_requests().len() - before, 1, "its own host is left alone");
    acme.server.token(ACME, "b").await?;
    assert_eq!(integration(&acme).await.client_failure, None);
    // A correction of the integration helps at once here, too.
    let scopes = Integration { scopes: vec!["read".to_owned()], ..Integration::default() };
    acme.update_integration(scopes).await?;
    acme.server.token(ACME, "a").await?;
    Ok(())
}

#[tokio::test]
async fn a_client_of_the_connections_own_has_no_part_in_it() -> TestResult {
    let quirks = Quirks { client_credentials: true, ..plain() };
    let acme = expired(quirks, "grant_types = [\"authorization_code\", \"client_credentials\"]\n").await;
    let own = ["own-1", "own-2", "own-3", "own-4", "own-5"];
    for name in own {
        let client = ImportClientCredentials {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            ..ImportClientCredentials::default()
        };
        let import = import(Kind::ClientCredentials(client));
        acme.import_with(ImportRequest { connection_id: name.to_owned(), ..import }).await?;
    }
    acme.clock.advance(Duration::hours(1));
    for name in own {
        fails(&acme, name).await;
    }
    acme.server.token(ACME, "a").await?;

    is_asked_to_wait(&acme, "b").await;
    acme.clock.wait_out();
    acme.server.token(ACME, "own-1").await?;
    assert!(unavailable(&acme, "c").await.is_some(), "what another client was told is not for this one");
    Ok(())
}
