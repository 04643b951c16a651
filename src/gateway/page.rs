//! What people see: one small page, dark and light, without anything from elsewhere.

use std::collections::BTreeMap;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};

use crate::{
    api::{Ended, Failed, FailedKind},
    model::{OsRandom, Random as _},
};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// The most characters of what people are told: it travels in an address.
const MAX_TEXT: usize = 600;

/// What the page says, to people and to the window that opened it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Content {
    status: u16,
    success: bool,
    title: String,
    text: String,
    /// Whether the text may hold words of the provider's.
    #[serde(skip)]
    quotes: bool,
    /// Read by the script: what the opener is told.
    message: BTreeMap<String, String>,
}

/// What it says after a connection was made.
pub(super) fn connected(ended: &Ended) -> Content {
    Content {
        status: StatusCode::OK.as_u16(),
        success: true,
        title: "Your account is connected".to_owned(),
        text: "You can close this window.".to_owned(),
        quotes: false,
        message: message([
            ("data-flow-id", &ended.flow_id),
            ("data-integration-id", &ended.integration_id),
            ("data-connection-id", &ended.connection_id),
        ]),
    }
}

/// What it says after a call failed.
pub(super) fn failed(failed: &Failed) -> Content {
    let (title, text) = words(failed);
    let (quotes, text) = match text {
        Text::Ours(text) => (false, text.to_owned()),
        Text::Message => (true, sentence(&failed.message)),
    };
    let known = |key: &str| failed.metadata.get(key).map_or("", String::as_str);
    Content {
        status: http_status(failed).as_u16(),
        success: false,
        title: title.to_owned(),
        text: text.chars().take(MAX_TEXT).collect(),
        quotes,
        message: message([
            ("data-flow-id", known("flow_id")),
            ("data-integration-id", known("integration_id")),
            ("data-connection-id", known("connection_id")),
            ("data-error", &failed.reason),
            ("data-oauth-error", known("oauth_error")),
        ]),
    }
}

fn message<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn http_status(failed: &Failed) -> StatusCode {
    match (failed.kind, failed.reason.as_str()) {
        (_, "SIGNATURE_REPLAYED" | "CONNECTION_ALREADY_EXISTS") => StatusCode::CONFLICT,
        (FailedKind::Request, _) | (_, "FLOW_NOT_FOUND") => StatusCode::BAD_REQUEST,
        (FailedKind::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (FailedKind::Denied, _) => StatusCode::FORBIDDEN,
        (FailedKind::NotFound, _) => StatusCode::NOT_FOUND,
        (FailedKind::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        (FailedKind::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

enum Text {
    Ours(&'static str),
    /// What developers are told.
    Message,
}

/// What people are told. Where they can do something, it says what; else it is what developers are told.
fn words(failed: &Failed) -> (&'static str, Text) {
    let (title, text) = match failed.reason.as_str() {
        "AUTHORIZATION_DENIED" => {
            let said_no = failed.metadata.get("oauth_error").is_some_and(|code| code == "access_denied");
            // Anything but the user's own no is news, and the provider's words say which.
            let text = if said_no { Text::Ours("Go back to the app to try again.") } else { Text::Message };
            return ("The connection was not approved", text);
        }
        "FLOW_NOT_FOUND" | "FLOW_EXPIRED" => (
            "This link no longer works",
            "It was used already, or is too old. Go back to the app and start again.",
        ),
        "SIGNATURE_REPLAYED" => (
            "This link was used already",
            "Go on where it has opened, or go back to the app and start again.",
        ),
        "CONNECTION_ALREADY_EXISTS" => (
            "An account is connected already",
            "It was left as it is. Go back to the app to connect another one in its place.",
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
        _ => return ("Your account could not be connected", Text::Message),
    };
    (title, Text::Ours(text))
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
    let (title, text) = (title.to_owned(), text.to_owned());
    let message = BTreeMap::new();
    Content { status: status.as_u16(), success: false, title, text, quotes: false, message }.render(&[])
}

/// The icon, so that browsers need not look for one elsewhere.
pub(super) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON).into_response()
}

impl Content {
    /// The same without anybody else's words.
    pub(super) fn in_our_words(self) -> Self {
        let text =
            if self.quotes { "Go back to the app to see what has happened.".to_owned() } else { self.text };
        Self { text, quotes: false, ..self }
    }

    /// The flow that it is about.
    pub(super) fn flow_id(&self) -> Option<&str> {
        self.message.get("data-flow-id").map(String::as_str)
    }

    /// The page, which tells these origins.
    pub(super) fn render(&self, origins: &[String]) -> Response {
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
        let (Ok(policy), Ok(status)) = (HeaderValue::try_from(policy), StatusCode::from_u16(self.status))
        else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let page = Html(markup(self, origins, &nonce).into_string());
        (status, [(header::CONTENT_SECURITY_POLICY, policy)], page).into_response()
    }
}

fn markup(content: &Content, origins: &[String], nonce: &str) -> Markup {
    let success = content.success;
    let value = |name: &str| content.message.get(name);
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
                    data-status=(if success { "success" } else { "error" })
                    data-flow-id=[value("data-flow-id")]
                    data-integration-id=[value("data-integration-id")]
                    data-connection-id=[value("data-connection-id")]
                    data-error=[value("data-error")]
                    data-oauth-error=[value("data-oauth-error")]
                    data-origins=(origins.join(" "))
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
