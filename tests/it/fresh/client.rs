//! A client that is refused when a connection is made marks the integration as one that is refused at a refresh does.

use tokenwell::{
    api::pb::{
        connection::v1::{ImportClientCredentials, import_credentials::Kind},
        integration::v1::Integration,
    },
    sandbox::{Failure, OAuth1Quirks, Quirks, SignatureMethod},
};
use tonic::Code;

use super::{ENTRY, expired, integration, usual};
use crate::support::{
    Acme, TestResult,
    acme::{ACME, plain},
    assert_refused, database,
    provider::{CLIENT_ID, CLIENT_SECRET},
};

const INVALID: Option<&str> = Some("invalid_client");
const NEW: &str = "canary-client-secret-new-4Wq";
const OAUTH1: &str = r#"
grant_types = ["oauth1"]
request_token_endpoint = "PROVIDER/request_token"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;
/// Codes are redeemed where the connection's config says.
const OWN_HOST: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "{origin}/token"
default_scopes = ["read"]
[config.origin]
title = "Origin"
default = "only"
enum = [{ value = "only", title = "The only one", substitute = "PROVIDER" }]
"#;

/// What the provider is said to say of the integration's client.
async fn mark(acme: &Acme) -> Option<String> {
    integration(acme).await.client_failure.map(|failure| failure.oauth_error)
}

/// A flow whose code is not redeemed. Gives the reason.
async fn connect_in_vain(acme: &Acme) -> String {
    let answer = acme.try_connect(&[]).await;
    assert_eq!(answer.result("data-status"), "error", "{}", answer.body);
    answer.result("data-error").to_owned()
}

/// Whether refreshes leave the provider alone.
async fn paused(acme: &Acme) -> bool {
    acme.database.number("SELECT count(*) FROM integrations WHERE pause_until IS NOT NULL").await > 0
}

fn client_credentials(client_id: &str, client_secret: &str) -> Kind {
    let (client_id, client_secret) = (client_id.to_owned(), client_secret.to_owned());
    Kind::ClientCredentials(ImportClientCredentials { client_id, client_secret, scopes: Vec::new() })
}

#[tokio::test]
async fn a_client_that_is_refused_with_a_code_marks_the_integration_and_pauses_nothing() -> TestResult {
    for kind in [database::Kind::Sqlite, database::Kind::Postgres] {
        let acme = Acme::on(kind, plain(), ENTRY).await;
        acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
        assert_eq!(connect_in_vain(&acme).await, "CLIENT_REJECTED");
        let first = integration(&acme).await.client_failure.unwrap();
        assert_eq!(first.oauth_error, "invalid_client");
        acme.clock.wait_out();
        assert_eq!(connect_in_vain(&acme).await, "CLIENT_REJECTED");
        assert_eq!(integration(&acme).await.client_failure, Some(first), "it remembers since when");
        assert!(!paused(&acme).await, "{kind:?}: browsers bring codes, and may not stop refreshes");
        // The provider takes the client again, and nobody has changed the integration.
        acme.provider.sandbox.replace_secret(CLIENT_ID, CLIENT_SECRET.into());
        acme.connect(&[]).await;
        assert_eq!(mark(&acme).await, None, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_flow_that_succeeds_ends_the_pause_of_a_refused_client() -> TestResult {
    let acme = expired(plain(), "").await;
    acme.refuse_next("invalid_client");
    assert_refused(acme.server.token(ACME, "a").await, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert_refused(acme.server.token(ACME, "b").await, Code::FailedPrecondition, "CLIENT_REJECTED");
    acme.connect(&[]).await;
    assert_eq!(mark(&acme).await, None);
    acme.server.token(ACME, "b").await?;
    Ok(())
}

/// What a code has marked says nothing of why the provider is left alone.
#[tokio::test]
async fn a_mark_is_not_taken_for_the_reason_of_a_pause() {
    let acme = expired(plain(), "").await;
    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    assert_eq!(connect_in_vain(&acme).await, "CLIENT_REJECTED");
    assert!(mark(&acme).await.is_some());
    acme.provider.sandbox.replace_secret(CLIENT_ID, CLIENT_SECRET.into());
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "120".to_owned()));
    for name in ["a", "b"] {
        assert_refused(acme.server.token(ACME, name).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    }
    acme.connect(&[]).await;
    assert_eq!(mark(&acme).await, None);
    assert_refused(acme.server.token(ACME, "b").await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
}

/// A code that is taken does not say that the provider has changed its mind.
#[tokio::test]
async fn a_flow_that_succeeds_does_not_overrule_a_wish_to_be_left_alone() {
    let acme = expired(plain(), "").await;
    acme.provider.sandbox.fail_next(Failure::RetryAfter(429, "120".to_owned()));
    assert_refused(acme.server.token(ACME, "a").await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    acme.connect(&[]).await;
    assert_refused(acme.server.token(ACME, "b").await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
}

/// What a browser, or a wish for the wrong kind of grant, can bring about is not held against the client.
#[tokio::test]
async fn other_refusals_of_a_code_mark_nothing() {
    let acme = usual().await;
    for (error, reason) in [
        ("invalid_grant", "PROVIDER_REJECTED_CODE"),
        ("invalid_request", "PROVIDER_REJECTED_CODE"),
        // The client is known, and may not make this kind of grant.
        ("unauthorized_client", "CLIENT_REJECTED"),
    ] {
        acme.refuse_next(error);
        assert_eq!(connect_in_vain(&acme).await, reason);
        assert_eq!(mark(&acme).await, None, "{error}");
    }
    for status in [401, 500] {
        acme.provider.sandbox.fail_next(Failure::Status(status));
        connect_in_vain(&acme).await;
        assert_eq!(mark(&acme).await, None, "{status}");
    }
    assert!(!paused(&acme).await);
}

/// A browser that chooses the host may choose one that has never heard of the client.
#[tokio::test]
async fn a_host_that_the_flow_has_chosen_says_nothing_of_the_client() {
    let acme = Acme::new(plain(), OWN_HOST).await;
    acme.refuse_next("invalid_client");
    assert_eq!(connect_in_vain(&acme).await, "CLIENT_REJECTED");
    assert_eq!(mark(&acme).await, None);
}

/// That the integration has no key is its own fault, whatever the host.
#[tokio::test]
async fn a_key_that_is_missing_marks_the_integration() {
    let signed = "token_endpoint_auth_method = \"private_key_jwt\"\n";
    let (before, config) = OWN_HOST.split_once("[config").unwrap();
    let acme = Acme::new(plain(), &format!("{before}{signed}[config{config}")).await;
    assert_eq!(connect_in_vain(&acme).await, "CLIENT_REJECTED");
    assert_eq!(mark(&acme).await.as_deref(), INVALID);
    assert!(acme.token_requests().is_empty());
}

#[tokio::test]
async fn an_import_marks_the_integration_for_its_own_client_alone() -> TestResult {
    let quirks = Quirks { client_credentials: true, ..plain() };
    let entry = format!("{ENTRY}grant_types = [\"authorization_code\", \"client_credentials\"]\n");
    let acme = Acme::new(quirks, &entry).await;
    let refused = acme.import(client_credentials("somebody-else", "canary-wrong")).await;
    assert_refused(refused, Code::FailedPrecondition, "CREDENTIALS_REJECTED");
    assert_eq!(mark(&acme).await, None);

    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    let refused = acme.import(client_credentials("", "")).await;
    assert_refused(refused, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert_eq!(mark(&acme).await.as_deref(), INVALID);
    // Somebody else's client is not the one that is marked.
    acme.import(client_credentials(CLIENT_ID, NEW)).await?;
    assert_eq!(mark(&acme).await.as_deref(), INVALID);

    acme.provider.sandbox.replace_secret(CLIENT_ID, CLIENT_SECRET.into());
    acme.import(client_credentials("", "")).await?;
    assert_eq!(mark(&acme).await, None);
    Ok(())
}

/// OAuth 1.0a has no refresh that could tell.
#[tokio::test]
async fn a_client_that_gets_no_request_token_marks_the_integration() -> TestResult {
    let oauth1 = OAuth1Quirks { signature_method: SignatureMethod::HmacSha1, ..OAuth1Quirks::default() };
    let acme = Acme::new(Quirks { oauth1: Some(oauth1), ..plain() }, OAUTH1).await;
    let wrong = Integration { client_secret: NEW.to_owned(), ..Integration::default() };
    acme.update_integration(wrong).await?;
    let refused = assert_refused(acme.begin(&[]).await, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert_eq!(refused.metadata["oauth_error"], "invalid_client");
    assert_eq!(mark(&acme).await.as_deref(), INVALID);
    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    acme.begin(&[]).await?;
    assert_eq!(mark(&acme).await, None);
    Ok(())
}
