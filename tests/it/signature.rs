//! The signature of Begin, as the layer in front of `AuthService` checks it: over gRPC, plain and compressed.

mod replay;
mod rotation;

use std::{
    io::Write as _,
    sync::atomic::{AtomicU32, Ordering},
};

use flate2::{Compression, write::GzEncoder};
use hmac::{Hmac, KeyInit as _, Mac as _};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokenwell::{
    api::pb::{
        auth::v1::BeginRequest,
        project::v1::{ApiKeyKind, HmacSettings, Permission, Settings, UpdateSettingsRequest},
    },
    model::{Clock as _, Duration, HmacKey, Signed},
};
use tonic::{Code, codec::CompressionEncoding};

use crate::support::{
    Database, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused, server::begin,
};

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 40] = [2; 40];
const RETURN_URL: &str = "https://app.example.com/done";

/// A server whose project requires signatures by the old key, with two integrations.
async fn stage() -> (TestServer, TestProvider, Database) {
    let clock = ManualClock::new();
    let mut provider = TestProvider::plain(&clock).await;
    // A provider that has user scopes, so that there is something to sign.
    provider.entry.as_mut().unwrap().1.push_str("user_scope_param = \"user_scope\"\n");
    let database = Database::sqlite();
    let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;
    server.create_integration("second", "sandbox").await;
    let settings =
        Settings { allowed_return_urls: vec!["https://app.example.com".to_owned()], ..Settings::default() };
    server.update_settings(settings, &["allowed_return_urls"]).await;
    set(&server, HmacSettings { required: true, ..keys(&[&OLD]) }).await;
    (server, provider, database)
}

fn keys(keys: &[&[u8]]) -> HmacSettings {
    HmacSettings { keys: keys.iter().map(|key| key.to_vec()).collect(), ..HmacSettings::default() }
}

async fn set(server: &TestServer, hmac: HmacSettings) {
    server.update_settings(Settings { hmac: Some(hmac), ..Settings::default() }, &["hmac"]).await;
}

/// What a backend does: signs the request that its frontend will send.
fn signed<T>(project_id: &str, request: &BeginRequest, sign: impl FnOnce(&Signed<'_>) -> T) -> T {
    sign(&Signed {
        project_id,
        integration_id: &request.integration_id,
        connection_id: &request.connection_id,
        connection_config: &request.connection_config.clone().into_iter().collect(),
        authorization_params: &request.authorization_params.clone().into_iter().collect(),
        scopes: &request.scopes,
        user_scopes: &request.user_scopes,
        return_url: &request.return_url,
    })
}

fn v1(key: &[u8], request: BeginRequest) -> BeginRequest {
    let key: HmacKey = key.to_vec().into();
    BeginRequest { signature: signed("default", &request, |it| it.sign_v1(&key)), ..request }
}

/// Each with a nonce of its own.
fn v2(key: &[u8], request: BeginRequest, expiry: i64) -> BeginRequest {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nonce = format!("n-{}", COUNT.fetch_add(1, Ordering::SeqCst));
    v2_with(key, request, expiry, &nonce)
}

fn v2_with(key: &[u8], request: BeginRequest, expiry: i64, nonce: &str) -> BeginRequest {
    let key: HmacKey = key.to_vec().into();
    BeginRequest { signature: signed("default", &request, |it| it.sign_v2(&key, expiry, nonce)), ..request }
}

fn in_a_minute(server: &TestServer) -> i64 {
    server.clock.now().unix_timestamp() + 60
}

/// A Begin that uses everything that a signature covers.
fn full() -> BeginRequest {
    BeginRequest {
        authorization_params: [
            ("login_hint".to_owned(), "ada".to_owned()),
            ("ui".to_owned(), "x".to_owned()),
        ]
        .into(),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        user_scopes: vec!["me".to_owned()],
        return_url: RETURN_URL.to_owned(),
        ..begin("sandbox", "user-1")
    }
}

async fn assert_invalid(server: &TestServer, request: BeginRequest) {
    assert_refused(server.begin(request).await, Code::Unauthenticated, "SIGNATURE_INVALID");
}

#[tokio::test]
async fn a_begin_without_its_signature_is_refused_whoever_calls() {
    let (server, _provider, _database) = stage().await;
    let (_, public) = server.create_key_of(&server.key, ApiKeyKind::Publishable, &[Permission::Begin]).await;
    for key in [&server.key, &public] {
        let refused = server.auth(key).begin(begin("sandbox", "user-1")).await;
        assert_refused(refused, Code::Unauthenticated, "SIGNATURE_MISSING");
        let request = BeginRequest { signature: "0".repeat(64), ..begin("sandbox", "user-1") };
        let refused = server.auth(key).begin(request).await;
        assert_refused(refused, Code::Unauthenticated, "SIGNATURE_INVALID");
        server.auth(key).begin(v1(&OLD, begin("sandbox", "user-1"))).await.unwrap();
    }
}

/// Nothing tells whether the integration exists before the signature is right.
#[tokio::test]
async fn the_signature_comes_before_everything_else_in_the_message() {
    let (server, _provider, _database) = stage().await;
    for request in [begin("nowhere", "user-1"), begin("no:where", ""), BeginRequest::default()] {
        let refused = server.begin(request.clone()).await;
        assert_refused(refused, Code::Unauthenticated, "SIGNATURE_MISSING");
        assert_invalid(&server, BeginRequest { signature: "0".repeat(64), ..request }).await;
    }
}

#[tokio::test]
async fn both_schemes_open_the_door() -> TestResult {
    let (server, _provider, _database) = stage().await;
    server.begin(v1(&OLD, full())).await?;
    server.begin(v2(&OLD, full(), in_a_minute(&server))).await?;
    // A connection that the server names is signed as the empty one that the request has.
    let begun = server.begin(v2(&OLD, begin("sandbox", ""), in_a_minute(&server))).await?;
    assert!(!begun.connection_id.is_empty());
    Ok(())
}

/// The word of the documentation, not of the code that checks it.
#[tokio::test]
async fn a_v1_signature_is_the_hmac_of_the_two_ids() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let mut mac = Hmac::<Sha256>::new_from_slice(&OLD)?;
    mac.update(b"sandbox:user-1");
    let signature = hex::encode(mac.finalize().into_bytes());
    server.begin(BeginRequest { signature: signature.clone(), ..full() }).await?;
    for other in [begin("sandbox", "user-2"), begin("second", "user-1"), begin("sandbox", "")] {
        assert_invalid(&server, BeginRequest { signature: signature.clone(), ..other }).await;
    }
    assert_invalid(&server, BeginRequest { signature: signature.to_uppercase(), ..full() }).await;
    assert_invalid(&server, BeginRequest { signature: signature[..63].to_owned(), ..full() }).await;
    Ok(())
}

/// The word of the documentation, not of the code that checks it.
#[tokio::test]
async fn a_v2_signature_is_the_hmac_of_netstrings() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let content = "17:connection_config,1:0,20:authorization_params,1:2,10:login_hint,3:ada,2:ui,1:x,\
                   6:scopes,1:2,4:read,5:write,11:user_scopes,1:1,2:me,10:return_url,28:https://app.example.com/done,";
    let content = hex::encode(Sha256::digest(content));
    let expiry = in_a_minute(&server);
    for (nonce, netstring) in [("", ""), (",n=a-B_9", "5:a-B_9,")] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&OLD)?;
        let ids = "18:tokenwell-begin-v2,7:default,7:sandbox,6:user-1,";
        mac.update(format!("{ids}10:{expiry},64:{content},{netstring}").as_bytes());
        let signature = format!("t={expiry}{nonce},v2={}", hex::encode(mac.finalize().into_bytes()));
        server.begin(BeginRequest { signature, ..full() }).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_v2_signature_expires_and_may_not_outlive_ten_minutes() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let now = server.clock.now().unix_timestamp();
    // A minute more at both ends, for clocks that differ.
    for expiry in [now - 61, now + 661, now + 3600, 0] {
        assert_invalid(&server, v2(&OLD, full(), expiry)).await;
    }
    for expiry in [now - 60, now + 600, now + 660] {
        server.begin(v2(&OLD, full(), expiry)).await?;
    }
    let (first, second) = (v2(&OLD, full(), now + 60), v2(&OLD, full(), now + 60));
    server.clock.advance(Duration::seconds(120));
    server.begin(first).await?;
    server.clock.advance(Duration::seconds(1));
    assert_invalid(&server, second.clone()).await;
    // A later expiry that the backend has not signed helps nobody, nor does another nonce.
    for (old, new) in [((now + 60).to_string(), (now + 600).to_string()), ("n-".to_owned(), "m-".to_owned())]
    {
        let signature = second.signature.replace(&old, &new);
        assert_ne!(signature, second.signature);
        assert_invalid(&server, BeginRequest { signature, ..second.clone() }).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_project_says_for_how_long_its_signatures_hold() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let now = server.clock.now().unix_timestamp();
    let lifetime = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    for (seconds, least_refused) in [(60, 121), (3600, 3661)] {
        set(&server, HmacSettings { required: true, max_lifetime: lifetime(seconds), ..keys(&[&OLD]) }).await;
        server.begin(v2(&OLD, full(), now + least_refused - 1)).await?;
        assert_invalid(&server, v2(&OLD, full(), now + least_refused)).await;
    }
    for (seconds, nanos) in [(59, 0), (3601, 0), (0, 0), (-60, 0), (60, 1), (i64::MAX, 0)] {
        let max_lifetime = Some(prost_types::Duration { seconds, nanos });
        let hmac = HmacSettings { max_lifetime, ..HmacSettings::default() };
        let request = UpdateSettingsRequest {
            settings: Some(Settings { hmac: Some(hmac), ..Settings::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["hmac.max_lifetime".to_owned()] }),
        };
        let refused = server.project(&server.key).update_settings(request).await;
        let refused = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refused.fields, ["hmac.max_lifetime"], "{seconds} {nanos}");
    }
    // What is not said is ten minutes again.
    set(&server, HmacSettings { required: true, ..keys(&[&OLD]) }).await;
    assert_invalid(&server, v2(&OLD, full(), now + 661)).await;
    Ok(())
}

#[tokio::test]
async fn a_v2_signature_covers_everything_that_a_frontend_could_change() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let good = v2(&OLD, full(), in_a_minute(&server));
    server.begin(good.clone()).await?;
    let changes: [fn(&mut BeginRequest); 13] = [
        |it| it.integration_id = "second".to_owned(),
        |it| it.connection_id = "user-2".to_owned(),
        |it| it.connection_id.clear(),
        |it| drop(it.connection_config.insert("subdomain".to_owned(), "evil".to_owned())),
        |it| drop(it.authorization_params.insert("login_hint".to_owned(), "eve".to_owned())),
        |it| drop(it.authorization_params.insert("prompt".to_owned(), "none".to_owned())),
        |it| drop(it.authorization_params.remove("ui")),
        |it| it.scopes.push("admin".to_owned()),
        |it| it.scopes.reverse(),
        |it| it.scopes = vec!["readwrite".to_owned()],
        |it| it.user_scopes.clear(),
        |it| it.return_url.push_str("/elsewhere"),
        |it| it.return_url.clear(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut request = good.clone();
        change(&mut request);
        assert_ne!(request, good, "change {index} changes nothing");
        let refused = server.begin(request).await;
        assert!(refused.is_err(), "change {index} was let through");
        assert_refused(refused, Code::Unauthenticated, "SIGNATURE_INVALID");
    }
    Ok(())
}

#[tokio::test]
async fn a_signature_for_another_project_is_refused() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let expiry = in_a_minute(&server);
    let key: HmacKey = OLD.to_vec().into();
    let request = full();
    let signature = signed("other", &request, |it| it.sign_v2(&key, expiry, "n"));
    assert_invalid(&server, BeginRequest { signature, ..request }).await;
    Ok(())
}

#[tokio::test]
async fn a_project_can_refuse_v1() -> TestResult {
    let (server, _provider, _database) = stage().await;
    set(&server, HmacSettings { required: true, refuse_v1: true, ..keys(&[&OLD]) }).await;
    assert_invalid(&server, v1(&OLD, full())).await;
    server.begin(v2(&OLD, full(), in_a_minute(&server))).await?;
    Ok(())
}

#[tokio::test]
async fn a_signature_that_nobody_asked_for_must_still_be_right() -> TestResult {
    let (server, _provider, _database) = stage().await;
    set(&server, keys(&[&OLD])).await;
    server.begin(full()).await?;
    server.begin(v1(&OLD, full())).await?;
    assert_invalid(&server, v1(&NEW, full())).await;
    assert_invalid(&server, BeginRequest { signature: "nonsense".to_owned(), ..full() }).await;
    Ok(())
}

#[tokio::test]
async fn a_compressed_begin_is_verified_too() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let mut client = server.auth(&server.key).send_compressed(CompressionEncoding::Gzip);
    let good = v2(&OLD, full(), in_a_minute(&server));
    client.begin(good.clone()).await?;
    let refused = client.begin(full()).await;
    assert_refused(refused, Code::Unauthenticated, "SIGNATURE_MISSING");
    let refused = client.begin(BeginRequest { connection_id: "user-2".to_owned(), ..good }).await;
    assert_refused(refused, Code::Unauthenticated, "SIGNATURE_INVALID");
    Ok(())
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

/// POSTs a body of any shape to Begin. Gives `grpc-status` and the details, which are in the clear enough to search.
#[expect(clippy::disallowed_methods, reason = "a client that sends what no gRPC client would")]
async fn post(server: &TestServer, body: Vec<u8>, encoding: Option<&str>) -> (String, String) {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let url = format!("http://{}/tokenwell.auth.v1.AuthService/Begin", server.addresses.grpc);
    let mut request = client.post(url).bearer_auth(&server.key).body(body);
    request = request.header("content-type", "application/grpc").header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let answer = request.send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map_or("", |it| it.to_str().unwrap()).to_owned();
    let details = STANDARD_NO_PAD.decode(header("grpc-status-details-bin").trim_end_matches('=')).unwrap();
    (header("grpc-status"), String::from_utf8_lossy(&details).into_owned())
}

#[tokio::test]
async fn what_is_not_exactly_one_message_never_arrives() {
    let (server, _provider, _database) = stage().await;
    let good = v1(&OLD, full()).encode_to_vec();
    let bare = full().encode_to_vec();
    // A message in a good frame is let through, or the rest would prove nothing.
    assert_eq!(post(&server, frame(0, &good), None).await.0, "");
    assert_eq!(post(&server, frame(1, &gzip(&good)), Some("gzip")).await.0, "");

    let mut long = frame(0, &good);
    long[4] += 1;
    let mut short = frame(0, &good);
    short[4] -= 1;
    let two = [frame(0, &good), frame(0, &bare)].concat();
    let swapped = [frame(0, &bare), frame(0, &good)].concat();
    let bomb = frame(1, &gzip(&vec![0; 8 * 1024 * 1024]));
    let large = frame(0, &vec![0; 300 * 1024]);
    for (name, body, encoding) in [
        ("nothing", Vec::new(), None),
        ("half a prefix", vec![0, 0, 0], None),
        ("a length that is too long", long, None),
        ("a length that is too short", short, None),
        ("two messages", two, None),
        ("two messages, the signed one last", swapped, None),
        ("a compressed message without an encoding", frame(1, &gzip(&good)), None),
        ("a compressed message of another encoding", frame(1, &gzip(&good)), Some("deflate")),
        ("a flag that is none", frame(2, &good), Some("gzip")),
        ("gzip that is none", frame(1, &good), Some("gzip")),
        ("no protobuf", frame(0, &[0xff; 16]), None),
        ("a small body that is a large message", bomb, Some("gzip")),
        ("a large message", large, None),
    ] {
        let (status, details) = post(&server, body, encoding).await;
        assert_eq!(status, (Code::InvalidArgument as i32).to_string(), "{name}: {details}");
        assert!(details.contains("FIELD_INVALID"), "{name}: {details}");
    }
}
