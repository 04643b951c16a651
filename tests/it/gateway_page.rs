//! What the gateway answers: headers, pages, the way back to the app, and what it does not take.

use std::io::{Read as _, Write as _};

use reqwest::Method;
use tokenwell::api::pb::project::v1::Settings;

use crate::support::{
    Browser, Database, ManualClock, Options, TestProvider, TestResult, TestServer,
    browser::Answer,
    server::begin,
    steps::{param, params, publishable_key, walk},
};

const RETURN_URL: &str = "https://app.example.com/done";

#[track_caller]
fn assert_secure(answer: &Answer, status: u16) {
    let policy = answer.header("content-security-policy");
    assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "unsafe-none"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ] {
        assert_eq!(answer.header(name), value, "{name} of {status}");
    }
    for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
    {
        assert!(policy.contains(directive), "{status}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{status}: {policy}");
}

#[tokio::test]
async fn every_answer_has_the_security_headers() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let settings = Settings { allowed_return_urls: vec![RETURN_URL.to_owned()], ..Settings::default() };
    server.update_settings(settings, &["allowed_return_urls"]).await;
    let at = |path: &str| format!("{}{path}", server.public_url);
    let mut browser = Browser::new();
    let begun = server.begin(begin("sandbox", "u1")).await?;
    assert_secure(&browser.get(&begun.connect_url).await, 302);
    let back = server.consent(&mut browser, &begun.connect_url, "approve").await.location().unwrap();
    assert_secure(&Browser::new().get(back.as_str()).await, 403);
    assert_secure(&browser.get(back.as_str()).await, 200);
    let mut request = begin("sandbox", "u1");
    RETURN_URL.clone_into(&mut request.return_url);
    let (_, back) = walk(&server, &mut browser, request).await;
    assert_secure(&browser.get(back.as_str()).await, 303);
    assert_secure(&browser.get(&at("/oauth/callback")).await, 400);
    assert_secure(&browser.get(&at("/oauth/connect/sandbox")).await, 401);
    assert_secure(&browser.get(&at("/nowhere")).await, 404);
    assert_secure(&browser.get(&at("/healthz")).await, 200);
    assert_secure(&browser.get(&at("/oauth/icon.svg")).await, 200);
    assert_secure(&browser.get(&at("/oauth/callback/%ff/x")).await, 400);
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS] {
        assert_secure(&browser.send_with(method, &at("/oauth/callback"), &[]).await, 405);
    }
    assert_secure(&browser.post(&at("/oauth/callback"), &[("code", "x")]).await, 405);
    assert_secure(&browser.post(&at("/oauth/connect/sandbox"), &[]).await, 405);
    assert_secure(&browser.step(&at("/oauth/callback")).await, 303);
    assert_secure(&browser.get(&at("/oauth/result/x")).await, 404);
    assert_secure(&browser.post(&at("/oauth/result/x"), &[]).await, 405);
    let large = browser.post(&at("/oauth/callback"), &[("code", &"x".repeat(20 * 1024))]).await;
    assert_secure(&large, 413);
    Ok(())
}

/// Whatever the public URL is, and whatever goes wrong: 5xx too.
#[tokio::test]
async fn over_https_every_answer_asks_for_https() {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let public_url = Some("https://tokenwell.example.com".to_owned());
    let server =
        TestServer::start(&database, Options { public_url, ..Options::with(&clock, &provider) }).await;
    let mut browser = Browser::new();
    let at = |path: &str| format!("{}{path}", server.gateway());
    let broken = format!("/oauth/callback?code=x&state={}", "s".repeat(43));
    for (path, status) in [
        ("/oauth/callback", 303),
        ("/oauth/result/x", 404),
        ("/nowhere", 404),
        ("/healthz", 200),
        ("/oauth/callback/%ff/x", 303),
        ("/oauth/connect/%ff", 400),
        ("/oauth/connect/flows/%ff", 400),
        ("/oauth/result/%ff", 404),
        (broken.as_str(), 303),
    ] {
        let answer = browser.step(&at(path)).await;
        assert_secure(&answer, status);
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000", "{path}");
    }
    database.execute("ALTER TABLE flows RENAME TO elsewhere").await;
    for path in [broken.as_str(), "/oauth/connect/flows/x"] {
        let answer = browser.get(&at(path)).await;
        assert_secure(&answer, 500);
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000", "{path}");
    }
    let head = browser.send_with(Method::HEAD, &at("/oauth/callback"), &[]).await;
    assert_secure(&head, 405);
    assert_eq!(head.header("strict-transport-security"), "max-age=31536000");
}

#[tokio::test]
async fn a_page_runs_its_own_script_only() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let page = Browser::new().get(&format!("{}/nowhere", server.public_url)).await;
        let policy = page.header("content-security-policy");
        let (_, rest) = policy.split_once("script-src 'nonce-").unwrap();
        let nonce = rest.split('\'').next().unwrap().to_owned();
        assert!(page.body.contains(&format!("<script nonce=\"{nonce}\">")), "{}", page.body);
        assert_eq!(page.body.matches("<script").count(), 1);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        nonces.push(nonce);
    }
    assert!(nonces[0] != nonces[1] && nonces[0].len() >= 32, "{nonces:?}");
}

#[tokio::test]
async fn the_words_of_a_callback_are_shown_as_text() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    // Short enough to be no token, which would be taken out.
    let words = "<script>x</script> \"'&amp;\u{0}\u{1b}[31m\r\nx: y\u{202e}";
    let error = "\"><img src=x onerror=alert(1)>";
    let state = param(&callback, "state");
    let query = [("error", error), ("error_description", words), ("state", state.as_str())];
    let mut url = callback;
    url.query_pairs_mut().clear().extend_pairs(query);
    let page = browser.get(url.as_str()).await;
    assert_eq!((page.status.as_u16(), page.result("data-error")), (400, "AUTHORIZATION_DENIED"));
    assert!(page.body.contains("&lt;script&gt;x&lt;/script&gt;"), "{}", page.body);
    for raw in ["<script>x", "<img", "\u{0}", "\u{1b}", "\u{202e}"] {
        assert!(!page.body.contains(raw), "{raw:?} in {}", page.body);
    }
    assert_eq!(page.header("x"), "");
}

/// Sends a request line as it is, which no HTTP client would, and gives what comes back.
fn raw(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    // The server may hang up before it has read everything, and may reset the connection then.
    drop(stream.write_all(request));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_of_callback_is_refused_and_costs_nothing() {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    let (path, query) = (callback.path(), callback.query().unwrap());
    let long =
        format!("GET {path}?{query}&error_description={} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20));
    let address = server.addresses.gateway;
    let answer = tokio::task::spawn_blocking(move || raw(address, long.as_bytes())).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");

    let long = format!("{callback}&error_description={}", "x".repeat(20 * 1024));
    let page = browser.get(&long).await;
    assert_eq!((page.status.as_u16(), page.result("data-error")), (400, "CALLBACK_INVALID"));
    assert_eq!(provider.sandbox.book().token_requests, []);
    assert_eq!(browser.get(callback.as_str()).await.result("data-status"), "success");
}

#[tokio::test]
async fn only_the_origins_of_the_settings_are_told() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (_, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    let cookie =
        format!("tokenwell_browser={}", browser.cookie(&server.public_url, "tokenwell_browser").unwrap());
    let evil = "https://evil.example.com";
    let headers = [("cookie", cookie.as_str()), ("origin", evil), ("referer", evil)];
    let url = format!("{callback}&origin={evil}&data-origins={evil}");
    let page = browser.send_with(Method::GET, &url, &headers).await;
    assert_eq!((page.result("data-status"), page.result("data-origins")), ("success", ""));
    assert!(!page.body.contains("evil"), "{}", page.body);

    let origins = ["https://app.example.com", "http://127.0.0.1:3000"].map(str::to_owned);
    let settings = Settings { allowed_origins: origins.to_vec(), ..Settings::default() };
    server.update_settings(settings, &["allowed_origins"]).await;
    for (decision, status) in [("approve", "success"), ("deny", "error")] {
        let begun = server.begin(begin("sandbox", "u1")).await?;
        let back = server.consent(&mut browser, &begun.connect_url, decision).await.location().unwrap();
        let page = browser.get(back.as_str()).await;
        assert_eq!(page.result("data-status"), status);
        assert_eq!(page.result("data-origins"), origins.join(" "));
        assert!(!page.body.contains(&param(&back, "state")), "{}", page.body);
    }
    Ok(())
}

#[tokio::test]
async fn an_error_goes_to_the_return_url_of_its_flow() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    let settings = Settings { allowed_return_urls: vec![RETURN_URL.to_owned()], ..Settings::default() };
    server.update_settings(settings, &["allowed_return_urls"]).await;
    for (decision, error, oauth_error) in [
        ("deny", "AUTHORIZATION_DENIED", vec!["access_denied"]),
        ("approve", "PROVIDER_RESPONSE_INVALID", vec![]),
    ] {
        let mut browser = Browser::new();
        let mut request = begin("sandbox", "u1");
        request.return_url = format!("{RETURN_URL}?keep=1");
        let begun = server.begin(request).await?;
        provider.sandbox.fail_next(tokenwell::sandbox::Failure::Html);
        let back = server.consent(&mut browser, &begun.connect_url, decision).await.location().unwrap();
        let answer = browser.get(back.as_str()).await;
        assert_eq!(answer.status.as_u16(), 303, "{}", answer.body);
        let location = answer.location().unwrap();
        assert!(location.as_str().starts_with("https://app.example.com/done?keep=1&"), "{location}");
        assert_eq!(param(&location, "tokenwell_status"), "error");
        assert_eq!(param(&location, "tokenwell_error"), error);
        assert_eq!(params(&location, "tokenwell_oauth_error"), oauth_error);
        assert_eq!(param(&location, "tokenwell_flow_id"), begun.flow_id);
        assert_eq!(param(&location, "tokenwell_connection_id"), "u1");
        for secret in ["code", "state", "error_description"] {
            assert!(params(&location, secret).is_empty(), "{location}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_form_is_taken_from_providers_that_send_one_and_from_no_other() -> TestResult {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let mut options = Options::with(&clock, &provider);
    let (_, entry) = provider.entry.clone().unwrap();
    let entry = format!("{entry}form_post = true\n[authorization_params]\nresponse_mode = \"form_post\"\n");
    options.providers.push(("formal.toml".to_owned(), entry));
    let server = TestServer::start(&database, options).await;
    server.create_integration("sandbox", "sandbox").await;
    server.create_integration("formal", "formal").await;

    let mut browser = Browser::new();
    let begun = server.begin(begin("formal", "u1")).await?;
    assert_eq!(param(&url::Url::parse(&begun.authorization_url)?, "response_mode"), "form_post");
    for (integration_id, status) in [("sandbox", 405), ("formal", 303)] {
        let (_, callback) = walk(&server, &mut browser, begin(integration_id, "u1")).await;
        let (code, state) = (param(&callback, "code"), param(&callback, "state"));
        let form = [("code", code.as_str()), ("state", &state)];
        let mut action = callback.clone();
        action.set_query(None);
        // A form comes across sites, and so without the cookie.
        let posted = Browser::new().post(action.as_str(), &form).await;
        assert_eq!(posted.status.as_u16(), status, "{integration_id}");
        assert_eq!(provider.sandbox.book().token_requests.len(), usize::from(integration_id == "formal"));
        if status == 405 {
            assert_eq!(posted.header("allow"), "GET");
            assert_eq!(browser.get(callback.as_str()).await.result("data-status"), "success");
            continue;
        }
        let next = posted.location().unwrap();
        assert!(!next.as_str().contains(&code) && !next.as_str().contains(&state), "{next}");
        assert_eq!((next.origin(), next.path()), (callback.origin(), callback.path()));
        assert_eq!(Browser::new().get(next.as_str()).await.result("data-error"), "BROWSER_MISMATCH");
        // It is for the route that the form came to, as it is, and for a minute.
        let mut elsewhere = next.clone();
        elsewhere.set_path("/oauth/callback");
        let mut altered = next.to_string();
        altered.truncate(altered.len() - 4);
        for wrong in [elsewhere.to_string(), altered, format!("{next}&x=1")] {
            assert_eq!(browser.get(&wrong).await.result("data-error"), "FLOW_NOT_FOUND", "{wrong}");
        }
        server.clock.advance(tokenwell::model::Duration::minutes(1));
        assert_eq!(browser.get(next.as_str()).await.result("data-error"), "FLOW_NOT_FOUND");
        let (_, callback) = walk(&server, &mut browser, begin(integration_id, "u1")).await;
        let (code, state) = (param(&callback, "code"), param(&callback, "state"));
        let form = [("code", code.as_str()), ("state", &state)];
        let next = Browser::new().post(action.as_str(), &form).await.location().unwrap();
        assert_eq!(browser.get(next.as_str()).await.result("data-status"), "success");
        server.token("formal", "u1").await?;
        let again = Browser::new().post(action.as_str(), &form).await;
        assert_eq!(again.status.as_u16(), 405, "a flow that has ended expects no form");
        let large = Browser::new().post(action.as_str(), &[("code", &"x".repeat(20 * 1024))]).await;
        assert_eq!(large.status.as_u16(), 413);
    }
    Ok(())
}

#[tokio::test]
async fn health_is_told_on_both_listeners_and_readiness_on_one() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let admin = format!("http://{}", server.addresses.admin);
    let mut browser = Browser::new();
    for url in
        [format!("{}/healthz", server.gateway()), format!("{admin}/healthz"), format!("{admin}/readyz")]
    {
        let answer = browser.get(&url).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "ok\n"), "{url}");
    }
    // The public listener shows nothing that is for operators, the private one nothing that is for browsers.
    let key = publishable_key(&server).await;
    for url in [
        format!("{}/readyz", server.gateway()),
        format!("{}/metrics", server.gateway()),
        format!("{admin}/oauth/connect/sandbox?public_key={key}"),
    ] {
        assert_eq!(browser.get(&url).await.status.as_u16(), 404, "{url}");
    }
}
