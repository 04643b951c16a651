//! Slow loris: clients that keep a connection by saying almost nothing. Each is let go, whatever it is slow at.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokenwell::config::LimitArgs;

use super::{assert_alive, assert_healthy, bare};
use crate::support::{
    Database, ManualClock, Options, TestServer,
    raw::{HEADERS, PREFACE, SETTINGS, dribble, frame},
};

const SECOND: Duration = Duration::from_secs(1);

fn impatient() -> LimitArgs {
    LimitArgs { request_timeout: SECOND, ..LimitArgs::default() }
}

/// Nobody is let go before his time, which an answer that hangs up at once would do, too.
async fn assert_let_go(address: SocketAddr, beginning: &[u8], rest: &[u8], after: Duration) -> String {
    let begun = Instant::now();
    let answer = dribble(address, beginning, rest).await;
    let taken = begun.elapsed();
    assert!(taken >= after.mul_f32(0.9), "{}: {taken:?}", String::from_utf8_lossy(beginning));
    answer
}

#[tokio::test]
async fn who_does_not_come_to_the_point_is_let_go_by_every_listener() {
    let (server, _database) = bare(impatient()).await;
    let addresses = server.addresses;
    let silent: [&[u8]; 2] = [b"", PREFACE];
    for address in [addresses.grpc, addresses.gateway, addresses.admin] {
        join_all(silent.map(|rest| assert_let_go(address, b"", rest, SECOND))).await;
    }
    let head: &[u8] = b"GET /healthz HTTP/1.1\r\nx-slow: ";
    for address in [addresses.gateway, addresses.admin] {
        let never = vec![b'a'; 200];
        let slow = [(&b""[..], head), (head, &never)];
        join_all(slow.map(|(beginning, rest)| assert_let_go(address, beginning, rest, SECOND))).await;
        assert_alive(address).await;
    }
    assert_healthy(addresses.grpc).await;
}

/// The next request of a connection is as slow as the first.
#[tokio::test]
async fn an_idle_connection_is_let_go() {
    let (server, _database) = bare(impatient()).await;
    for address in [server.addresses.gateway, server.addresses.admin] {
        let request = b"GET /healthz HTTP/1.1\r\nhost: tokenwell\r\n\r\n";
        let answer = assert_let_go(address, request, b"", SECOND).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }
}

/// hyper's timers are for the whole frames of others: this one's never is.
#[tokio::test]
async fn who_dribbles_a_frame_of_http_2_is_let_go() {
    let limits = LimitArgs { keepalive: SECOND, ..impatient() };
    let (server, _database) = bare(limits).await;
    let mut hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    // A frame of headers of 1,000 bytes, which never come.
    hello.extend_from_slice(&frame(HEADERS, 0, 1, &[0; 1_000])[..9]);
    let never = vec![0; 200];
    let addresses = [server.addresses.grpc, server.addresses.gateway, server.addresses.admin];
    join_all(addresses.map(|address| assert_let_go(address, &hello, &never, SECOND))).await;
    assert_healthy(server.addresses.grpc).await;
}

/// A form has the time for its request, and for the call.
#[tokio::test]
async fn who_dribbles_a_form_is_answered_and_let_go() {
    let database = Database::sqlite();
    let options = Options { limits: impatient(), deadline: SECOND, ..Options::new(&ManualClock::new()) };
    let server = TestServer::start(&database, options).await;
    let head = b"POST /oauth/callback HTTP/1.1\r\nhost: tokenwell\r\ncontent-length: 1000\r\n\
                 content-type: application/x-www-form-urlencoded\r\n\r\n";
    let answer = assert_let_go(server.addresses.gateway, head, &[b'a'; 200], 2 * SECOND).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\r\nx-content-type-options: nosniff\r\n"), "{answer}");
    assert_alive(server.addresses.gateway).await;
}
