//! PKCE (RFC 7636): it binds a code to its flow, and nothing ever goes on without it.

use tokenwell::{
    oauth::{Authorization, OAuthClient},
    sandbox::{Failure, Quirks},
};
use tonic::Code;
use url::Url;

use crate::{
    life::Life,
    support::{
        Acme, Browser, TestResult, TestServer,
        acme::{ACME, plain},
        assert_refused,
        server::begin,
        steps::{basic, complete, param, params, walk},
    },
};

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;

/// A server that checks a challenge only if there is one, so that nobody else's care is tested.
fn lax() -> Quirks {
    Quirks { pkce_required: false, ..plain() }
}

/// With this in place of a parameter's value.
fn with(url: &Url, name: &str, value: &str) -> Url {
    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
    let mut changed = url.clone();
    changed.query_pairs_mut().clear().extend_pairs(
        pairs.iter().map(|(key, old)| (key.as_str(), if key == name { value } else { old.as_str() })),
    );
    changed
}

/// RFC 7636, appendix B.
#[tokio::test]
async fn the_challenge_is_that_of_the_specification() -> TestResult {
    let life = Life::new(lax(), ENTRY).await;
    let endpoints = life.oauth.endpoints(life.registration()).await?;
    let (verifier, state) = ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(), "state".into());
    let authorization = Authorization {
        redirect_uri: "https://connect.example/callback",
        state: &state,
        code_verifier: Some(&verifier),
        nonce: None,
        scopes: &[],
        user_scopes: &[],
        params: &tokenwell::model::StringMap::new(),
    };
    let url = OAuthClient::authorization_url(life.registration(), &endpoints, &authorization)?;
    let url = Url::parse(tokenwell::model::ExposeSecret::expose_secret(&url))?;
    assert_eq!(param(&url, "code_challenge"), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    assert_eq!(param(&url, "code_challenge_method"), "S256");
    assert!(params(&url, "code_verifier").is_empty());
    Ok(())
}

#[tokio::test]
async fn every_flow_has_a_state_and_a_verifier_of_its_own() -> TestResult {
    let acme = Acme::new(lax(), ENTRY).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let page = Url::parse(&acme.begin(&[]).await?.authorization_url)?;
        assert_eq!(param(&page, "code_challenge_method"), "S256");
        let (state, challenge) = (param(&page, "state"), param(&page, "code_challenge"));
        assert_eq!((state.len(), challenge.len()), (43, 43), "256 bits each");
        assert!(seen.insert(state) && seen.insert(challenge), "one was there before");
        acme.connect(&[]).await;
        assert!(seen.insert(acme.last_request().form["code_verifier"].clone()), "one was there before");
    }
    Ok(())
}

/// RFC 9700, section 4.5: a code that was stolen is put into a flow of the thief's own.
#[tokio::test]
async fn a_code_of_another_flow_is_refused() -> TestResult {
    let acme = Acme::new(lax(), ENTRY).await;
    let (_, theirs) = walk(&acme.server, &mut Browser::new(), begin(ACME, "victim")).await;
    let mut browser = Browser::new();
    let (_, ours) = walk(&acme.server, &mut browser, begin(ACME, "thief")).await;
    let injected = with(&ours, "code", &param(&theirs, "code"));
    let refused = browser.get(injected.as_str()).await;
    assert_eq!(refused.result("data-error"), "PROVIDER_REJECTED_CODE", "{}", refused.body);
    assert_eq!(acme.token_requests().len(), 1, "it was the provider that saw it");
    for connection in ["thief", "victim"] {
        let none = basic(&acme.server, ACME, connection).await;
        assert_refused(none, Code::NotFound, "CONNECTION_NOT_FOUND");
    }
    // Flow and code are spent, whoever comes with them.
    for callback in [&ours, &injected] {
        let again = complete(&acme.server, &acme.server.key, callback.query().unwrap()).await;
        assert_refused(again, Code::NotFound, "FLOW_NOT_FOUND");
    }
    let late = complete(&acme.server, &acme.server.key, theirs.query().unwrap()).await;
    assert_refused(late, Code::FailedPrecondition, "PROVIDER_REJECTED_CODE");
    Ok(())
}

/// RFC 9700, section 4.8: the challenge is taken out on the way, so that any code fits.
#[tokio::test]
async fn a_challenge_that_was_taken_out_is_noticed() -> TestResult {
    let acme = Acme::new(lax(), ENTRY).await;
    let begun = acme.begin(&[]).await?;
    let mut page = Url::parse(&begun.authorization_url)?;
    let kept: Vec<_> =
        page.query_pairs().into_owned().filter(|(name, _)| !name.starts_with("code_")).collect();
    page.query_pairs_mut().clear().extend_pairs(kept);
    let mut browser = Browser::new();
    let consent = browser.open(page.as_str()).await;
    let callback = browser.decide(&consent, "approve").await.location().unwrap();
    let refused = complete(&acme.server, &acme.server.key, callback.query().unwrap()).await;
    assert_refused(refused, Code::FailedPrecondition, "PROVIDER_REJECTED_CODE");
    assert!(acme.last_request().form.contains_key("code_verifier"), "it is always sent");
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    Ok(())
}

/// A server that says that it does not know PKCE is not asked again without.
#[tokio::test]
async fn a_provider_that_refuses_pkce_gets_no_request_without() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let description = "code_verifier and code_challenge are not supported".to_owned();
    let (_, callback) = walk(&server, &mut Browser::new(), begin("sandbox", "u1")).await;
    let code = "invalid_request".to_owned();
    provider.sandbox.fail_next(Failure::Error { status: 400, code, description: description.clone() });
    let refused = complete(&server, &server.key, callback.query().unwrap()).await;
    assert!(refused.is_err(), "{refused:?}");
    let again = complete(&server, &server.key, callback.query().unwrap()).await;
    assert_refused(again, Code::NotFound, "FLOW_NOT_FOUND");
    let requests = provider.sandbox.book().token_requests;
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].form.contains_key("code_verifier"));

    let mut browser = Browser::new();
    let begun = server.begin(begin("sandbox", "u1")).await?;
    browser.open(&begun.connect_url).await;
    let page = Url::parse(&begun.authorization_url)?;
    let mut callback = Url::parse(&param(&page, "redirect_uri"))?;
    let state = param(&page, "state");
    callback.query_pairs_mut().extend_pairs([
        ("error", "invalid_request"),
        ("error_description", &description),
        ("state", &state),
    ]);
    let refused = browser.step(callback.as_str()).await;
    let shown = browser.get(refused.location().as_ref().map_or(callback.as_str(), Url::as_str)).await;
    assert_eq!(shown.result("data-error"), "AUTHORIZATION_DENIED", "{}", shown.body);
    assert_ne!(shown.location().map(|url| url.path().to_owned()).as_deref(), Some("/authorize"));
    assert_eq!(provider.sandbox.book().token_requests.len(), 1);
    // The next flow is as all are.
    let next = Url::parse(&server.begin(begin("sandbox", "u1")).await?.authorization_url)?;
    assert_eq!(param(&next, "code_challenge_method"), "S256");
    assert_eq!(param(&next, "code_challenge").len(), 43);
    Ok(())
}
