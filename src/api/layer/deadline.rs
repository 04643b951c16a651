//! Ends calls that take too long, with `DEADLINE_EXCEEDED`. A refresh that they began goes on.
//!
//! The server's own limit is for the answer to begin: a stream may last. The caller's deadline is for all of it.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt as _, stream::unfold};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyStream, StreamBody};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{super::status::status, Answer, refuse};
use crate::model::Error;

/// How much earlier than the caller's own deadline the answer goes out, so that it arrives, and comes before tonic's own
/// timer, which would answer CANCELLED.
const HEADROOM: Duration = Duration::from_millis(20);

/// Bounds every call by the caller's `grpc-timeout`, and the beginning of its answer by the server's own limit.
#[derive(Debug, Clone)]
pub struct DeadlineLayer {
    limit: Duration,
}

/// The layer's service.
#[derive(Debug, Clone)]
pub struct Deadline<S> {
    inner: S,
    limit: Duration,
}

/// When a call ends, if its answer has not begun by then. Beside each request.
#[derive(Debug, Clone, Copy)]
pub struct CallDeadline(pub Instant);

impl DeadlineLayer {
    /// A layer with this limit.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { inner, limit: self.limit }
    }
}

impl<S> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let asked = request.headers().get("grpc-timeout").and_then(|value| timeout(value.to_str().ok()?));
        let asked = asked.map(|asked| asked.saturating_sub(HEADROOM.min(asked / 10)));
        let limit = asked.map_or(self.limit, |asked| asked.min(self.limit));
        let now = Instant::now();
        // A deadline beyond all time is none.
        let end = asked.and_then(|asked| now.checked_add(asked));
        request.extensions_mut().insert(CallDeadline(now + limit));
        let call = self.inner.call(request);
        Box::pin(async move {
            match timeout_at(now + limit, call).await {
                Ok(answer) => answer.map(|response| until(end, response)),
                Err(_) => Ok(refuse(&Error::DeadlineExceeded)),
            }
        })
    }
}

/// The response, cut off at this time.
fn until(end: Option<Instant>, response: Response<Body>) -> Response<Body> {
    let Some(end) = end.filter(|_| !response.body().is_end_stream()) else { return response };
    response.map(|body| {
        let frames = unfold(Some(BodyStream::new(body)), move |frames| async move {
            let mut frames = frames?;
            match timeout_at(end, frames.next()).await {
                Ok(frame) => Some((frame?, Some(frames))),
                Err(_) => Some((Ok(Frame::trailers(too_late())), None)),
            }
        });
        Body::new(StreamBody::new(frames))
    })
}

fn too_late() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Fails only if the message or the details do not fit into a header, which they do.
    drop(status(&Error::DeadlineExceeded).add_header(&mut trailers));
    trailers
}

/// Reads a `grpc-timeout`: at most eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(timeout("15S"), Some(Duration::from_secs(15)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        for bad in ["", "S", "123456789S", "1", "1x", "-1S", "1é"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}
