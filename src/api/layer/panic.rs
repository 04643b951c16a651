//! A panic is an INTERNAL status and a log line, not a broken connection.
//!
//! tower-http has such a layer, whose boxed body and handler make a stack that cannot be named.

use std::{
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use futures::FutureExt as _;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{Answer, refuse};
use crate::model::Error;

/// Answers panics.
#[derive(Debug, Clone, Copy)]
pub struct PanicLayer;

/// The layer's service.
#[derive(Debug, Clone)]
pub struct AnswerPanic<S> {
    inner: S,
}

impl<S> Layer<S> for PanicLayer {
    type Service = AnswerPanic<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AnswerPanic { inner }
    }
}

impl<S> Service<Request<Body>> for AnswerPanic<S>
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
        // Nothing that a panic could leave half done is used again: every call has its own.
        let call = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        // What the panic said may hold anything, so it goes nowhere.
        Box::pin(call.map(|done| done.unwrap_or_else(|_| Ok(refuse(&Error::internal("a handler panicked"))))))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceBuilder, ServiceExt as _, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered() {
        let service =
            ServiceBuilder::new().layer(PanicLayer).service(service_fn(async |request: Request<Body>| {
                assert_ne!(request.uri().path(), "/", "canary");
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }));
        let response = service.oneshot(Request::new(Body::empty())).await;
        let status = response.ok().and_then(|response| tonic::Status::from_header_map(response.headers()));
        assert_eq!(status.as_ref().map(tonic::Status::code), Some(tonic::Code::Internal));
        assert_eq!(status.as_ref().map(tonic::Status::message), Some("internal error"));
    }
}
