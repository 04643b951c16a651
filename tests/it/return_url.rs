//! Where a browser may be sent: through Begin, through a frontend's link, and what the browser makes of it (WHATWG).

use tokenwell::api::pb::{
    auth::v1::BeginRequest,
    project::v1::{Settings, UpdateSettingsRequest},
};
use tonic::Code;
use url::Url;

use crate::support::{
    Browser, TestResult, TestServer, assert_refused,
    server::begin,
    steps::{publishable_key, walk},
};

const ALLOWED: [&str; 3] = ["https://good.com/app", "https://port.com:8443", "http://127.0.0.1:3000/dev/"];

/// What lies under one of them, in whatever way it is written.
const GOOD: [&str; 9] = [
    "https://good.com/app",
    "https://good.com/app/",
    "https://good.com/app/done?x=1&next=//evil.com",
    "https://good.com:443/app",
    "https://GOOD.com/app",
    "https://good.com/app/./x",
    "https://port.com:8443/",
    "https://port.com:8443/anything",
    "http://127.0.0.1:3000/dev",
];

/// What does not, or what two parsers may read in two ways.
const BAD: [&str; 65] = [
    // Another host, or none.
    "//evil.com/app",
    "///evil.com/app",
    "/app",
    "app",
    "https:evil.com",
    "https:/evil.com/app",
    "https:good.com/app",
    "https:/good.com/app",
    "https:///good.com/app",
    "https://",
    "https://good.com.evil.com/app",
    "https://good.evil.com/app",
    "https://sub.good.com/app",
    "https://evilgood.com/app",
    "https://good.com./app",
    "https://evil.com/good.com/app",
    "https://evil.com/?https://good.com/app",
    "https://evil.com#https://good.com/app",
    "https://evil.com;good.com/app",
    // A user.
    "https://good.com@evil.com/app",
    "https://good.com:443@evil.com/app",
    "https://evil.com@good.com/app",
    "https://@good.com/app",
    "https://good.com%40evil.com/app",
    "https://good.com/app@evil.com",
    // Backslashes, which browsers take for slashes.
    "https://good.com\\@evil.com/app",
    "https:\\\\good.com\\app",
    "https://good.com\\.evil.com/app",
    "https://good.com/app\\..\\other",
    // Schemes.
    "http://good.com/app",
    "javascript:alert(1)",
    "javascript://good.com/app%0aalert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///app",
    "ftp://good.com/app",
    "wss://good.com/app",
    "blob:https://good.com/app",
    "view-source:https://good.com/app",
    // What cannot be seen.
    " https://good.com/app",
    "https://good.com/app ",
    "\thttps://good.com/app",
    "java\tscript:alert(1)",
    "https://go\tod.com/app",
    "https://good.com/app\r\nset-cookie: x=y",
    "https://good.com/app\nx",
    "https://good.com\u{0}.evil.com/app",
    "https://good.com/app\u{7f}",
    // Letters that look alike, and dots that are none.
    "https://g\u{43e}\u{43e}d.com/app",
    "https://xn--gd-jlca.com/app",
    "https://good\u{3002}com/app",
    "https://good.com\u{ff0f}app",
    "https://\u{ff47}ood.com/app",
    "https://good.com/app\u{202e}",
    // Ports.
    "https://good.com:8443/app",
    "https://port.com/",
    "http://127.0.0.1:3001/dev",
    "http://localhost:3000/dev",
    // Paths.
    "https://good.com/application",
    "https://good.com/app/../x",
    "https://good.com/app/%2e%2e/x",
    "https://good.com/app/..%2fx",
    "https://good.com/%2f%2fevil.com/app",
    "https://good.com/app#fragment",
];

async fn allow(server: &TestServer) {
    let allowed_return_urls = ALLOWED.map(str::to_owned).to_vec();
    let settings = Settings { allowed_return_urls, ..Settings::default() };
    server.update_settings(settings, &["allowed_return_urls"]).await;
}

fn with(return_url: &str) -> BeginRequest {
    BeginRequest { return_url: return_url.to_owned(), ..begin("sandbox", "ada") }
}

#[tokio::test]
async fn a_begin_takes_return_urls_under_an_entry_only() -> TestResult {
    let (server, _provider, database) = TestServer::with_sandbox().await;
    allow(&server).await;
    for good in GOOD {
        server.begin(with(good)).await.unwrap_or_else(|status| panic!("{good}: {status}"));
    }
    for bad in BAD {
        let refused = server.begin(with(bad)).await;
        assert!(refused.is_err(), "{bad:?} was let through");
        let refused = assert_refused(refused, Code::InvalidArgument, "RETURN_URL_NOT_ALLOWED");
        assert_eq!(refused.fields, ["return_url"]);
    }
    assert_eq!(database.number("SELECT count(*) FROM flows").await, i64::try_from(GOOD.len())?);
    // Without an entry there is none to lie under.
    server.update_settings(Settings::default(), &["allowed_return_urls"]).await;
    for any in GOOD.into_iter().chain(BAD) {
        assert_refused(server.begin(with(any)).await, Code::InvalidArgument, "RETURN_URL_NOT_ALLOWED");
    }
    Ok(())
}

#[tokio::test]
async fn a_link_takes_return_urls_under_an_entry_only() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    allow(&server).await;
    let key = publishable_key(&server).await;
    let open = async |return_url: &str| {
        let link = format!("{}/oauth/connect/sandbox", server.public_url);
        let query = [("public_key", key.as_str()), ("connection_id", "ada"), ("return_url", return_url)];
        Browser::new().get(Url::parse_with_params(&link, query).unwrap().as_str()).await
    };
    for good in GOOD {
        assert_eq!(open(good).await.status.as_u16(), 302, "{good}");
    }
    for bad in BAD {
        let refused = open(bad).await;
        let found = (refused.status.as_u16(), refused.result("data-error"), refused.header("location"));
        assert_eq!(found, (400, "RETURN_URL_NOT_ALLOWED", ""), "{bad:?}");
        assert!(!refused.body.contains("evil"), "{}", refused.body);
    }
}

/// What the browser is given leads to the place that was allowed, as a browser reads it, and holds the outcome once.
#[tokio::test]
async fn the_way_back_leads_where_it_was_allowed_to() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    allow(&server).await;
    for good in GOOD {
        let mut browser = Browser::new();
        let (_, callback) = walk(&server, &mut browser, with(good)).await;
        let answer = browser.step(callback.as_str()).await;
        assert_eq!(answer.status.as_u16(), 303);
        let (found, asked) = (answer.location().unwrap(), Url::parse(good).unwrap());
        assert_eq!((found.origin(), found.path()), (asked.origin(), asked.path()), "{good}");
        let entries = ALLOWED.map(|entry| Url::parse(entry).unwrap());
        assert!(entries.iter().any(|entry| entry.origin() == found.origin()), "{found}");
        let statuses = found.query_pairs().filter(|(name, _)| name == "tokenwell_status");
        assert_eq!(statuses.count(), 1, "{found}");
        assert!(answer.header("location").is_ascii() && found.fragment().is_none(), "{found}");
    }
}

/// An entry that would allow more than it says is refused when it is set.
#[tokio::test]
async fn an_entry_says_exactly_what_it_allows() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    for bad in [
        "https://*.good.com",
        "https://good.com/app?x",
        "https://good.com/app#x",
        "https://user@good.com",
        "http://good.com",
        "good.com",
        "//good.com",
        "https://",
        "javascript:alert(1)",
        "https://good.com\\app",
        " https://good.com",
        "https://g\u{43e}od.com",
        "null",
        "*",
        "",
    ] {
        let settings = Settings { allowed_return_urls: vec![bad.to_owned()], ..Settings::default() };
        let request = UpdateSettingsRequest {
            settings: Some(settings),
            update_mask: Some(prost_types::FieldMask { paths: vec!["allowed_return_urls".to_owned()] }),
        };
        let refused = server.project(&server.key).update_settings(request).await;
        assert!(refused.is_err(), "{bad:?} was set");
        let refused = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refused.fields, ["allowed_return_urls[0]"]);
    }
}
