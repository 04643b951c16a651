//! `tokenwell demo --once`: a whole flow and a refresh, shown as they happen.

use std::time::Duration;

use super::{Demo, Failure, browser::Browser};
use crate::api::pb::{
    auth::v1::BeginRequest,
    connection::v1::{Connection, GetRequest, OAuth2Credentials, credentials::Kind},
};

const SHOWN: usize = 22;

/// Plays it.
pub(super) async fn play(demo: &Demo) -> Result<(), Failure> {
    let mut browser = Browser::new()?;
    step("Begin", "your backend asks for a page to open");
    let request = BeginRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "ada".to_owned(),
        ..BeginRequest::default()
    };
    let begun = demo.client.auth.clone().begin(request).await?.into_inner();
    fact("flow", &begun.flow_id);
    fact("connect_url", &cut(&begun.connect_url, 60));

    step("Browser", "the end user opens it; the gateway sets a cookie and sends them to the provider");
    let consent = browser.open(&begun.connect_url).await?;
    fact("provider", &cut(consent.url.as_str(), 60));
    fact("PKCE", parameter(&consent.url, "code_challenge_method").unwrap_or_default().as_str());

    step("Consent", "the end user approves; the provider sends them back with a code");
    let result = browser.approve(&consent).await?;
    let callback = result.hops.first().ok_or("the provider did not send the browser back")?;
    fact("callback", callback.path());

    step("Complete", "the gateway redeems the code and stores the connection, sealed");
    expect(result.status == 200 && result.body.contains(r#"data-status="success""#), "the flow failed")?;
    fact("page", "Your account is connected");

    step("Get", "your backend gets a token that works now");
    let (_, first) = get(demo).await?;
    show(&first);
    try_out(&browser, demo, &first).await?;

    step("Expiry", "the demo waits until the token has expired");
    wait(&first).await;
    let (status, _) = browser.ask(&format!("{}/userinfo", demo.sandbox_url), &first.access_token).await?;
    expect(status == 401, "the old token still works")?;
    fact("old token", "refused by the provider (401)");

    step("Get", "the same call refreshes it first: once, whoever asks");
    let (connection, second) = get(demo).await?;
    expect(second.access_token != first.access_token, "the token is the old one")?;
    show(&second);
    try_out(&browser, demo, &second).await?;
    fact("scopes", &connection.granted_scopes.join(" "));

    let green = anstyle::AnsiColor::Green.on_default().bold();
    anstream::println!(
        "\n{green}A whole flow and a refresh.{green:#} Run `tokenwell demo` to play with it yourself."
    );
    Ok(())
}

async fn get(demo: &Demo) -> Result<(Connection, OAuth2Credentials), Failure> {
    let request = GetRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "ada".to_owned(),
        ..GetRequest::default()
    };
    let response = demo.client.connection.clone().get(request).await?.into_inner();
    let connection = response.connection.ok_or("the answer has no connection")?;
    match connection.credentials.clone().and_then(|credentials| credentials.kind) {
        Some(Kind::Oauth2(oauth2)) => Ok((connection, oauth2)),
        _ => Err("the connection has no tokens".into()),
    }
}

async fn try_out(browser: &Browser, demo: &Demo, token: &OAuth2Credentials) -> Result<(), Failure> {
    let (status, body) = browser.ask(&format!("{}/userinfo", demo.sandbox_url), &token.access_token).await?;
    expect(status == 200, "the provider refuses the token")?;
    fact("provider says", &body);
    Ok(())
}

/// Waits until the token has expired, with a bar where a terminal is.
async fn wait(token: &OAuth2Credentials) {
    use std::io::{IsTerminal as _, Write as _};

    use crate::model::{Clock as _, SystemClock};

    let expiry = token.expire_time.map_or(0, |time| time.seconds + 1);
    let mut out = std::io::stdout();
    loop {
        let left = expiry - SystemClock.now().unix_timestamp();
        if left < 0 {
            break;
        }
        if out.is_terminal() {
            drop(write!(out, "\r  {:<14} {left} s ", "waiting"));
            drop(out.flush());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    if out.is_terminal() {
        drop(write!(out, "\r"));
    }
}

fn show(token: &OAuth2Credentials) {
    fact("access_token", &cut(&token.access_token, SHOWN));
    fact("token_type", &token.token_type);
}

fn step(name: &str, text: &str) {
    let (bold, dim) = (anstyle::Style::new().bold(), anstyle::Style::new().dimmed());
    anstream::println!("\n{bold}{name}{bold:#}  {dim}{text}{dim:#}");
}

fn fact(name: &str, value: &str) {
    anstream::println!("  {name:<14} {value}");
}

fn expect(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn cut(text: &str, max: usize) -> String {
    let start: String = text.chars().take(max).collect();
    if start.len() < text.len() { format!("{start}...") } else { start }
}

fn parameter(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
