//! An endpoint of a test that webhooks are sent to. It verifies signatures by itself, knowing only the specification.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::{net::TcpListener, sync::watch, task::AbortHandle, time::timeout};

/// Takes everything, until told otherwise.
pub struct Receiver {
    pub address: SocketAddr,
    desk: Desk,
    task: AbortHandle,
}

/// What the server of a receiver shares with its test.
#[derive(Clone)]
struct Desk {
    book: Arc<Mutex<Book>>,
    /// How many requests have arrived, and how many are being answered.
    arrived: Arc<watch::Sender<(usize, usize)>>,
    open: Arc<watch::Sender<bool>>,
    /// Opened for the late answers only.
    late: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
struct Book {
    requests: Vec<Received>,
    next: VecDeque<Answer>,
    usual: Answer,
    most_at_once: usize,
}

/// How a request is answered.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    endless: bool,
    late: bool,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: String,
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: 200, headers: Vec::new(), endless: false, late: false }
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Desk {
            book: Arc::default(),
            arrived: Arc::default(),
            open: Arc::new(watch::Sender::new(true)),
            late: Arc::default(),
        };
        let router = Router::new().fallback(receive).with_state(desk.clone());
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) }).abort_handle();
        Self { address, desk, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers like this from now on.
    pub fn answer(&self, status: u16) {
        self.desk.book.lock().unwrap().usual = Answer { status, ..Answer::default() };
    }

    /// Answers the next request like this.
    pub fn answer_next(&self, status: u16, headers: &[(&'static str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.push(Answer { status, headers, ..Answer::default() });
    }

    /// Answers the next request like this, but not before those that wait are released.
    pub fn answer_next_late(&self, status: u16, headers: &[(&'static str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.desk.late.send_replace(false);
        self.push(Answer { status, headers, late: true, ..Answer::default() });
    }

    fn push(&self, answer: Answer) {
        self.desk.book.lock().unwrap().next.push_back(answer);
    }

    /// Answers with a body that never ends.
    pub fn answer_endlessly(&self) {
        self.desk.book.lock().unwrap().usual = Answer { endless: true, ..Answer::default() };
    }

    /// Lets all that arrive wait.
    pub fn hold(&self) {
        self.desk.open.send_replace(false);
    }

    /// Answers those that wait, and those that come.
    pub fn release(&self) {
        self.desk.open.send_replace(true);
        self.desk.late.send_replace(true);
    }

    /// Everything that has arrived.
    pub fn requests(&self) -> Vec<Received> {
        self.desk.book.lock().unwrap().requests.clone()
    }

    /// What has arrived since it was last asked.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.desk.book.lock().unwrap().requests)
    }

    /// The one request that has arrived since it was last asked.
    #[track_caller]
    pub fn take_one(&self) -> Received {
        let mut taken = self.take();
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken.remove(0)
    }

    /// Waits until this many have arrived in all.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.desk.arrived.subscribe();
        let waited =
            timeout(Duration::from_secs(20), arrived.wait_for(|(arrived, _)| *arrived >= count)).await;
        waited.expect("too few came to the receiver").unwrap();
    }

    /// The most requests that were there at the same time.
    pub fn most_at_once(&self) -> usize {
        self.desk.book.lock().unwrap().most_at_once
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Received {
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("there is no {name}")).to_str().unwrap()
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn timestamp(&self) -> i64 {
        self.header("webhook-timestamp").parse().unwrap()
    }

    /// The signatures, each with its version.
    pub fn signatures(&self) -> Vec<&str> {
        self.header("webhook-signature").split(' ').collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Whether one of the signatures is that of this secret.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let expected = signature(secret, self.id(), self.header("webhook-timestamp"), &self.body);
        self.signatures().contains(&expected.as_str())
    }
}

/// The signature that the specification prescribes.
pub fn signature(secret: &str, id: &str, timestamp: &str, body: &str) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    for part in [id, ".", timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

async fn receive(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let answer = {
        let mut book = desk.book.lock().unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        book.requests.push(Received { headers, body });
        desk.arrived.send_modify(|(arrived, present)| {
            *arrived += 1;
            *present += 1;
        });
        book.most_at_once = book.most_at_once.max(desk.arrived.borrow().1);
        book.next.pop_front().unwrap_or_else(|| book.usual.clone())
    };
    let door = if answer.late { &desk.late } else { &desk.open };
    door.subscribe().wait_for(|open| *open).await.unwrap();
    desk.arrived.send_modify(|(_, present)| *present -= 1);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let forever =
        || Body::from_stream(futures::stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 4096]))));
    response.body(if answer.endless { forever() } else { Body::from("thanks") }).unwrap()
}
