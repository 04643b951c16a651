//! The HTTP edge: turns browser requests into calls: Begin and Complete through the gRPC stack, in process, the rest of
//! `flow`. Thin: no rule lives here.
//!
//! `connect` opens flows in browsers, `callback` takes what providers send back, `result` shows what came of it, `page` is what
//! people see.

mod bounds;
mod callback;
mod client;
mod connect;
mod cookie;
mod headers;
mod page;
mod query;
mod rate;
mod result;
mod serve;

use std::time::Duration;

use axum::{
    Router, extract::DefaultBodyLimit, http::StatusCode, middleware, response::IntoResponse as _,
    routing::get,
};
use client::Clients;
use ipnet::IpNet;
pub use rate::Rate;
use rate::RateLimit;
pub use serve::serve;
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

/// What the gateway bears, and whom it believes.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// How long a request may take.
    pub time: Duration,
    /// How often a client may ask.
    pub rate: Option<Rate>,
    /// Whose word counts for who asks.
    pub trusted_proxies: Vec<IpNet>,
}

/// What the handlers share.
#[derive(Debug, Clone)]
struct Gateway {
    door: Door,
    flows: Flows,
    cookie: cookie::BrowserCookie,
}

/// The gateway's routes.
pub fn router(door: Door, flows: Flows, options: &GatewayOptions) -> Router {
    let secure = flows.public_url().starts_with("https://");
    let gateway = Gateway { door, flows, cookie: cookie::BrowserCookie::new(secure) };
    let mut flows = Router::new()
        .route("/oauth/connect/{integration_id}", get(connect::begin))
        .route("/oauth/connect/flows/{token}", get(connect::open))
        .route("/oauth/callback", get(callback::bare).post(callback::posted))
        .route("/oauth/callback/{project_id}/{integration_id}", get(callback::routed).post(callback::posted))
        .route("/oauth/result/{ticket}", get(result::show));
    if let Some(rate) = options.rate {
        let limit = RateLimit::new(rate, Clients::new(options.trusted_proxies.clone()));
        // For what costs something.
        flows = flows.route_layer(middleware::from_fn_with_state(limit, rate::limit));
    }
    flows
        .route("/oauth/icon.svg", get(page::icon))
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || {
            page::problem(StatusCode::NOT_FOUND, "There is no such page", "Check the address.")
                .into_response()
        })
        .layer(DefaultBodyLimit::max(MAX_QUERY_BYTES))
        // A HEAD would do what a GET does: spend a flow for somebody who only looks.
        .layer(middleware::from_fn(headers::refuse_head))
        .layer(middleware::from_fn_with_state(options.time, bounds::time))
        .layer(middleware::from_fn(bounds::head))
        // Outermost: every answer has the headers, whatever made it.
        .layer(middleware::from_fn_with_state(secure, headers::secure))
        .with_state(gateway)
}
