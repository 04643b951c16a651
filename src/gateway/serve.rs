//! Serving HTTP/1.1 and HTTP/2 to whoever connects, for as long and as much as is good.
//!
//! `axum::serve` has no timers, and without one hyper waits for the head of a request for ever.

use std::net::IpAddr;

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio_util::sync::CancellationToken;
use tower::Layer as _;

use crate::api::{ConnectionLimits, Incoming, MAX_FAULTY_CALLS, MAX_UNSEEN_RESETS};

/// The most bytes of the head of a request, whose target alone may have a whole callback in it. [`bounds`](super::bounds) refuses
/// less than that with a page; this is what memory is given for, more or less: hyper looks at it when it has read.
const MAX_HEAD_BYTES: usize = 48 * 1024;
/// The most requests under way on one connection of HTTP/2.
const MAX_STREAMS: u32 = 128;

/// Who is at the other end of a connection. Beside each of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Serves routes until `stopping`, then lets the requests under way end.
pub async fn serve(
    mut incoming: Incoming,
    router: Router,
    stopping: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let builder = builder(incoming.limits());
    let connections = GracefulShutdown::new();
    while let Some(connection) = stopping.run_until_cancelled(incoming.accept()).await {
        let service = Extension(Peer(connection.peer().ip())).layer(router.clone());
        let served = builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(service));
        let served = connections.watch(served.into_owned());
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
    // Nobody is let in any more who would then be let down.
    drop(incoming);
    connections.shutdown().await;
    Ok(())
}

fn builder(limits: ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Also how long a connection may be idle.
        .header_read_timeout(limits.patience)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keepalive)
        .keep_alive_timeout(limits.patience)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(MAX_FAULTY_CALLS);
    builder
}
