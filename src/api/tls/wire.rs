//! Connections, with TLS or without it.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt as _, Stream, StreamExt as _,
    future::{BoxFuture, pending},
    stream::unfold,
};
use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinSet,
    time::{Instant, Sleep, sleep, sleep_until, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use super::{
    Tls,
    peer::{Peer, validity},
};

/// How long a client may take to begin: for the handshake, and for the preface of HTTP/2 after it.
const PATIENCE: Duration = Duration::from_secs(10);
/// RFC 9113, section 3.4.
const PREFACE_BYTES: usize = 24;
/// How often it is asked whether a client's certificate has expired.
const CHECK: Duration = Duration::from_secs(2);

/// A connection.
pub(in crate::api) enum Wire<S> {
    /// Without TLS.
    Plain(S),
    /// With it.
    Tls(Box<Secured<S>>),
}

/// A connection with TLS.
pub(in crate::api) struct Secured<S> {
    stream: TlsStream<S>,
    peer: Peer,
    /// What a new connection still owes us.
    preface: Option<Preface>,
    /// Resolves when the client's certificate no longer counts.
    barred: BoxFuture<'static, ()>,
    is_barred: bool,
}

struct Preface {
    missing: usize,
    end: Pin<Box<Sleep>>,
}

/// Makes the connections of a listener with TLS, if there is any. Handshakes hold each other up in nothing.
pub(in crate::api) fn secured<S>(
    incoming: impl Stream<Item = io::Result<S>> + Send,
    tls: Option<Tls>,
) -> impl Stream<Item = io::Result<Wire<S>>> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let state = (Box::pin(incoming), tls, JoinSet::new());
    unfold(state, |(mut incoming, tls, mut handshakes)| async move {
        loop {
            tokio::select! {
                next = incoming.next() => match (next?, &tls) {
                    (Err(error), _) => return Some((Err(error), (incoming, tls, handshakes))),
                    (Ok(stream), None) => return Some((Ok(Wire::Plain(stream)), (incoming, tls, handshakes))),
                    (Ok(stream), Some(tls)) => drop(handshakes.spawn(accept(tls.clone(), stream))),
                },
                Some(done) = handshakes.join_next() => {
                    if let Ok(Some(wire)) = done {
                        return Some((Ok(wire), (incoming, tls, handshakes)));
                    }
                }
            }
        }
    })
}

async fn accept<S>(tls: Tls, stream: S) -> Option<Wire<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + PATIENCE;
    let acceptor = TlsAcceptor::from(tls.present().config.clone());
    let stream = match timeout_at(deadline, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            return None;
        }
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let peer = chain.first().map(Peer::new).unwrap_or_default();
    let barred = if chain.is_empty() { pending().boxed() } else { barred(tls, chain).boxed() };
    let preface = Some(Preface { missing: PREFACE_BYTES, end: Box::pin(sleep_until(deadline)) });
    Some(Wire::Tls(Box::new(Secured { stream, peer, preface, barred, is_barred: false })))
}

/// Waits until a client's certificate has expired, or is not taken any more: its authority is gone, or has revoked it. The
/// client connects again with another one, if it has one.
async fn barred(tls: Tls, chain: Vec<CertificateDer<'static>>) {
    let expiry = validity(&chain).map(|validity| validity.end);
    let mut present = tls.inner.present.subscribe();
    loop {
        let changed = tokio::select! {
            Ok(()) = present.changed() => true,
            () = sleep(CHECK) => false,
        };
        let now = tls.inner.clock.now();
        let setup = present.borrow_and_update().clone();
        if expiry.is_none_or(|expiry| expiry <= now) || (changed && !setup.takes(&chain, now)) {
            tracing::info!("a connection ends, since its client's certificate no longer counts");
            return;
        }
    }
}

// === impl Wire ===

impl<S> Connected for Wire<S> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Plain(_) => Peer::default(),
            Self::Tls(secured) => secured.peer.clone(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(secured) => secured.poll_read(context, buffer),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(secured) => secured.stream.is_write_vectored(),
        }
    }
}

// === impl Secured ===

impl<S: AsyncRead + AsyncWrite + Unpin> Secured<S> {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.is_barred = self.is_barred || self.barred.as_mut().poll(context).is_ready();
        if self.is_barred {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(preface) = &mut self.preface {
            preface.missing = preface.missing.saturating_sub(buffer.filled().len() - before);
            if preface.missing == 0 {
                self.preface = None;
            } else if read.is_pending() && preface.end.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}
