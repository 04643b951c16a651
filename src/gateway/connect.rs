//! Opening flows in browsers: the connect link of a frontend, and the connect URL of a Begin.
//!
//! A browser gets its cookie before anything happens. Somebody who clicks twice cancels the first request, and with it the cookie that
//! its answer would have brought: what it had begun would be bound to a cookie that nobody has.

use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{Gateway, page, query};
use crate::{
    api::{Failed, FrontendBegin, status::status},
    flow::BrowserToken,
    model::{Error, ExposeSecret as _, Result, SecretString},
};

/// `GET /oauth/connect/{integration_id}`: begins a flow for a frontend, then opens it.
pub(super) async fn begin(
    State(gateway): State<Gateway>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Response {
    let raw = raw.unwrap_or_default();
    let begin = path.map_err(|_| "the address cannot be read".to_owned());
    let begin = match begin.and_then(|Path(integration_id)| query::read(integration_id, &raw)) {
        Ok(begin) => begin,
        Err(problem) => return page::problem(StatusCode::BAD_REQUEST, "This link is not complete", &problem),
    };
    let browser = match known(&gateway, &raw, &headers) {
        Ok(browser) => browser,
        Err(response) => return *response,
    };
    // In a task of its own: a flow that has begun is opened, even if nobody waits for the answer any more.
    let answer = tokio::spawn(async move { begin_for(&gateway, begin, &browser).await }).await;
    answer.unwrap_or_else(|error| failed(&Error::internal(error)))
}

/// `GET /oauth/connect/flows/{token}`: opens a flow that a backend began.
pub(super) async fn open(
    State(gateway): State<Gateway>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Ok(Path(token)) = path else { return failed(&Error::FlowNotFound) };
    match known(&gateway, &raw.unwrap_or_default(), &headers) {
        Ok(browser) => open_token(&gateway, &token, &browser).await,
        Err(response) => *response,
    }
}

/// The browser, which keeps the cookie that it has, so that flows in two of its windows do not disturb each other. One without is
/// given a cookie and asked to come again, once: it may take none.
fn known(gateway: &Gateway, raw: &str, headers: &HeaderMap) -> Result<BrowserToken, Box<Response>> {
    if let Some(browser) = gateway.cookie.read(headers) {
        return Ok(browser);
    }
    let browser = gateway.flows.new_browser().map_err(|error| Box::new(failed(&error)))?;
    if query::came_again(raw) {
        return Ok(browser);
    }
    let response = found(&query::again(raw).into()).and_then(|answer| remember(gateway, answer, &browser));
    Err(Box::new(response.unwrap_or_else(|error| failed(&error))))
}

async fn begin_for(gateway: &Gateway, begin: FrontendBegin, browser: &BrowserToken) -> Response {
    let signature = begin.signature.clone();
    match gateway.door.begin(begin).await {
        Ok(connect_url) => {
            let token = connect_url.expose_secret().rsplit('/').next().unwrap_or_default();
            open_token(gateway, token, browser).await
        }
        Err(failed) => again(gateway, &failed, &signature, browser).await,
    }
}

/// Binds the browser to the flow and sends it on.
async fn open_token(gateway: &Gateway, token: &str, browser: &BrowserToken) -> Response {
    let opened = gateway.flows.open(token, browser).await.and_then(|url| found(&url));
    let opened = opened.and_then(|answer| remember(gateway, answer, browser));
    opened.unwrap_or_else(|error| failed(&error))
}

/// Somebody who clicks twice goes on with the flow that the first click has begun: the answer to the second is all that the
/// browser shows.
async fn again(gateway: &Gateway, failed: &Failed, signature: &str, browser: &BrowserToken) -> Response {
    if failed.reason == "SIGNATURE_REPLAYED" {
        let url = gateway.flows.reopen(signature, browser).await;
        match url.and_then(|url| url.as_ref().map(found).transpose()) {
            Ok(Some(response)) => return response,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a flow could not be opened once more"),
        }
    }
    page::failed(failed).render(&[])
}

fn failed(error: &Error) -> Response {
    page::failed(&Failed::new(&status(error))).render(&[])
}

fn found(url: &SecretString) -> Result<Response> {
    let mut location = HeaderValue::try_from(url.expose_secret()).map_err(Error::internal)?;
    location.set_sensitive(true);
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

/// Sets the cookie, or makes it last longer.
fn remember(gateway: &Gateway, mut answer: Response, browser: &BrowserToken) -> Result<Response> {
    answer.headers_mut().insert(header::SET_COOKIE, gateway.cookie.set(browser)?);
    Ok(answer)
}
