//! What people see: one small page, dark and light, without anything from elsewhere.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    api::{Ended, Failed, FailedKind},
    model::{OsRandom, Random as _},
};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// What the page says, to people and to the window that opened it.
struct Content<'a> {
    status: StatusCode,
    result: &'static str,
    title: &'a str,
    text: &'a str,
    /// Read by the script: what the opener is told.
    message: Vec<(&'static str, &'a str)>,
    origins: &'a [String],
}

/// The page after a connection was made.
pub(super) fn connected(ended: &Ended, origins: &[String]) -> Response {
    render(&Content {
        status: StatusCode::OK,
        result: "success",
        title: "Your account is connected",
        text: "You can close this window.",
        message: vec![
            ("data-flow-id", &ended.flow_id),
            ("data-integration-id", &ended.integration_id),
            ("data-connection-id", &ended.connection_id),
        ],
        origins,
    })
}

/// The page after a call failed.
pub(super) fn failed(failed: &Failed, origins: &[String]) -> Response {
    let (title, text) = words(failed);
    let known = |key: &str| failed.metadata.get(key).map_or("", String::as_str);
    render(&Content {
        status: http_status(failed),
        result: "error",
        title,
        text: &text,
        message: vec![
            ("data-flow-id", known("flow_id")),
            ("data-integration-id", known("integration_id")),
            ("data-connection-id", known("connection_id")),
            ("data-error", &failed.reason),
            ("data-oauth-error", known("oauth_error")),
        ],
        origins,
    })
}

fn http_status(failed: &Failed) -> StatusCode {
    match (failed.kind, failed.reason.as_str()) {
        (FailedKind::Request, _) | (_, "FLOW_NOT_FOUND") => StatusCode::BAD_REQUEST,
        (FailedKind::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (FailedKind::Denied, _) => StatusCode::FORBIDDEN,
        (FailedKind::NotFound, _) => StatusCode::NOT_FOUND,
        (FailedKind::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        (FailedKind::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What people are told. Where they can do something, it says what; else it is what developers are told.
fn words(failed: &Failed) -> (&'static str, String) {
    let (title, text) = match failed.reason.as_str() {
        "AUTHORIZATION_DENIED" => {
            let said_no = failed.metadata.get("oauth_error").is_some_and(|code| code == "access_denied");
            // Anything but the user's own no is news, and the provider's words say which.
            let text = if said_no {
                "Go back to the app to try again.".to_owned()
            } else {
                sentence(&failed.message)
            };
            return ("The connection was not approved", text);
        }
        "FLOW_NOT_FOUND" | "FLOW_EXPIRED" => (
            "This link no longer works",
            "It was used already, or is too old. Go back to the app and start again.",
        ),
        "BROWSER_MISMATCH" => (
            "This was started in another browser",
            "Go back to the browser in which you started, or start again.",
        ),
        "PROVIDER_UNAVAILABLE" => {
            ("The other side does not answer", "Wait a little, then go back to the app and start again.")
        }
        "INTERNAL" | "STORE_UNAVAILABLE" | "DEADLINE_EXCEEDED" => {
            ("Something went wrong on our side", "Wait a little, then go back to the app and start again.")
        }
        _ => return ("Your account could not be connected", sentence(&failed.message)),
    };
    (title, text.to_owned())
}

/// A message as a sentence.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        None => String::new(),
    }
}

/// A page about a request that led to no flow.
pub(super) fn problem(status: StatusCode, title: &str, text: &str) -> Response {
    render(&Content { status, result: "error", title, text, message: Vec::new(), origins: &[] })
}

/// The icon, so that browsers need not look for one elsewhere.
pub(super) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON).into_response()
}

fn render(content: &Content<'_>) -> Response {
    let mut bytes = [0_u8; 16];
    if OsRandom.fill(&mut bytes).is_err() {
        // A nonce that can be guessed is worse than no page.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let nonce = hex::encode(bytes);
    let policy = format!(
        "default-src 'none'; img-src 'self'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    );
    let Ok(policy) = HeaderValue::try_from(policy) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let page = Html(markup(content, &nonce).into_string());
    (content.status, [(header::CONTENT_SECURITY_POLICY, policy)], page).into_response()
}

fn markup(content: &Content<'_>, nonce: &str) -> Markup {
    let success = content.result == "success";
    let value = |name: &str| content.message.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (content.title) }
                link rel="icon" href="/oauth/icon.svg" type="image/svg+xml";
                style nonce=(nonce) { (PreEscaped(STYLE)) }
            }
            body {
                main #result
                    data-testid="result"
                    data-status=(content.result)
                    data-flow-id=[value("data-flow-id")]
                    data-integration-id=[value("data-integration-id")]
                    data-connection-id=[value("data-connection-id")]
                    data-error=[value("data-error")]
                    data-oauth-error=[value("data-oauth-error")]
                    data-origins=(content.origins.join(" "))
                    role=(if success { "status" } else { "alert" })
                {
                    svg.mark.good[success].bad[!success] viewBox="0 0 48 48" aria-hidden="true" {
                        circle cx="24" cy="24" r="22" {}
                        @if success {
                            path d="M14 25l7 7 13-15" {}
                        } @else {
                            path d="M24 13v14M24 34v.5" {}
                        }
                    }
                    h1 { (content.title) }
                    p { (content.text) }
                }
                script nonce=(nonce) { (PreEscaped(SCRIPT)) }
            }
        }
    }
}
