//! Scopes that were asked for, and those that were granted (RFC 6749, section 3.3).

use serde_json::{Value, json};
use tokenwell::api::pb::connection::v1::{ListRequest, credentials};

use super::{ENTRY, completed};
use crate::support::{Acme, TestResult, acme::plain, database::Kind};

const SCOPES: &str = "default_scopes = [\"read\", \"write\"]\n";
const BOTH: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

/// What is missing after a flow that gets this answer.
async fn missing(acme: &Acme, answer: Value) -> Vec<String> {
    let (_, callback) = acme.callback(&[]).await;
    let mut whole = json!({ "access_token": "at", "token_type": "Bearer", "expires_in": 3600 });
    whole.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
    acme.answer_next(&whole.to_string());
    completed(acme, &callback).await.unwrap();
    acme.basic().await.unwrap().missing_scopes
}

#[tokio::test]
async fn what_was_asked_for_and_not_granted_is_told() -> TestResult {
    for kind in BOTH {
        let acme = Acme::on(kind, plain(), &format!("{ENTRY}{SCOPES}")).await;
        assert_eq!(missing(&acme, json!({ "scope": "read" })).await, ["write"]);
        let full = acme.get().await?;
        assert_eq!(
            (&*full.missing_scopes, &*full.granted_scopes),
            (&["write".to_owned()][..], &["read".to_owned()][..])
        );
        let Some(credentials::Kind::Oauth2(_)) = full.credentials.unwrap().kind else {
            panic!("no OAuth 2.0")
        };
        let listed =
            acme.server.connection(&acme.server.key).list(ListRequest::default()).await?.into_inner();
        assert_eq!(listed.connections[0].missing_scopes, ["write"]);
        assert_eq!(missing(&acme, json!({ "scope": "nothing" })).await, ["read", "write"]);
        // A new grant begins anew. More than was asked for lacks nothing.
        assert_eq!(missing(&acme, json!({ "scope": "write read admin" })).await, [""; 0]);
        assert_eq!(acme.basic().await?.granted_scopes.len(), 3);
        // Who names none has granted what was asked for.
        assert_eq!(missing(&acme, json!({})).await, [""; 0]);
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_grants_less_is_told_of() -> TestResult {
    for kind in BOTH {
        let acme = Acme::on(kind, plain(), &format!("{ENTRY}{SCOPES}")).await;
        assert_eq!(missing(&acme, json!({ "scope": "read write", "refresh_token": "rt" })).await, [""; 0]);
        acme.answer_next(
            &json!({ "access_token": "at2", "token_type": "Bearer", "scope": "write" }).to_string(),
        );
        assert_eq!(acme.force().await?.missing_scopes, ["read"]);
        assert_eq!(acme.basic().await?.missing_scopes, ["read"]);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_granted_under_another_name_is_not_missing() {
    let entry = format!(
        "{ENTRY}default_scopes = [\"openid\", \"offline_access\", \"email\", \"Mail.Read\"]\n\
         scope_aliases = {{ email = \"https://api.acme.example/auth/userinfo\" }}\n"
    );
    let acme = Acme::new(plain(), &entry).await;
    let all = "https://api.acme.example/auth/userinfo https://graph.acme.example/mail.read";
    let told = missing(&acme, json!({ "scope": all })).await;
    assert_eq!(told, ["openid", "offline_access"], "there is no id_token, and no refresh token");
    let told = missing(&acme, json!({ "scope": all, "id_token": "a.b.c", "refresh_token": "rt" })).await;
    assert_eq!(told, [""; 0]);
    let told =
        missing(&acme, json!({ "scope": "mail.read", "id_token": "a.b.c", "refresh_token": "rt" })).await;
    assert_eq!(told, ["https://api.acme.example/auth/userinfo"], "as the provider spells it");
}
