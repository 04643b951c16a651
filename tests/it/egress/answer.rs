//! How much an answer may be, and how long it may take.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use tokenwell::oauth::{Failure, HttpOptions};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{drip, fetch, impatient};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
const NO_PAUSE: Duration = Duration::ZERO;

fn patient() -> HttpOptions {
    HttpOptions { loopback: true, ..HttpOptions::default() }
}

fn too_many_bytes() -> Result<u16, Failure> {
    Err(Failure::Invalid { problem: "it has more than 65536 bytes".to_owned(), status: Some(200) })
}

async fn fetch_soon(options: &HttpOptions, url: &str) -> Result<u16, Failure> {
    timeout(Duration::from_secs(10), fetch(options, url)).await.expect("it went on reading")
}

#[tokio::test]
async fn an_endless_body_is_not_read_to_the_end() {
    let body = vec![b' '; 16 * 1024];
    let url = drip(format!("{HEAD}\r\n").into_bytes(), body, NO_PAUSE).await;
    assert_eq!(fetch_soon(&patient(), &url).await, too_many_bytes());
}

/// Each member is a thousandth of what it becomes, and there is no end of them.
#[tokio::test]
async fn a_gzip_bomb_is_not_unpacked_to_the_end() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 1024 * 1024]).unwrap();
    let member = encoder.finish().unwrap();
    assert!(member.len() < 4096, "{}", member.len());
    let head = format!("{HEAD}Content-Encoding: gzip\r\n\r\n");
    let url = drip(head.clone().into_bytes(), member, NO_PAUSE).await;
    assert_eq!(fetch_soon(&patient(), &url).await, too_many_bytes());

    // One that says its length and is within the limit is an answer.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 64 * 1024]).unwrap();
    let body = encoder.finish().unwrap();
    let head = format!("{HEAD}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
    let url = drip([head.into_bytes(), body].concat(), Vec::new(), NO_PAUSE).await;
    assert_eq!(fetch_soon(&patient(), &url).await, Ok(200));
}

#[tokio::test]
async fn headers_have_a_limit() {
    let answer = |bytes: usize| {
        let line = format!("X-Padding: {}\r\n", "x".repeat(1024 - 9));
        format!("{HEAD}{}Content-Length: 0\r\n\r\n", line.repeat(bytes / 1024))
    };
    let url = drip(answer(15 * 1024).into_bytes(), Vec::new(), NO_PAUSE).await;
    assert_eq!(fetch_soon(&patient(), &url).await, Ok(200));
    let url = drip(answer(16 * 1024).into_bytes(), Vec::new(), NO_PAUSE).await;
    let problem = "its headers have more than 16384 bytes".to_owned();
    assert_eq!(fetch_soon(&patient(), &url).await, Err(Failure::Invalid { problem, status: Some(200) }));
    // What never comes to an end is not kept either.
    let line = format!("X-Padding: {}\r\n", "x".repeat(1024));
    let url = drip(HEAD.as_bytes().to_vec(), line.into_bytes(), NO_PAUSE).await;
    assert!(fetch_soon(&patient(), &url).await.is_err());
}

/// The time of a call counts from its beginning to its end, whatever arrives in between.
#[tokio::test]
async fn an_answer_that_drips_is_cut_off() {
    let pause = Duration::from_millis(50);
    let length = "Content-Length: 60000\r\n\r\n";
    let slow_head = (HEAD.as_bytes().to_vec(), b"X-A: b\r\n".to_vec());
    let slow_body = (format!("{HEAD}{length}").into_bytes(), b" ".to_vec());
    for (start, again) in [slow_head, slow_body] {
        let url = drip(start, again, pause).await;
        let begun = Instant::now();
        let failure = fetch_soon(&impatient(), &url).await.unwrap_err();
        assert_eq!(failure.to_string(), "it did not answer in time");
        let took = begun.elapsed();
        assert!((900..4000).contains(&took.as_millis()), "{took:?}");
    }
}

/// A listener whose queue is full takes nobody in, and says nothing.
#[tokio::test]
async fn a_host_that_takes_nobody_in_is_given_up_after_three_seconds() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(entered) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        queue.push(entered.unwrap());
        assert!(queue.len() < 100, "the queue has no end");
    }
    let begun = Instant::now();
    let failure = fetch(&patient(), &format!("http://{address}/")).await.unwrap_err();
    let took = begun.elapsed().as_millis();
    assert!((2900..9000).contains(&took), "{took} ms");
    assert!(matches!(failure, Failure::Unavailable { unclear: false, .. }), "{failure:?}");
}
