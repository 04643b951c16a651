//! How large a request's head may be, and how long a request may take.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    middleware::Next,
    response::Response,
};

use super::page;
use crate::provider::MAX_QUERY_BYTES;

/// The most bytes of a request's target: the largest form, sealed for its way and so a third longer, and a path.
const MAX_TARGET_BYTES: usize = MAX_QUERY_BYTES * 4 / 3 + 6 * 1024;
/// The most bytes of a request's headers, as HTTP/2 counts them (RFC 9113, section 6.5.2).
const MAX_HEADER_BYTES: usize = 16 * 1024;
const HEADER_OVERHEAD: usize = 32;

/// Refuses heads that are too large.
pub(super) async fn head(request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET_BYTES {
        return page::problem(StatusCode::URI_TOO_LONG, "This link is too long", "Begin again.");
    }
    if size(request.headers()) > MAX_HEADER_BYTES {
        return page::problem(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "Your browser sends too much",
            "Delete the cookies of this site, then begin again.",
        );
    }
    next.run(request).await
}

/// Ends what takes too long: the body that comes by the byte, for one. Calls have deadlines of their own, which are earlier.
pub(super) async fn time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => page::problem(
            StatusCode::REQUEST_TIMEOUT,
            "This took too long",
            "Go back to the app and start again.",
        ),
    }
}

fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD).sum()
}
