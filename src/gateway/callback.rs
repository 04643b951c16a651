//! Taking what providers send back, and sending the browser on.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use url::Url;

use super::{Gateway, page, result};
use crate::{
    api::{Ended, Failed, GatewayCaller, status::status},
    flow::{BrowserToken, CallbackRoute},
    model::{Error, ExposeSecret, IntegrationId, ProjectId, Result},
    provider::MAX_QUERY_BYTES,
};

/// What a form becomes for the one step from its POST to a GET.
const FORM: &str = "tokenwell_form=";

/// `GET /oauth/callback/{project_id}/{integration_id}`.
pub(super) async fn routed(
    State(gateway): State<Gateway>,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let path = path.map_err(|_| Error::FlowNotFound);
    if let Ok(route) = path.and_then(|Path((project, integration))| route(&project, &integration)) {
        return complete(&gateway, Some(route), &uri, &headers).await;
    }
    // A path that names nothing possible is a path to no flow.
    let failed = Failed::new(&status(&Error::FlowNotFound));
    result::send_to(&gateway, page::failed(&failed), gateway.cookie.read(&headers).as_ref())
}

/// `GET /oauth/callback`: for shared custom callback URLs.
pub(super) async fn bare(State(gateway): State<Gateway>, uri: Uri, headers: HeaderMap) -> Response {
    complete(&gateway, None, &uri, &headers).await
}

/// `POST` of the same, for providers that send a form.
pub(super) async fn posted(State(gateway): State<Gateway>, uri: Uri, body: String) -> Response {
    form(&gateway, &uri, &body).await
}

/// A form comes across sites, and so without the cookie. A redirect to the same route by GET brings it. What the form holds is sealed on
/// that way: it came as a form to be in no address.
async fn form(gateway: &Gateway, uri: &Uri, body: &str) -> Response {
    if body.len() > MAX_QUERY_BYTES {
        return page::problem(StatusCode::PAYLOAD_TOO_LARGE, "This answer is too large", "Begin again.");
    }
    if !gateway.flows.expects_form(body).await.unwrap_or(false) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")]).into_response();
    }
    let location = gateway.flows.seal_form(uri.path(), body).map(|ticket| format!("?{FORM}{ticket}"));
    match location.and_then(|location| HeaderValue::try_from(location).map_err(Error::internal)) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(error) => page::failed(&Failed::new(&status(&error))).render(&[]),
    }
}

async fn complete(
    gateway: &Gateway,
    route: Option<CallbackRoute>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let browser = gateway.cookie.read(headers);
    let caller = GatewayCaller::new(route, browser.clone());
    let query = uri.query().unwrap_or_default();
    let form = match query.strip_prefix(FORM).map(|ticket| gateway.flows.open_form(uri.path(), ticket)) {
        Some(None) => {
            let failed = Failed::new(&status(&Error::FlowNotFound));
            return result::send_to(gateway, page::failed(&failed), browser.as_ref());
        }
        form => form.flatten(),
    };
    match gateway.door.complete(form.as_ref().map_or(query, ExposeSecret::expose_secret), caller).await {
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
