//! Clients that no library is: HTTP/2 frame by frame, and bytes that come one at a time.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

/// How long what must happen may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a client of HTTP/2 begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;

/// `END_HEADERS`.
pub const WHOLE: u8 = 4;

pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection whose frames a test writes itself.
pub struct Raw {
    stream: TcpStream,
}

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub payload: Vec<u8>,
}

impl Raw {
    /// Connects and says hello.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        // One that is not let in has hung up perhaps.
        drop(stream.write_all(&hello).await);
        Self { stream }
    }

    /// Whether the server is there, and this connection with it.
    pub async fn answers(&mut self) -> bool {
        self.send(&frame(PING, 0, 0, &[7; 8])).await;
        self.next(PING).await.is_some_and(|pong| pong.payload == [7; 8])
    }

    /// Sends frames. The server may have hung up in the middle.
    pub async fn send(&mut self, frames: &[u8]) {
        drop(self.stream.write_all(frames).await);
    }

    /// Waits for the next frame of this kind. There is none if the server hangs up before.
    pub async fn next(&mut self, kind: u8) -> Option<Frame> {
        let found = async {
            loop {
                let frame = self.read().await.ok()?;
                if frame.kind == kind {
                    return Some(frame);
                }
            }
        };
        timeout(PATIENCE, found).await.expect("the server neither said it nor hung up")
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length.try_into().unwrap()];
        self.stream.read_exact(&mut payload).await?;
        Ok(Frame { kind: head[3], payload })
    }
}

impl Frame {
    /// The error code of a RESET, or of a `GO_AWAY`, which has a stream before it.
    pub fn code(&self) -> u32 {
        let start = if self.kind == GO_AWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[start..start + 4].try_into().unwrap())
    }
}

/// A frame (RFC 9113, section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a request, as literals (RFC 7541, section 6.2.2).
pub fn headers(method: &str, path: &str, further: &[(&str, &str)]) -> Vec<u8> {
    let known = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "tokenwell")];
    let mut block = Vec::new();
    for (name, value) in known.iter().chain(further) {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "too long for a length of one byte");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Sends the beginning at once and the rest byte by byte, then nothing, until the server hangs up. Gives its answer.
pub async fn dribble(address: SocketAddr, beginning: &[u8], rest: &[u8]) -> String {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    // It may hang up in the middle.
    drop(write.write_all(beginning).await);
    let rest = rest.to_vec();
    let writer = tokio::spawn(async move {
        for byte in rest {
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        // Dropped, it would say that nothing more comes.
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    // A reset is a way to hang up, too.
    drop(timeout(PATIENCE, read.read_to_end(&mut answer)).await.expect("the server waits and waits"));
    writer.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends one request of HTTP/1.1 from this address of the machine's own, and reads its answer.
pub async fn request(from: IpAddr, address: SocketAddr, head: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = format!("{head}\r\nhost: tokenwell\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("no answer").unwrap();
    answer
}
