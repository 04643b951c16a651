//! The caller's own JSON object on a connection: replaced, merged by RFC 7396, guarded by an etag, bounded.

use prost_types::{ListValue, Struct, Value as PbValue, value::Kind};
use serde_json::{Value, json};
use tokenwell::api::pb::{
    auth::v1::BeginRequest,
    connection::v1::{
        GetMetadataRequest, SetMetadataRequest, UpdateMetadataRequest,
        connection_service_client::ConnectionServiceClient,
    },
};
use tonic::{Code, Status, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

use crate::support::{
    TestResult, TestServer, assert_refused,
    server::{Keyed, begin},
};

const LIMIT: usize = 16 * 1024;

type Client = ConnectionServiceClient<Keyed>;

fn pb(value: &Value) -> PbValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(pb).collect() }),
        Value::Object(_) => Kind::StructValue(object(value)),
    };
    PbValue { kind: Some(kind) }
}

fn object(value: &Value) -> Struct {
    let members = value.as_object().unwrap().iter();
    Struct { fields: members.map(|(name, value)| (name.clone(), pb(value))).collect() }
}

/// An object that is exactly this long as JSON.
fn sized(bytes: usize) -> Value {
    json!({"a": "x".repeat(bytes - r#"{"a":""}"#.len())})
}

fn set_request(metadata: Option<Struct>, etag: &str) -> SetMetadataRequest {
    SetMetadataRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "user-1".to_owned(),
        metadata,
        etag: etag.to_owned(),
    }
}

async fn set(client: &mut Client, metadata: &Value, etag: &str) -> Result<(Struct, String), Status> {
    let answer = client.set_metadata(set_request(Some(object(metadata)), etag)).await?.into_inner();
    Ok((answer.metadata.unwrap(), answer.etag))
}

async fn update(client: &mut Client, patch: &Value, etag: &str) -> Result<(Struct, String), Status> {
    let request = UpdateMetadataRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "user-1".to_owned(),
        patch: Some(object(patch)),
        etag: etag.to_owned(),
    };
    let answer = client.update_metadata(request).await?.into_inner();
    Ok((answer.metadata.unwrap(), answer.etag))
}

async fn stored(client: &mut Client) -> (Struct, String) {
    let request =
        GetMetadataRequest { integration_id: "sandbox".to_owned(), connection_id: "user-1".to_owned() };
    let answer = client.get_metadata(request).await.unwrap().into_inner();
    (answer.metadata.unwrap(), answer.etag)
}

/// A server with one connection, and a client.
async fn stage() -> (Client, TestServer, impl Sized) {
    let (server, provider, database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    (server.connection(&server.key), server, (provider, database))
}

#[tokio::test]
async fn a_new_connection_has_an_empty_object() {
    let (mut client, _server, _rest) = stage().await;
    let (metadata, etag) = stored(&mut client).await;
    assert_eq!(metadata, Struct::default());
    assert!(!etag.is_empty());
}

#[tokio::test]
async fn a_set_replaces_the_whole_object() -> TestResult {
    let (mut client, _server, _rest) = stage().await;
    let first = json!({
        "text": "ä\u{0}\"\\\u{1F600}", "whole": 1, "large": 9_007_199_254_740_991_i64, "part": -0.5,
        "yes": true, "nothing": null, "list": [1, [], {}, null], "object": {"": {"deep": [false]}},
    });
    let (answered, etag) = set(&mut client, &first, "").await?;
    assert_eq!(answered, object(&first));
    assert_eq!(stored(&mut client).await, (object(&first), etag.clone()));

    let second = json!({"only": "this"});
    let (answered, newer) = set(&mut client, &second, "").await?;
    assert_eq!(answered, object(&second));
    assert_ne!(newer, etag);
    assert_eq!(stored(&mut client).await, (object(&second), newer));

    client.set_metadata(set_request(None, "")).await?;
    assert_eq!(stored(&mut client).await.0, Struct::default());
    Ok(())
}

/// The examples of RFC 7396, appendix A, whose target and patch are objects.
#[tokio::test]
async fn an_update_is_a_json_merge_patch() -> TestResult {
    let (mut client, _server, _rest) = stage().await;
    for (target, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (
            json!({"a": {"b": "c", "x": 1}}),
            json!({"a": {"y": {"z": 2}}}),
            json!({"a": {"b": "c", "x": 1, "y": {"z": 2}}}),
        ),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        (json!({"a": "b"}), json!({}), json!({"a": "b"})),
    ] {
        set(&mut client, &target, "").await?;
        let (answered, etag) = update(&mut client, &patch, "").await?;
        assert_eq!(answered, object(&result), "{target} + {patch}");
        assert_eq!(stored(&mut client).await, (answered, etag), "{target} + {patch}");
    }
    Ok(())
}

#[tokio::test]
async fn an_etag_lets_only_the_next_version_through() -> TestResult {
    let (mut client, _server, _rest) = stage().await;
    let (_, first) = stored(&mut client).await;
    let (_, second) = set(&mut client, &json!({"a": 1}), &first).await?;
    let (_, third) = update(&mut client, &json!({"b": 2}), &second).await?;
    let both = object(&json!({"a": 1, "b": 2}));
    for stale in [&first, &second, "m0", "nonsense"] {
        let refused = set(&mut client, &json!({}), stale).await;
        assert_refused(refused, Code::Aborted, "ETAG_MISMATCH");
        let refused = update(&mut client, &json!({"a": null}), stale).await;
        assert_refused(refused, Code::Aborted, "ETAG_MISMATCH");
        assert_eq!(stored(&mut client).await, (both.clone(), third.clone()));
    }
    // The same version is one of the other method's, too.
    update(&mut client, &json!({"a": null}), &third).await?;
    assert_eq!(stored(&mut client).await.0, object(&json!({"b": 2})));
    Ok(())
}

#[tokio::test]
async fn of_writers_with_one_etag_exactly_one_wins() -> TestResult {
    let (mut client, _server, _rest) = stage().await;
    let (_, etag) = stored(&mut client).await;
    let writers = (0..8).map(|writer| {
        let (mut client, etag) = (client.clone(), etag.clone());
        tokio::spawn(async move { update(&mut client, &json!({"winner": writer}), &etag).await })
    });
    let mut won = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        match writer.await? {
            Ok((metadata, _)) => won.push(metadata),
            refused => drop(assert_refused(refused, Code::Aborted, "ETAG_MISMATCH")),
        }
    }
    assert_eq!(won, [stored(&mut client).await.0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_at_the_same_time_lose_nothing() -> TestResult {
    let (mut client, _server, _rest) = stage().await;
    let patches = (0..40).map(|index| {
        let mut client = client.clone();
        tokio::spawn(async move { update(&mut client, &json!({format!("key-{index}"): index}), "").await })
    });
    for patch in patches.collect::<Vec<_>>() {
        patch.await??;
    }
    let all: serde_json::Map<_, _> = (0..40).map(|index| (format!("key-{index}"), json!(index))).collect();
    assert_eq!(stored(&mut client).await.0, object(&Value::Object(all)));
    Ok(())
}

#[tokio::test]
async fn an_object_may_have_16_kib_and_not_a_byte_more() -> TestResult {
    let (mut client, _server, _rest) = stage().await;
    let kept = set(&mut client, &sized(LIMIT), "").await?;
    let refused = set(&mut client, &sized(LIMIT + 1), "").await;
    let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refusal.fields, ["metadata"]);
    assert_eq!(stored(&mut client).await, kept);
    Ok(())
}

#[tokio::test]
async fn a_patch_may_not_grow_the_object_past_16_kib() -> TestResult {
    let (mut client, _server, _rest) = stage().await;
    let kept = set(&mut client, &sized(LIMIT - 8), "").await?;
    // `,"b":123`: 8 bytes.
    let refused = update(&mut client, &json!({"b": 1234}), "").await;
    assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(stored(&mut client).await, kept);
    update(&mut client, &json!({"b": 123}), "").await?;
    // What counts is the result, not the patch.
    update(&mut client, &json!({"a": null, "c": "x".repeat(LIMIT - 32)}), "").await?;
    Ok(())
}

#[tokio::test]
async fn a_begin_with_64_kib_of_metadata_is_refused() {
    let (_client, server, _rest) = stage().await;
    let metadata = Some(object(&sized(64 * 1024)));
    let refused = server.begin(BeginRequest { metadata, ..begin("sandbox", "user-1") }).await;
    let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refusal.fields, ["metadata"]);
}

#[tokio::test]
async fn numbers_that_json_has_not_are_refused() -> TestResult {
    let (mut client, server, _rest) = stage().await;
    let kept = set(&mut client, &json!({"kept": true}), "").await?;
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let number = PbValue { kind: Some(Kind::NumberValue(number)) };
        let list = PbValue { kind: Some(Kind::ListValue(ListValue { values: vec![number] })) };
        let bad = Struct { fields: [("deep".to_owned(), list)].into() };
        let refused = client.set_metadata(set_request(Some(bad.clone()), "")).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["metadata"]);
        let request = UpdateMetadataRequest {
            integration_id: "sandbox".to_owned(),
            connection_id: "user-1".to_owned(),
            patch: Some(bad.clone()),
            etag: String::new(),
        };
        let refusal =
            assert_refused(client.update_metadata(request).await, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["patch"]);
        let refused = server.begin(BeginRequest { metadata: Some(bad), ..begin("sandbox", "user-2") }).await;
        assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    }
    assert_eq!(stored(&mut client).await, kept);
    Ok(())
}

/// Plain and compressed: a few hundred bytes on the wire may be a message of any size.
#[tokio::test]
async fn a_message_over_256_kib_is_refused_with_a_reason() -> TestResult {
    let (mut client, server, _rest) = stage().await;
    let kept = set(&mut client, &json!({"kept": true}), "").await?;
    let compressing = server.connection(&server.key).send_compressed(CompressionEncoding::Gzip);
    for mut client in [client.clone(), compressing] {
        let status = set(&mut client, &sized(257 * 1024), "").await.unwrap_err();
        assert!(matches!(status.code(), Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted));
        let details = status.get_error_details();
        let info = details.error_info().expect("the status has no ErrorInfo");
        assert_eq!((info.domain.as_str(), info.reason.as_str()), ("tokenwell.dev", "FIELD_INVALID"));
    }
    assert_eq!(stored(&mut client).await, kept);
    Ok(())
}

/// Not even close to the wire's limit, but deeper than a parser's stack likes.
#[tokio::test]
async fn an_object_of_a_thousand_levels_is_refused_and_harms_nobody() -> TestResult {
    let (mut client, _server, _rest) = stage().await;
    let kept = stored(&mut client).await;
    let deep = (0..1000).fold(json!(1), |inner, _| json!({"a": inner}));
    let status = set(&mut client, &deep, "").await.unwrap_err();
    assert_ne!(status.code(), Code::Unavailable, "{}", status.message());
    assert_eq!(stored(&mut client).await, kept);
    Ok(())
}
