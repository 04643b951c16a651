//! A proxy between Tokenwell and a provider that does what networks and busy servers do.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::sleep,
};

/// How much of a request or an answer the proxy reads, which is more than any of the tests sends.
const MOST: usize = 256 * 1024;

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset; the provider never sees the request.
    Reset,
    /// The request arrives late.
    Delay(Duration),
    /// A status of the proxy's own, such as 503; the provider never sees the request.
    Status(u16),
    /// 429 with this `Retry-After`; the provider never sees the request.
    TooMany(String),
    /// The provider answers, and half of the body arrives.
    HalfBody,
    /// The provider answers, and nothing arrives.
    CloseAfterAnswer,
}

/// Passes everything on, at first. Clones are the same proxy.
#[derive(Clone)]
pub struct FaultProxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

struct Shared {
    upstream: SocketAddr,
    plan: Mutex<Plan>,
}

struct Plan {
    next: VecDeque<Option<Fault>>,
    always: Option<Fault>,
    odds: Vec<(Fault, f64)>,
    random: StdRng,
    done: BTreeMap<&'static str, u64>,
}

struct Task(AbortHandle);

impl Fault {
    /// Its name in the counts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Delay(_) => "delay",
            Self::Status(_) => "status",
            Self::TooMany(_) => "too many",
            Self::HalfBody => "half a body",
            Self::CloseAfterAnswer => "close after the answer",
        }
    }
}

impl FaultProxy {
    /// A proxy before this address, whose luck follows from the seed.
    pub async fn before(upstream: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Plan {
            next: VecDeque::new(),
            always: None,
            odds: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            done: BTreeMap::new(),
        };
        let shared = Arc::new(Shared { upstream, plan: Mutex::new(plan) });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = serving.clone();
                // What breaks on the way is what this is for.
                tokio::spawn(async move { drop(shared.serve(client).await) });
            }
        });
        Self { address, shared, _task: Arc::new(Task(task.abort_handle())) }
    }

    /// Lets these happen to the next requests, one to each; `None` passes one on.
    pub fn next(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.shared.plan.lock().unwrap().next.extend(faults);
    }

    /// Lets this happen to all requests that nothing else is meant for, until it is `None`.
    pub fn always(&self, fault: Option<Fault>) {
        self.shared.plan.lock().unwrap().always = fault;
    }

    /// Lets these happen with these probabilities, whose sum is at most 1, to requests that nothing else is meant for.
    pub fn odds(&self, odds: &[(Fault, f64)]) {
        assert!(odds.iter().map(|(_, chance)| chance).sum::<f64>() <= 1.0);
        self.shared.plan.lock().unwrap().odds = odds.to_vec();
    }

    /// How often each fault has happened; `passed` counts the requests without one.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.shared.plan.lock().unwrap().done.clone()
    }
}

impl Shared {
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let request = read_message(&mut client).await?;
        if request.is_empty() {
            return Ok(());
        }
        let fault = self.plan.lock().unwrap().draw();
        match &fault {
            Some(Fault::Reset) => {
                client.set_zero_linger()?;
                return Ok(());
            }
            Some(Fault::Status(status)) => {
                let answer =
                    format!("HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                return client.write_all(answer.as_bytes()).await;
            }
            Some(Fault::TooMany(after)) => {
                let answer = format!(
                    "HTTP/1.1 429 Fault\r\nRetry-After: {after}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                return client.write_all(answer.as_bytes()).await;
            }
            Some(Fault::Delay(delay)) => sleep(*delay).await,
            None | Some(Fault::HalfBody | Fault::CloseAfterAnswer) => {}
        }
        let mut provider = TcpStream::connect(self.upstream).await?;
        provider.write_all(&request).await?;
        let answer = closing(read_message(&mut provider).await?);
        match fault {
            Some(Fault::CloseAfterAnswer) => client.set_zero_linger(),
            Some(Fault::HalfBody) => {
                let body = head_length(&answer).unwrap_or(answer.len());
                client.write_all(&answer[..body + (answer.len() - body) / 2]).await?;
                client.shutdown().await
            }
            _ => {
                client.write_all(&answer).await?;
                client.shutdown().await
            }
        }
    }
}

impl Plan {
    fn draw(&mut self) -> Option<Fault> {
        let fault = match self.next.pop_front() {
            Some(planned) => planned,
            None => self.always.clone().or_else(|| self.by_chance()),
        };
        *self.done.entry(fault.as_ref().map_or("passed", Fault::name)).or_default() += 1;
        fault
    }

    fn by_chance(&mut self) -> Option<Fault> {
        let mut left = self.random.random::<f64>();
        for (fault, chance) in &self.odds {
            left -= chance;
            if left < 0.0 {
                return Some(fault.clone());
            }
        }
        None
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request or an answer with its body: by its length, chunked, or up to the end of the connection.
async fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    while message.len() < MOST && !is_whole(&message) {
        let mut part = [0; 8192];
        match stream.read(&mut part).await? {
            0 => break,
            read => message.extend_from_slice(&part[..read]),
        }
    }
    Ok(message)
}

fn is_whole(message: &[u8]) -> bool {
    let Some(head) = head_length(message) else { return false };
    let body = &message[head..];
    if header(message, "transfer-encoding").is_some() {
        return body.ends_with(b"0\r\n\r\n");
    }
    match header(message, "content-length") {
        Some(length) => body.len() >= length.parse().unwrap(),
        None => !message.starts_with(b"HTTP/"),
    }
}

fn head_length(message: &[u8]) -> Option<usize> {
    message.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4)
}

fn header(message: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(&message[..head_length(message)?]).into_owned();
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
}

/// The answer, told to be the last on its connection: the proxy serves one request on each.
fn closing(answer: Vec<u8>) -> Vec<u8> {
    let Some(head) = head_length(&answer) else { return answer };
    let text = String::from_utf8_lossy(&answer[..head - 2]).into_owned();
    let kept = text.split_inclusive("\r\n").filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !["connection", "keep-alive"].iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
    });
    let mut message = kept.collect::<String>().into_bytes();
    message.extend_from_slice(b"Connection: close\r\n\r\n");
    message.extend_from_slice(&answer[head..]);
    message
}
