//! What leaves the house, and what comes back: where requests may lead, and how much an answer may be, cost and take.

mod address;
mod answer;
mod nesting;
mod tls;
mod webhook;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Request;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokenwell::oauth::{Failure, HttpClient, HttpOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const HOST: &str = "provider.example";

/// Answers what it is told to, one answer after the other and the last one for ever, and counts.
struct Script {
    answers: Mutex<(Vec<Vec<SocketAddr>>, usize)>,
}

impl Script {
    fn of(answers: &[&[SocketAddr]]) -> Arc<Self> {
        let answers = answers.iter().map(|it| it.to_vec()).collect();
        Arc::new(Self { answers: Mutex::new((answers, 0)) })
    }

    fn asked(&self) -> usize {
        self.answers.lock().unwrap().1
    }
}

impl Resolve for Script {
    fn resolve(&self, _: Name) -> Resolving {
        let mut script = self.answers.lock().unwrap();
        let (answers, asked) = &mut *script;
        let answer = answers[(*asked).min(answers.len() - 1)].clone();
        *asked += 1;
        Box::pin(async move { Ok(Box::new(answer.into_iter()) as Addrs) })
    }
}

/// A client of this machine's own servers that gives up after a second.
fn impatient() -> HttpOptions {
    HttpOptions { timeout: Duration::from_secs(1), loopback: true, ..HttpOptions::default() }
}

async fn fetch(options: &HttpOptions, url: &str) -> Result<u16, Failure> {
    fetch_by(&HttpClient::new(options).unwrap(), url).await
}

async fn fetch_by(client: &HttpClient, url: &str) -> Result<u16, Failure> {
    let response = client.fetch(Request::get(url).body(Vec::new()).unwrap()).await?;
    Ok(response.status().as_u16())
}

/// A server that says this at once, and then that again and again, so long as somebody listens. Gives its URL.
async fn drip(start: Vec<u8>, again: Vec<u8>, pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (start, again) = (start.clone(), again.clone());
            tokio::spawn(async move { drop(drip_to(stream, &start, &again, pause).await) });
        }
    });
    url
}

async fn drip_to(mut stream: TcpStream, start: &[u8], again: &[u8], pause: Duration) -> std::io::Result<()> {
    let _ = stream.read(&mut [0; 4096]).await?;
    stream.write_all(start).await?;
    while !again.is_empty() {
        tokio::time::sleep(pause).await;
        stream.write_all(again).await?;
    }
    Ok(())
}

/// Where nobody is to come.
struct Trap(TcpListener);

impl Trap {
    async fn set() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// A connection that was made is in the listener's queue.
    async fn assert_empty(&self) {
        let came = tokio::time::timeout(Duration::from_millis(50), self.0.accept()).await;
        assert!(came.is_err(), "somebody came: {came:?}");
    }
}
