//! Flows: Begin, consent, callback, Get, a refresh, and the end of the grant.

use std::collections::BTreeMap;

use tokenwell::{
    api::pb::{
        auth::v1::{BeginRequest, BeginResponse},
        connection::v1::{Connection, OAuth2Credentials, credentials::Kind},
    },
    sandbox::TokenRequest,
};
use url::Url;

use super::{
    end::{check_introspection, check_revocation, revokes},
    entry::Entry,
    house::{Actor, House, check_config, ensure, reason, same, words},
    quirks::TTL,
    scene::{GRANTED, Scene},
};
use crate::support::{Browser, browser::Answer, provider::CLIENT_ID, server::begin};

/// Asked for where the entry has no scopes of its own.
const SCOPES: [&str; 2] = ["items:read", "items:write"];
const USER_SCOPES: [&str; 2] = ["me:read", "me:write"];
/// Stands for a value that is different each time.
const RANDOM: &str = "(random)";

/// A flow of OAuth 2.0.
pub async fn authorization_code(house: &mut House, entry: &Entry, bare: bool) -> Result<(), String> {
    let scene = Scene::flow(entry, bare)?;
    let actor = house.present(entry, &scene);
    let id = if bare { "bare" } else { "full" };
    let defaults = entry.texts("default_scopes");
    let asked = if defaults.is_empty() { owned(&SCOPES) } else { Vec::new() };
    let scopes = if defaults.is_empty() { asked.clone() } else { defaults };
    let user_scopes = entry.text("user_scope_param").map(|_| owned(&USER_SCOPES)).unwrap_or_default();
    let request = BeginRequest {
        connection_config: scene.given.clone().into_iter().collect(),
        scopes: asked,
        user_scopes: user_scopes.clone(),
        ..begin(&entry.id, id)
    };
    if scopes.len() == 1 {
        // One scope alone does not show what stands between two.
        let both = [scopes.clone(), owned(&SCOPES)].concat();
        let request = BeginRequest { scopes: both.clone(), ..request.clone() };
        let begun = house.server.begin(request).await;
        let begun = begun.map_err(|status| format!("Begin with more scopes: {}", words(&status)))?;
        check_page(entry, &scene, &begun, &expected_params(house, entry, &scene, &both, &user_scopes))?;
    }
    let begun = house.server.begin(request.clone()).await;
    let begun = begun.map_err(|status| format!("Begin: {}", words(&status)))?;
    let expected = expected_params(house, entry, &scene, &scopes, &user_scopes);
    check_page(entry, &scene, &begun, &expected)?;
    approve(house, entry, &begun).await?;
    same("authorizations", &actor.sandbox.book().authorizations, &1)?;

    let first = house.get(entry, id, false).await.map_err(|status| format!("Get: {}", words(&status)))?;
    let token = check_token(house, entry, &actor, &first).await?;
    check_config(entry, &scene, &first)?;
    same("granted scopes", &first.granted_scopes, &owned(&GRANTED))?;
    check_request(house, &actor, scene.token.as_ref(), 1)?;

    let second = house.get(entry, id, true).await.map_err(|status| format!("refresh: {}", words(&status)))?;
    let renewed = check_token(house, entry, &actor, &second).await?;
    ensure(renewed != token, || "the refresh gave the old token".to_owned())?;
    check_config(entry, &scene, &second)?;
    check_request(house, &actor, scene.renewal.as_ref(), 2)?;
    same("refreshes", &actor.sandbox.book().refreshes, &1)?;

    check_introspection(house, entry, &scene, &renewed).await?;
    actor.sandbox.revoke_all();
    let refused = house.get(entry, id, true).await.map(drop).map_err(|status| reason(&status));
    same("Get after the end of the grant", &refused, &Err("NEEDS_REAUTHORIZATION".to_owned()))?;
    if revokes(entry) {
        // A new grant, for us to end.
        let begun = house.server.begin(request).await;
        let begun = begun.map_err(|status| format!("Begin once more: {}", words(&status)))?;
        approve(house, entry, &begun).await?;
        let third = house.get(entry, id, false).await;
        let third = third.map_err(|status| format!("Get once more: {}", words(&status)))?;
        let token = check_token(house, entry, &actor, &third).await?;
        check_revocation(house, entry, &actor, (id, &token)).await?;
    }
    house.check_strays()
}

/// A flow of OAuth 1.0a.
pub async fn oauth1(house: &mut House, entry: &Entry, bare: bool) -> Result<(), String> {
    let scene = Scene::flow(entry, bare)?;
    let actor = house.present(entry, &scene);
    let id = if bare { "bare" } else { "full" };
    let request =
        BeginRequest { connection_config: scene.given.clone().into_iter().collect(), ..begin(&entry.id, id) };
    let begun = house.server.begin(request).await.map_err(|status| format!("Begin: {}", words(&status)))?;
    let mut expected: BTreeMap<_, _> = scene.page_params.iter().cloned().collect();
    let scopes = entry.texts("default_scopes");
    if !scopes.is_empty() {
        expected.insert("scope".to_owned(), scopes.join(&scene.quirks.scope_separator));
    }
    expected.insert("oauth_token".to_owned(), RANDOM.to_owned());
    check_page(entry, &scene, &begun, &expected)?;
    approve(house, entry, &begun).await?;

    let connection =
        house.get(entry, id, false).await.map_err(|status| format!("Get: {}", words(&status)))?;
    check_config(entry, &scene, &connection)?;
    let Some(Kind::Oauth1(token)) = connection.credentials.and_then(|it| it.kind) else {
        return Err("it holds no credentials of OAuth 1.0a".to_owned());
    };
    same("consumer key", &token.oauth_consumer_key.as_str(), &CLIENT_ID)?;
    ensure(token.oauth_token.starts_with("sandbox_at_") && !token.oauth_token_secret.is_empty(), || {
        "its token is not the one that was given".to_owned()
    })?;
    check_request(house, &actor, scene.token.as_ref(), 2)?;
    same("tokens", &actor.sandbox.book().exchanges, &1)?;
    house.check_strays()
}

/// The parameters of the authorization request.
fn expected_params(
    house: &House,
    entry: &Entry,
    scene: &Scene,
    scopes: &[String],
    user_scopes: &[String],
) -> BTreeMap<String, String> {
    let separator = &scene.quirks.scope_separator;
    let redirect_uri = house.redirect_uri(entry);
    let scope = scopes.join(separator);
    let mut standard = vec![
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", &redirect_uri),
        ("state", RANDOM),
        ("scope", &scope),
    ];
    if scene.quirks.pkce_required {
        standard.extend([("code_challenge", RANDOM), ("code_challenge_method", "S256")]);
    }
    let named = standard.into_iter().filter_map(|(name, value)| Some((entry.param(name)?, value.to_owned())));
    let mut expected: BTreeMap<_, _> = named.chain(scene.page_params.iter().cloned()).collect();
    if entry.flag("nonce") {
        expected.insert("nonce".to_owned(), RANDOM.to_owned());
    }
    if let Some(name) = entry.text("user_scope_param") {
        expected.insert(name.to_owned(), user_scopes.join(separator));
    }
    expected
}

/// Asserts that the authorization URL is the entry's, with these parameters and no other.
fn check_page(
    entry: &Entry,
    scene: &Scene,
    begun: &BeginResponse,
    expected: &BTreeMap<String, String>,
) -> Result<(), String> {
    let page = scene.page.as_ref().unwrap();
    let url = Url::parse(&begun.authorization_url).map_err(|error| error.to_string())?;
    entry.check_pinned(&url)?;
    let parts = |url: &Url| {
        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
        (text(url.host_str()), url.path().to_owned(), text(url.fragment()))
    };
    same("authorization endpoint", &parts(&url), &parts(page))?;
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mut found: BTreeMap<_, _> = pairs.iter().cloned().collect();
    same("number of authorization parameters", &pairs.len(), &found.len())?;
    for (name, value) in &mut found {
        if expected.get(name).is_some_and(|value| value == RANDOM) && value.len() >= 43 {
            RANDOM.clone_into(value);
        }
    }
    same("authorization parameters", &found, expected)
}

/// Says yes on the provider's page, and brings the callback to the gateway.
async fn approve(house: &mut House, entry: &Entry, begun: &BeginResponse) -> Result<(), String> {
    let consent = house.browser.open(&begun.connect_url).await;
    if !consent.body.contains("name=\"consent\"") {
        return Err(format!("no consent page but {}: {}", consent.status, shown(&consent)));
    }
    let back = house.browser.decide(&consent, "approve").await;
    let callback = if entry.flag("form_post") {
        // A form comes across sites, and so without the gateway's cookie.
        let fields = hidden_fields(&back.body);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Browser::new().post(&house.redirect_uri(entry), &fields).await.location()
    } else {
        back.location()
    };
    let callback = callback.ok_or_else(|| format!("no way back but {}: {}", back.status, shown(&back)))?;
    let end = house.browser.get(callback.as_str()).await;
    ensure(end.result("data-status") == "success", || {
        format!("the callback ended with {} {}", end.result("data-error"), shown(&end))
    })
}

/// Asserts that a token is the one that the provider gave, with the lifetime that the entry leads to.
pub async fn check_token(
    house: &House,
    entry: &Entry,
    actor: &Actor,
    connection: &Connection,
) -> Result<String, String> {
    let Some(Kind::Oauth2(token)) = connection.credentials.clone().and_then(|it| it.kind) else {
        return Err("it holds no credentials of OAuth 2.0".to_owned());
    };
    let OAuth2Credentials { access_token, token_type, expire_time } = token;
    ensure(actor.opens(&access_token).await, || "its token does not work".to_owned())?;
    let declared = entry.text("token_response.token_type").unwrap_or("Bearer");
    same("token type", &token_type.as_str(), &declared)?;
    // A server that can be asked knows better than its entry.
    let asked = entry.text("introspection_endpoint").is_some();
    let default = entry.get("default_expires_in").and_then(toml::Value::as_integer);
    let lifetime = default.filter(|_| !asked).unwrap_or(TTL);
    let left = expire_time.map(|time| time.seconds - house.now());
    same("lifetime", &left, &Some(lifetime))?;
    Ok(access_token)
}

/// Asserts where the last request for a token went, and how many there were.
pub fn check_request(house: &House, actor: &Actor, url: Option<&Url>, count: usize) -> Result<(), String> {
    let requests: Vec<TokenRequest> = actor.sandbox.book().token_requests;
    same("number of token requests", &requests.len(), &count)?;
    let (Some(last), Some(url)) = (requests.last(), url) else {
        return Err("no request for a token".to_owned());
    };
    let host = url.host_str().unwrap_or_default();
    same("token endpoint", &(last.host.as_str(), last.path.as_str()), &(host, url.path()))?;
    // With whatever query the endpoint has of its own.
    let line = format!("{} {url}", last.method);
    let seen = house.front.seen();
    let there =
        seen.iter().any(|seen| if last.method == "GET" { seen.starts_with(&line) } else { *seen == line });
    ensure(there, || format!("no request `{line}`"))
}

/// The hidden fields of a page's form.
fn hidden_fields(body: &str) -> Vec<(String, String)> {
    let inputs = body.split("<input type=\"hidden\" name=\"").skip(1);
    let pairs = inputs.filter_map(|input| {
        let (name, rest) = input.split_once('"')?;
        let value = rest.split_once("value=\"")?.1.split('"').next()?;
        Some((name.to_owned(), value.replace("&amp;", "&")))
    });
    pairs.collect()
}

/// What a page says to people.
fn shown(answer: &Answer) -> String {
    let text = answer.body.split_once("<main").map_or(answer.body.as_str(), |(_, main)| main);
    text.chars().take(600).collect()
}

fn owned(scopes: &[&str]) -> Vec<String> {
    scopes.iter().map(|scope| (*scope).to_owned()).collect()
}
