//! A real browser: Chromium walks from the connect URL over the sandbox's consent page to the result page. Screenshots stay
//! in `artifacts/`.

use std::{path::Path, process::Command, time::Duration};

use axum::{Router, response::Html, routing::get};
use serde_json::{Value, json};
use tokenwell::api::pb::project::v1::Settings;
use tokio::{net::TcpListener, task::AbortHandle};

use crate::support::{TestServer, server::begin};

/// An application's page that opens the connect URL in a popup and shows what it is told.
struct Opener {
    origin: String,
    task: AbortHandle,
}

impl Opener {
    /// Listens; the page itself comes later, since it names the connect URL.
    async fn listen() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async {}).abort_handle();
        (Self { origin, task }, listener)
    }

    fn serve(&mut self, listener: TcpListener, connect_url: &str) {
        let page = Html(format!(
            "<!doctype html><title>An app</title><link rel=icon href='data:,'>\
             <button id=connect>Connect</button><pre id=message></pre><script>\
             addEventListener('message', event => {{ document.getElementById('message').textContent = \
             JSON.stringify({{ origin: event.origin, data: event.data }}); }});\
             document.getElementById('connect').onclick = () => open('{connect_url}', 'connect', 'popup');\
             </script>"
        ));
        let router = Router::new().route("/", get(async || page));
        self.task = tokio::spawn(async move { drop(axum::serve(listener, router).await) }).abort_handle();
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs the browser. Gives its report.
async fn walk(name: &str, mut options: Value) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = root.join("artifacts").join(name);
    let framing = options.get("framing").is_some();
    options["screenshot_dir"] = directory.to_str().unwrap().into();
    let mut command = Command::new("node");
    command.arg(root.join("tests/node/browser.mjs")).arg(options.to_string());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output =
        tokio::time::timeout(Duration::from_mins(2), output).await.expect("the browser does not end");
    let output = output.unwrap().expect("node is missing: run scripts/setup");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let shots: &[_] =
        if framing { &["framed.png"] } else { &["consent.png", "result-light.png", "result-dark.png"] };
    for shot in shots {
        assert!(directory.join(shot).exists(), "there is no {shot}");
    }
    serde_json::from_str(said.trim()).unwrap()
}

async fn connect_url(server: &TestServer) -> String {
    server.begin(begin("sandbox", "ada")).await.unwrap().connect_url
}

async fn allow(server: &TestServer, origins: &[&str]) {
    let allowed_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let settings = Settings { allowed_origins, ..Settings::default() };
    server.update_settings(settings, &["allowed_origins"]).await;
}

fn assert_connected(report: &Value, server: &TestServer) {
    assert_eq!(report["status"], "success", "{report}");
    let text = report["result"].as_str().unwrap();
    assert_eq!(text, "Your account is connected\n\nYou can close this window.", "{report}");
    assert_eq!(report["title"], "Your account is connected");
    assert_eq!(report["foreign_requests"], json!([]));
    // The code and the state were never in the address bar of a page.
    let page = format!("{}/oauth/result/", server.gateway());
    let shown = report["final_url"].as_str().unwrap();
    assert!(shown.starts_with(&page) && !shown.contains('?') && !shown.contains('#'), "{shown}");
}

#[tokio::test]
async fn a_person_connects_an_account() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let report = walk("connect", json!({ "url": connect_url(&server).await })).await;
    assert_connected(&report, &server);
    assert_eq!(report["console_errors"], json!([]));
    server.token("sandbox", "ada").await.unwrap();
}

#[tokio::test]
async fn an_opener_of_an_allowed_origin_is_told() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let (mut opener, listener) = Opener::listen().await;
    allow(&server, &[&opener.origin]).await;
    let begun = server.begin(begin("sandbox", "ada")).await.unwrap();
    opener.serve(listener, &begun.connect_url);
    let report = walk("opener", json!({ "opener": format!("{}/", opener.origin) })).await;
    assert_connected(&report, &server);
    assert_eq!(report["console_errors"], json!([]));
    let told: Value =
        serde_json::from_str(report["opener_message"].as_str().unwrap()).expect("nothing was told");
    assert_eq!(told["origin"], server.gateway());
    let expected = json!({
        "type": "tokenwell",
        "status": "success",
        "flowId": begun.flow_id,
        "integrationId": "sandbox",
        "connectionId": "ada",
    });
    assert_eq!(told["data"], expected);
    assert_eq!(report["close_requested"], true);
}

/// Nobody shows a page of ours inside his own, to have a click on it made that was meant for something else.
#[tokio::test]
async fn no_page_of_ours_is_shown_in_a_frame() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Another site, and not only another origin.
    let framing = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    let ours =
        ["/oauth/result/x", "/oauth/callback?error=access_denied&state=x", "/oauth/connect/sandbox?x=1"];
    let frames = ours.map(|path| format!("<iframe src='{}{path}'></iframe>", server.gateway())).concat();
    // One that may be shown, to see that frames are.
    let page = Html(format!("<!doctype html><title>A trap</title>{frames}<iframe src='/inner'></iframe>"));
    let router = Router::new().route("/", get(async || page)).route("/inner", get(async || "hello"));
    let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
    let report = walk("framed", json!({ "framing": framing })).await;
    task.abort();
    let refused = "chrome-error://chromewebdata/";
    assert_eq!(report["frames"], json!([refused, refused, refused, format!("{framing}inner")]));
}

#[tokio::test]
async fn an_opener_of_another_origin_is_told_nothing() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let (mut opener, listener) = Opener::listen().await;
    // Of the same host, but of another port: another origin.
    let (allowed, _listener) = Opener::listen().await;
    allow(&server, &[&allowed.origin]).await;
    opener.serve(listener, &connect_url(&server).await);
    let report = walk("foreign", json!({ "opener": format!("{}/", opener.origin) })).await;
    assert_connected(&report, &server);
    assert_eq!(report["opener_message"], "");
    // It has tried to tell, which is when it closes, but the browser gives the message to the named origin only. A browser
    // that says so on the console is right.
    assert_eq!(report["close_requested"], true);
    let errors = report["console_errors"].as_array().unwrap();
    assert!(errors.iter().all(|error| error.as_str().unwrap().contains("postMessage")), "{errors:?}");
}

#[tokio::test]
async fn an_opener_of_a_project_without_origins_is_told_nothing() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let (mut opener, listener) = Opener::listen().await;
    opener.serve(listener, &connect_url(&server).await);
    let report = walk("silent", json!({ "opener": format!("{}/", opener.origin) })).await;
    assert_connected(&report, &server);
    assert_eq!((&report["opener_message"], &report["console_errors"]), (&json!(""), &json!([])));
    assert_eq!(report["close_requested"], false, "nobody was told, so the person has to read the page");
}
