//! Endpoints that the issuer's metadata names, and `id_token`s.

use serde_json::{Value, json};
use tokenwell::{
    model::{Clock as _, Duration},
    sandbox::{OpenIdQuirks, Quirks},
};
use tonic::Code;
use url::Url;

use super::completed;
use crate::support::{
    Acme, ManualClock, TestResult,
    acme::{beginning, plain, sorted},
    assert_refused,
    provider::CLIENT_ID,
    steps::{complete, param, params},
};

const CONFIGURATION: &str = "/.well-known/openid-configuration";

/// An entry that leaves its endpoints to its issuer.
const DISCOVERED: &str = "issuer = \"PROVIDER\"\ndiscovery = true\n";

/// An entry that wants a nonce, and knows the user by the `id_token`.
const NAMED: &str = r#"
issuer = "PROVIDER"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
nonce = true
[config.user]
title = "User"
capture = [{ id_token = "sub" }]
"#;

fn openid() -> OpenIdQuirks {
    OpenIdQuirks { issuer: "http://{host}".to_owned(), always: true, ..OpenIdQuirks::default() }
}

fn quirks() -> Quirks {
    Quirks { openid: Some(openid()), ..plain() }
}

/// The metadata, with this in place of what it says.
fn metadata(acme: &Acme, changes: &Value) -> String {
    let origin = format!("http://{}", acme.provider.address);
    let mut document = json!({
        "issuer": origin,
        "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"),
    });
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.to_string()
}

#[tokio::test]
async fn endpoints_are_discovered_once() -> TestResult {
    let acme = Acme::new(quirks(), DISCOVERED).await;
    let begun = acme.begin(&[]).await?;
    let page = format!("http://{}/authorize?", acme.provider.address);
    assert!(begun.authorization_url.starts_with(&page), "{}", begun.authorization_url);
    acme.connect(&[]).await;
    acme.force().await?;
    assert_eq!((acme.count(CONFIGURATION), acme.token_requests().len()), (1, 2));
    Ok(())
}

#[tokio::test]
async fn what_the_entry_names_is_not_discovered() -> TestResult {
    let acme = Acme::new(quirks(), &format!("{DISCOVERED}token_endpoint = \"PROVIDER/token\"")).await;
    let elsewhere = json!({ "token_endpoint": format!("http://{}/elsewhere", acme.provider.address) });
    acme.detour.answer(CONFIGURATION, 200, &metadata(&acme, &elsewhere));
    acme.connect(&[]).await;
    assert_eq!(acme.last_request().path, "/token");
    Ok(())
}

#[tokio::test]
async fn metadata_that_is_not_the_issuers_own_is_not_believed() -> TestResult {
    let acme = Acme::new(quirks(), DISCOVERED).await;
    let origin = format!("http://{}", acme.provider.address);
    let named = |name: &str, value: &str| metadata(&acme, &json!({ name: value }));
    for document in [
        named("issuer", "https://canary.example"),
        named("issuer", &format!("{origin}/")),
        named("issuer", &origin.replace("http:", "HTTP:")),
        named("issuer", &origin.replace("http:", "https:")),
        named("issuer", &origin.replace("127.0.0.1", "127.1")),
        named("issuer", &format!("{origin}/tenant")),
        named("issuer", ""),
        metadata(&acme, &json!({ "issuer": null })),
        named("authorization_endpoint", "https://canary.example/authorize"),
        named("authorization_endpoint", &origin.replace("127.0.0.1", "127.0.0.1.canary.example")),
        named("authorization_endpoint", &origin.replace("//", "//canary@")),
        named("authorization_endpoint", "javascript:canary"),
        metadata(&acme, &json!({ "authorization_endpoint": null })),
        named("token_endpoint", "https://canary.example/token"),
        named("token_endpoint", "/token"),
        "[]".to_owned(),
        "canary".to_owned(),
    ] {
        acme.detour.answer(CONFIGURATION, 200, &document);
        let replica = acme.replica().await;
        let refused = replica.begin(beginning(&[])).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    }
    acme.detour.answer(CONFIGURATION, 404, "{}");
    assert_refused(acme.begin(&[]).await, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    // What was refused is not remembered.
    acme.detour.end(CONFIGURATION);
    acme.connect(&[]).await;
    Ok(())
}

#[tokio::test]
async fn metadata_that_is_down_costs_no_flow() -> TestResult {
    let acme = Acme::new(quirks(), DISCOVERED).await;
    acme.detour.answer(CONFIGURATION, 503, "{}");
    let refusal = assert_refused(acme.begin(&[]).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert!(refusal.retry.is_some());
    // The test's clock stands at 2026-09-21T14:13:20Z.
    for (value, expected) in [("30", 30), ("Mon, 21 Sep 2026 14:14:20 GMT", 60)] {
        acme.detour.retry_after(CONFIGURATION, value);
        let refusal = assert_refused(acme.begin(&[]).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
        assert_eq!(refusal.retry, Some(std::time::Duration::from_secs(expected)), "{value}");
    }
    acme.detour.end(CONFIGURATION);
    let (_, callback) = acme.callback(&[]).await;

    // A replica has not read it yet.
    let replica = acme.replica().await;
    acme.detour.answer(CONFIGURATION, 503, "{}");
    for _ in 0..2 {
        let refused = complete(&replica, &replica.key, callback.query().unwrap()).await;
        assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    }
    assert_eq!(acme.token_requests(), [], "the code was not sent");
    acme.detour.end(CONFIGURATION);
    complete(&replica, &replica.key, callback.query().unwrap()).await?;
    acme.token().await?;
    Ok(())
}

/// RFC 9207, section 2.3: what the metadata promises is demanded.
#[tokio::test]
async fn an_issuer_that_names_itself_has_to() -> TestResult {
    let acme = Acme::new(Quirks { iss: Some("http://{host}".to_owned()), ..quirks() }, DISCOVERED).await;
    let (_, callback) = acme.callback(&[]).await;
    let kept = callback.query_pairs().filter(|(name, _)| name != "iss");
    let mut without = callback.clone();
    without.query_pairs_mut().clear().extend_pairs(kept);
    assert_refused(completed(&acme, &without).await, Code::InvalidArgument, "CALLBACK_INVALID");
    assert_eq!(acme.token_requests(), []);
    completed(&acme, &callback).await?;
    Ok(())
}

#[tokio::test]
async fn an_id_token_tells_the_user() -> TestResult {
    let strict = OpenIdQuirks { nonce_required: true, ..openid() };
    let acme = Acme::new(Quirks { openid: Some(strict), ..plain() }, NAMED).await;
    let nonces = [acme.callback(&[]).await.0, acme.callback(&[]).await.0]
        .map(|begun| param(&Url::parse(&begun.authorization_url).unwrap(), "nonce"));
    assert!(nonces[0] != nonces[1] && nonces[0].len() == 43, "{nonces:?}");
    acme.connect(&[]).await;
    assert_eq!(acme.config().await, sorted(&[("user", "ada@example.com")]));
    let contents = acme.database.contents().await;
    assert!(!String::from_utf8_lossy(&contents).contains(&nonces[0]), "a nonce is there in clear");
    // It is not demanded again on a refresh, which has none (OpenID Connect Core, section 12.2).
    acme.force().await?;
    assert_eq!(acme.config().await["user"], "ada@example.com");
    Ok(())
}

#[tokio::test]
async fn an_id_token_of_somebody_else_is_refused() -> TestResult {
    let past = ManualClock::new().now() - Duration::hours(1);
    let soon = ManualClock::new().now() + Duration::minutes(2);
    for (name, value) in [
        ("aud", json!("canary-of-another")),
        ("aud", json!(["canary-of-another"])),
        ("aud", Value::Null),
        ("nonce", json!("canary")),
        ("nonce", Value::Null),
        ("iss", json!("https://canary.example")),
        ("exp", json!(past.unix_timestamp())),
        ("exp", Value::Null),
        ("azp", json!("canary-of-another")),
        ("azp", Value::Null),
        ("aud", json!(["canary-of-another", CLIENT_ID])),
        ("nbf", json!(soon.unix_timestamp())),
        ("iat", json!(soon.unix_timestamp())),
        ("iat", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("")),
    ] {
        let claims = [(name.to_owned(), value.clone())].into_iter().collect();
        let openid = OpenIdQuirks { claims, ..openid() };
        let acme = Acme::new(Quirks { openid: Some(openid), ..plain() }, NAMED).await;
        let (_, callback) = acme.callback(&[]).await;
        let refused = completed(&acme, &callback).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
        assert!(refusal.message.contains("id_token"), "{name} {value}: {}", refusal.message);
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
        assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    }
    Ok(())
}

#[tokio::test]
async fn a_nonce_wants_an_id_token_only_if_one_comes() -> TestResult {
    let several = json!(["another", CLIENT_ID]);
    let claims = [("aud".to_owned(), several), ("azp".to_owned(), CLIENT_ID.into())];
    let openid = OpenIdQuirks { claims: claims.into_iter().collect(), ..openid() };
    Acme::new(Quirks { openid: Some(openid), ..plain() }, NAMED).await.connect(&[]).await;

    let acme = Acme::new(plain(), NAMED).await;
    acme.connect(&[]).await;
    assert_eq!(acme.config().await, sorted(&[]));
    let without = Acme::new(plain(), &NAMED.replace("nonce = true", "")).await;
    let page = Url::parse(&without.begin(&[]).await?.authorization_url)?;
    assert!(params(&page, "nonce").is_empty(), "nobody asked for a nonce");
    Ok(())
}

/// RFC 8414, section 3.3, for an issuer with a path: only its own document counts, and not that of the host.
#[tokio::test]
async fn an_issuer_with_a_path_has_a_document_of_its_own() -> TestResult {
    let at_path = OpenIdQuirks { issuer: "http://{host}/tenant".to_owned(), ..openid() };
    let entry = DISCOVERED.replace("PROVIDER", "PROVIDER/tenant");
    let acme = Acme::new(Quirks { openid: Some(at_path), ..plain() }, &entry).await;
    let own = format!("/tenant{CONFIGURATION}");
    acme.connect(&[]).await;
    assert_eq!((acme.count(&own), acme.count(CONFIGURATION)), (1, 0));
    for document in
        [metadata(&acme, &json!({})), metadata(&acme, &json!({ "issuer": "http://{host}/other" }))]
    {
        acme.detour.answer(&own, 200, &document);
        let refused = acme.replica().await.begin(beginning(&[])).await;
        assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    }
    Ok(())
}
