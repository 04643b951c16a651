//! Token answers that are not what RFC 6749 has.

use serde_json::json;

use super::*;
use crate::sandbox::{AnswerFormat, AnswerQuirks, Lifetime};

fn with_answer(token_answer: AnswerQuirks) -> Stage {
    let refresh_token_expires_in = Some(60);
    Stage::new(Quirks { token_answer, refresh_token_expires_in, ..Quirks::default() })
}

#[tokio::test]
async fn members_are_elsewhere() {
    let stage = with_answer(AnswerQuirks {
        status: 201,
        path: "data.0".to_owned(),
        outside: vec!["scope".to_owned(), "token_type".to_owned()],
        access_token: "user.token".to_owned(),
        refresh_token: "refreshToken".to_owned(),
        expires_in: "user.ttl".to_owned(),
        refresh_token_expires_in: "refresh_expires_in".to_owned(),
        scope: "granted.scopes".to_owned(),
        scope_list: true,
        ..AnswerQuirks::default()
    });
    let callback = stage.approve(&[("scope", "read write")]).await;
    let answer = stage.exchange(&callback["code"], &[]).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let body = answer.json();
    let item = &body["data"][0];
    assert!(stage.works(&json!({ "access_token": item["user"]["token"] })).await);
    let refreshed = stage.refresh(item["refreshToken"].as_str().unwrap(), &[]).await;
    assert_eq!(refreshed.status, StatusCode::CREATED);
    let expected = json!({
        "data": [{
            "user": { "token": item["user"]["token"], "ttl": 5 },
            "refreshToken": item["refreshToken"],
            "refresh_expires_in": 60,
        }],
        "granted": { "scopes": ["read", "write"] },
        "token_type": "Bearer",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn lifetimes_are_said_in_many_ways() {
    for (lifetime, access, refresh) in [
        (Lifetime::Seconds, json!(5), json!(60)),
        (Lifetime::SecondsText, json!("5"), json!("60")),
        (Lifetime::Milliseconds, json!(5_000), json!(60_000)),
        (Lifetime::UntilSeconds, json!(1_728_000_005_i64), json!(1_728_000_060_i64)),
        (Lifetime::UntilMilliseconds, json!(1_728_000_005_000_i64), json!(1_728_000_060_000_i64)),
        (Lifetime::UntilRfc3339, json!("2024-10-04T00:00:05Z"), json!("2024-10-04T00:01:00Z")),
    ] {
        let stage = with_answer(AnswerQuirks { lifetime, ..AnswerQuirks::default() });
        let tokens = stage.connect(&[], &[]).await;
        let until =
            matches!(lifetime, Lifetime::UntilSeconds | Lifetime::UntilMilliseconds | Lifetime::UntilRfc3339);
        let (there, not_there) = if until { ("at", "in") } else { ("in", "at") };
        for (start, expected) in [("expires", &access), ("refresh_token_expires", &refresh)] {
            assert_eq!(&tokens[format!("{start}_{there}")], expected, "{lifetime:?}");
            assert_eq!(tokens.get(format!("{start}_{not_there}")), None, "{lifetime:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_is_a_form() {
    let format = AnswerFormat::Form;
    let stage = with_answer(AnswerQuirks { format, scope_list: true, ..AnswerQuirks::default() });
    let callback = stage.approve(&[("scope", "read write")]).await;
    let answer = stage.exchange(&callback["code"], &[]).await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/x-www-form-urlencoded");
    let pairs: BTreeMap<String, String> =
        form_urlencoded::parse(answer.body.as_bytes()).into_owned().collect();
    assert_eq!((pairs["expires_in"].as_str(), pairs["scope"].as_str()), ("5", "[\"read\",\"write\"]"));
    assert!(stage.works(&json!({ "access_token": pairs["access_token"] })).await);
}

#[tokio::test]
async fn further_members_lie_deep_and_scopes_are_separated() {
    let mut stage_quirks = Quirks { scope_separator: ", ".to_owned(), token_type: None, ..Quirks::default() };
    stage_quirks.extra_token_members.insert("team.name".to_owned(), "{host}".into());
    let stage = Stage::new(stage_quirks);
    let tokens = stage.connect(&[("scope", "read, write")], &[]).await;
    assert_eq!((&tokens["team"]["name"], &tokens["scope"]), (&json!(HOST), &json!("read, write")));
    assert_eq!(tokens.get("token_type"), None);
}
