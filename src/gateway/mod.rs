//! The HTTP edge: turns browser requests into calls: Begin and Complete through the gRPC stack, in process, the rest of
//! `flow`. Thin: no rule lives here.
//!
//! `connect` opens flows in browsers, `callback` takes what providers send back, `result` shows what came of it, `page` is what
//! people see.

mod callback;
mod connect;
mod cookie;
mod headers;
mod page;
mod query;
mod result;

use axum::{
    Router, extract::DefaultBodyLimit, http::StatusCode, middleware, response::IntoResponse as _,
    routing::get, serve::ListenerExt as _,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{api::Door, flow::Flows, provider::MAX_QUERY_BYTES};

/// The admin listener's routes: is the process alive, and can it do its work?
pub fn admin_router(flows: Flows, stopping: CancellationToken) -> Router {
    let ready = async move || {
        if stopping.is_cancelled() {
            return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
        }
        match flows.store().ping().await {
            Ok(()) => (StatusCode::OK, "ok\n"),
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
        }
    };
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready))
}

/// Serves routes until `stopping`, then lets the requests under way end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stopping: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Without it, small answers wait for the other side's acknowledgement.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned()).await?;
    Ok(())
}

/// What the handlers share.
#[derive(Debug, Clone)]
struct Gateway {
    door: Door,
    flows: Flows,
    cookie: cookie::BrowserCookie,
}

/// The gateway's routes.
pub fn router(door: Door, flows: Flows) -> Router {
    let secure = flows.public_url().starts_with("https://");
    let gateway = Gateway { door, flows, cookie: cookie::BrowserCookie::new(secure) };
    Router::new()
        .route("/oauth/connect/{integration_id}", get(connect::begin))
        .route("/oauth/connect/flows/{token}", get(connect::open))
        .route("/oauth/callback", get(callback::bare).post(callback::posted))
        .route("/oauth/callback/{project_id}/{integration_id}", get(callback::routed).post(callback::posted))
        .route("/oauth/result/{ticket}", get(result::show))
        .route("/oauth/icon.svg", get(page::icon))
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || {
            page::problem(StatusCode::NOT_FOUND, "There is no such page", "Check the address.")
                .into_response()
        })
        .layer(DefaultBodyLimit::max(MAX_QUERY_BYTES))
        // A HEAD would do what a GET does: spend a flow for somebody who only looks.
        .layer(middleware::from_fn(headers::refuse_head))
        // Outermost: every answer has the headers, whatever made it.
        .layer(middleware::from_fn_with_state(secure, headers::secure))
        .with_state(gateway)
}
