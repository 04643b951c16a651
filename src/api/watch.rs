//! Streams: how a handler answers with one.

use std::pin::Pin;

use futures::{Stream, TryStreamExt as _};
use tonic::{Response, Status};
use tracing::Span;

use super::{layer::trace::log, status::status};
use crate::model::Result;

/// What a handler answers with.
pub(super) type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers with a stream. What ends it is logged like the end of any call, though the trace layer has seen the last of it.
pub(super) fn answer<T>(messages: impl Stream<Item = Result<T>> + Send + 'static) -> Response<Messages<T>> {
    let span = Span::current();
    let messages = messages.map_err(move |error| {
        let status = status(&error);
        span.in_scope(|| log(Some(&status)));
        status
    });
    Response::new(Box::pin(messages))
}
