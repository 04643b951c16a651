//! Refuses calls that come while as many are in progress as the server bears.
//!
//! tower's own limit and load shedding decide before they see the request, so that they could not let health checks pass.

use std::{
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::{Layer, Service};

use super::{Answer, method, refuse};
use crate::model::Error;

/// A server that is overloaded is not one that is dead.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Bounds the calls whose answer has not begun. A stream counts no longer then: those have limits of their own.
#[derive(Debug, Clone)]
pub struct ShedLayer {
    places: Arc<Semaphore>,
}

/// The layer's service. Clones share the bound.
#[derive(Debug, Clone)]
pub struct Shed<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl ShedLayer {
    /// A layer that lets so many calls in at once.
    #[must_use]
    pub fn new(calls: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(calls)) }
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Shed { inner, places: self.places.clone() }
    }
}

impl<S> Service<Request<Body>> for Shed<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if method(&request).starts_with(HEALTH) {
            return Box::pin(self.inner.call(request));
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Box::pin(ready(Ok(refuse(&Error::Overloaded))));
        };
        let call = self.inner.call(request);
        Box::pin(async move {
            let answer = call.await;
            drop(place);
            answer
        })
    }
}
