//! The tower layers around the services: one file each. `api::stack` lists them in order, with reasons.

pub mod deadline;
pub mod explain;
pub mod key;
pub mod panic;
pub mod shed;
pub mod signature;
pub mod trace;

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;

use super::status::status;
use crate::model::Error;

/// What a layer's future is: one allocation per call and layer, for stacks whose types can be named.
type Answer<E> = BoxFuture<'static, Result<Response<Body>, E>>;

/// The answer to a call that a layer refuses.
fn refuse(error: &Error) -> Response<Body> {
    status(error).into_http()
}

/// The method that a request calls: `/package.Service/Method`.
fn method<B>(request: &Request<B>) -> &str {
    request.uri().path()
}
