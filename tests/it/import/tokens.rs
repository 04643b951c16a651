//! Tokens that were issued elsewhere.

use prost_types::Timestamp;
use tokenwell::{
    api::pb::{
        connection::v1::{
            Connection, ImportOAuth2, ImportRequest, OAuth1Credentials, State, credentials,
            import_credentials::Kind,
        },
        provider::v1::GrantType,
    },
    model::{Clock as _, Duration},
    sandbox::Failure,
};
use tonic::Code;

use crate::support::{
    Acme, TestResult,
    acme::{import, map, plain, sorted},
    assert_refused,
    provider::CLIENT_ID,
};

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;

/// Tokens, of which the access token expires in an hour.
fn tokens(acme: &Acme, access_token: &str, refresh_token: &str) -> ImportOAuth2 {
    let seconds = acme.clock.now().unix_timestamp() + 3600;
    ImportOAuth2 {
        access_token: access_token.to_owned(),
        token_type: String::new(),
        expire_time: Some(Timestamp { seconds, nanos: 0 }),
        refresh_token: refresh_token.to_owned(),
        scopes: vec!["read".to_owned(), "write".to_owned()],
    }
}

/// Lets the next token request be answered with these tokens.
fn renew_next(acme: &Acme, access_token: &str, refresh_token: &str) {
    acme.answer_next(&format!(
        r#"{{"access_token":"{access_token}","refresh_token":"{refresh_token}","expires_in":3600}}"#
    ));
}

fn told(connection: &Connection) -> String {
    format!("{connection:?}")
}

#[tokio::test]
async fn imported_tokens_are_used_and_then_refreshed() -> TestResult {
    let acme = Acme::new(plain(), ENTRY).await;
    let imported = acme.import(Kind::Oauth2(tokens(&acme, "at-1", "canary-rt-1"))).await?;
    assert_eq!((imported.grant_type(), imported.state()), (GrantType::AuthorizationCode, State::Active));
    assert_eq!(imported.granted_scopes, ["read", "write"]);
    let (connection, token) = acme.server.token("acme", "ada").await?;
    assert_eq!((token.access_token.as_str(), token.token_type.as_str()), ("at-1", "Bearer"));
    assert_eq!(token.expire_time.unwrap().seconds, acme.clock.now().unix_timestamp() + 3600);
    assert_eq!(acme.token_requests(), [], "the token was good");

    acme.clock.advance(Duration::hours(1));
    renew_next(&acme, "at-2", "canary-rt-2");
    let renewed = acme.get().await?;
    let asked = acme.last_request();
    let form = |name: &str| asked.form[name].as_str();
    assert_eq!((form("grant_type"), form("refresh_token")), ("refresh_token", "canary-rt-1"));
    assert_eq!(acme.token().await?, "at-2");
    acme.clock.advance(Duration::hours(1));
    renew_next(&acme, "at-3", "canary-rt-3");
    assert_eq!(acme.token().await?, "at-3");
    assert_eq!(acme.last_request().form["refresh_token"], "canary-rt-2");

    for connection in [imported, connection, renewed] {
        assert!(!told(&connection).contains("canary"), "{connection:?}");
    }
    let contents = acme.database.contents().await;
    let contents = String::from_utf8_lossy(&contents);
    assert!(
        contents.contains(CLIENT_ID) && !contents.contains("canary-rt"),
        "a refresh token is there in clear"
    );
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_alone_gets_the_first_access_token() -> TestResult {
    let acme = Acme::new(plain(), ENTRY).await;
    let alone =
        |acme: &Acme| Kind::Oauth2(ImportOAuth2 { expire_time: None, ..tokens(acme, "", "canary-rt-1") });
    acme.import(alone(&acme)).await?;
    assert_eq!(acme.token_requests(), [], "an Import does not refresh");
    acme.provider.sandbox.fail_next(Failure::Status(503));
    assert_refused(acme.get().await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    acme.clock.wait_out();
    renew_next(&acme, "at-1", "canary-rt-2");
    assert_eq!(acme.token().await?, "at-1");
    assert_eq!(acme.last_request().form["refresh_token"], "canary-rt-1");
    assert_eq!((acme.token().await?.as_str(), acme.token_requests().len()), ("at-1", 2));

    // A time without a token says nothing.
    acme.import(Kind::Oauth2(tokens(&acme, "", "canary-rt-9"))).await?;
    renew_next(&acme, "at-9", "canary-rt-10");
    assert_eq!(acme.token().await?, "at-9");

    // The sandbox has never given this one.
    acme.import(alone(&acme)).await?;
    assert_refused(acme.get().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(acme.basic().await?.state(), State::NeedsReauthorization);
    assert_eq!(acme.import(alone(&acme)).await?.state(), State::Active);
    Ok(())
}

#[tokio::test]
async fn without_a_refresh_token_it_ends_with_the_access_token() -> TestResult {
    let acme = Acme::new(plain(), ENTRY).await;
    let typed = ImportOAuth2 { token_type: "token".to_owned(), ..tokens(&acme, "at-1", "") };
    acme.import(Kind::Oauth2(typed)).await?;
    assert_refused(acme.force().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    acme.clock.advance(Duration::seconds(3599));
    let (_, token) = acme.server.token("acme", "ada").await?;
    assert_eq!((token.access_token.as_str(), token.token_type.as_str()), ("at-1", "token"));
    acme.clock.advance(Duration::SECOND);
    assert_refused(acme.get().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");

    acme.import(Kind::Oauth2(ImportOAuth2 { expire_time: None, ..tokens(&acme, "at-2", "") })).await?;
    acme.clock.advance(Duration::days(3650));
    let (_, token) = acme.server.token("acme", "ada").await?;
    assert_eq!((token.access_token.as_str(), token.expire_time), ("at-2", None));
    assert_eq!(acme.token_requests(), []);
    Ok(())
}

#[tokio::test]
async fn an_import_outlives_the_refresh_of_what_it_replaces() -> TestResult {
    let acme = Acme::new(plain(), ENTRY).await;
    acme.import(Kind::Oauth2(tokens(&acme, "at-1", "rt-1"))).await?;
    acme.clock.advance(Duration::hours(1));
    renew_next(&acme, "at-2", "rt-2");
    acme.gate.close();
    let replace = async {
        acme.gate.arrived(1).await;
        let imported = acme.import(Kind::Oauth2(tokens(&acme, "at-new", "rt-new"))).await;
        acme.gate.open();
        imported
    };
    let (got, imported) = tokio::join!(acme.token(), replace);
    imported?;
    assert_eq!((got?.as_str(), acme.token().await?.as_str()), ("at-new", "at-new"));
    acme.clock.advance(Duration::hours(1));
    renew_next(&acme, "at-3", "rt-3");
    assert_eq!(acme.token().await?, "at-3");
    assert_eq!(acme.last_request().form["refresh_token"], "rt-new");
    Ok(())
}

#[tokio::test]
async fn an_import_looks_up_what_a_flow_would() -> TestResult {
    let entry = format!(
        "{ENTRY}[lookup]\nurl = \"PROVIDER/accounts\"\n[config.account]\ntitle = \"Account\"\n\
         pattern = \"[0-9]+\"\ncapture = [{{ lookup = \"/0/id\" }}]\nsettable = true"
    );
    let acme = Acme::new(plain(), &entry).await;
    let kind = || Kind::Oauth2(tokens(&acme, "at-1", "rt-1"));
    acme.detour.answer("/accounts", 503, "{}");
    assert_refused(acme.import(kind()).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    acme.detour.retry_after("/accounts", "Mon, 21 Sep 2026 14:14:20 GMT");
    let refusal = assert_refused(acme.import(kind()).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert_eq!(refusal.retry, Some(std::time::Duration::from_mins(1)));
    for (status, body) in [(401, "{}"), (200, "no JSON")] {
        acme.detour.answer("/accounts", status, body);
        let refused = acme.import(kind()).await;
        assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    }
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    acme.detour.answer("/accounts", 200, "[{\"id\": 42}]");
    let imported = acme.import(kind()).await?;
    assert_eq!(imported.connection_config, map(&[("account", "42")]));

    // What the caller chose is not replaced.
    let chosen = ImportRequest { connection_config: map(&[("account", "7")]), ..import(kind()) };
    acme.import_with(chosen).await?;
    assert_eq!(acme.config().await, sorted(&[("account", "7")]));
    Ok(())
}

#[tokio::test]
async fn a_token_of_oauth_1_is_handed_out_with_the_consumer_key() -> TestResult {
    let entry =
        format!("grant_types = [\"oauth1\"]\nrequest_token_endpoint = \"PROVIDER/request_token\"{ENTRY}");
    let acme = Acme::new(plain(), &entry).await;
    let given = OAuth1Credentials {
        oauth_token: "canary-token".to_owned(),
        oauth_token_secret: "canary-token-secret".to_owned(),
        oauth_consumer_key: "not this one".to_owned(),
    };
    let imported = acme.import(Kind::Oauth1(given.clone())).await?;
    assert_eq!((imported.grant_type(), imported.credentials), (GrantType::Oauth1, None));
    acme.clock.advance(Duration::days(3650));
    let expected = OAuth1Credentials { oauth_consumer_key: CLIENT_ID.to_owned(), ..given };
    let got = acme.get().await?.credentials.unwrap().kind;
    assert_eq!(got, Some(credentials::Kind::Oauth1(expected)));
    assert_refused(acme.force().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert!(!String::from_utf8_lossy(&acme.database.contents().await).contains("canary"));
    Ok(())
}
