//! The pages that a person sees. maud escapes whatever it is given.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use url::Url;

use super::{authorize::DEFAULT_ACCOUNT, memory::Consent};

/// Without `form-action`: the form's answer leads to the client, wherever that is, and browsers hold it against redirects.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

const STYLE: &str = "
:root { color-scheme: light dark; --ground: #eef1f5; --card: #fff; --text: #16202c; --soft: #5a6878; --line: #d5dce4;
  --accent: #0b6e63; --on-accent: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #10151b; --card: #1a212a; --text: #e8edf2; --soft: #9fadbb; --line: #34404d;
    --accent: #5cd0bd; --on-accent: #06231f; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--ground);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 26rem; padding: 2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; overflow-wrap: anywhere; }
p { margin: .5rem 0 0; }
.badge { display: inline-block; margin: 0; padding: .1rem .6rem; border: 1px solid var(--line); border-radius: 99px;
  color: var(--soft); font-size: .8rem; }
.soft { margin-top: 1rem; color: var(--soft); font-size: .9rem; }
h1 { margin: 1rem 0 0; font-size: 1.35rem; line-height: 1.3; }
ul { margin: 1rem 0 0; padding: 0; list-style: none; border-top: 1px solid var(--line); }
li { padding: .5rem 0; border-bottom: 1px solid var(--line); font: .9rem/1.5 ui-monospace, monospace; }
label { display: block; margin-top: 1.25rem; font-size: .9rem; font-weight: 600; }
input { width: 100%; margin-top: .3rem; padding: .6rem .75rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--ground); color: inherit; font: inherit; }
.buttons { display: flex; gap: .75rem; margin-top: 1.5rem; }
button { flex: 1; padding: .65rem 1rem; border: 1px solid var(--line); border-radius: 8px; background: transparent;
  color: inherit; font: inherit; font-weight: 600; cursor: pointer; }
button[value=approve] { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button:hover { filter: brightness(1.08); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
";

/// Asks the user. The form holds nothing but the id of what is asked.
pub(super) fn consent(id: &str, consent: &Consent, action: &str) -> Response {
    let target = Url::parse(&consent.redirect_uri).ok();
    let target = target.as_ref().and_then(Url::host_str).unwrap_or(&consent.redirect_uri);
    page(
        StatusCode::OK,
        "Connect an account",
        &html! {
            h1 { "Let " strong data-testid="client" { (consent.client_id) } " use your account?" }
            @if consent.scopes.is_empty() {
                p { "It asks for no particular scope." }
            } @else {
                p { "It asks for these scopes:" }
                ul { @for scope in &consent.scopes { li data-testid="scope" { (scope) } } }
            }
            form method="post" action=(action) {
                input type="hidden" name="consent" value=(id);
                label for="account" { "Account" }
                input #account name="account" value=(DEFAULT_ACCOUNT) data-testid="account" maxlength="200"
                    autocomplete="off" spellcheck="false";
                div.buttons {
                    // The first button is the one that Enter presses.
                    button name="decision" value="approve" data-testid="approve" { "Approve" }
                    button name="decision" value="deny" data-testid="deny" { "Deny" }
                }
            }
            p.soft { "Then you go back to " (target) ". No real account is behind this page: any name will do." }
        },
    )
}

/// Lets the browser post a callback. A person presses the button: this page runs no script.
pub(super) fn form_post(action: &str, params: &[(String, String)]) -> Response {
    page(
        StatusCode::OK,
        "Go back to the app",
        &html! {
            h1 { "Go back to the app" }
            form method="post" action=(action) data-testid="form-post" {
                @for (name, value) in params { input type="hidden" name=(name) value=(value); }
                div.buttons { button data-testid="continue" { "Continue" } }
            }
        },
    )
}

/// Says what is wrong, where it would not be safe to send the browser anywhere.
pub(super) fn problem(words: &str) -> Response {
    page(
        StatusCode::BAD_REQUEST,
        "This request is not valid",
        &html! {
            h1 { "This request is not valid" }
            p data-testid="problem" { (words) }
            p.soft { "Go back to the app that sent you here, and begin again." }
        },
    )
}

fn page(status: StatusCode, title: &str, content: &Markup) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Tokenwell sandbox" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { p.badge { "Tokenwell sandbox" } (content) } }
        }
    };
    let mut response = Response::new(Body::from(markup.into_string()));
    *response.status_mut() = status;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
