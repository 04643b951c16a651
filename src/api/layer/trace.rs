//! A span and one log line per call, and the request id.

use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::{Answer, method};
use crate::model::{OsRandom, Random as _};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives every call a span, logs how it ended, once, and answers with its request id.
#[derive(Debug, Clone, Copy)]
pub struct TraceLayer;

/// The layer's service.
#[derive(Debug, Clone)]
pub struct Trace<S> {
    inner: S,
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Trace { inner }
    }
}

impl<S> Service<Request<Body>> for Trace<S>
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let id = request_id(request.headers().get(REQUEST_ID));
        let shown = id.to_str().unwrap_or_default();
        let span = tracing::info_span!(
            "call",
            method = method(&request),
            request_id = shown,
            project = tracing::field::Empty
        );
        let call = span.in_scope(|| self.inner.call(request));
        let answer = async move {
            let mut response = call.await?;
            log(response.extensions().get::<Status>());
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response)
        };
        Box::pin(answer.instrument(span))
    }
}

/// Names the project in the call's span, once it is known.
pub(super) fn record_project(project: &str) {
    Span::current().record("project", project);
}

/// The caller's id, if it is a sensible one, or a new one.
fn request_id(given: Option<&HeaderValue>) -> HeaderValue {
    let sensible = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    if let Some(given) = given.filter(sensible) {
        return given.clone();
    }
    let mut bytes = [0_u8; 12];
    // Without randomness the call has no id, and fails where it needs some.
    drop(OsRandom.fill(&mut bytes));
    HeaderValue::from_str(&hex::encode(bytes)).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// Logs how a call ended.
pub(in crate::api) fn log(status: Option<&Status>) {
    let Some(status) = status.filter(|status| status.code() != Code::Ok) else {
        tracing::debug!("ok");
        return;
    };
    let code = status.code();
    let reason = status.message();
    match code {
        Code::Internal | Code::Unknown | Code::DataLoss => {
            let cause = std::error::Error::source(status).map(ToString::to_string).unwrap_or_default();
            tracing::error!(?code, reason, cause, "failed");
        }
        Code::Unavailable => {
            let cause = std::error::Error::source(status).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(?code, reason, cause, "failed");
        }
        _ => tracing::info!(?code, reason, "refused"),
    }
}
