//! What token responses are like: where their members and errors are, and how they say how long a token lives.

use serde_json::{Value, json};
use tokenwell::{
    api::pb::connection::v1::{OAuth2Credentials, State},
    model::{Clock as _, Duration},
};
use tonic::Code;

use super::{ENTRY, completed};
use crate::support::{Acme, TestResult, acme::plain, assert_refused};

/// A flow whose code gets this answer.
async fn answered(acme: &Acme, answer: &Value) -> Result<OAuth2Credentials, tonic::Status> {
    let (_, callback) = acme.callback(&[]).await;
    acme.answer_next(&answer.to_string());
    completed(acme, &callback).await?;
    Ok(acme.server.token("acme", "ada").await?.1)
}

/// The access token's lifetime in seconds, with an entry that has these lines.
async fn lifetime(lines: &str, answer: impl FnOnce(i64) -> Value) -> Option<i64> {
    let acme = Acme::new(plain(), &format!("{ENTRY}{lines}")).await;
    let now = acme.clock.now().unix_timestamp();
    let mut answer = answer(now);
    answer["access_token"] = "at".into();
    let token = answered(&acme, &answer).await.unwrap();
    token.expire_time.map(|time| time.seconds - now)
}

#[tokio::test]
async fn lifetimes_are_read_as_the_entry_says() {
    let refreshable = |member: Value| move |_: i64| json!({ "refresh_token": "r", "expires_in": member });
    let milliseconds = "token_response = { expires_in_unit = \"milliseconds\" }";
    assert_eq!(lifetime(milliseconds, refreshable(json!(7_200_000))).await, Some(7200));
    assert_eq!(lifetime(milliseconds, refreshable(json!("7200000"))).await, Some(7200));
    assert_eq!(lifetime("", refreshable(json!("7200"))).await, Some(7200));
    // What says nothing useful counts as an hour, or as what the entry says; for ever only if nothing can renew it.
    for useless in [json!(0), json!(-5), json!("soon"), Value::Null] {
        assert_eq!(lifetime("", refreshable(useless.clone())).await, Some(3600), "{useless}");
        let default = lifetime("default_expires_in = 600", refreshable(useless.clone())).await;
        assert_eq!(default, Some(600), "{useless}");
    }
    assert_eq!(lifetime("", |_| json!({})).await, None);
    assert_eq!(lifetime("default_expires_in = 600", |_| json!({})).await, None);
}

#[tokio::test]
async fn absolute_times_are_read_as_lifetimes() {
    let at = "token_response = { expires_at = \"until.time\" }";
    assert_eq!(lifetime(at, |now| json!({ "until": { "time": now + 600 } })).await, Some(600));
    assert_eq!(lifetime(at, |now| json!({ "until": { "time": (now + 600) * 1000 } })).await, Some(600));
    assert_eq!(lifetime(at, |now| json!({ "until": { "time": (now + 600).to_string() } })).await, Some(600));
    // The test's clock stands at 2026-09-21T14:13:20Z.
    for text in ["2026-09-21T14:23:20Z", "2026-09-21T16:23:20+02:00"] {
        assert_eq!(lifetime(at, |_| json!({ "until": { "time": text } })).await, Some(600), "{text}");
    }
    // A time in the past says nothing: the lifetime beside it counts.
    let past = |now: i64| json!({ "until": { "time": now - 1 }, "expires_in": 900, "refresh_token": "r" });
    assert_eq!(lifetime(at, past).await, Some(900));
    let only_past = |now: i64| json!({ "until": { "time": now - 1 }, "refresh_token": "r" });
    assert_eq!(lifetime(at, only_past).await, Some(3600));
}

#[tokio::test]
async fn members_are_found_where_the_entry_says() -> TestResult {
    let lines = "default_scopes = [\"asked\"]\nscope_separator = \",\"\n[token_response]\npath = \"data\"\n\
                 access_token = \"token.value\"\nscope = \"grants\"\ntoken_type = \"token\"";
    let acme = Acme::new(plain(), &format!("{ENTRY}{lines}")).await;
    for (grants, expected) in [
        (json!(["read", "write"]), &["read", "write"][..]),
        (json!("read,write"), &["read", "write"]),
        (json!("read write"), &["read", "write"]),
        (json!([]), &["asked"]),
        (Value::Null, &["asked"]),
    ] {
        let data = json!({ "token": { "value": "at" }, "grants": grants, "refresh_token": "r-inner" });
        let answer = json!({ "data": data, "expires_in": 60, "access_token": "not this one", "refresh_token": "r-outer" });
        let token = answered(&acme, &answer).await?;
        assert_eq!((token.access_token.as_str(), token.token_type.as_str()), ("at", "token"));
        assert_eq!(acme.basic().await?.granted_scopes, expected, "{grants}");
        // What the object lacks is looked for in the answer, what it has is not.
        acme.clock.advance(Duration::MINUTE);
        acme.answer_next(&answer.to_string());
        acme.token().await?;
        assert_eq!(acme.last_request().form["refresh_token"], "r-inner");
    }
    // A token in another place is none.
    let elsewhere = answered(&acme, &json!({ "data": { "grants": "read" }, "access_token": "canary" })).await;
    let refusal = assert_refused(elsewhere, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn errors_are_found_where_the_entry_says_whatever_the_status() -> TestResult {
    let lines = "[token_error]\ncode = \"meta.code\"\ndescription = \"meta.message\"\nsuccess = [\"0\", \"ok\"]\n\
                 [error_codes]\n40102 = \"invalid_grant\"\n40103 = \"invalid_client\"\n50000 = \"temporarily_unavailable\"";
    let acme = Acme::new(plain(), &format!("{ENTRY}{lines}")).await;
    let answer = |code: Value| json!({ "meta": { "code": code, "message": "so it is" }, "access_token": "at", "refresh_token": "r", "expires_in": 60 });
    for (code, grpc, reason, oauth_error) in [
        (json!(40102), Code::FailedPrecondition, "PROVIDER_REJECTED_CODE", Some("invalid_grant")),
        (json!("40102"), Code::FailedPrecondition, "PROVIDER_REJECTED_CODE", Some("invalid_grant")),
        (json!(40103), Code::FailedPrecondition, "CLIENT_REJECTED", Some("invalid_client")),
        (json!(40199), Code::FailedPrecondition, "PROVIDER_REJECTED_CODE", Some("40199")),
        (json!(50000), Code::Unavailable, "PROVIDER_UNAVAILABLE", None),
    ] {
        let refusal = assert_refused(answered(&acme, &answer(code.clone())).await, grpc, reason);
        assert_eq!(refusal.metadata.get("oauth_error").map(String::as_str), oauth_error, "{code}");
        assert_eq!(refusal.message.contains("so it is"), oauth_error.is_some(), "{}", refusal.message);
    }
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    for success in [json!(0), json!("0"), json!("ok"), Value::Null, json!("")] {
        assert_eq!(answered(&acme, &answer(success.clone())).await?.access_token, "at", "{success}");
    }
    // On a refresh it ends the grant.
    acme.clock.advance(Duration::MINUTE);
    acme.answer_next(&answer(json!(40102)).to_string());
    assert_refused(acme.get().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(acme.basic().await?.state(), State::NeedsReauthorization);
    Ok(())
}
