//! Opening flows in browsers: the connect link of a frontend, and the connect URL of a Begin.

use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{Gateway, page, query};
use crate::{
    api::{Failed, status::status},
    model::{Error, ExposeSecret as _, Result, SecretString},
};

/// `GET /oauth/connect/{integration_id}`: begins a flow for a frontend, then opens it.
pub(super) async fn begin(
    State(gateway): State<Gateway>,
    Path(integration_id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Response {
    let begin = match query::read(integration_id, &raw.unwrap_or_default()) {
        Ok(begin) => begin,
        Err(problem) => return page::problem(StatusCode::BAD_REQUEST, "This link is not complete", &problem),
    };
    let signature = begin.signature.clone();
    let connect_url = match gateway.door.begin(begin).await {
        Ok(connect_url) => connect_url,
        Err(failed) => return again(&gateway, &failed, &signature, &headers).await,
    };
    let token = connect_url.expose_secret().rsplit('/').next().unwrap_or_default();
    open_token(&gateway, token, &headers).await
}

/// `GET /oauth/connect/flows/{token}`: opens a flow that a backend began.
pub(super) async fn open(
    State(gateway): State<Gateway>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    open_token(&gateway, &token, &headers).await
}

async fn open_token(gateway: &Gateway, token: &str, headers: &HeaderMap) -> Response {
    match bind(gateway, token, headers).await {
        Ok(response) => response,
        Err(error) => page::failed(&Failed::new(&status(&error))).render(&[]),
    }
}

/// Somebody who clicks twice goes on with the flow that the first click has begun: the answer to the second is all that the
/// browser shows.
async fn again(gateway: &Gateway, failed: &Failed, signature: &str, headers: &HeaderMap) -> Response {
    if failed.reason == "SIGNATURE_REPLAYED" {
        let browser = gateway.cookie.read(headers);
        let url = gateway.flows.reopen(signature, browser.as_ref()).await;
        match url.and_then(|url| url.as_ref().map(found).transpose()) {
            Ok(Some(response)) => return response,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a flow could not be opened once more"),
        }
    }
    page::failed(failed).render(&[])
}

fn found(url: &SecretString) -> Result<Response> {
    let mut location = HeaderValue::try_from(url.expose_secret()).map_err(Error::internal)?;
    location.set_sensitive(true);
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

/// Sets the cookie and sends the browser on. A browser that has a cookie keeps it, so that flows in two of its windows do
/// not disturb each other.
async fn bind(gateway: &Gateway, token: &str, headers: &HeaderMap) -> Result<Response> {
    let browser = match gateway.cookie.read(headers) {
        Some(browser) => browser,
        None => gateway.flows.new_browser()?,
    };
    let url = gateway.flows.open(token, &browser).await?;
    let mut response = found(&url)?;
    response.headers_mut().insert(header::SET_COOKIE, gateway.cookie.set(&browser)?);
    Ok(response)
}
