//! The page that shows what came of a callback, at an address of its own: that of the callback holds the code and the state,
//! which stay out of the address bar, of the history, and of whatever reads them.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{
    Gateway,
    page::{self, Content},
};
use crate::{
    flow::BrowserToken,
    model::{Error, Result},
};

/// Sends a browser to its page. The address holds all that the page shows, sealed for this browser, so that any replica can
/// show it, nobody can make one up, and no cookie has to carry it.
pub(super) fn send_to(gateway: &Gateway, content: Content, browser: Option<&BrowserToken>) -> Response {
    // Without a cookie it opens for whoever has the address: nobody shall read a text there that somebody else has thought of.
    let content = if browser.is_some() { content } else { content.in_our_words() };
    let location = || -> Result<HeaderValue> {
        let content = serde_json::to_string(&content).map_err(Error::internal)?;
        let ticket = gateway.flows.seal_result(content, browser)?;
        // Whole: a callback may have come by way of another domain, which has no such page.
        let page = format!("{}/oauth/result/{ticket}", gateway.flows.public_url());
        HeaderValue::try_from(page).map_err(Error::internal)
    };
    match location() {
        Ok(mut location) => {
            location.set_sensitive(true);
            (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a result could not be sealed");
            let text = "Go back to the app to see what has happened.";
            page::problem(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side", text)
        }
    }
}

/// `GET /oauth/result/{ticket}`.
pub(super) async fn show(
    State(gateway): State<Gateway>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let browser = gateway.cookie.read(&headers);
    let content = path.ok().and_then(|Path(ticket)| gateway.flows.open_result(&ticket, browser.as_ref()));
    match content.and_then(|content| serde_json::from_str::<Content>(&content).ok()) {
        Some(content) => content.render(&origins(&gateway, content.flow_id()).await),
        None => page::problem(StatusCode::NOT_FOUND, "There is nothing to see here", "Go back to the app."),
    }
}

/// The origins that the page may tell. Without them it tells nobody.
async fn origins(gateway: &Gateway, flow_id: Option<&str>) -> Vec<String> {
    let Some(id) = flow_id.and_then(|id| id.parse().ok()) else { return Vec::new() };
    gateway.flows.opener_origins(id).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the origins of a flow's project could not be read");
        Vec::new()
    })
}
