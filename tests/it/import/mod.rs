//! Import: connections that are made of credentials which somebody already has.

mod client;
mod refused;
mod tokens;

use tokenwell::{
    api::pb::{
        connection::v1::{
            ApiKeyCredentials, BasicCredentials, Connection, ImportRequest, State, credentials,
            import_credentials::Kind,
        },
        provider::v1::GrantType,
    },
    model::Duration,
    sandbox::{Quirks, ResourceQuirks},
};
use tonic::Code;

use crate::support::{
    Acme, TestResult,
    acme::{import, map, plain},
    assert_refused, database,
    steps::object,
};

const KEY: &str = "canary-api-key-4f";
const PASSWORD: &str = "canary-password-5e: é";

/// A provider of keys and passwords, which are proven at `/me`.
const PROVEN: &str = r#"
grant_types = ["api_key", "basic"]
[verification]
url = "PROVIDER/me"
headers = { x-api-key = "{api_key}" }
basic = "{username}:{password}"
"#;

fn proving() -> Quirks {
    let me = || ResourceQuirks { path: "/me".to_owned(), ..ResourceQuirks::default() };
    let by_key = ResourceQuirks { headers: vec![("x-api-key".to_owned(), KEY.to_owned())], ..me() };
    let by_password = ResourceQuirks { basic: Some(format!("ada:{PASSWORD}")), ..me() };
    Quirks { resources: vec![by_key, by_password], ..plain() }
}

fn api_key(key: &str) -> Kind {
    Kind::ApiKey(ApiKeyCredentials { api_key: key.to_owned() })
}

fn password(username: &str, password: &str) -> Kind {
    Kind::Basic(BasicCredentials { username: username.to_owned(), password: password.to_owned() })
}

#[track_caller]
fn key_of(connection: &Connection) -> &str {
    match &connection.credentials.as_ref().unwrap().kind {
        Some(credentials::Kind::ApiKey(ApiKeyCredentials { api_key })) => api_key,
        _ => panic!("these are no API key"),
    }
}

async fn a_proven_key_is_stored_and_handed_out(kind: database::Kind) -> TestResult {
    let acme = Acme::on(kind, proving(), PROVEN).await;
    let imported = acme.import(api_key(KEY)).await?;
    assert_eq!((imported.grant_type(), imported.state()), (GrantType::ApiKey, State::Active));
    assert_eq!(imported.credentials, None, "an Import hands nothing out");
    assert_eq!(acme.count("/me"), 1);

    acme.clock.advance(Duration::days(400));
    assert_eq!(key_of(&acme.get().await?), KEY);
    assert_eq!(acme.basic().await?, imported);
    assert_eq!((acme.count("/me"), acme.token_requests().len()), (1, 0), "a key is proven once");
    let contents = acme.database.contents().await;
    assert!(!String::from_utf8_lossy(&contents).contains(KEY), "the key is there in clear");
    assert!(String::from_utf8_lossy(&contents).contains("client-of-tokenwell"));
    Ok(())
}

#[tokio::test]
async fn a_proven_key_is_stored_and_handed_out_on_sqlite() -> TestResult {
    a_proven_key_is_stored_and_handed_out(database::Kind::Sqlite).await
}

#[tokio::test]
async fn a_proven_key_is_stored_and_handed_out_on_postgresql() -> TestResult {
    a_proven_key_is_stored_and_handed_out(database::Kind::Postgres).await
}

#[tokio::test]
async fn a_proven_password_is_stored_and_handed_out() -> TestResult {
    let acme = Acme::new(proving(), PROVEN).await;
    let imported = acme.import(password("ada", PASSWORD)).await?;
    assert_eq!(imported.grant_type(), GrantType::Basic);
    let got = acme.get().await?.credentials.unwrap().kind;
    let expected = BasicCredentials { username: "ada".to_owned(), password: PASSWORD.to_owned() };
    assert_eq!(got, Some(credentials::Kind::Basic(expected)));
    assert!(!String::from_utf8_lossy(&acme.database.contents().await).contains(PASSWORD));
    Ok(())
}

#[tokio::test]
async fn what_the_provider_refuses_is_not_stored() -> TestResult {
    let acme = Acme::new(proving(), PROVEN).await;
    for wrong in [api_key("canary-wrong"), password("ada", "canary-wrong"), password("bob", PASSWORD)] {
        let refused = acme.import(wrong).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "CREDENTIALS_REJECTED");
        assert_eq!(refusal.metadata["provider_id"], "acme");
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    }
    assert_eq!(acme.count("/me"), 3);
    acme.detour.answer("/me", 403, "{}");
    let refused = acme.import(api_key(KEY)).await;
    assert_refused(refused, Code::FailedPrecondition, "CREDENTIALS_REJECTED");
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");

    // What is there stays as it is.
    acme.detour.end("/me");
    let before = acme.import(api_key(KEY)).await?;
    acme.clock.advance(Duration::MINUTE);
    let refused = acme.import(api_key("canary-wrong")).await;
    assert_refused(refused, Code::FailedPrecondition, "CREDENTIALS_REJECTED");
    assert_eq!(acme.basic().await?, before);
    assert_eq!(key_of(&acme.get().await?), KEY);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_proven_now_is_not_stored() -> TestResult {
    let acme = Acme::new(proving(), PROVEN).await;
    for status in [500, 503, 429, 404, 302] {
        acme.detour.answer("/me", status, "{\"canary\": 1}");
        let refused = acme.import(api_key(KEY)).await;
        // What will not pass by itself is no reason to try again: a wrong address, a redirect.
        let passing = status >= 429;
        let refusal = if passing {
            assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE")
        } else {
            assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID")
        };
        assert!(
            refusal.retry.is_some() == passing && !refusal.message.contains("canary"),
            "{status}: {refusal:?}"
        );
        assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    }
    acme.detour.end("/me");
    acme.import(api_key(KEY)).await?;
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_not_there_proves_nothing() {
    let acme = Acme::new(proving(), PROVEN).await;
    acme.provider.stop().await;
    let refused = acme.import(api_key(KEY)).await;
    let refusal = assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert!(!refusal.message.contains("127.0.0.1"), "{}", refusal.message);
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
}

#[tokio::test]
async fn without_a_verification_any_key_is_taken() -> TestResult {
    let acme = Acme::new(proving(), "grant_types = [\"api_key\", \"basic\"]").await;
    acme.import(api_key("anything")).await?;
    assert_eq!((key_of(&acme.get().await?), acme.count("/me")), ("anything", 0));
    acme.import(password("ada", "")).await?;
    let got = acme.get().await?.credentials.unwrap().kind;
    let expected = BasicCredentials { username: "ada".to_owned(), password: String::new() };
    assert_eq!(got, Some(credentials::Kind::Basic(expected)));
    Ok(())
}

#[tokio::test]
async fn a_connection_without_a_name_gets_one() -> TestResult {
    let acme = Acme::new(proving(), PROVEN).await;
    let nameless = || ImportRequest { connection_id: String::new(), ..import(api_key(KEY)) };
    let one = acme.import_with(nameless()).await?;
    let other = acme.import_with(nameless()).await?;
    assert_eq!(uuid::Uuid::parse_str(&one.connection_id)?.get_version_num(), 7);
    assert_ne!(one.connection_id, other.connection_id);
    Ok(())
}

#[tokio::test]
async fn a_key_cannot_be_refreshed() -> TestResult {
    let acme = Acme::new(proving(), PROVEN).await;
    acme.import(api_key(KEY)).await?;
    let refusal = assert_refused(acme.force().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(refusal.metadata["connection_id"], "ada");
    // That one caller doubted it does not take it from the others.
    assert_eq!(key_of(&acme.get().await?), KEY);
    assert_eq!(acme.basic().await?.state(), State::Active);
    Ok(())
}

async fn a_second_import_replaces_the_first(kind: database::Kind) -> TestResult {
    let acme =
        Acme::on(kind, plain(), "grant_types = [\"api_key\", \"basic\"]\n[config.site]\ntitle = \"Site\"")
            .await;
    let with = |site: &str, gold: Option<&str>| ImportRequest {
        connection_config: map(&[("site", site)]),
        metadata: gold.map(|plan| object(&[("plan", plan)])),
        ..import(api_key(site))
    };
    let first = acme.import_with(with("one", Some("gold"))).await?;
    acme.clock.advance(Duration::MINUTE);
    let second = acme.import_with(with("two", None)).await?;
    assert_eq!(second.metadata, Some(object(&[("plan", "gold")])), "nobody gave another");
    assert_eq!((&second.etag, &second.create_time), (&first.etag, &first.create_time));
    assert_eq!(second.connection_config["site"], "two");
    assert!(second.update_time.unwrap().seconds > first.update_time.unwrap().seconds);
    assert_eq!(key_of(&acme.get().await?), "two");
    let third = acme.import_with(with("three", Some("silver"))).await?;
    assert_eq!(third.metadata, Some(object(&[("plan", "silver")])));
    assert_ne!(third.etag, first.etag);

    // Nothing of the key stays behind in another kind of credentials; config that was not given again stays.
    let fourth = acme.import(password("ada", "pw")).await?;
    assert_eq!((fourth.grant_type(), fourth.connection_config.len()), (GrantType::Basic, 1));
    let expected = BasicCredentials { username: "ada".to_owned(), password: "pw".to_owned() };
    assert_eq!(acme.get().await?.credentials.unwrap().kind, Some(credentials::Kind::Basic(expected)));
    Ok(())
}

#[tokio::test]
async fn a_second_import_replaces_the_first_on_sqlite() -> TestResult {
    a_second_import_replaces_the_first(database::Kind::Sqlite).await
}

#[tokio::test]
async fn a_second_import_replaces_the_first_on_postgresql() -> TestResult {
    a_second_import_replaces_the_first(database::Kind::Postgres).await
}
