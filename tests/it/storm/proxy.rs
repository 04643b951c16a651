//! The fault proxy itself: each fault is what it is called, and is counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, routing::post};
use tokenwell::oauth::{HttpClient, HttpOptions};
use tokio::net::TcpListener;

use crate::support::{Fault, FaultProxy};

/// What came of a request.
#[derive(Debug, PartialEq)]
struct Answered {
    status: u16,
    retry_after: Option<String>,
    body: String,
}

/// A provider that says what it was told, behind a proxy; and how often it was asked.
struct Echo {
    proxy: FaultProxy,
    client: HttpClient,
    asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Echo {
    async fn new() -> Self {
        let asked = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let counter = asked.clone();
        let echo = move |body: Bytes| {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move { body }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/token", post(echo));
        tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        let proxy = FaultProxy::before(address, 1).await;
        let http = HttpOptions { loopback: true, ..HttpOptions::default() };
        Self { proxy, client: HttpClient::new(&http).unwrap(), asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// By the client that Tokenwell itself has.
    async fn ask(&self, body: &str) -> Option<Answered> {
        let mut request = oauth2::HttpRequest::new(body.as_bytes().to_vec());
        *request.method_mut() = reqwest::Method::POST;
        *request.uri_mut() = format!("http://{}/token", self.proxy.address).parse().unwrap();
        let response = self.client.fetch(request).await.ok()?;
        Some(Answered {
            status: response.status().as_u16(),
            retry_after: response.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned()),
            body: String::from_utf8(response.body().clone()).unwrap(),
        })
    }
}

fn answered(status: u16, retry_after: Option<&str>, body: &str) -> Answered {
    Answered { status, retry_after: retry_after.map(str::to_owned), body: body.to_owned() }
}

#[tokio::test]
async fn without_a_fault_it_passes_everything_on() {
    let echo = Echo::new().await;
    let long = "x".repeat(60_000);
    for body in ["", "grant_type=refresh_token", &long] {
        assert_eq!(echo.ask(body).await, Some(answered(200, None, body)));
    }
    assert_eq!((echo.asked(), echo.proxy.counts()), (3, BTreeMap::from([("passed", 3)])));
}

#[tokio::test]
async fn what_the_provider_never_sees() {
    let echo = Echo::new().await;
    let faults =
        [Fault::Reset, Fault::Status(503), Fault::TooMany("7".to_owned()), Fault::TooMany("x".to_owned())];
    echo.proxy.next(faults.map(Some));
    assert_eq!(echo.ask("a").await, None);
    assert_eq!(echo.ask("a").await, Some(answered(503, None, "")));
    assert_eq!(echo.ask("a").await, Some(answered(429, Some("7"), "")));
    assert_eq!(echo.ask("a").await, Some(answered(429, Some("x"), "")));
    assert_eq!(echo.asked(), 0);
    assert_eq!(echo.ask("a").await, Some(answered(200, None, "a")));
    let counts = BTreeMap::from([("reset", 1), ("status", 1), ("too many", 2), ("passed", 1)]);
    assert_eq!(echo.proxy.counts(), counts);
}

#[tokio::test]
async fn what_the_provider_has_answered_and_nobody_hears() {
    let echo = Echo::new().await;
    for (number, fault) in [Fault::HalfBody, Fault::CloseAfterAnswer].into_iter().enumerate() {
        echo.proxy.next([None, Some(fault)]);
        assert_eq!(echo.ask("passed").await, Some(answered(200, None, "passed")));
        assert_eq!(echo.ask("a body with two halves").await, None);
        assert_eq!(echo.asked(), 2 * (number + 1));
    }
}

#[tokio::test]
async fn a_delay_delays() {
    let echo = Echo::new().await;
    let delay = Duration::from_millis(150);
    echo.proxy.always(Some(Fault::Delay(delay)));
    let start = Instant::now();
    assert_eq!(echo.ask("a").await, Some(answered(200, None, "a")));
    assert!(start.elapsed() >= delay);
    echo.proxy.always(None);
    echo.ask("a").await.unwrap();
    assert_eq!(echo.proxy.counts(), BTreeMap::from([("delay", 1), ("passed", 1)]));
}

#[tokio::test]
async fn luck_follows_from_the_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let echo = Echo::new().await;
        echo.proxy.odds(&[(Fault::Status(500), 0.3), (Fault::Status(503), 0.3)]);
        let mut statuses = Vec::new();
        for _ in 0..40 {
            statuses.push(echo.ask("a").await.unwrap().status);
        }
        assert!([200, 500, 503].iter().all(|status| statuses.contains(status)), "{statuses:?}");
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
}
