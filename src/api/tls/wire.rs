//! Connections, with TLS or without it.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt as _, Stream,
    future::{BoxFuture, pending},
    stream::unfold,
};
use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use super::{
    Tls,
    peer::{Peer, validity},
};
use crate::api::{Connection, Incoming};

/// How often it is asked whether a client's certificate has expired.
const CHECK: Duration = Duration::from_secs(2);

/// A connection.
pub(in crate::api) enum Wire {
    /// Without TLS.
    Plain(Connection),
    /// With it.
    Tls(Box<Secured>),
}

/// A connection with TLS.
pub(in crate::api) struct Secured {
    connection: Connection<TlsStream<TcpStream>>,
    peer: Peer,
    /// Resolves when the client's certificate no longer counts.
    barred: BoxFuture<'static, ()>,
    is_barred: bool,
}

/// Makes the connections of a listener with TLS, if there is any. Handshakes hold each other up in nothing; each has its place among the
/// listener's connections.
pub(in crate::api) fn secured(
    incoming: Incoming,
    tls: Option<Tls>,
) -> impl Stream<Item = io::Result<Wire>> + Send {
    unfold((incoming, tls, JoinSet::new()), |(mut incoming, tls, mut handshakes)| async move {
        let wire = loop {
            tokio::select! {
                connection = incoming.accept() => match &tls {
                    None => break Wire::Plain(connection),
                    Some(tls) => drop(handshakes.spawn(accept(tls.clone(), connection))),
                },
                Some(done) = handshakes.join_next() => {
                    if let Ok(Some(wire)) = done {
                        break wire;
                    }
                }
            }
        };
        Some((Ok(wire), (incoming, tls, handshakes)))
    })
}

async fn accept(tls: Tls, connection: Connection) -> Option<Wire> {
    let acceptor = TlsAcceptor::from(tls.present().config.clone());
    let connection = match connection.wrap(|stream| acceptor.accept(stream)).await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            return None;
        }
    };
    let chain = connection.stream().get_ref().1.peer_certificates().unwrap_or_default();
    let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let peer = chain.first().map(Peer::new).unwrap_or_default();
    let barred = if chain.is_empty() { pending().boxed() } else { barred(tls, chain).boxed() };
    Some(Wire::Tls(Box::new(Secured { connection, peer, barred, is_barred: false })))
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

impl Connected for Wire {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Plain(_) => Peer::default(),
            Self::Tls(secured) => secured.peer.clone(),
        }
    }
}

impl AsyncRead for Wire {
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

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(secured) => Pin::new(&mut secured.connection).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(secured) => Pin::new(&mut secured.connection).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(secured) => Pin::new(&mut secured.connection).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(secured) => Pin::new(&mut secured.connection).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(secured) => secured.connection.is_write_vectored(),
        }
    }
}

// === impl Secured ===

impl Secured {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.is_barred = self.is_barred || self.barred.as_mut().poll(context).is_ready();
        if self.is_barred {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}
