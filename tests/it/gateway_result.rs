//! What follows a callback: a redirect to an address without the code and the state, and what is shown there to whom.

use tokenwell::{api::pb::project::v1::Settings, model::Duration};
use url::Url;

use crate::support::{
    Browser, Database, ManualClock, Options, TestProvider, TestResult, TestServer,
    browser::Answer,
    server::begin,
    steps::{param, params, walk},
};

const RETURN_URL: &str = "https://app.example.com/done";

/// 303, and nothing that the provider sent in the place that it leads to, nor anywhere else.
#[track_caller]
fn assert_clean(answer: &Answer, callback: &Url) -> Url {
    assert_eq!(answer.status.as_u16(), 303, "{}", answer.body);
    assert_eq!((answer.body.as_str(), answer.header("set-cookie")), ("", ""));
    let next = answer.location().unwrap();
    for name in ["code", "state", "error", "error_description", "iss"] {
        assert!(params(&next, name).is_empty(), "{name} in {next}");
    }
    for value in
        ["code", "state"].iter().flat_map(|name| params(callback, name)).filter(|value| value.len() > 8)
    {
        assert!(!next.as_str().contains(&value), "{next}");
    }
    assert_eq!(next.fragment(), None);
    next
}

async fn allow_return(server: &TestServer) {
    let settings = Settings { allowed_return_urls: vec![RETURN_URL.to_owned()], ..Settings::default() };
    server.update_settings(settings, &["allowed_return_urls"]).await;
}

#[tokio::test]
async fn after_every_callback_the_browser_goes_to_a_clean_address_by_303() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    allow_return(&server).await;
    for return_url in ["", RETURN_URL] {
        for decision in ["approve", "deny"] {
            let mut browser = Browser::new();
            let mut request = begin("sandbox", "ada");
            return_url.clone_into(&mut request.return_url);
            let begun = server.begin(request).await.unwrap();
            let back = server.consent(&mut browser, &begun.connect_url, decision).await.location().unwrap();
            let next = assert_clean(&browser.step(back.as_str()).await, &back);
            let expected = if return_url.is_empty() { "/oauth/result/" } else { "/done" };
            assert!(next.path().starts_with(expected), "{next}");
            // A second time, and in another browser.
            assert_clean(&browser.step(back.as_str()).await, &back);
            assert_clean(&Browser::new().step(back.as_str()).await, &back);
        }
    }
    // What leads to no flow is no better to look at.
    for query in
        ["", "code=canary-code", "code=canary-code&state=canary-state", "state=a&state=b&code=canary-code"]
    {
        for route in [
            "/oauth/callback",
            "/oauth/callback/default/sandbox",
            "/oauth/callback/%20/x",
            "/oauth/callback/%ff/x",
        ] {
            let callback = Url::parse(&format!("{}{route}?{query}", server.public_url)).unwrap();
            let next = assert_clean(&Browser::new().step(callback.as_str()).await, &callback);
            assert!(next.path().starts_with("/oauth/result/"), "{next}");
            // Whole, for those whose callbacks come by way of another domain.
            let location = Browser::new().step(callback.as_str()).await.header("location").to_owned();
            assert!(location.starts_with(&server.public_url), "{location}");
        }
    }
}

/// A `form_post` comes to the same end by one more step, which is a 303, too: with 307 or 308 the form would be sent on.
#[tokio::test]
async fn after_a_form_the_browser_goes_to_a_clean_address_by_303() -> TestResult {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let mut options = Options::with(&clock, &provider);
    let (_, entry) = provider.entry.clone().unwrap();
    options.providers.push(("formal.toml".to_owned(), format!("{entry}form_post = true\n")));
    let server = TestServer::start(&database, options).await;
    server.create_integration("formal", "formal").await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("formal", "ada")).await;
    let (code, state) = (param(&callback, "code"), param(&callback, "state"));
    let mut action = callback.clone();
    action.set_query(None);
    let posted = Browser::new().post(action.as_str(), &[("code", &code), ("state", &state)]).await;
    assert_eq!(posted.status.as_u16(), 303);
    assert_eq!(provider.sandbox.book().token_requests, [], "a POST, which any site can send, does nothing");
    // Nor is it on the way.
    let step = assert_clean(&posted, &callback);
    let next = assert_clean(&browser.step(step.as_str()).await, &callback);
    assert_eq!(browser.step(next.as_str()).await.result("data-status"), "success");
    Ok(())
}

/// The page is for the browser that came back, for ten minutes, and as often as it is looked at.
#[tokio::test]
async fn a_result_is_for_the_browser_that_came_back() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (begun, callback) = walk(&server, &mut browser, begin("sandbox", "ada")).await;
    let page = browser.step(callback.as_str()).await.location().unwrap();
    let mut other = Browser::new();
    walk(&server, &mut other, begin("sandbox", "eve")).await;
    for mut stranger in [Browser::new(), other] {
        let nothing = stranger.step(page.as_str()).await;
        assert_eq!((nothing.status.as_u16(), nothing.result("data-status")), (404, "error"));
        assert_eq!((nothing.result("data-flow-id"), nothing.result("data-connection-id")), ("", ""));
    }
    for _ in 0..2 {
        let shown = browser.step(page.as_str()).await;
        assert_eq!((shown.status.as_u16(), shown.result("data-status")), (200, "success"), "{}", shown.body);
        assert_eq!(
            (shown.result("data-flow-id"), shown.result("data-connection-id")),
            (begun.flow_id.as_str(), "ada")
        );
    }
    server.clock.advance(Duration::minutes(10) - Duration::seconds(1));
    assert_eq!(browser.step(page.as_str()).await.status.as_u16(), 200);
    server.clock.advance(Duration::seconds(1));
    assert_eq!(browser.step(page.as_str()).await.status.as_u16(), 404);
    Ok(())
}

/// Without a cookie there is nothing to tell browsers apart by: the page is there for a minute, and in our words only, so that nobody
/// can have somebody else read a text of his own at this address.
#[tokio::test]
async fn without_a_cookie_a_result_is_short_and_in_our_words() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let forged = |url: &Url| {
        let mut url = url.clone();
        let state = param(&url, "state");
        url.query_pairs_mut().clear().append_pair("state", &state).append_pair("error", "server_error");
        url.query_pairs_mut().append_pair("error_description", "call 555 and say your password");
        url
    };
    let consent = async |connection_id: &str| {
        let begun = server.begin(begin("sandbox", connection_id)).await.unwrap();
        let mut browser = Browser::new();
        let consent = browser.open(&begun.authorization_url).await;
        browser.decide(&consent, "approve").await.location().unwrap()
    };
    // Opened without the gateway's page, and so by a browser without a cookie.
    let callback = consent("ada").await;
    let page = Browser::new().step(forged(&callback).as_str()).await.location().unwrap();
    let shown = Browser::new().step(page.as_str()).await;
    assert_eq!(shown.result("data-error"), "AUTHORIZATION_DENIED");
    assert!(shown.body.contains("Go back to the app to see what has happened."), "{}", shown.body);
    assert!(!shown.body.contains("555"), "{}", shown.body);
    // With one the provider's words are told.
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "eve")).await;
    let told = browser.get(forged(&callback).as_str()).await;
    assert!(told.body.contains("call 555"), "{}", told.body);

    let callback = consent("bea").await;
    let page = Browser::new().step(callback.as_str()).await.location().unwrap();
    for (seconds, status) in [(0, 200), (59, 200), (1, 404)] {
        server.clock.advance(Duration::seconds(seconds));
        assert_eq!(Browser::new().step(page.as_str()).await.status.as_u16(), status, "{seconds}");
    }
    Ok(())
}

/// Nobody makes up a result: what the opener is told in the name of the gateway has happened.
#[tokio::test]
async fn a_result_that_was_made_up_or_altered_shows_nothing() {
    let (server, _provider, database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "ada")).await;
    let page = browser.step(callback.as_str()).await.location().unwrap();
    let (base, ticket) = page.as_str().rsplit_once('/').unwrap();
    assert_eq!(browser.step(page.as_str()).await.status.as_u16(), 200);
    let middle = ticket.len() / 2;
    let other = if &ticket[middle..=middle] == "A" { "B" } else { "A" };
    let altered = format!("{}{other}{}", &ticket[..middle], &ticket[middle + 1..]);
    // What the same key has sealed elsewhere is no result, either.
    let db = database.connect().await;
    let sealed: Vec<u8> = {
        use sea_orm::{ConnectionTrait as _, Statement};
        let sql = "SELECT authorization_url FROM flows";
        let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    };
    let foreign = {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(sealed)
    };
    let cut = &ticket[..ticket.len() - 1];
    for wrong in [altered.as_str(), &foreign, cut, "x", "%00", "success", "..%2fcallback", "e30"] {
        let nothing = browser.step(&format!("{base}/{wrong}")).await;
        assert_eq!((nothing.status.as_u16(), nothing.result("data-flow-id")), (404, ""), "{wrong}");
        assert_eq!(nothing.result("data-origins"), "");
    }
}

/// Replicas share what a result is sealed with.
#[tokio::test]
async fn another_replica_shows_the_result() -> TestResult {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let first = TestServer::start(&database, Options::with(&clock, &provider)).await;
    first.create_integration("sandbox", "sandbox").await;
    let second = TestServer::start(&database, Options::with(&clock, &provider)).await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&first, &mut browser, begin("sandbox", "ada")).await;
    let page = browser.step(callback.as_str()).await.location().unwrap();
    let cookie =
        format!("tokenwell_browser={}", browser.cookie(&first.public_url, "tokenwell_browser").unwrap());
    let there = format!("{}{}", second.gateway(), page.path());
    let shown = Browser::new().send_with(reqwest::Method::GET, &there, &[("cookie", &cookie)]).await;
    assert_eq!(shown.result("data-status"), "success");
    Ok(())
}
