//! Gives a reason to what tonic refuses by itself: a message that is too large or is none.

use std::task::{Context, Poll};

use futures::{FutureExt as _, future::Map};
use http::{Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{method, refuse};
use crate::model::Error;

/// Rewrites refusals that have no details.
#[derive(Debug, Clone, Copy)]
pub struct ExplainLayer;

/// The layer's service.
#[derive(Debug, Clone)]
pub struct Explain<S> {
    inner: S,
}

impl<S> Layer<S> for ExplainLayer {
    type Service = Explain<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Explain { inner }
    }
}

type Explained<E> = fn(Result<Response<Body>, E>) -> Result<Response<Body>, E>;

impl<S> Service<Request<Body>> for Explain<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Map<S::Future, Explained<S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ours = method(&request).starts_with("/tokenwell.");
        let call = self.inner.call(request);
        call.map(if ours { |answer| answer.map(explain) } else { |answer| answer })
    }
}

/// Whatever our own code refuses has details; what has none comes from reading the message.
fn explain(response: Response<Body>) -> Response<Body> {
    let Some(status) = response.extensions().get::<Status>().filter(|status| status.details().is_empty())
    else {
        return response;
    };
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => refuse(&Error::field("request", "is too large")),
        Code::Internal | Code::InvalidArgument => {
            refuse(&Error::field("request", "is malformed: expected one message of the method's type"))
        }
        _ => response,
    }
}
