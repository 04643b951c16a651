//! Session fixation: an attacker begins, and has a victim consent. In the end the attacker's connection would lead to the victim's account.

use tokenwell::{
    api::pb::{
        auth::v1::{BeginRequest, Callback, CompleteRequest, Confirmation, complete_request::End},
        project::v1::{Completion, Settings},
    },
    model::Duration,
};
use tonic::Code;
use url::Url;

use crate::support::{
    Browser, Database, TestProvider, TestResult, TestServer, assert_refused,
    server::begin,
    steps::{complete, confirm, other_project, param, params, publishable_key, walk},
};

const RETURN_URL: &str = "https://app.example.com/done";

async fn stage(completion: Completion) -> (TestServer, TestProvider, Database) {
    let (server, provider, database) = TestServer::with_sandbox().await;
    let settings = Settings {
        allowed_return_urls: vec![RETURN_URL.to_owned()],
        completion: completion.into(),
        ..Settings::default()
    };
    server.update_settings(settings, &["allowed_return_urls", "completion"]).await;
    (server, provider, database)
}

/// The three addresses that an attacker can send to a victim: each begins, or opens, a flow for the connection `attacker`.
async fn lures(server: &TestServer) -> Vec<String> {
    let request = BeginRequest { return_url: RETURN_URL.to_owned(), ..begin("sandbox", "attacker") };
    let opened = server.begin(request.clone()).await.unwrap();
    let direct = server.begin(request).await.unwrap();
    let key = publishable_key(server).await;
    let query = [("public_key", key.as_str()), ("connection_id", "attacker"), ("return_url", RETURN_URL)];
    let link =
        Url::parse_with_params(&format!("{}/oauth/connect/sandbox", server.public_url), query).unwrap();
    vec![opened.connect_url, direct.authorization_url, link.into()]
}

/// The victim follows an address and consents. Gives the callback, and where the victim's browser ends.
async fn fall_for(server: &TestServer, lure: &str) -> (Url, Url) {
    let mut victim = Browser::new();
    let callback = server.consent(&mut victim, lure, "approve").await.location().unwrap();
    let back = victim.step(callback.as_str()).await.location().unwrap();
    assert!(back.as_str().starts_with(RETURN_URL), "{back}");
    (callback, back)
}

async fn confirm_for(server: &TestServer, back: &Url, connection_id: &str) -> Result<(), tonic::Status> {
    let confirmation = Confirmation {
        flow_id: param(back, "tokenwell_flow_id"),
        code: param(back, "tokenwell_confirmation"),
        integration_id: "sandbox".to_owned(),
        connection_id: connection_id.to_owned(),
    };
    let request = CompleteRequest { end: Some(End::Confirmation(confirmation)) };
    server.auth(&server.key).complete(request).await.map(drop)
}

#[tokio::test]
async fn a_victim_who_consents_connects_nobody_elses_account() -> TestResult {
    let (server, provider, _database) = stage(Completion::Confirm).await;
    let other = other_project(&server, "other").await;
    for lure in lures(&server).await {
        let (callback, back) = fall_for(&server, &lure).await;
        assert_eq!(param(&back, "tokenwell_status"), "confirm");
        // The app's backend knows who is logged in, which is the victim, and says so.
        let refused = confirm_for(&server, &back, "victim").await;
        assert_refused(refused, Code::NotFound, "FLOW_NOT_FOUND");
        // Nor does what the victim's browser has seen help anybody else.
        let (flow_id, code) = (param(&back, "tokenwell_flow_id"), param(&back, "tokenwell_confirmation"));
        assert_refused(confirm(&server, &other, &flow_id, &code).await, Code::NotFound, "FLOW_NOT_FOUND");
        let query = callback.query().unwrap();
        assert_refused(complete(&server, &other, query).await, Code::NotFound, "FLOW_NOT_FOUND");
        assert_refused(complete(&server, &server.key, query).await, Code::NotFound, "FLOW_NOT_FOUND");
        let replayed = Browser::new().step(callback.as_str()).await.location().unwrap();
        assert!(params(&replayed, "tokenwell_confirmation").is_empty(), "{replayed}");

        server.clock.advance(Duration::seconds(61));
        let late = confirm_for(&server, &back, "attacker").await;
        assert_refused(late, Code::FailedPrecondition, "FLOW_EXPIRED");
    }
    assert_eq!(provider.sandbox.book().token_requests, [], "a code of the victim's was redeemed");
    assert_refused(server.token("sandbox", "attacker").await, Code::NotFound, "CONNECTION_NOT_FOUND");
    Ok(())
}

/// What the confirmation is for: without it, the attack succeeds. The default is the other way, and the documentation says so.
#[tokio::test]
async fn without_confirmation_the_victims_account_is_the_attackers() -> TestResult {
    let (server, _provider, _database) = stage(Completion::Automatic).await;
    let (_, back) = fall_for(&server, &lures(&server).await[0]).await;
    assert_eq!(param(&back, "tokenwell_status"), "success");
    server.token("sandbox", "attacker").await?;
    Ok(())
}

/// Who opens the flow himself, to send on only the provider's address, has bound it to his own browser.
#[tokio::test]
async fn a_flow_that_the_attacker_has_opened_does_not_end_in_the_victims_browser() -> TestResult {
    let (server, provider, _database) = stage(Completion::Automatic).await;
    let begun = server.begin(begin("sandbox", "attacker")).await?;
    let lure = Browser::new().get(&begun.connect_url).await.location().unwrap();
    let mut victim = Browser::new();
    // A victim who has a cookie of an own flow is no better off.
    walk(&server, &mut victim, begin("sandbox", "victim")).await;
    let callback = server.consent(&mut victim, lure.as_str(), "approve").await.location().unwrap();
    let page = victim.get(callback.as_str()).await;
    assert_eq!((page.status.as_u16(), page.result("data-error")), (403, "BROWSER_MISMATCH"));
    assert_eq!(provider.sandbox.book().token_requests, []);
    Ok(())
}

/// The confirmation is for whoever has it. Where it is brought back to is no frontend's choice.
#[tokio::test]
async fn a_frontend_chooses_no_place_for_the_confirmation() -> TestResult {
    let (server, _provider, _database) = stage(Completion::Confirm).await;
    let key = publishable_key(&server).await;
    let to =
        |return_url: &str| BeginRequest { return_url: return_url.to_owned(), ..begin("sandbox", "attacker") };
    for elsewhere in ["/leaky", "?next=https://evil.example.com", "/", "/../done/x"] {
        let request = to(&format!("{RETURN_URL}{elsewhere}"));
        let refused = server.auth(&key).begin(request.clone()).await;
        assert_refused(refused, Code::InvalidArgument, "RETURN_URL_NOT_ALLOWED");
        // A backend may: it is its own confirmation.
        server.begin(request).await?;
    }
    server.auth(&key).begin(to(RETURN_URL)).await?;
    let automatic = Settings { completion: Completion::Automatic.into(), ..Settings::default() };
    server.update_settings(automatic, &["completion"]).await;
    server.auth(&key).begin(to(&format!("{RETURN_URL}/page?x=1"))).await?;
    Ok(())
}

/// A backend that takes callbacks itself says whose they may be, before anything is spent.
#[tokio::test]
async fn a_backend_says_whose_callback_it_brings() -> TestResult {
    let (server, provider, _database) = stage(Completion::Automatic).await;
    let (_, callback) = walk(&server, &mut Browser::new(), begin("sandbox", "attacker")).await;
    let bring = async |integration_id: &str, connection_id: &str| {
        let callback = Callback {
            query: callback.query().unwrap().to_owned(),
            integration_id: integration_id.to_owned(),
            connection_id: connection_id.to_owned(),
        };
        let request = CompleteRequest { end: Some(End::Callback(callback)) };
        server.auth(&server.key).complete(request).await
    };
    for (integration_id, connection_id) in [("sandbox", "victim"), ("other", "attacker"), ("", "ATTACKER")] {
        let refused = bring(integration_id, connection_id).await;
        assert_refused(refused, Code::NotFound, "FLOW_NOT_FOUND");
    }
    assert_eq!(provider.sandbox.book().token_requests, []);
    bring("sandbox", "attacker").await?;
    Ok(())
}
