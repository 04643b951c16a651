//! How connections come in: so many at the most, and each says something soon.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// As long as the preface of HTTP/2 (RFC 9113, section 3.4), which nothing else bounds: hyper's timers begin after it. Almost any
/// request of HTTP/1 is longer.
const FIRST_BYTES: usize = 24;
/// When the process is out of files, accepting fails at once, again and again.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The most connections of one listener.
    pub connections: usize,
    /// How long a client may take to say what it wants, or that it is still there.
    pub patience: Duration,
    /// How often an HTTP/2 client is asked whether it is still there.
    pub keepalive: Duration,
}

/// A listener, and room for its connections.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    limits: ConnectionLimits,
    places: Arc<Semaphore>,
    full: bool,
}

/// One connection. Its place is free again when it is dropped.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    peer: SocketAddr,
    first: First,
    place: OwnedSemaphorePermit,
}

/// What a new connection still owes us, and until when.
#[derive(Debug)]
struct First {
    missing: usize,
    end: Pin<Box<Sleep>>,
}

// === impl Incoming ===

impl Incoming {
    /// Bounds the connections of a listener.
    #[must_use]
    pub fn new(listener: TcpListener, limits: ConnectionLimits) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections));
        Self { listener, limits, places, full: false }
    }

    /// What its connections may take.
    #[must_use]
    pub fn limits(&self) -> ConnectionLimits {
        self.limits
    }

    /// Waits for a connection. One too many is closed at once, so that its client can go elsewhere.
    pub async fn accept(&mut self) -> Connection {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(connection) = self.admit(stream, peer) {
                        return connection;
                    }
                }
                // The client's own affair.
                Err(error) if is_of_client(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
        let place = self.places.clone().try_acquire_owned();
        if place.is_err() && !self.full {
            // Once, not for each of a flood.
            let most = self.limits.connections;
            tracing::warn!(most, listener = ?self.listener.local_addr().ok(), "too many connections: further ones are closed");
        }
        self.full = place.is_err();
        // Without it, small answers wait for the other side's acknowledgement.
        drop(stream.set_nodelay(true));
        let first = First { missing: FIRST_BYTES, end: Box::pin(sleep(self.limits.patience)) };
        Some(Connection { stream, peer, first, place: place.ok()? })
    }
}

fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

// === impl Connection ===

impl<S> Connection<S> {
    /// Who is at its other end.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What the bytes go through.
    #[must_use]
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Puts something between the connection and its bytes, such as TLS. The place stays its own, and what is agreed on first is
    /// done in the time that the first words have, which come after it.
    pub async fn wrap<T, F>(self, agree: impl FnOnce(S) -> F) -> io::Result<Connection<T>>
    where
        F: Future<Output = io::Result<T>>,
    {
        let Self { stream, peer, first: First { mut end, .. }, place } = self;
        let stream = tokio::select! {
            stream = agree(stream) => stream?,
            () = &mut end => return Err(ErrorKind::TimedOut.into()),
        };
        Ok(Connection { stream, peer, first: First { missing: FIRST_BYTES, end }, place })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let first = &mut self.first;
        first.missing = first.missing.saturating_sub(buffer.filled().len() - before);
        if read.is_pending() && first.missing > 0 && first.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
