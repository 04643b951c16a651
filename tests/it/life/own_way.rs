//! The end of a grant in the provider's own way: a request that the entry declares.

use tokenwell::{
    oauth::{Failure, Revoked},
    sandbox::{Quirks, ResourceQuirks},
};

use super::{Life, refused, steady, without_refresh};
use crate::support::{
    TestResult,
    provider::{CLIENT_ID, CLIENT_SECRET},
    steps::works,
};

const ENDPOINTS: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;
/// As GitHub has it: the client speaks for itself.
const BY_CLIENT: &str = r#"
[revocation]
url = "PROVIDER/apps/{client_id}/token"
method = "DELETE"
basic = "{client_id}:{client_secret}"
json = { access_token = "{access_token}" }
"#;
const PATH: &str = "/end";
/// As Slack has it: the token speaks for itself.
const BY_TOKEN: &str = "[revocation]\nurl = \"PROVIDER/end\"\n";
const BY_REFRESH_TOKEN: &str = "[revocation]\nurl = \"PROVIDER/end\"\nmethod = \"POST\"\nauthorization = \"\"\nform = { token = \"{refresh_token}\" }\n";
const NEW: &str = "canary-client-secret-new-9Zk";

fn pair(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn ending(resource: ResourceQuirks) -> Quirks {
    let path = if resource.path == "/resource" { PATH.to_owned() } else { resource.path.clone() };
    Quirks { resources: vec![ResourceQuirks { path, revokes: true, ..resource }], ..steady() }
}

fn by_client(secret: &str) -> Quirks {
    ending(ResourceQuirks {
        method: "DELETE".to_owned(),
        path: format!("/apps/{CLIENT_ID}/token"),
        basic: Some(format!("{CLIENT_ID}:{secret}")),
        json: pair("access_token", "{access_token}"),
        ..ResourceQuirks::default()
    })
}

fn by_token() -> Quirks {
    let headers = pair("authorization", "Bearer {access_token}");
    ending(ResourceQuirks { headers, ..ResourceQuirks::default() })
}

fn by_refresh_token() -> Quirks {
    let form = pair("token", "{refresh_token}");
    ending(ResourceQuirks { method: "POST".to_owned(), form, ..ResourceQuirks::default() })
}

async fn life(quirks: Quirks, revocation: &str) -> Life {
    Life::new(quirks, &format!("{ENDPOINTS}{revocation}")).await
}

#[tokio::test]
async fn the_request_is_made_as_the_entry_says() -> TestResult {
    for (quirks, revocation) in [
        (by_client(CLIENT_SECRET), BY_CLIENT),
        (by_token(), BY_TOKEN),
        (by_refresh_token(), BY_REFRESH_TOKEN),
    ] {
        let life = life(quirks, revocation).await;
        let tokens = life.tokens().await;
        let access_token = life.acme.token().await?;
        assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done), "{revocation}");
        assert_eq!(life.acme.provider.sandbox.book().revocations, 1, "{revocation}");
        assert!(!works(&life.acme.provider, &access_token).await && !life.refreshes().await, "{revocation}");
    }
    let life = life(by_refresh_token(), BY_REFRESH_TOKEN).await;
    let tokens = life.tokens().await;
    life.revoke(&tokens).await?;
    assert_eq!(life.requests()[0].authorization, None, "an empty header is none");
    Ok(())
}

#[tokio::test]
async fn a_way_that_needs_what_is_not_there_is_none() {
    let life = life(by_refresh_token(), BY_REFRESH_TOKEN).await;
    let tokens = without_refresh(&life.tokens().await);
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Unsupported));
    assert_eq!(life.acme.count(PATH), 0);
}

#[tokio::test]
async fn a_client_that_speaks_for_itself_tries_each_secret() {
    let mut life = life(by_client(NEW), BY_CLIENT).await;
    let tokens = life.tokens().await;
    assert_eq!(life.revoke(&tokens).await, Err(Failure::Unauthorized));
    life.integration.further_client_secrets = vec![NEW.into()];
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));
    assert_eq!(life.acme.count(&format!("/apps/{CLIENT_ID}/token")), 3);
    assert!(!life.refreshes().await);
}

#[tokio::test]
async fn a_client_id_stays_in_its_part_of_the_address() {
    let mut life = life(by_client(CLIENT_SECRET), BY_CLIENT).await;
    let tokens = life.tokens().await;
    for id in ["..", "a/b", "a?b", "a#b", "a%2fb", "a@b", "a\\b"] {
        id.clone_into(&mut life.integration.client_id);
        assert!(matches!(life.revoke(&tokens).await, Err(Failure::Unsent { .. })), "{id}");
    }
    assert_eq!(life.acme.provider.sandbox.book().requests, std::collections::BTreeMap::new());
}

/// The provider's way takes the access token only: with a dead one a grant that can be renewed cannot be ended yet.
#[tokio::test]
async fn a_dead_access_token_ends_nothing_that_lives_on() {
    let life = life(by_token(), &format!("{BY_TOKEN}[error_codes]\ntoken_revoked = \"invalid_grant\"")).await;
    let tokens = life.tokens().await;
    for (status, body) in [
        (401, ""),
        (401, "{\"error\": \"invalid_token\"}"),
        (200, "{\"ok\": false, \"error\": \"token_revoked\"}"),
        (200, "{\"ok\": false, \"error\": \"token_expired\"}"),
        // What is not there has ended, or only its access token has.
        (404, "{}"),
        (410, "{}"),
    ] {
        life.acme.detour.answer(PATH, status, body);
        assert_eq!(life.revoke(&tokens).await, refused("invalid_token"), "{status} {body}");
        assert_eq!(life.revoke(&without_refresh(&tokens)).await, Ok(Revoked::Done), "{status} {body}");
    }
    for (status, body) in [(403, "{}"), (422, ""), (302, "")] {
        life.acme.detour.answer(PATH, status, body);
        assert!(matches!(life.revoke(&tokens).await, Err(Failure::Invalid { .. })), "{status} {body}");
    }
    life.acme.detour.answer(PATH, 200, "{\"ok\": false, \"error\": \"not_allowed\"}");
    assert_eq!(life.revoke(&tokens).await, refused("not_allowed"));
    for status in [500, 503, 429] {
        life.acme.detour.answer(PATH, status, "");
        assert!(matches!(life.revoke(&tokens).await, Err(Failure::Unavailable { .. })), "{status}");
    }
    life.acme.detour.end(PATH);
    assert_eq!(life.revoke(&tokens).await, Ok(Revoked::Done));

    let life = self::life(by_refresh_token(), BY_REFRESH_TOKEN).await;
    let tokens = life.tokens().await;
    for (status, body) in [(400, "{\"error\": \"invalid_grant\"}"), (404, "{}"), (410, "")] {
        life.acme.detour.answer(PATH, status, body);
        let done = life.revoke(&tokens).await;
        assert_eq!(done, Ok(Revoked::Done), "a dead refresh token leaves nothing: {status}");
    }
}
