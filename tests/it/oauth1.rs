//! OAuth 1.0a (RFC 5849): its three steps, and that it is not mistaken for OAuth 2.0.

use tokenwell::{
    api::pb::{
        auth::v1::{BeginRequest, complete_response::Outcome},
        connection::v1::{OAuth1Credentials, credentials::Kind},
        integration::v1::Integration,
        project::v1::{Completion, HmacSettings, Settings},
        provider::v1::GrantType,
    },
    model::{Clock as _, Duration, HmacKey, Signed, StringMap},
    sandbox::{Failure, OAuth1Quirks, Quirks, SignatureMethod},
};
use tonic::Code;
use url::Url;

use crate::support::{
    Acme, Browser, TestResult,
    acme::{beginning, plain, sorted},
    assert_refused, database,
    provider::CLIENT_ID,
    steps::{complete, confirm, param, params, walk},
};

const RETURN_URL: &str = "https://app.example.com/done";

const ENTRY: &str = r#"
grant_types = ["oauth1"]
request_token_endpoint = "PROVIDER/request_token"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
authorization_params = { name = "Tokenwell" }
"#;

fn quirks(signature_method: SignatureMethod) -> Quirks {
    let oauth1 = OAuth1Quirks { signature_method, ..OAuth1Quirks::default() };
    Quirks { oauth1: Some(oauth1), ..plain() }
}

async fn acme() -> Acme {
    Acme::new(quirks(SignatureMethod::HmacSha1), ENTRY).await
}

async fn credentials(acme: &Acme) -> OAuth1Credentials {
    match acme.get().await.unwrap().credentials.unwrap().kind {
        Some(Kind::Oauth1(credentials)) => credentials,
        _ => panic!("these are no credentials of OAuth 1.0a"),
    }
}

async fn completed(acme: &Acme, query: &str) -> Result<(), tonic::Status> {
    complete(&acme.server, &acme.server.key, query).await.map(drop)
}

/// A signature that has begun a flow costs no provider anything when it is brought again.
#[tokio::test]
async fn a_replayed_signature_asks_for_no_request_token() -> TestResult {
    let acme = acme().await;
    let key = [7; 32];
    let hmac = HmacSettings { required: true, keys: vec![key.to_vec()], ..HmacSettings::default() };
    let settings = Settings { hmac: Some(hmac), ..Settings::default() };
    acme.server.update_settings(settings, &["hmac.required", "hmac.keys"]).await;
    let request = beginning(&[]);
    let signature = Signed {
        project_id: "default",
        integration_id: &request.integration_id,
        connection_id: &request.connection_id,
        connection_config: &StringMap::new(),
        authorization_params: &StringMap::new(),
        scopes: &[],
        user_scopes: &[],
        return_url: "",
    }
    .sign_v2(
        &HmacKey::from(key.to_vec()),
        (acme.clock.now() + Duration::minutes(1)).unix_timestamp(),
        "n",
    );
    let request = BeginRequest { signature, ..request };
    acme.server.begin(request.clone()).await?;
    // Whoever asked it now would be told that it does not answer.
    acme.provider.stop().await;
    assert_refused(acme.server.begin(request).await, Code::AlreadyExists, "SIGNATURE_REPLAYED");
    Ok(())
}

#[tokio::test]
async fn a_whole_flow_with_every_signature_method() -> TestResult {
    for (method, name) in [
        (SignatureMethod::HmacSha1, "HMAC-SHA1"),
        (SignatureMethod::HmacSha256, "HMAC-SHA256"),
        (SignatureMethod::Plaintext, "PLAINTEXT"),
    ] {
        let members = [("user_id".to_owned(), "42".into())];
        let quirks = Quirks { extra_token_members: members.into_iter().collect(), ..quirks(method) };
        let capture = "[config.user]\ntitle = \"User\"\ncapture = [{ token_response = \"user_id\" }]";
        let acme = Acme::new(quirks, &format!("{ENTRY}signature_method = \"{name}\"\n{capture}")).await;
        acme.connect(&[]).await;
        let connection = acme.basic().await?;
        assert_eq!((connection.grant_type(), connection.credentials), (GrantType::Oauth1, None));
        assert_eq!(acme.config().await, sorted(&[("user", "42")]));
        let credentials = credentials(&acme).await;
        assert_eq!(credentials.oauth_consumer_key, CLIENT_ID);
        assert!(
            credentials.oauth_token.starts_with("sandbox_at_") && credentials.oauth_token_secret.len() > 20
        );
        assert_eq!((acme.provider.sandbox.book().exchanges, acme.token_requests().len()), (1, 2));
        for request in acme.token_requests() {
            let header = request.authorization.unwrap();
            assert!(header.contains(&format!("oauth_signature_method=\"{name}\"")), "{name}");
        }
        acme.clock.advance(Duration::days(3650));
        assert_eq!(self::credentials(&acme).await, credentials, "a token does not expire");
        assert_refused(acme.force().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    }
    Ok(())
}

#[tokio::test]
async fn the_request_token_is_what_finds_the_flow() -> TestResult {
    let acme = acme().await;
    let (begun, callback) = acme.callback(&[]).await;
    let page = Url::parse(&begun.authorization_url)?;
    let token = param(&page, "oauth_token");
    assert_eq!(
        (param(&page, "name").as_str(), param(&callback, "oauth_token")),
        ("Tokenwell", token.clone())
    );
    for name in ["state", "client_id", "code_challenge", "response_type", "redirect_uri"] {
        assert!(params(&page, name).is_empty() && params(&callback, name).is_empty(), "{name}");
    }
    // The callback is told where it has to go (section 2.1), which is not in the page's address.
    let header = acme.token_requests()[0].authorization.clone().unwrap();
    assert!(
        header.contains("oauth_callback=") && header.contains("acme"),
        "the callback is not in the header"
    );

    // Another token, or none, finds nothing; nor does this one without its verifier.
    let verifier = param(&callback, "oauth_verifier");
    let other = format!("oauth_token=other&oauth_verifier={verifier}");
    assert_refused(completed(&acme, &other).await, Code::NotFound, "FLOW_NOT_FOUND");
    for query in [
        format!("oauth_verifier={verifier}"),
        format!("oauth_token={token}"),
        format!("oauth_token={token}&oauth_verifier="),
    ] {
        assert_refused(completed(&acme, &query).await, Code::InvalidArgument, "CALLBACK_INVALID");
    }
    assert_eq!(acme.token_requests().len(), 1, "nothing of that came to the provider");
    completed(&acme, callback.query().unwrap()).await?;
    credentials(&acme).await;
    Ok(())
}

#[tokio::test]
async fn a_callback_counts_once() -> TestResult {
    let acme = acme().await;
    let (_, callback) = acme.callback(&[]).await;
    completed(&acme, callback.query().unwrap()).await?;
    let before = credentials(&acme).await;
    for _ in 0..2 {
        let again = completed(&acme, callback.query().unwrap()).await;
        assert_refused(again, Code::NotFound, "FLOW_NOT_FOUND");
    }
    assert_eq!((credentials(&acme).await, acme.token_requests().len()), (before, 2));
    Ok(())
}

#[tokio::test]
async fn a_wrong_verifier_is_refused_by_the_provider_and_ends_the_flow() {
    let acme = acme().await;
    let (_, callback) = acme.callback(&[]).await;
    let wrong = format!("oauth_token={}&oauth_verifier=canary-wrong", param(&callback, "oauth_token"));
    let refused = completed(&acme, &wrong).await;
    let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_REJECTED_CODE");
    assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
}

#[tokio::test]
async fn a_user_who_says_no_ends_the_flow() {
    let acme = acme().await;
    let mut browser = Browser::new();
    let begun = acme.begin(&[]).await.unwrap();
    let back = acme.server.consent(&mut browser, &begun.connect_url, "deny").await;
    let callback = back.location().unwrap();
    assert_eq!(param(&callback, "oauth_problem"), "user_refused");
    let answer = browser.get(callback.as_str()).await;
    assert_eq!(answer.result("data-error"), "AUTHORIZATION_DENIED", "{}", answer.body);
    assert_eq!(answer.result("data-oauth-error"), "access_denied");
    let again = completed(&acme, callback.query().unwrap()).await;
    assert_refused(again, Code::NotFound, "FLOW_NOT_FOUND");

    // Twitter says it so. A `denied` that is another's ends nothing.
    let (begun, callback) = acme.callback(&[]).await;
    let token = param(&Url::parse(&begun.authorization_url).unwrap(), "oauth_token");
    assert_refused(completed(&acme, "denied=other").await, Code::NotFound, "FLOW_NOT_FOUND");
    let denied = completed(&acme, &format!("denied={token}")).await;
    let refusal = assert_refused(denied, Code::FailedPrecondition, "AUTHORIZATION_DENIED");
    assert_eq!(refusal.metadata["flow_id"], begun.flow_id);
    let late = completed(&acme, callback.query().unwrap()).await;
    assert_refused(late, Code::NotFound, "FLOW_NOT_FOUND");
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    assert_eq!(acme.provider.sandbox.book().exchanges, 0);
}

#[tokio::test]
async fn neither_version_is_mistaken_for_the_other() -> TestResult {
    let one = acme().await;
    let (_, callback) = one.callback(&[]).await;
    let token = param(&callback, "oauth_token");
    let verifier = param(&callback, "oauth_verifier");
    for query in [
        format!("state={token}&code={verifier}"),
        format!("state={token}&oauth_token={token}&oauth_verifier={verifier}"),
        format!("state={token}&error=access_denied"),
    ] {
        assert_refused(completed(&one, &query).await, Code::NotFound, "FLOW_NOT_FOUND");
    }
    completed(&one, callback.query().unwrap()).await?;

    let entry = "authorization_endpoint = \"PROVIDER/authorize\"\ntoken_endpoint = \"PROVIDER/token\"";
    let two = Acme::new(plain(), entry).await;
    let (_, callback) = two.callback(&[]).await;
    let (state, code) = (param(&callback, "state"), param(&callback, "code"));
    for query in [
        format!("oauth_token={state}&oauth_verifier={code}"),
        format!("oauth_token={state}&code={code}"),
        format!("denied={state}"),
    ] {
        assert_refused(completed(&two, &query).await, Code::NotFound, "FLOW_NOT_FOUND");
    }
    assert_eq!(two.token_requests(), []);
    completed(&two, callback.query().unwrap()).await?;
    Ok(())
}

/// Without the confirmation a provider speaks OAuth 1.0, in which anybody can finish anybody's flow.
#[tokio::test]
async fn a_callback_that_was_not_confirmed_ends_the_begin() -> TestResult {
    let acme = acme().await;
    let canary = "oauth_token=canary-a&oauth_token_secret=canary-b";
    for answer in [
        canary.to_owned(),
        format!("{canary}&oauth_callback_confirmed=false"),
        "oauth_callback_confirmed=true".to_owned(),
        "oauth_callback_confirmed=true&oauth_token=canary".to_owned(),
        "oauth_callback_confirmed=true&oauth_token=&oauth_token_secret=canary".to_owned(),
    ] {
        acme.answer_next(&answer);
        let refused = acme.begin(&[]).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    }
    acme.provider.sandbox.fail_next(Failure::RetryAfter(503, "7".to_owned()));
    let refusal = assert_refused(acme.begin(&[]).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert_eq!(refusal.retry, Some(std::time::Duration::from_secs(7)));
    acme.begin(&[]).await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_consumer_secret_is_told_at_once() {
    let acme = acme().await;
    let wrong = Integration { client_secret: "canary-wrong".to_owned(), ..Integration::default() };
    acme.update_integration(wrong).await.unwrap();
    let refusal = assert_refused(acme.begin(&[]).await, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert_eq!(refusal.metadata["provider_id"], "acme");
    assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
}

#[tokio::test]
async fn a_flow_that_waits_for_its_confirmation_redeems_nothing_before() -> TestResult {
    let acme = acme().await;
    let settings = Settings {
        allowed_return_urls: vec![RETURN_URL.to_owned()],
        completion: Completion::Confirm.into(),
        ..Settings::default()
    };
    acme.server.update_settings(settings, &["allowed_return_urls", "completion"]).await;
    let mut browser = Browser::new();
    let request = BeginRequest { return_url: RETURN_URL.to_owned(), ..beginning(&[]) };
    let (begun, callback) = walk(&acme.server, &mut browser, request).await;
    let back = browser.get(callback.as_str()).await.location().unwrap();
    assert!(params(&back, "oauth_verifier").is_empty() && params(&back, "oauth_token").is_empty(), "{back}");
    assert_eq!(acme.provider.sandbox.book().exchanges, 0);
    let code = param(&back, "tokenwell_confirmation");
    let key = &acme.server.key;
    let wrong = confirm(&acme.server, key, &begun.flow_id, "wrong").await;
    assert_refused(wrong, Code::NotFound, "FLOW_NOT_FOUND");
    let completed = confirm(&acme.server, key, &begun.flow_id, &code).await?;
    assert_eq!(completed.outcome(), Outcome::Connected);
    credentials(&acme).await;
    Ok(())
}

async fn token_secrets_are_sealed(kind: database::Kind) -> TestResult {
    let acme = Acme::on(kind, quirks(SignatureMethod::HmacSha1), ENTRY).await;
    acme.connect(&[]).await;
    // A flow that is under way keeps the secret of its request token, and no more of the token than a digest: the page's
    // address is sealed.
    acme.answer_next(
        "oauth_token=canary-request&oauth_token_secret=canary-secret&oauth_callback_confirmed=true",
    );
    acme.begin(&[]).await?;
    let credentials = credentials(&acme).await;
    let contents = acme.database.contents().await;
    let contents = String::from_utf8_lossy(&contents);
    assert!(contents.contains(CLIENT_ID), "what is no secret is not found");
    for secret in
        [&*credentials.oauth_token, &*credentials.oauth_token_secret, "canary-request", "canary-secret"]
    {
        assert!(!contents.contains(secret), "{secret} is there in clear");
    }
    Ok(())
}

#[tokio::test]
async fn token_secrets_are_sealed_on_sqlite() -> TestResult {
    token_secrets_are_sealed(database::Kind::Sqlite).await
}

#[tokio::test]
async fn token_secrets_are_sealed_on_postgresql() -> TestResult {
    token_secrets_are_sealed(database::Kind::Postgres).await
}
