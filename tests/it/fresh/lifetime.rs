//! How long a token lives whose answer does not say so.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokenwell::{
    api::pb::connection::v1::OAuth2Credentials,
    model::{Clock as _, Duration},
    sandbox::{ExpiresIn, Quirks},
};

use super::{connected, forced};
use crate::support::{
    Acme, TestResult,
    acme::{ACME, ADA, plain},
    database::Kind,
};

fn silent() -> Quirks {
    Quirks { expires_in: ExpiresIn::Never, ..plain() }
}

/// In how many seconds the token expires.
async fn lifetime(acme: &Acme) -> i64 {
    let (_, token) = acme.server.token(ACME, ADA).await.unwrap();
    seconds(acme, &token)
}

fn seconds(acme: &Acme, token: &OAuth2Credentials) -> i64 {
    token.expire_time.unwrap().seconds - acme.clock.now().unix_timestamp()
}

fn jwt(claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"none"}"#), part(claims), part("signature"))
}

#[tokio::test]
async fn without_any_word_it_is_an_hour_and_never_for_ever() {
    let acme = connected(Kind::Sqlite, silent(), "").await;
    assert_eq!(lifetime(&acme).await, 3600);
}

#[tokio::test]
async fn the_entry_knows() {
    let acme = connected(Kind::Sqlite, silent(), "default_expires_in = 7200\n").await;
    assert_eq!(lifetime(&acme).await, 7200);
}

#[tokio::test]
async fn a_token_that_is_a_jwt_says_it_itself() -> TestResult {
    let acme = connected(Kind::Sqlite, silent(), "default_expires_in = 7200\n").await;
    let now = acme.clock.now().unix_timestamp();
    let answer = |token: &str| format!(r#"{{"access_token":"{token}","token_type":"bearer"}}"#);
    acme.answer_next(&answer(&jwt(&format!(r#"{{"exp":{}}}"#, now + 900))));
    let (_, token) = acme.server.get(forced()).await?;
    assert_eq!(seconds(&acme, &token), 900);
    // What makes no sense says nothing.
    for claims in [r#"{"exp":1}"#, r#"{"exp":"soon"}"#, "{}", "no json"] {
        acme.answer_next(&answer(&jwt(claims)));
        let (_, token) = acme.server.get(forced()).await?;
        assert_eq!(seconds(&acme, &token), 7200, "{claims}");
    }
    Ok(())
}

#[tokio::test]
async fn a_later_answer_without_it_keeps_the_lifetime_of_the_last() -> TestResult {
    let acme = connected(Kind::Sqlite, silent(), "").await;
    let answer = |more: &str| format!(r#"{{"access_token":"at","token_type":"bearer"{more}}}"#);
    acme.answer_next(&answer(r#","expires_in":1200"#));
    let (_, token) = acme.server.get(forced()).await?;
    assert_eq!(seconds(&acme, &token), 1200);
    acme.clock.advance(Duration::minutes(19));
    acme.answer_next(&answer(""));
    let (_, token) = acme.server.get(forced()).await?;
    assert_eq!(seconds(&acme, &token), 1200);
    Ok(())
}

#[tokio::test]
async fn where_the_entry_says_so_the_server_is_asked() -> TestResult {
    let more = "introspection_endpoint = \"PROVIDER/introspect\"\ndefault_expires_in = 7200\n";
    let acme = connected(Kind::Sqlite, silent(), more).await;
    // The sandbox's tokens live an hour.
    assert_eq!((lifetime(&acme).await, acme.provider.sandbox.book().introspections), (3600, 1));
    acme.clock.advance(Duration::minutes(59));
    let (_, token) = acme.server.get(forced()).await?;
    assert_eq!((seconds(&acme, &token), acme.provider.sandbox.book().introspections), (3600, 2));
    // That it is not there costs nothing but the knowledge.
    acme.detour.answer("/introspect", 500, "{}");
    let (_, token) = acme.server.get(forced()).await?;
    assert_eq!(seconds(&acme, &token), 7200);
    Ok(())
}
