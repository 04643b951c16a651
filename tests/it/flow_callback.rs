//! Callbacks: each ends the one flow that it belongs to, once; everything else is refused before the provider hears of it.

use reqwest::Method;
use tokenwell::{
    api::pb::{auth::v1::CompleteRequest, integration::v1::CreateRequest, project::v1::Settings},
    model::Duration,
};
use tonic::Code;
use url::Url;

use crate::support::{
    Browser, Options, TestProvider, TestResult, TestServer, assert_refused,
    browser::Answer,
    provider::CLIENT_SECRET,
    server::begin,
    steps::{basic, complete, other_project, param, walk},
};

fn requests(provider: &TestProvider) -> usize {
    provider.sandbox.book().token_requests.len()
}

#[track_caller]
fn assert_page(answer: &Answer, status: u16, error: &str) {
    let found = (answer.status.as_u16(), answer.result("data-status"), answer.result("data-error"));
    assert_eq!(found, (status, "error", error), "{}", answer.body);
}

fn query(callback: &Url) -> &str {
    callback.query().unwrap()
}

#[tokio::test]
async fn a_replayed_state_is_refused() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    assert_eq!(browser.get(callback.as_str()).await.result("data-status"), "success");

    assert_page(&browser.get(callback.as_str()).await, 400, "FLOW_NOT_FOUND");
    let again = complete(&server, &server.key, query(&callback)).await;
    assert_refused(again, Code::NotFound, "FLOW_NOT_FOUND");
    assert_eq!(requests(&provider), 1);
    server.token("sandbox", "u1").await?;
    Ok(())
}

#[tokio::test]
async fn an_unknown_state_is_refused() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    for state in ["unknown", &"A".repeat(43), "%00", "'%20OR%201=1--"] {
        let query = format!("code=x&state={state}");
        for route in ["/oauth/callback", "/oauth/callback/default/sandbox"] {
            let answer = Browser::new().get(&format!("{}{route}?{query}", server.public_url)).await;
            assert_page(&answer, 400, "FLOW_NOT_FOUND");
        }
        assert_refused(complete(&server, &server.key, &query).await, Code::NotFound, "FLOW_NOT_FOUND");
    }
    assert_eq!(requests(&provider), 0);
}

#[tokio::test]
async fn a_flow_is_of_use_for_ten_minutes() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let in_time = server.begin(begin("sandbox", "in-time")).await.unwrap();
    let late = server.begin(begin("sandbox", "late")).await.unwrap();
    server.clock.advance(Duration::minutes(10) - Duration::seconds(1));
    let last = server.consent(&mut browser, &in_time.connect_url, "approve").await.location().unwrap();
    let missed = server.consent(&mut browser, &late.connect_url, "approve").await.location().unwrap();
    assert_eq!(browser.get(last.as_str()).await.result("data-status"), "success");
    assert_eq!(requests(&provider), 1);

    server.clock.advance(Duration::seconds(1));
    let refused = complete(&server, &server.key, query(&missed)).await;
    let refused = assert_refused(refused, Code::FailedPrecondition, "FLOW_EXPIRED");
    assert_eq!(refused.metadata["flow_id"], late.flow_id);
    let page = browser.get(missed.as_str()).await;
    assert_page(&page, 400, "FLOW_EXPIRED");
    assert_eq!(page.result("data-flow-id"), late.flow_id);
    assert_page(&browser.get(&late.connect_url).await, 400, "FLOW_EXPIRED");
    assert_eq!(requests(&provider), 1);
}

#[tokio::test]
async fn a_callback_on_the_route_of_another_project_or_integration_is_refused_and_costs_nothing() -> TestResult
{
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let other = other_project(&server, "other").await;
    let mut integration = server.create_integration("second", "sandbox").await;
    CLIENT_SECRET.clone_into(&mut integration.client_secret);
    for integration_id in ["sandbox", "second"] {
        integration_id.clone_into(&mut integration.integration_id);
        let request = CreateRequest { integration: Some(integration.clone()) };
        server.integration(&other).create(request).await?;
    }
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    for route in
        ["other/sandbox", "default/second", "other/second", "nowhere/sandbox", "default/SANDBOX", "%20/x"]
    {
        let wrong = format!("{}/oauth/callback/{route}?{}", server.public_url, query(&callback));
        assert_page(&browser.get(&wrong).await, 400, "FLOW_NOT_FOUND");
    }
    assert_eq!(requests(&provider), 0);
    assert_eq!(browser.get(callback.as_str()).await.result("data-status"), "success");
    assert_eq!(requests(&provider), 1);
    Ok(())
}

/// It is for callback URLs that integrations share. A flow with a route of its own comes back there, or not at all.
#[tokio::test]
async fn the_bare_route_takes_the_callbacks_of_shared_urls_and_no_others() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let bare = |callback: &Url| format!("{}/oauth/callback?{}", server.public_url, query(callback));
    let (_, routed) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    assert_page(&browser.get(&bare(&routed)).await, 400, "FLOW_NOT_FOUND");
    assert_eq!(requests(&provider), 0);
    let shared = Settings { callback_url: "https://app.example.com/back".to_owned(), ..Settings::default() };
    server.update_settings(shared, &["callback_url"]).await;
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u2")).await;
    assert_eq!(browser.get(&bare(&callback)).await.result("data-status"), "success");
    // The other one goes on where it belongs.
    assert_eq!(browser.get(routed.as_str()).await.result("data-status"), "success");
    server.token("sandbox", "u2").await?;
    Ok(())
}

/// Who knows no state has nothing shown in our name, and ends nobody's flow.
#[tokio::test]
async fn a_refusal_of_nobodys_flow_says_nothing() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    let refusal = format!("error=access_denied&error_description=canary&state={}", "A".repeat(43));
    for route in ["/oauth/callback", "/oauth/callback/default/sandbox"] {
        let page = browser.get(&format!("{}{route}?{refusal}", server.public_url)).await;
        assert_page(&page, 400, "FLOW_NOT_FOUND");
        assert!(!page.body.contains("canary"), "{}", page.body);
    }
    let refused = complete(&server, &server.key, &refusal).await;
    let refused = assert_refused(refused, Code::NotFound, "FLOW_NOT_FOUND");
    assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
    assert_eq!(browser.get(callback.as_str()).await.result("data-status"), "success");
    Ok(())
}

#[tokio::test]
async fn of_a_hundred_callbacks_with_one_state_one_is_exchanged() -> TestResult {
    let (server, provider, database) = TestServer::with_sandbox().await;
    let public_url = Some(server.public_url.clone());
    let replica = Options { public_url, ..Options::with(&server.clock, &provider) };
    let replica = TestServer::start(&database, replica).await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    let cookie = browser.cookie(&server.public_url, "tokenwell_browser").unwrap();
    let cookie = format!("tokenwell_browser={cookie}");
    let calls: Vec<_> = (0..100)
        .map(|index| {
            let server = if index % 2 == 0 { &server } else { &replica };
            let url = format!("{}{}?{}", server.gateway(), callback.path(), query(&callback));
            let cookie = cookie.clone();
            tokio::spawn(
                async move { Browser::new().send_with(Method::GET, &url, &[("cookie", &cookie)]).await },
            )
        })
        .collect();
    let mut connected = 0;
    for call in calls {
        let answer = call.await?;
        if answer.result("data-status") == "success" {
            connected += 1;
        } else {
            assert_page(&answer, 400, "FLOW_NOT_FOUND");
        }
    }
    assert_eq!((connected, requests(&provider), provider.sandbox.book().exchanges), (1, 1, 1));
    server.token("sandbox", "u1").await?;
    Ok(())
}

#[tokio::test]
async fn a_user_who_says_no_ends_the_flow_without_a_connection() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let begun = server.begin(begin("sandbox", "u1")).await.unwrap();
    let back = server.consent(&mut browser, &begun.connect_url, "deny").await.location().unwrap();
    let page = browser.get(back.as_str()).await;
    assert_page(&page, 400, "AUTHORIZATION_DENIED");
    assert_eq!(page.result("data-oauth-error"), "access_denied");
    assert_eq!(page.result("data-flow-id"), begun.flow_id);
    assert_eq!((page.result("data-integration-id"), page.result("data-connection-id")), ("sandbox", "u1"));
    assert_page(&browser.get(back.as_str()).await, 400, "FLOW_NOT_FOUND");

    let begun = server.begin(begin("sandbox", "u2")).await.unwrap();
    let back = server.consent(&mut browser, &begun.connect_url, "deny").await.location().unwrap();
    let refused = complete(&server, &server.key, query(&back)).await;
    let refused = assert_refused(refused, Code::FailedPrecondition, "AUTHORIZATION_DENIED");
    for (key, value) in [
        ("oauth_error", "access_denied"),
        ("flow_id", begun.flow_id.as_str()),
        ("integration_id", "sandbox"),
        ("connection_id", "u2"),
    ] {
        assert_eq!(refused.metadata[key], value);
    }
    assert_eq!(requests(&provider), 0);
    assert_refused(basic(&server, "sandbox", "u1").await, Code::NotFound, "CONNECTION_NOT_FOUND");
}

#[tokio::test]
async fn a_malformed_callback_is_refused_and_costs_nothing() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    let (state, code) = (param(&callback, "state"), param(&callback, "code"));
    let many: Vec<_> = (0..100).map(|n| format!("&p{n}=1")).collect();
    for bad in [
        String::new(),
        format!("code={code}"),
        format!("code={code}&state="),
        format!("code={code}&state={state}&state={state}"),
        format!("code=forged&code={code}&state={state}"),
        format!("code={code}&state={state}&x=1&%78=2"),
        format!("code={code}&state={state}&padding={}", "x".repeat(16 * 1024)),
        format!("code={code}&state={state}{}", many.concat()),
    ] {
        let answer = browser.get(&format!("{}/oauth/callback?{bad}", server.public_url)).await;
        assert_page(&answer, 400, "CALLBACK_INVALID");
        let refused = complete(&server, &server.key, &bad).await;
        assert_refused(refused, Code::InvalidArgument, "CALLBACK_INVALID");
    }
    assert_eq!(requests(&provider), 0);
    assert_eq!(browser.get(callback.as_str()).await.result("data-status"), "success");
}

#[tokio::test]
async fn a_callback_without_a_code_is_refused_and_does_not_end_the_flow() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    for (done, rest) in ["", "&code="].into_iter().enumerate() {
        let (begun, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
        let query = format!("state={}{rest}", param(&callback, "state"));
        let refused = complete(&server, &server.key, &query).await;
        let refused = assert_refused(refused, Code::InvalidArgument, "CALLBACK_INVALID");
        assert_eq!(refused.metadata["flow_id"], begun.flow_id);
        assert_eq!(requests(&provider), done);
        assert_eq!(browser.get(callback.as_str()).await.result("data-status"), "success");
    }
}

#[tokio::test]
async fn a_token_in_the_words_of_a_refusal_is_taken_out() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let canary = "canary-Zk3v9QpL2xTq8mRw5nYc7bJd";
    for (words, shown) in [
        (format!("error=access_denied&error_description=no+{canary}"), "access_denied (no [redacted])"),
        (format!("error={canary}&error_description=no"), "unknown_error (no)"),
    ] {
        let (_, callback) = walk(&server, &mut Browser::new(), begin("sandbox", "u1")).await;
        let query = format!("{words}&state={}", param(&callback, "state"));
        let refused = complete(&server, &server.key, &query).await;
        let refused = assert_refused(refused, Code::FailedPrecondition, "AUTHORIZATION_DENIED");
        assert!(refused.message.ends_with(shown), "{}", refused.message);
        assert!(!format!("{refused:?}").contains(canary), "{refused:?}");
    }
}

#[tokio::test]
async fn a_backend_with_a_callback_url_of_its_own_completes() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let to = |url: &str| Settings { callback_url: url.to_owned(), ..Settings::default() };
    server.update_settings(to("https://app.example.com/back/{integration_id}"), &["callback_url"]).await;
    let mut browser = Browser::new();
    let begun = server.begin(begin("sandbox", "u1")).await?;
    let authorization = Url::parse(&begun.authorization_url)?;
    assert_eq!(param(&authorization, "redirect_uri"), "https://app.example.com/back/sandbox");
    let callback = server.consent(&mut browser, &begun.connect_url, "approve").await.location().unwrap();
    assert!(callback.as_str().starts_with("https://app.example.com/back/sandbox?"), "{callback}");

    // The flow began with the old one, and the provider holds the code to it.
    server.update_settings(to("https://new.example.com/back"), &["callback_url"]).await;
    let completed = complete(&server, &server.key, query(&callback)).await?;
    assert_eq!((completed.flow_id, completed.connection_id), (begun.flow_id, "u1".to_owned()));
    let form = provider.sandbox.book().token_requests[0].form.clone();
    assert_eq!(form["redirect_uri"], "https://app.example.com/back/sandbox");
    server.token("sandbox", "u1").await?;

    let next = server.begin(begin("sandbox", "u2")).await?;
    assert_eq!(param(&Url::parse(&next.authorization_url)?, "redirect_uri"), "https://new.example.com/back");
    Ok(())
}

#[tokio::test]
async fn a_backend_of_another_project_cannot_complete() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let other = other_project(&server, "other").await;
    let (_, callback) = walk(&server, &mut Browser::new(), begin("sandbox", "u1")).await;
    let refused = complete(&server, &other, query(&callback)).await;
    let refused = assert_refused(refused, Code::NotFound, "FLOW_NOT_FOUND");
    assert!(!refused.metadata.contains_key("flow_id"), "{refused:?}");
    let without = server.auth(&server.key).complete(CompleteRequest { end: None }).await;
    assert_refused(without, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(requests(&provider), 0);

    let completed = complete(&server, &server.key, &format!("?{}", query(&callback))).await?;
    assert_eq!(completed.connection_id, "u1");
    Ok(())
}

#[tokio::test]
async fn a_head_request_spends_nothing() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let begun = server.begin(begin("sandbox", "u1")).await.unwrap();
    let looked = Browser::new().send_with(Method::HEAD, &begun.connect_url, &[]).await;
    assert_eq!((looked.status.as_u16(), looked.header("set-cookie")), (405, ""));

    // Had it bound somebody, this browser would be the second.
    let mut browser = Browser::new();
    let back = server.consent(&mut browser, &begun.connect_url, "approve").await.location().unwrap();
    let cookie = browser.cookie(&server.public_url, "tokenwell_browser").unwrap();
    let cookie = format!("tokenwell_browser={cookie}");
    let looked = Browser::new().send_with(Method::HEAD, back.as_str(), &[("cookie", &cookie)]).await;
    assert_eq!((looked.status.as_u16(), requests(&provider)), (405, 0));
    assert_eq!(browser.get(back.as_str()).await.result("data-status"), "success");
}
