//! What a connection may do: how many there may be, and how many calls on each.

use std::net::SocketAddr;

use tokenwell::config::LimitArgs;

use super::{assert_alive, assert_healthy, bare};
use crate::support::{
    TestServer,
    raw::{CANCEL, ENHANCE_YOUR_CALM, GO_AWAY, HEADERS, REFUSED_STREAM, RESET, Raw, WHOLE, frame, headers},
    steps::until,
};

const GET: &str = "/tokenwell.connection.v1.ConnectionService/Get";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const GRPC: (&str, &str) = ("content-type", "application/grpc");
/// Many more than any limit.
const FLOOD: u32 = 2_000;

/// The streams that a client opens.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

/// Opens calls and takes each back at once. Gives why the server ends the connection.
async fn reset_rapidly(address: SocketAddr, method: &str, path: &str) -> Option<u32> {
    let block = headers(method, path, &[GRPC]);
    let calls = streams(FLOOD).flat_map(|stream| {
        [frame(HEADERS, WHOLE, stream, &block), frame(RESET, 0, stream, &CANCEL.to_be_bytes())].concat()
    });
    let mut raw = Raw::connect(address).await;
    raw.send(&calls.collect::<Vec<_>>()).await;
    raw.next(GO_AWAY).await.map(|frame| frame.code())
}

/// CVE-2023-44487.
#[tokio::test]
async fn rapid_resets_end_their_connection_and_no_other() {
    let (server, _database) = bare(LimitArgs::default()).await;
    assert_eq!(reset_rapidly(server.addresses.grpc, "POST", HEALTH).await, Some(ENHANCE_YOUR_CALM));
    assert_healthy(server.addresses.grpc).await;
    for address in [server.addresses.gateway, server.addresses.admin] {
        assert_eq!(reset_rapidly(address, "GET", "/healthz").await, Some(ENHANCE_YOUR_CALM));
        assert_alive(address).await;
    }
}

/// CVE-2025-8671: calls that are so wrong that the server resets them.
#[tokio::test]
async fn calls_that_the_server_must_reset_end_their_connection() {
    let (server, _database) = bare(LimitArgs::default()).await;
    for address in [server.addresses.grpc, server.addresses.gateway, server.addresses.admin] {
        // A header that HTTP/2 does not have.
        let block = headers("POST", HEALTH, &[GRPC, ("connection", "close")]);
        let calls = streams(200).flat_map(|stream| frame(HEADERS, WHOLE, stream, &block));
        let mut raw = Raw::connect(address).await;
        raw.send(&calls.collect::<Vec<_>>()).await;
        assert_eq!(raw.next(GO_AWAY).await.map(|frame| frame.code()), Some(ENHANCE_YOUR_CALM));
    }
    assert_healthy(server.addresses.grpc).await;
}

#[tokio::test]
async fn a_connection_has_so_many_calls_and_no_more() {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let bearer = format!("Bearer {}", server.key);
    let block = headers("POST", GET, &[GRPC, ("authorization", &bearer)]);
    // Calls whose messages never come.
    let calls: Vec<_> = streams(300).flat_map(|stream| frame(HEADERS, WHOLE, stream, &block)).collect();
    let mut raw = Raw::connect(server.addresses.grpc).await;
    raw.send(&calls).await;
    for _ in 256..300 {
        assert_eq!(raw.next(RESET).await.map(|frame| frame.code()), Some(REFUSED_STREAM));
    }
    // Nothing else is refused, and the connection lives on.
    assert!(raw.answers().await);
    assert_healthy(server.addresses.grpc).await;
}

#[tokio::test]
async fn a_listener_has_so_many_connections_and_no_more() {
    let (server, _database) = bare(LimitArgs { max_connections: 2, ..LimitArgs::default() }).await;
    for address in [server.addresses.grpc, server.addresses.gateway, server.addresses.admin] {
        let mut first = Raw::connect(address).await;
        let mut second = Raw::connect(address).await;
        assert!(first.answers().await && second.answers().await);
        assert!(!Raw::connect(address).await.answers().await, "there is no room for a third");
        // Those that are there do not notice.
        assert!(first.answers().await && second.answers().await);
        drop(first);
        until(async || Raw::connect(address).await.answers().await, |room| *room).await;
    }
}
