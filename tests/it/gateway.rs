//! The gateway's cookie: which browser a flow belongs to, and what no header can change.

use reqwest::Method;
use tokenwell::api::pb::project::v1::Settings;
use url::Url;

use crate::support::{
    Browser, Database, ManualClock, Options, TestProvider, TestResult, TestServer,
    browser::Answer,
    server::begin,
    steps::{param, publishable_key, walk, works},
};

const COOKIE: &str = "tokenwell_browser";

fn requests(provider: &TestProvider) -> usize {
    provider.sandbox.book().token_requests.len()
}

#[track_caller]
fn assert_mismatch(answer: &Answer) {
    assert_eq!(
        (answer.status.as_u16(), answer.result("data-error")),
        (403, "BROWSER_MISMATCH"),
        "{}",
        answer.body
    );
}

/// What `Set-Cookie` says: the value, and the attributes in order.
fn set_cookie(answer: &Answer, name: &str) -> (String, Vec<String>) {
    let mut parts = answer.header("set-cookie").split("; ").map(str::to_owned);
    let (found, value) =
        parts.next().unwrap().split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(found, name);
    let mut attributes: Vec<_> = parts.collect();
    attributes.sort();
    (value, attributes)
}

#[tokio::test]
async fn over_http_the_cookie_is_for_this_host_and_no_script() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let begun = server.begin(begin("sandbox", "u1")).await?;
    let answer = Browser::new().get(&begun.connect_url).await;
    assert_eq!(answer.status.as_u16(), 302);
    assert_eq!(answer.location().unwrap().as_str(), begun.authorization_url);
    let (value, attributes) = set_cookie(&answer, COOKIE);
    assert_eq!(value.len(), 43);
    assert_eq!(attributes, ["HttpOnly", "Max-Age=1200", "Path=/", "SameSite=Lax"]);
    assert_eq!(answer.header("strict-transport-security"), "");
    Ok(())
}

/// A browser that drops the first answer comes again without its cookie: nothing has been bound to that.
#[tokio::test]
async fn a_browser_has_its_cookie_before_anything_is_bound_to_it() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let begun = server.begin(begin("sandbox", "u1")).await?;
    let mut lost = Browser::new();
    let dropped = lost.step(&begun.connect_url).await;
    let (cookie, _) = set_cookie(&dropped, COOKIE);
    // Relative to itself: whoever stands before the gateway may have put something before the path.
    assert_eq!((dropped.status.as_u16(), dropped.header("location")), (302, "?tokenwell_again=1"));
    let mut browser = Browser::new();
    let opened = browser.get(&begun.connect_url).await;
    assert_eq!(opened.location().unwrap().as_str(), begun.authorization_url);
    assert_ne!(set_cookie(&opened, COOKIE).0, cookie);
    assert_mismatch(&lost.get(&begun.connect_url).await);

    // One that takes no cookies is sent on all the same: the callback will tell it.
    let begun = server.begin(begin("sandbox", "u2")).await?;
    let again = format!("{}?tokenwell_again=1", begun.connect_url);
    let refusing = Browser::new().step(&again).await;
    assert_eq!(refusing.location().unwrap().as_str(), begun.authorization_url);
    Ok(())
}

#[tokio::test]
async fn over_https_the_cookie_is_bound_to_the_host() -> TestResult {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let public_url = Some("https://tokenwell.example.com".to_owned());
    let server =
        TestServer::start(&database, Options { public_url, ..Options::with(&clock, &provider) }).await;
    server.create_integration("sandbox", "sandbox").await;
    let begun = server.begin(begin("sandbox", "u1")).await?;
    let path = begun.connect_url.strip_prefix("https://tokenwell.example.com").unwrap();
    let mut browser = Browser::new();
    let answer = browser.get(&format!("{}{path}", server.gateway())).await;
    let (value, attributes) = set_cookie(&answer, "__Host-tokenwell_browser");
    assert_eq!(attributes, ["HttpOnly", "Max-Age=1200", "Path=/", "SameSite=Lax", "Secure"]);
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");

    let consent = browser.open(answer.location().unwrap().as_str()).await;
    let back = browser.decide(&consent, "approve").await.location().unwrap();
    assert!(
        back.as_str().starts_with("https://tokenwell.example.com/oauth/callback/default/sandbox?"),
        "{back}"
    );
    let callback = format!("{}{}?{}", server.gateway(), back.path(), back.query().unwrap());
    // Another host of the site could have set a cookie without the prefix.
    let cookie = format!("{COOKIE}={value}");
    assert_mismatch(&Browser::new().send_with(Method::GET, &callback, &[("cookie", &cookie)]).await);
    assert_eq!(browser.get(&callback).await.result("data-status"), "success");
    Ok(())
}

#[tokio::test]
async fn a_callback_from_another_browser_is_refused_and_costs_nothing() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (begun, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;

    let without = Browser::new().get(callback.as_str()).await;
    assert_mismatch(&without);
    assert_eq!(without.result("data-flow-id"), begun.flow_id);
    let mut other = Browser::new();
    walk(&server, &mut other, begin("sandbox", "u2")).await;
    assert_mismatch(&other.get(callback.as_str()).await);
    for cookie in ["", "x", &"A".repeat(43), "\u{e9}"] {
        let cookie = format!("{COOKIE}={cookie}");
        assert_mismatch(
            &Browser::new().send_with(Method::GET, callback.as_str(), &[("cookie", &cookie)]).await,
        );
    }
    // Nor can another browser end the flow with an error.
    let denied = format!(
        "{}{}?error=access_denied&state={}",
        server.public_url,
        callback.path(),
        param(&callback, "state")
    );
    assert_mismatch(&other.get(&denied).await);
    assert_eq!(requests(&provider), 0);

    assert_eq!(browser.get(callback.as_str()).await.result("data-status"), "success");
    assert_eq!(requests(&provider), 1);
    Ok(())
}

#[tokio::test]
async fn two_flows_in_one_browser_do_not_disturb_each_other() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (_, first) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    let cookie = browser.cookie(&server.public_url, COOKIE).unwrap().clone();
    let (_, second) = walk(&server, &mut browser, begin("sandbox", "u2")).await;
    assert_eq!(browser.cookie(&server.public_url, COOKIE), Some(&cookie));
    assert_eq!(browser.get(second.as_str()).await.result("data-connection-id"), "u2");
    assert_eq!(browser.get(first.as_str()).await.result("data-connection-id"), "u1");
    for connection_id in ["u1", "u2"] {
        assert!(works(&provider, &server.token("sandbox", connection_id).await?.1.access_token).await);
    }
    Ok(())
}

#[tokio::test]
async fn the_first_browser_that_opens_a_flow_keeps_it() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let begun = server.begin(begin("sandbox", "u1")).await?;
    let (mut first, mut second) = (Browser::new(), Browser::new());
    assert_eq!(first.get(&begun.connect_url).await.status.as_u16(), 302);
    let refused = second.get(&begun.connect_url).await;
    assert_mismatch(&refused);
    assert_eq!((refused.header("set-cookie"), refused.header("location")), ("", ""));
    assert!(!refused.body.contains("state="), "{}", refused.body);
    let back = server.consent(&mut first, &begun.connect_url, "approve").await.location().unwrap();
    assert_eq!(first.get(back.as_str()).await.result("data-status"), "success");

    let used = first.get(&begun.connect_url).await;
    assert_eq!((used.status.as_u16(), used.result("data-error")), (400, "FLOW_NOT_FOUND"));
    let unknown = first.get(&format!("{}/oauth/connect/flows/unknown", server.public_url)).await;
    assert_eq!((unknown.status.as_u16(), unknown.result("data-error")), (400, "FLOW_NOT_FOUND"));
    Ok(())
}

#[tokio::test]
async fn a_project_may_do_without_the_binding() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let unbound = Settings { browser_binding: false, ..Settings::default() };
    assert!(!server.update_settings(unbound, &["browser_binding"]).await.browser_binding);
    let (_, callback) = walk(&server, &mut Browser::new(), begin("sandbox", "u1")).await;
    assert_eq!(Browser::new().get(callback.as_str()).await.result("data-status"), "success");

    let bound = Settings { browser_binding: true, ..Settings::default() };
    server.update_settings(bound, &["browser_binding"]).await;
    let (_, callback) = walk(&server, &mut Browser::new(), begin("sandbox", "u2")).await;
    assert_mismatch(&Browser::new().get(callback.as_str()).await);
    Ok(())
}

#[tokio::test]
async fn a_flow_that_no_gateway_opened_is_bound_to_nobody() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let begun = server.begin(begin("sandbox", "u1")).await?;
    let back = server.consent(&mut Browser::new(), &begun.authorization_url, "approve").await;
    let page = Browser::new().get(back.location().unwrap().as_str()).await;
    assert_eq!(page.result("data-status"), "success", "{}", page.body);
    server.token("sandbox", "u1").await?;
    Ok(())
}

#[tokio::test]
async fn no_header_changes_the_redirect_uri() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let key = publishable_key(&server).await;
    let link = format!("{}/oauth/connect/sandbox?public_key={key}&connection_id=u1", server.public_url);
    let callback = format!("{}/oauth/callback/default/sandbox", server.public_url);
    for headers in [
        [("host", "evil.com"), ("x-forwarded-proto", "https")],
        [("x-forwarded-host", "evil.com"), ("x-forwarded-port", "8443")],
        [("forwarded", "host=evil.com;proto=https"), ("x-original-host", "evil.com")],
        [("origin", "https://evil.com"), ("referer", "https://evil.com/")],
    ] {
        let answer = Browser::new().send_with(Method::GET, &link, &headers).await;
        let location: Url = answer.location().unwrap();
        assert_eq!(param(&location, "redirect_uri"), callback, "{headers:?}");
        assert!(!format!("{:?}", answer.headers).contains("evil"), "{:?}", answer.headers);
    }
    Ok(())
}
