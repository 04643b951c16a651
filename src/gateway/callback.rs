//! Taking what providers send back, and sending the browser on.

use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use url::Url;

use super::{Gateway, page, result};
use crate::{
    api::{Ended, Failed, GatewayCaller, status::status},
    flow::{BrowserToken, CallbackRoute},
    model::{Error, ExposeSecret as _, IntegrationId, ProjectId, Result},
    provider::MAX_QUERY_BYTES,
};

/// `GET /oauth/callback/{project_id}/{integration_id}`.
pub(super) async fn routed(
    State(gateway): State<Gateway>,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let path = path.map_err(|_| Error::FlowNotFound);
    if let Ok(route) = path.and_then(|Path((project, integration))| route(&project, &integration)) {
        return complete(&gateway, Some(route), query.as_deref(), &headers).await;
    }
    // A path that names nothing possible is a path to no flow.
    let failed = Failed::new(&status(&Error::FlowNotFound));
    result::send_to(&gateway, page::failed(&failed), gateway.cookie.read(&headers).as_ref())
}

/// `GET /oauth/callback`: for shared custom callback URLs.
pub(super) async fn bare(
    State(gateway): State<Gateway>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    complete(&gateway, None, query.as_deref(), &headers).await
}

/// `POST` of the same, for providers that send a form.
pub(super) async fn posted(State(gateway): State<Gateway>, uri: Uri, body: String) -> Response {
    form(&gateway, &uri, &body).await
}

/// A form comes across sites, and so without the cookie. A redirect to the same route by GET brings it.
async fn form(gateway: &Gateway, uri: &Uri, body: &str) -> Response {
    if body.len() > MAX_QUERY_BYTES {
        return page::problem(StatusCode::PAYLOAD_TOO_LARGE, "This answer is too large", "Begin again.");
    }
    if !gateway.flows.expects_form(body).await.unwrap_or(false) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")]).into_response();
    }
    let location = format!("{}?{body}", uri.path());
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => page::problem(StatusCode::BAD_REQUEST, "This answer cannot be read", "Begin again."),
    }
}

async fn complete(
    gateway: &Gateway,
    route: Option<CallbackRoute>,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Response {
    let browser = gateway.cookie.read(headers);
    let caller = GatewayCaller::new(route, browser.clone());
    match gateway.door.complete(query.unwrap_or_default(), caller).await {
        Ok(ended) => succeeded(gateway, &ended, browser.as_ref()),
        Err(failed) => refused(gateway, &failed, browser.as_ref()),
    }
}

fn succeeded(gateway: &Gateway, ended: &Ended, browser: Option<&BrowserToken>) -> Response {
    let mut params = vec![
        ("tokenwell_flow_id", ended.flow_id.as_str()),
        ("tokenwell_integration_id", &ended.integration_id),
        ("tokenwell_connection_id", &ended.connection_id),
    ];
    match &ended.confirmation {
        Some(confirmation) => {
            params.push(("tokenwell_status", "confirm"));
            params.push(("tokenwell_confirmation", confirmation.expose_secret()));
        }
        None => params.push(("tokenwell_status", "success")),
    }
    match send_on(&ended.return_url, &params) {
        Some(response) => response,
        None => result::send_to(gateway, page::connected(ended), browser),
    }
}

fn refused(gateway: &Gateway, failed: &Failed, browser: Option<&BrowserToken>) -> Response {
    let known = |key: &str| failed.metadata.get(key).map(String::as_str);
    let mut params = vec![("tokenwell_status", "error"), ("tokenwell_error", failed.reason.as_str())];
    let ids = [
        ("tokenwell_flow_id", "flow_id"),
        ("tokenwell_integration_id", "integration_id"),
        ("tokenwell_connection_id", "connection_id"),
        ("tokenwell_oauth_error", "oauth_error"),
    ];
    params.extend(ids.iter().filter_map(|(name, key)| Some((*name, known(key)?))));
    match send_on(known("return_url").unwrap_or_default(), &params) {
        Some(response) => response,
        None => result::send_to(gateway, page::failed(failed), browser),
    }
}

/// 303, never 307 or 308: what the provider sent must not be sent on.
fn send_on(return_url: &str, params: &[(&str, &str)]) -> Option<Response> {
    let mut url = Url::parse(return_url).ok()?;
    url.query_pairs_mut().extend_pairs(params);
    let mut location = HeaderValue::try_from(String::from(url)).ok()?;
    location.set_sensitive(true);
    Some((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

fn route(project: &str, integration: &str) -> Result<CallbackRoute> {
    Ok(CallbackRoute {
        project_id: ProjectId::parse(project)?,
        integration_id: IntegrationId::parse(integration)?,
    })
}
