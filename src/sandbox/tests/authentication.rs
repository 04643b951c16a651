//! Clients that authenticate without a secret.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::json;

use super::*;
use crate::sandbox::{PeerCertificate, assertion::ASSERTION_TYPE};

const SIGNER: &str = "signer";
const DEVICE: &str = "device";
const RSA_KEY: &[u8] = include_bytes!("../openid.pem");
const RSA_PUBLIC_KEY: &str = include_str!("openid_public.pem");

/// Signers by both algorithms, and a client with a certificate.
fn stage(quirks: Quirks, ec: &KeyPair) -> Stage {
    let client = |client_id: &str| Client {
        client_id: client_id.to_owned(),
        redirect_uris: vec![CALLBACK.to_owned()],
        ..Client::default()
    };
    let clients = vec![
        Client { public_key: Some(ec.public_key_pem()), ..client(SIGNER) },
        Client { public_key: Some(RSA_PUBLIC_KEY.to_owned()), ..client("rsa") },
        Client { certificate: Some(b"device's".to_vec()), ..client(DEVICE) },
    ];
    Stage::with_clients(quirks, clients)
}

fn quirks(auth_methods: &[AuthMethod]) -> Quirks {
    Quirks { auth_methods: auth_methods.to_vec(), client_credentials: true, ..Quirks::default() }
}

fn claims(stage: &Stage, jti: &str) -> Value {
    let aud = format!("https://{HOST}/token");
    let exp = stage.clock.now().unix_timestamp() + 60;
    json!({ "iss": SIGNER, "sub": SIGNER, "aud": aud, "exp": exp, "jti": jti })
}

fn ec_signed(ec: &KeyPair, claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(ec.serialize_pem().as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
}

/// The client credentials grant, which is authentication and little else.
async fn present(stage: &Stage, assertion: &str, more: &Pairs<'_>) -> Answer {
    let usual = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    stage.post("/token", None, &changed(&usual, more)).await
}

#[tokio::test]
async fn an_assertion_is_for_us_for_two_minutes_and_once() {
    let ec = KeyPair::generate().unwrap();
    let stage = stage(quirks(&[AuthMethod::PrivateKeyJwt]), &ec);
    let right = claims(&stage, "first");
    let assertion = ec_signed(&ec, &right);
    assert_eq!(present(&stage, &assertion, &[]).await.status, StatusCode::OK);
    present(&stage, &assertion, &[]).await.refuses(400, "invalid_client");

    let now = stage.clock.now().unix_timestamp();
    for (name, value) in [
        ("iss", json!("other")),
        ("sub", json!("other")),
        ("aud", json!("https://acme.sandbox.test/other")),
        ("aud", json!("http://acme.sandbox.test/token")),
        ("aud", json!([])),
        ("exp", json!(now)),
        ("exp", json!(now + 121)),
        ("exp", Value::Null),
        ("jti", json!("")),
        ("jti", Value::Null),
    ] {
        let mut wrong = claims(&stage, "second");
        wrong[name] = value;
        present(&stage, &ec_signed(&ec, &wrong), &[]).await.refuses(400, "invalid_client");
    }
    // None of them has used the `jti` up.
    let mut second = claims(&stage, "second");
    second["aud"] = json!(["https://else.test", format!("https://{HOST}/token")]);
    let assertion = ec_signed(&ec, &second);
    present(&stage, &assertion, &[("client_id", "other")]).await.refuses(400, "invalid_client");
    present(&stage, &assertion, &[("client_secret", "x")]).await.refuses(400, "invalid_request");
    present(&stage, &assertion, &[("client_assertion_type", "")]).await.refuses(400, "invalid_request");
    assert_eq!(present(&stage, &assertion, &[("client_id", SIGNER)]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_assertion_is_signed_by_the_clients_key() {
    let ec = KeyPair::generate().unwrap();
    let stage = stage(quirks(&[AuthMethod::PrivateKeyJwt]), &ec);
    let right = claims(&stage, "a");
    let stranger = ec_signed(&KeyPair::generate().unwrap(), &right);
    let hmac = EncodingKey::from_secret(ec.public_key_pem().as_bytes());
    let confused = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &right, &hmac).unwrap();
    let rsa = EncodingKey::from_rsa_pem(RSA_KEY).unwrap();
    let other_kind = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &right, &rsa).unwrap();
    for wrong in [&stranger, &confused, &other_kind, "no.jwt.at.all", "x"] {
        present(&stage, wrong, &[]).await.refuses(400, "invalid_client");
    }
    let mut of_rsa = right.clone();
    of_rsa["iss"] = json!("rsa");
    of_rsa["sub"] = json!("rsa");
    let assertion = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &of_rsa, &rsa).unwrap();
    assert_eq!(present(&stage, &assertion, &[]).await.status, StatusCode::OK);
    // A key is no permission to come without it, nor is it one where only secrets are.
    let bare = [("client_id", SIGNER), ("grant_type", "client_credentials")];
    stage.post("/token", None, &bare).await.refuses(400, "invalid_client");
    let secrets = self::stage(quirks(&[AuthMethod::Basic, AuthMethod::Post]), &ec);
    present(&secrets, &ec_signed(&ec, &right), &[]).await.refuses(400, "invalid_client");
}

#[tokio::test]
async fn an_assertion_may_be_for_the_issuer() {
    let ec = KeyPair::generate().unwrap();
    let iss = Some("https://as.test".to_owned());
    let stage = stage(Quirks { iss, https: false, ..quirks(&[AuthMethod::PrivateKeyJwt]) }, &ec);
    for (jti, aud) in [("a", "https://as.test"), ("b", "http://acme.sandbox.test/token")] {
        let mut right = claims(&stage, jti);
        right["aud"] = aud.into();
        assert_eq!(present(&stage, &ec_signed(&ec, &right), &[]).await.status, StatusCode::OK, "{aud}");
    }
}

#[tokio::test]
async fn public_clients_have_pkce_and_no_secret() {
    let stage = Stage::new(Quirks { pkce_required: false, ..quirks(&[AuthMethod::None]) });
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    assert_eq!(stage.ask(&without).await.callback()["error"], "invalid_request");
    let callback = stage.approve(&[]).await;
    let right = [
        ("client_id", CLIENT_ID),
        ("grant_type", "authorization_code"),
        ("code", &callback["code"]),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let secret = [&right[..], &[("client_secret", CLIENT_SECRET)]].concat();
    stage.post("/token", None, &secret).await.refuses(400, "invalid_client");
    let header = basic(CLIENT_ID, CLIENT_SECRET);
    stage.post("/token", Some(&header), &right).await.refuses(401, "invalid_client");
    stage.post("/token", Some(&basic("public", "")), &right[1..]).await.refuses(401, "invalid_client");
    assert!(stage.works(&stage.post("/token", None, &right).await.json()).await);
}

async fn connected_with(stage: &Stage, certificate: Option<&str>, form: &Pairs<'_>) -> Answer {
    let mut request =
        Request::post("/token").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(certificate) = certificate {
        request = request.extension(PeerCertificate(certificate.as_bytes().to_vec()));
    }
    let form = [&[("grant_type", "client_credentials")], form].concat();
    stage.send(request.body(encode(&form).into()).unwrap()).await
}

#[tokio::test]
async fn a_certificate_is_enough() {
    let ec = KeyPair::generate().unwrap();
    let stage = stage(quirks(&[AuthMethod::TlsClientAuth]), &ec);
    let device = [("client_id", DEVICE)];
    assert_eq!(connected_with(&stage, Some("device's"), &device).await.status, StatusCode::OK);
    for (certificate, form) in [
        (None, &device[..]),
        (Some("stranger's"), &device),
        (Some("device's"), &[("client_id", SIGNER)]),
        (Some("device's"), &[("client_id", DEVICE), ("client_secret", "x")]),
        (Some("device's"), &[]),
    ] {
        connected_with(&stage, certificate, form).await.refuses(400, "invalid_client");
    }
    let other = self::stage(quirks(&[AuthMethod::Post]), &ec);
    connected_with(&other, Some("device's"), &device).await.refuses(400, "invalid_client");
}

#[tokio::test]
async fn a_certificate_comes_besides_a_secret() {
    let quirks = Quirks { certificate_required: true, ..quirks(&[AuthMethod::Post]) };
    let both = Client {
        client_id: "both".to_owned(),
        client_secret: Some("secret".into()),
        certificate: Some(b"both's".to_vec()),
        ..Client::default()
    };
    let stage = Stage::with_clients(quirks, vec![both]);
    let secret = [("client_id", "both"), ("client_secret", "secret")];
    assert_eq!(connected_with(&stage, Some("both's"), &secret).await.status, StatusCode::OK);
    for (certificate, form) in [
        (None, &secret[..]),
        (Some("other's"), &secret),
        (Some("both's"), &[("client_id", "both"), ("client_secret", "wrong")]),
        (Some("both's"), &[("client_id", "both")]),
        (None, &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]),
    ] {
        connected_with(&stage, certificate, form).await.refuses(400, "invalid_client");
    }
}
