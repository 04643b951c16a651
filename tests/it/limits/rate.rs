//! How often a client may ask the gateway, who it is, and what it does not learn by asking.

use std::net::{IpAddr, Ipv4Addr};

use regex::Regex;
use tokenwell::config::LimitArgs;

use super::bare;
use crate::support::{
    Browser, TestResult, TestServer, browser::Answer, raw::request, server::begin, steps::walk,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// All of 127/8 is this machine.
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const BACK: &str = "GET /oauth/callback?state=unknown&code=c HTTP/1.1";

fn limits(rate_burst: u32, trusted_proxies: &str) -> LimitArgs {
    // One more after a minute: longer than a test.
    LimitArgs {
        rate_limit: 1,
        rate_burst,
        trusted_proxies: trusted_proxies.parse().unwrap(),
        ..LimitArgs::default()
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

async fn ask(server: &TestServer, from: IpAddr, head: &str) -> String {
    status(&request(from, server.addresses.gateway, head).await).to_owned()
}

/// The same, for whom a proxy on this machine says it asks.
async fn ask_for(server: &TestServer, forwarded: &str) -> String {
    ask(server, HERE, &format!("{BACK}\r\nx-forwarded-for: {forwarded}")).await
}

#[tokio::test]
async fn a_client_that_asks_too_often_waits_and_no_other_does() {
    let (server, _database) = bare(limits(2, "")).await;
    assert_eq!(ask(&server, HERE, BACK).await, "303");
    assert_eq!(ask(&server, HERE, BACK).await, "303");
    let answer = request(HERE, server.addresses.gateway, BACK).await;
    assert_eq!(status(&answer), "429", "{answer}");
    let after = answer.split_once("\r\nretry-after: ").unwrap().1.split("\r\n").next().unwrap();
    assert!((1..=61).contains(&after.parse::<u32>().unwrap()), "{after}");
    for header in
        ["cache-control: no-store", "x-content-type-options: nosniff", "referrer-policy: no-referrer"]
    {
        assert!(answer.contains(&format!("\r\n{header}\r\n")), "{header}: {answer}");
    }
    assert!(answer.contains("frame-ancestors 'none'") && answer.contains("Too many requests"), "{answer}");
    assert_eq!(ask(&server, THERE, BACK).await, "303");
    // What costs nothing is not counted.
    for path in ["/healthz", "/oauth/icon.svg"] {
        assert_eq!(ask(&server, HERE, &format!("GET {path} HTTP/1.1")).await, "200");
    }
}

#[tokio::test]
async fn all_public_routes_take_from_the_same_bucket() {
    let routes = [
        "GET /oauth/connect/flows/unknown HTTP/1.1",
        "GET /oauth/connect/sandbox?public_key=tw_pk_unknown HTTP/1.1",
        "GET /oauth/callback?state=unknown&code=c HTTP/1.1",
        "GET /oauth/callback/default/sandbox?state=unknown&code=c HTTP/1.1",
        "GET /oauth/result/unknown HTTP/1.1",
        "POST /oauth/callback HTTP/1.1\r\ncontent-length: 0\r\ncontent-type: text/plain",
        "POST /oauth/callback/default/sandbox HTTP/1.1\r\ncontent-length: 0\r\ncontent-type: text/plain",
    ];
    let (server, _database) = bare(limits(7, "")).await;
    for route in routes {
        assert_ne!(ask(&server, HERE, route).await, "429", "{route}");
    }
    for route in routes {
        assert_eq!(ask(&server, HERE, route).await, "429", "{route}");
    }
}

#[tokio::test]
async fn nobody_but_a_trusted_proxy_says_who_asks() {
    let (server, _database) = bare(limits(1, "")).await;
    assert_eq!(ask_for(&server, "198.51.100.1").await, "303");
    assert_eq!(ask_for(&server, "198.51.100.2").await, "429");
    let forwarded = format!("{BACK}\r\nforwarded: for=198.51.100.3\r\nx-real-ip: 198.51.100.3");
    assert_eq!(ask(&server, HERE, &forwarded).await, "429");

    // By default a proxy on the same machine is believed.
    let proxies = LimitArgs::default().trusted_proxies;
    let (server, _database) = bare(LimitArgs { trusted_proxies: proxies, ..limits(1, "") }).await;
    assert_eq!(ask_for(&server, "198.51.100.1").await, "303");
    assert_eq!(ask_for(&server, "198.51.100.1").await, "429");
    assert_eq!(ask_for(&server, "203.0.113.1, 198.51.100.1").await, "429", "the client wrote the first");
    assert_eq!(ask_for(&server, "198.51.100.2").await, "303");
    assert_eq!(ask_for(&server, "2001:db8::1").await, "303");
    assert_eq!(ask_for(&server, "2001:db8::2").await, "429");
    for _ in 0..3 {
        assert_eq!(ask(&server, HERE, BACK).await, "303", "a proxy that names nobody");
    }
}

#[tokio::test]
async fn the_limit_can_be_turned_off() {
    let (server, _database) = bare(LimitArgs { rate_limit: 0, ..limits(1, "") }).await;
    for _ in 0..5 {
        assert_eq!(ask(&server, HERE, BACK).await, "303");
    }
}

/// What an answer tells, but for what is random.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let nonce = Regex::new("nonce(-|=\")[0-9a-f]{32}").unwrap();
    let plain = |text: &str| nonce.replace_all(text, "nonce").into_owned();
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), plain(value.to_str().unwrap()))).collect();
    headers.sort();
    (answer.status.as_u16(), headers, plain(&answer.body))
}

#[tokio::test]
async fn a_used_state_and_one_that_never_was_look_the_same() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let mut browser = Browser::new();
    let (begun, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    assert_eq!(browser.get(callback.as_str()).await.result("data-status"), "success");
    let used = told(&browser.get(callback.as_str()).await);
    assert_eq!(used.0, 400);
    for path in ["/oauth/callback", "/oauth/callback/default/sandbox", "/oauth/callback/default/nothing"] {
        let unknown = format!("{}{path}?state={}&code=c", server.public_url, "A".repeat(43));
        assert_eq!(told(&browser.get(&unknown).await), used, "{path}");
    }
    let used = told(&browser.get(&begun.connect_url).await);
    let unknown = format!("{}/oauth/connect/flows/{}", server.public_url, "A".repeat(43));
    assert_eq!(told(&browser.get(&unknown).await), used);
    Ok(())
}
