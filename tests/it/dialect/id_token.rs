//! How `id_token`s are signed (OpenID Connect Core, section 3.1.3.7; RFC 8725).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    crypto::sign,
    jwk::{Jwk, JwkSet},
};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokenwell::{
    model::{Clock as _, Duration},
    sandbox::{OpenIdQuirks, Quirks},
};
use tonic::{Code, Status};
use url::Url;

use super::completed;
use crate::support::{
    Acme, Refusal, TestResult,
    acme::{plain, sorted},
    assert_refused,
    provider::{CLIENT_ID, CLIENT_SECRET},
    steps::param,
};

const KEYS: &str = "/.well-known/jwks.json";
const CONFIGURATION: &str = "/.well-known/openid-configuration";
/// The sandbox's key.
const KEY: &[u8] = include_bytes!("../../../src/sandbox/openid.pem");
const PUBLIC_KEY: &[u8] = include_bytes!("../../../src/sandbox/tests/openid_public.pem");

/// An entry that knows the user by the `id_token`, without its endpoints.
const USER: &str = "nonce = true\n[config.user]\ntitle = \"User\"\ncapture = [{ id_token = \"sub\" }]\n";
const ENDPOINTS: &str = "issuer = \"PROVIDER\"\nauthorization_endpoint = \"PROVIDER/authorize\"\n\
                         token_endpoint = \"PROVIDER/token\"\n";
const WITH_KEYS: &str = "jwks_uri = \"PROVIDER/.well-known/jwks.json\"\n";
const DISCOVERED: &str = "issuer = \"PROVIDER\"\ndiscovery = true\n";

fn openid() -> OpenIdQuirks {
    OpenIdQuirks { issuer: "http://{host}".to_owned(), always: true, ..OpenIdQuirks::default() }
}

async fn acme(openid: OpenIdQuirks, entry: &str) -> Acme {
    Acme::new(Quirks { openid: Some(openid), ..plain() }, &format!("{entry}{USER}")).await
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(KEY).unwrap()
}

fn elliptic() -> EncodingKey {
    EncodingKey::from_ec_pem(KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap()
}

/// A flow whose code gets this `id_token`, made of claims that are all right.
async fn answered(acme: &Acme, make: impl FnOnce(Value) -> String) -> Result<(), Status> {
    let (begun, callback) = acme.callback(&[]).await;
    let now = acme.clock.now().unix_timestamp();
    let claims = json!({
        "iss": format!("http://{}", acme.provider.address),
        "sub": "ada@example.com",
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 300,
        "nonce": param(&Url::parse(&begun.authorization_url).unwrap(), "nonce"),
    });
    let answer = json!({
        "access_token": "at",
        "token_type": "Bearer",
        "expires_in": 3600,
        "id_token": make(claims),
    });
    acme.answer_next(&answer.to_string());
    completed(acme, &callback).await
}

/// A token with this header, signed in this way.
fn signed(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn by_sandbox(claims: &Value) -> String {
    signed(&json!({ "alg": "RS256", "kid": "sandbox" }), claims, &rsa(), Algorithm::RS256)
}

async fn assert_id_token_refused(acme: &Acme, answered: Result<(), Status>) -> Refusal {
    let refusal = assert_refused(answered, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    assert!(refusal.message.contains("id_token"), "{}", refusal.message);
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    refusal
}

/// What no token may be, whether keys are known or not. `true`: it shows only where they are.
fn forgeries(claims: &Value) -> Vec<(&'static str, bool, String)> {
    let secret = EncodingKey::from_secret(CLIENT_SECRET.as_bytes());
    let public = EncodingKey::from_secret(PUBLIC_KEY);
    let (ours, hs256) =
        (json!({ "alg": "RS256", "kid": "sandbox" }), json!({ "alg": "HS256", "kid": "sandbox" }));
    let mut eve = claims.clone();
    eve["sub"] = "eve@example.com".into();
    let good = by_sandbox(claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let flipped = format!("{}.{}.{signature}", part(&ours), part(&eve));
    let none = |alg: &str| format!("{}.{}.", part(&json!({ "alg": alg })), part(&eve));
    let crit = json!({ "alg": "RS256", "kid": "sandbox", "crit": ["exp"] });
    let unknown = json!({ "alg": "RS256", "kid": "canary" });
    let es256 = json!({ "alg": "ES256", "kid": "sandbox" });
    let rs512 = json!({ "alg": "RS512", "kid": "sandbox" });
    vec![
        ("none", false, none("none")),
        ("None", false, none("NONE")),
        ("no algorithm", false, none("")),
        ("the public key as a secret", false, signed(&hs256, &eve, &public, Algorithm::HS256)),
        ("the client's secret", false, signed(&hs256, &eve, &secret, Algorithm::HS256)),
        ("an extension", false, signed(&crit, &eve, &rsa(), Algorithm::RS256)),
        ("a changed claim", true, flipped),
        ("no signature", true, format!("{message}.")),
        (
            "another's signature under this algorithm",
            true,
            signed(&ours, &eve, &elliptic(), Algorithm::ES256),
        ),
        ("another's key of the same name", true, signed(&es256, &eve, &elliptic(), Algorithm::ES256)),
        ("a key that is not there", true, signed(&unknown, &eve, &rsa(), Algorithm::RS256)),
        ("an algorithm that the key is not for", true, signed(&rs512, &eve, &rsa(), Algorithm::RS512)),
    ]
}

#[tokio::test]
async fn an_id_token_holds_under_the_issuers_keys() -> TestResult {
    for entry in [DISCOVERED.to_owned(), format!("{ENDPOINTS}{WITH_KEYS}")] {
        let acme = acme(openid(), &entry).await;
        acme.connect(&[]).await;
        acme.connect(&[]).await;
        assert_eq!(acme.config().await, sorted(&[("user", "ada@example.com")]));
        assert_eq!(acme.count(KEYS), 1, "keys are remembered");
        answered(&acme, |claims| by_sandbox(&claims)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_forged_id_token_is_refused() {
    for (entry, keys) in [
        (ENDPOINTS.to_owned(), false),
        (DISCOVERED.to_owned(), true),
        (format!("{ENDPOINTS}{WITH_KEYS}"), true),
    ] {
        let acme = acme(openid(), &entry).await;
        for index in 0..forgeries(&json!({})).len() {
            let (name, needs_keys, _) = forgeries(&json!({})).swap_remove(index);
            if needs_keys && !keys {
                continue;
            }
            let refused = answered(&acme, |claims| forgeries(&claims).swap_remove(index).2).await;
            let refusal = assert_id_token_refused(&acme, refused).await;
            assert!(!format!("{refusal:?}").contains("canary"), "{name}: {refusal:?}");
        }
    }
}

#[tokio::test]
async fn a_client_secret_signs_only_where_the_entry_says_so() -> TestResult {
    const BY_SECRET: &str = "id_token_signing_alg_values_supported = [\"HS256\"]\n";
    let by_secret = OpenIdQuirks { signs_with_secret: true, ..openid() };
    let acme = acme(by_secret.clone(), &format!("{ENDPOINTS}{BY_SECRET}")).await;
    let header = json!({ "alg": "HS256" });
    for secret in [b"another secret".as_slice(), b"", PUBLIC_KEY] {
        let key = EncodingKey::from_secret(secret);
        let refused = answered(&acme, |claims| signed(&header, &claims, &key, Algorithm::HS256)).await;
        assert_id_token_refused(&acme, refused).await;
    }
    let refused = answered(&acme, |claims| by_sandbox(&claims)).await;
    assert_id_token_refused(&acme, refused).await;
    acme.connect(&[]).await;
    assert_eq!(acme.config().await, sorted(&[("user", "ada@example.com")]));

    let elsewhere = self::acme(by_secret, ENDPOINTS).await;
    let (_, callback) = elsewhere.callback(&[]).await;
    assert_id_token_refused(&elsewhere, completed(&elsewhere, &callback).await).await;
    Ok(())
}

/// A key set with this key.
fn key_set(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> String {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap()
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_first_seen_and_not_for_every_token() -> TestResult {
    let acme = acme(openid(), &format!("{ENDPOINTS}{WITH_KEYS}")).await;
    acme.detour.answer(KEYS, 200, &key_set(&elliptic(), Algorithm::ES256, "old"));
    let (_, callback) = acme.callback(&[]).await;
    assert_id_token_refused(&acme, completed(&acme, &callback).await).await;
    acme.detour.end(KEYS);
    // Who names keys that are not there does not make us ask for them again and again.
    for _ in 0..3 {
        let (_, callback) = acme.callback(&[]).await;
        assert_id_token_refused(&acme, completed(&acme, &callback).await).await;
    }
    assert_eq!(acme.count(KEYS), 0);
    acme.clock.advance(Duration::seconds(10));
    acme.connect(&[]).await;
    assert_eq!(acme.count(KEYS), 1);
    Ok(())
}

#[tokio::test]
async fn without_keys_nothing_is_believed() -> TestResult {
    let acme = acme(openid(), &format!("{ENDPOINTS}{WITH_KEYS}")).await;
    let weak = json!({ "keys": [{ "kty": "oct", "kid": "sandbox", "k": "AAAA" }] }).to_string();
    for (status, body, code, reason) in [
        (503, "{}", Code::Unavailable, "PROVIDER_UNAVAILABLE"),
        (404, "{}", Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID"),
        (302, "{}", Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID"),
        (200, "canary", Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID"),
        (200, "{\"keys\": []}", Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID"),
        (200, weak.as_str(), Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID"),
    ] {
        acme.detour.answer(KEYS, status, body);
        let (_, callback) = acme.callback(&[]).await;
        let refusal = assert_refused(completed(&acme, &callback).await, code, reason);
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
        assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    }
    // A moment's failure costs nobody the code.
    acme.detour.answer_times(KEYS, 503, "{}", 1);
    acme.connect(&[]).await;
    // Keys that are known are used while new ones cannot be had, but not for ever.
    acme.detour.answer(KEYS, 503, "{}");
    acme.clock.advance(Duration::minutes(30));
    acme.connect(&[]).await;
    acme.clock.advance(Duration::minutes(30));
    let (_, callback) = acme.callback(&[]).await;
    assert_refused(completed(&acme, &callback).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    acme.detour.end(KEYS);
    acme.connect(&[]).await;
    Ok(())
}

#[tokio::test]
async fn keys_are_the_issuers_own() {
    let acme = acme(openid(), DISCOVERED).await;
    let origin = format!("http://{}", acme.provider.address);
    for address in
        ["https://canary.example/keys", "http://127.0.0.1.canary.example/keys", "/keys", "file:///canary"]
    {
        let document = json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "jwks_uri": address,
        });
        acme.detour.answer(CONFIGURATION, 200, &document.to_string());
        let replica = acme.replica().await;
        let (_, callback) = acme.callback(&[]).await;
        let refused =
            crate::support::steps::complete(&replica, &replica.key, callback.query().unwrap()).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
        assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    }
}
