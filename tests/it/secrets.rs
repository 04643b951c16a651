//! Several client secrets: one is replaced at the provider, and nobody notices.

use prost::Message as _;
use prost_types::FieldMask;
use tokenwell::{
    api::pb::{
        connection::v1::{ImportClientCredentials, State, import_credentials::Kind},
        integration::v1::{CreateRequest, GetRequest, Integration, ListRequest, UpdateRequest},
    },
    model::Duration,
    sandbox::{Failure, OAuth1Quirks, Quirks},
};
use tonic::{Code, Status};

use crate::support::{
    Acme, TestResult, TestServer,
    acme::{ACME, plain},
    assert_refused, database,
    provider::{CLIENT_ID, CLIENT_SECRET},
};

const ENTRY: &str = r#"
grant_types = ["authorization_code", "client_credentials"]
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;
/// The secret that the provider changes to.
const NEW: &str = "canary-client-secret-new-9Zk";
const WRONG: &str = "canary-client-secret-wrong-3Bd";

fn quirks() -> Quirks {
    Quirks { client_credentials: true, ..plain() }
}

async fn connected() -> Acme {
    let acme = Acme::new(quirks(), ENTRY).await;
    acme.connect(&[]).await;
    acme
}

fn further(secrets: &[&str]) -> Integration {
    let further_client_secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    Integration { further_client_secrets, ..Integration::default() }
}

/// Changes the fields that the paths name.
async fn update(acme: &Acme, integration: Integration, paths: &[&str]) -> Result<Integration, Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = UpdateRequest {
        integration: Some(Integration { integration_id: ACME.to_owned(), ..integration }),
        update_mask: Some(FieldMask { paths }),
    };
    let updated = acme.server.integration(&acme.server.key).update(request).await?;
    Ok(updated.into_inner().integration.unwrap())
}

/// The secrets of the token requests since this many.
fn secrets_since(acme: &Acme, seen: usize) -> Vec<String> {
    let requests = acme.token_requests().into_iter().skip(seen);
    requests.map(|request| request.form["client_secret"].clone()).collect()
}

/// A refresh. Gives the secrets that it took.
async fn refreshed(acme: &Acme) -> Result<Vec<String>, Status> {
    let seen = acme.token_requests().len();
    acme.force().await?;
    Ok(secrets_since(acme, seen))
}

#[tokio::test]
async fn a_secret_is_replaced_without_an_outage_on_sqlite() -> TestResult {
    a_secret_is_replaced_without_an_outage(database::Kind::Sqlite).await
}

#[tokio::test]
async fn a_secret_is_replaced_without_an_outage_on_postgresql() -> TestResult {
    a_secret_is_replaced_without_an_outage(database::Kind::Postgres).await
}

async fn a_secret_is_replaced_without_an_outage(kind: database::Kind) -> TestResult {
    let acme = Acme::on(kind, quirks(), ENTRY).await;
    acme.connect(&[]).await;
    let updated = acme.update_integration(further(&[NEW])).await?;
    assert_eq!((updated.client_secret_set, updated.further_client_secrets_set), (true, 1));
    assert_eq!(refreshed(&acme).await?, [CLIENT_SECRET]);

    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    assert_eq!(refreshed(&acme).await?, [CLIENT_SECRET, NEW]);
    // From then on without a failure, whatever is asked for.
    assert_eq!(refreshed(&acme).await?, [NEW]);
    let seen = acme.token_requests().len();
    acme.connect(&[]).await;
    acme.import(Kind::ClientCredentials(ImportClientCredentials::default())).await?;
    assert_eq!(secrets_since(&acme, seen), [NEW, NEW]);
    // Another replica finds out for itself.
    let replica = acme.replica().await;
    let seen = acme.token_requests().len();
    replica.connect(ACME, "bob").await;
    replica.connect(ACME, "bob").await;
    assert_eq!(secrets_since(&acme, seen), [CLIENT_SECRET, NEW, NEW]);

    let last = Integration { client_secret: NEW.to_owned(), ..Integration::default() };
    let updated = update(&acme, last, &["client_secret", "further_client_secrets"]).await?;
    assert_eq!((updated.client_secret_set, updated.further_client_secrets_set), (true, 0));
    assert_eq!(refreshed(&acme).await?, [NEW]);
    assert_eq!(acme.basic().await?.state(), State::Active);
    Ok(())
}

#[tokio::test]
async fn a_code_and_client_credentials_are_tried_with_each_secret() -> TestResult {
    let acme = Acme::new(quirks(), ENTRY).await;
    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    acme.update_integration(further(&[NEW])).await?;
    acme.connect(&[]).await;
    assert_eq!(secrets_since(&acme, 0), [CLIENT_SECRET, NEW]);

    let acme = Acme::new(quirks(), ENTRY).await;
    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    acme.update_integration(further(&[NEW])).await?;
    acme.import(Kind::ClientCredentials(ImportClientCredentials::default())).await?;
    assert_eq!(secrets_since(&acme, 0), [CLIENT_SECRET, NEW]);
    Ok(())
}

#[tokio::test]
async fn secrets_are_tried_in_their_order_and_each_once() -> TestResult {
    let acme = connected().await;
    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    acme.update_integration(further(&[WRONG, CLIENT_SECRET, NEW])).await?;
    assert_eq!(refreshed(&acme).await?, [CLIENT_SECRET, WRONG, NEW]);
    // What worked last is first, and the others come after it, so that going back works, too.
    acme.provider.sandbox.replace_secret(CLIENT_ID, WRONG.into());
    assert_eq!(refreshed(&acme).await?, [NEW, CLIENT_SECRET, WRONG]);
    assert_eq!(refreshed(&acme).await?, [WRONG]);
    // A change of the integration forgets it.
    acme.update_integration(Integration { scopes: vec!["read".to_owned()], ..Integration::default() })
        .await?;
    assert_eq!(refreshed(&acme).await?, [CLIENT_SECRET, WRONG]);
    Ok(())
}

/// The longest that a connection is left alone after failures.
const BACKOFF: Duration = Duration::minutes(5);

#[tokio::test]
async fn a_client_that_is_refused_with_every_secret_is_the_integrations_fault() -> TestResult {
    let acme = connected().await;
    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    acme.update_integration(further(&[WRONG])).await?;
    for _ in 0..2 {
        let seen = acme.token_requests().len();
        let refusal = assert_refused(acme.force().await, Code::FailedPrecondition, "CLIENT_REJECTED");
        assert_eq!(refusal.metadata["oauth_error"], "invalid_client");
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
        assert_eq!(secrets_since(&acme, seen), [CLIENT_SECRET, WRONG]);
        acme.clock.wait_out();
    }
    assert_eq!(acme.basic().await?.state(), State::Active);
    acme.update_integration(further(&[WRONG, NEW])).await?;
    assert_eq!(refreshed(&acme).await?, [CLIENT_SECRET, WRONG, NEW]);
    Ok(())
}

#[tokio::test]
async fn only_a_refused_client_is_a_reason_for_another_secret() -> TestResult {
    let acme = connected().await;
    acme.update_integration(further(&[WRONG])).await?;
    let error = |status: u16, code: &str| Failure::Error {
        status,
        code: code.to_owned(),
        description: String::new(),
    };
    for (failure, reason) in [
        (error(400, "invalid_request"), "CLIENT_REJECTED"),
        (error(400, "invalid_scope"), "CLIENT_REJECTED"),
        (Failure::Status(403), "PROVIDER_RESPONSE_INVALID"),
        (Failure::Html, "PROVIDER_RESPONSE_INVALID"),
    ] {
        let seen = acme.token_requests().len();
        acme.provider.sandbox.fail_next(failure);
        assert_refused(acme.force().await, Code::FailedPrecondition, reason);
        assert_eq!(secrets_since(&acme, seen), [CLIENT_SECRET], "{reason}");
        acme.clock.advance(BACKOFF);
    }
    let seen = acme.token_requests().len();
    acme.provider.sandbox.fail_next(Failure::Status(503));
    assert_refused(acme.force().await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert_eq!(secrets_since(&acme, seen), [CLIENT_SECRET]);
    acme.clock.advance(BACKOFF);

    acme.provider.sandbox.fail_next(error(401, "invalid_client"));
    acme.provider.sandbox.fail_next(Failure::Status(503));
    assert_refused(acme.force().await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    acme.clock.advance(BACKOFF);
    assert_eq!(refreshed(&acme).await?, [CLIENT_SECRET], "nothing was proved");
    // The answer that ends the grant proves the client, and no other secret is tried with a token that is dead.
    acme.provider.sandbox.revoke_all();
    let seen = acme.token_requests().len();
    assert_refused(acme.force().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(secrets_since(&acme, seen), [CLIENT_SECRET]);
    Ok(())
}

/// RFC 6749, section 5.2, keeps status 401 for the client, but demands an error beside it.
#[tokio::test]
async fn status_401_without_an_error_is_worth_another_secret_and_proves_nothing() -> TestResult {
    let acme = connected().await;
    let nothing = |acme: &Acme| acme.provider.sandbox.fail_next(Failure::Status(401));
    nothing(&acme);
    let refusal = assert_refused(acme.force().await, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    assert!(refusal.message.contains("401"), "{}", refusal.message);
    assert_eq!(acme.basic().await?.state(), State::Active);
    acme.clock.advance(BACKOFF);

    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    acme.update_integration(further(&[NEW])).await?;
    nothing(&acme);
    assert_eq!(refreshed(&acme).await?, [CLIENT_SECRET, NEW]);
    assert_eq!(refreshed(&acme).await?, [NEW]);
    nothing(&acme);
    nothing(&acme);
    assert_refused(acme.force().await, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    assert_eq!(acme.basic().await?.state(), State::Active);
    Ok(())
}

#[tokio::test]
async fn a_client_of_the_connections_own_has_one_secret() -> TestResult {
    let acme = Acme::new(quirks(), ENTRY).await;
    acme.update_integration(further(&[CLIENT_SECRET, NEW])).await?;
    let own = ImportClientCredentials {
        client_id: CLIENT_ID.to_owned(),
        client_secret: WRONG.to_owned(),
        ..ImportClientCredentials::default()
    };
    let refused = acme.import(Kind::ClientCredentials(own)).await;
    assert_refused(refused, Code::FailedPrecondition, "CREDENTIALS_REJECTED");
    assert_eq!(secrets_since(&acme, 0), [WRONG]);
    Ok(())
}

#[tokio::test]
async fn a_callback_is_signed_with_any_of_the_secrets() -> TestResult {
    let entry = format!("{ENTRY}callback = {{ hmac_param = \"hmac\" }}");
    let acme = Acme::new(Quirks { sign_callback: true, ..quirks() }, &entry).await;
    acme.connect(&[]).await;
    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    let page = acme.try_connect(&[]).await;
    assert_eq!(page.result("data-error"), "CALLBACK_INVALID", "{}", page.body);
    acme.update_integration(further(&[WRONG, NEW])).await?;
    acme.connect(&[]).await;
    Ok(())
}

#[tokio::test]
async fn oauth1_requests_are_signed_with_each_secret() -> TestResult {
    let entry = r#"
        grant_types = ["oauth1"]
        request_token_endpoint = "PROVIDER/request_token"
        authorization_endpoint = "PROVIDER/authorize"
        token_endpoint = "PROVIDER/token"
    "#;
    let acme = Acme::new(Quirks { oauth1: Some(OAuth1Quirks::default()), ..plain() }, entry).await;
    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    assert_refused(acme.begin(&[]).await, Code::FailedPrecondition, "CLIENT_REJECTED");
    acme.update_integration(further(&[WRONG, NEW])).await?;
    let seen = acme.token_requests().len();
    acme.connect(&[]).await;
    // Three tries for a request token, and none in vain for the access token.
    assert_eq!(acme.token_requests().len(), seen + 4);
    acme.get().await?;
    Ok(())
}

#[tokio::test]
async fn further_secrets_are_in_no_answer_and_not_in_the_database() -> TestResult {
    let acme = connected().await;
    let mut client = acme.server.integration(&acme.server.key);
    let given = |id: &str| Integration {
        integration_id: id.to_owned(),
        provider_id: ACME.to_owned(),
        client_id: "client".to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        ..further(&[NEW, WRONG])
    };
    let created = client.create(CreateRequest { integration: Some(given("mine")) }).await?.into_inner();
    assert_eq!(created.integration.as_ref().unwrap().further_client_secrets_set, 2);
    let request = UpdateRequest { integration: Some(given("mine")), update_mask: None };
    let answers = [
        created.encode_to_vec(),
        client.get(GetRequest { integration_id: "mine".to_owned() }).await?.into_inner().encode_to_vec(),
        client.list(ListRequest::default()).await?.into_inner().encode_to_vec(),
        client.update(request).await?.into_inner().encode_to_vec(),
    ];
    for answer in answers {
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("mine") && !text.contains("canary"), "{text}");
    }
    let contents = acme.database.contents().await;
    let contents = String::from_utf8_lossy(&contents);
    assert!(contents.contains("mine") && !contents.contains("canary"), "a secret is there in clear");
    Ok(())
}

#[tokio::test]
async fn further_secrets_are_checked_and_replaced_as_a_whole() -> TestResult {
    let acme = connected().await;
    let long = "x".repeat(8193);
    for bad in [&["a", "b", "c", "d"][..], &[""], &["a", ""], &[&long]] {
        let refused = acme.update_integration(further(bad)).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["further_client_secrets"]);
    }
    let set = |updated: Integration| (updated.client_secret_set, updated.further_client_secrets_set);
    assert_eq!(set(acme.update_integration(further(&["a", "b", &long[1..]])).await?), (true, 3));
    let scopes = Integration { scopes: vec!["read".to_owned()], ..Integration::default() };
    assert_eq!(set(acme.update_integration(scopes).await?), (true, 3), "others stay");
    assert_eq!(set(acme.update_integration(further(&["a"])).await?), (true, 1));
    // There is no further one without a first.
    let none = update(&acme, Integration::default(), &["client_secret"]).await;
    let refusal = assert_refused(none, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refusal.fields, ["further_client_secrets"]);
    assert_eq!(set(update(&acme, further(&[]), &["further_client_secrets"]).await?), (true, 0));
    let all = Integration { client_id: CLIENT_ID.to_owned(), ..further(&["a"]) };
    assert_refused(update(&acme, all, &["*"]).await, Code::InvalidArgument, "FIELD_INVALID");
    let public = Integration { client_id: CLIENT_ID.to_owned(), ..Integration::default() };
    assert_eq!(set(update(&acme, public, &["*"]).await?), (false, 0));
    Ok(())
}

/// The usual server, too: the client of its sandbox authenticates by Basic.
#[tokio::test]
async fn a_secret_of_basic_is_replaced() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    let integration = Integration { integration_id: "sandbox".to_owned(), ..further(&[NEW]) };
    let request = UpdateRequest { integration: Some(integration), update_mask: None };
    server.integration(&server.key).update(request).await?;
    server.connect("sandbox", "ada").await;
    server.connect("sandbox", "ada").await;
    assert_eq!(provider.sandbox.book().token_requests.len(), 3);
    Ok(())
}
