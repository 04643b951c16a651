//! A provider that is not ours: `oidc-provider`, a certified OpenID provider, through a gateway behind a public address.
//!
//! The provider wants to know the callback URL before it starts, so the public URL is a fixed name, and the browser reaches
//! the gateway under it as through a reverse proxy. The provider lives in real time, Tokenwell in the test's.

mod injection;
mod resource;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokenwell::{
    api::pb::{
        connection::v1::OAuth2Credentials,
        integration::v1::{CreateRequest, Integration},
    },
    model,
};
use tokio::task::JoinSet;
use tonic::Code;
use url::Url;

use crate::support::{
    Browser, Database, Foreign, ManualClock, Options, TestServer, assert_refused,
    browser::Answer,
    oidc::{self, CLIENT_ID, CLIENT_SECRET},
    server::begin,
};

const PUBLIC_URL: &str = "https://connect.example.test";
/// How long access tokens live, in seconds.
const TTL: u32 = 4;

/// The provider's process.
struct Oidc(Foreign);

/// A server with the provider's integration `oidc`.
struct House {
    server: TestServer,
    clock: ManualClock,
    oidc: Oidc,
    _database: Database,
}

impl Oidc {
    async fn start() -> Self {
        Self(oidc::start(&format!("{PUBLIC_URL}/oauth/callback/default/oidc"), TTL).await)
    }

    /// What the provider counted.
    async fn book(&self) -> Value {
        self.0.whole_book().await
    }

    /// What the provider says to this access token.
    async fn userinfo(&self, token: &OAuth2Credentials) -> Answer {
        let header = format!("Bearer {}", token.access_token);
        let url = format!("{}/me", self.0.origin);
        Browser::new().send_with(Method::GET, &url, &[("authorization", &header)]).await
    }

    /// Whether the provider takes this access token, and for whom.
    async fn accepts(&self, token: &OAuth2Credentials, subject: &str) -> bool {
        let answer = self.userinfo(token).await;
        answer.status == StatusCode::OK && answer.body.contains(&format!("\"sub\":\"{subject}\""))
    }

    /// Takes back the whole grant of a token (RFC 7009), as a user does on the provider's pages.
    #[expect(clippy::disallowed_methods, reason = "this is not Tokenwell's client")]
    async fn revoke(&self, token: &OAuth2Credentials) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let request = client
            .post(format!("{}/token/revocation", self.0.origin))
            .basic_auth(encoded(CLIENT_ID), Some(encoded(CLIENT_SECRET)))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={}", encoded(&token.access_token)));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(self.book().await["revoked"], 1);
    }
}

impl House {
    async fn new() -> Self {
        Self::at(Oidc::start().await.0, "").await
    }

    /// At this provider, whose entry ends in these lines.
    async fn at(provider: Foreign, lines: &str) -> Self {
        let provider = Oidc(provider);
        let (clock, database) = (ManualClock::new(), Database::sqlite());
        let mut options = Options::new(&clock);
        let (file, entry) = oidc::entry(&provider.0, &provider.0.origin);
        options.providers.push((file, format!("{entry}{lines}")));
        options.public_url = Some(PUBLIC_URL.to_owned());
        let server = TestServer::start(&database, options).await;
        let integration = Integration {
            integration_id: "oidc".to_owned(),
            provider_id: "oidc".to_owned(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            ..Integration::default()
        };
        let request = CreateRequest { integration: Some(integration) };
        let made = server.integration(&server.key).create(request).await.unwrap().into_inner();
        assert_eq!(
            made.integration.unwrap().callback_url,
            format!("{PUBLIC_URL}/oauth/callback/default/oidc")
        );
        Self { server, clock, oidc: provider, _database: database }
    }

    /// Where a reverse proxy would send a request for this public address.
    fn behind_proxy(&self, url: &str) -> String {
        let rest = url.strip_prefix(PUBLIC_URL).expect("this is not the gateway's public address");
        format!("{}{rest}", self.server.gateway())
    }

    /// Begins, and walks to the provider's login form.
    async fn login_form(&self, browser: &mut Browser, connection: &str) -> Url {
        let begun = self.server.begin(begin("oidc", connection)).await.unwrap();
        let form = browser.open(&self.behind_proxy(&begun.connect_url)).await;
        assert!(form.url.path().starts_with("/interaction/"), "{}: {}", form.url, form.body);
        form.url
    }

    /// Begins, signs in, consents, and gives the callback, which is not called.
    async fn callback(&self, browser: &mut Browser, connection: &str) -> Url {
        let form = self.login_form(browser, connection).await;
        let login = [("prompt", "login"), ("login", connection), ("password", "any")];
        let answer = browser.post(form.as_str(), &login).await;
        let consent = browser.follow(answer, |_| false).await;
        assert!(consent.url.path().starts_with("/interaction/"), "{}: {}", consent.url, consent.body);
        let answer = browser.post(consent.url.as_str(), &[("prompt", "consent")]).await;
        self.back(browser, answer).await
    }

    /// Follows the provider's redirects up to the one that leads to Tokenwell.
    async fn back(&self, browser: &mut Browser, answer: Answer) -> Url {
        let home = |url: &Url| url.as_str().starts_with(PUBLIC_URL);
        let last = browser.follow(answer, home).await;
        let callback = last.location().expect("the provider does not send the browser back");
        assert!(home(&callback), "{callback}");
        callback
    }

    /// A whole flow. The connection's name is the subject's.
    async fn connect(&self, connection: &str) {
        let mut browser = Browser::new();
        let callback = self.callback(&mut browser, connection).await;
        let result = browser.get(&self.behind_proxy(callback.as_str())).await;
        assert_eq!(result.result("data-status"), "success", "{}", result.body);
    }

    async fn token(&self, connection: &str) -> OAuth2Credentials {
        self.server.token("oidc", connection).await.unwrap().1
    }

    /// Lets Tokenwell's time go on until the present token has expired.
    fn expire(&self) {
        self.clock.advance(model::Duration::seconds(i64::from(TTL) + 1));
    }
}

/// The callback with its `iss` changed by this.
fn with_iss(callback: &Url, change: impl Fn(&str) -> Vec<String>) -> Url {
    let pairs: Vec<_> = callback.query_pairs().into_owned().collect();
    assert!(pairs.iter().any(|(name, _)| name == "iss"), "the provider sent no iss: {callback}");
    let mut changed = callback.clone();
    changed.query_pairs_mut().clear();
    for (name, value) in pairs {
        let values = if name == "iss" { change(&value) } else { vec![value] };
        changed.query_pairs_mut().extend_pairs(values.iter().map(|value| (&name, value)));
    }
    changed
}

fn assert_each_once(counts: &Value, tokens: usize) {
    let counts = counts.as_object().unwrap();
    assert_eq!(counts.len(), tokens, "{counts:?}");
    assert!(counts.values().all(|count| *count == 1), "a refresh token was used twice: {counts:?}");
}

#[tokio::test]
async fn a_connection_is_made_and_refreshed() {
    let house = House::new().await;
    house.connect("ada").await;
    let first = house.token("ada").await;
    assert_eq!(first.access_token, house.token("ada").await.access_token, "a valid token is not refreshed");

    // Until the provider itself refuses it.
    for _ in 0..200 {
        if house.oidc.userinfo(&first).await.status == StatusCode::UNAUTHORIZED {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(house.oidc.userinfo(&first).await.status, StatusCode::UNAUTHORIZED);
    house.expire();
    let second = house.token("ada").await;
    assert!(house.oidc.accepts(&second, "ada").await);
    assert_ne!(first.access_token, second.access_token);

    let book = house.oidc.book().await;
    assert_eq!(book["grants"], json!({ "authorization_code": 1, "refresh_token": 1 }));
    assert_eq!((&book["refused"], &book["revoked"]), (&json!([]), &json!(0)));
    assert_each_once(&book["presented"], 1);
    assert_each_once(&book["redeemed"], 1);
}

#[tokio::test]
async fn every_refresh_token_is_presented_once_whoever_asks() {
    let house = House::new().await;
    house.connect("ada").await;
    for round in 1..=3 {
        house.expire();
        let mut asks = JoinSet::new();
        for _ in 0..30 {
            let mut client = house.server.connection(&house.server.key);
            asks.spawn(async move { client.get(crate::support::server::get("oidc", "ada")).await });
        }
        let answers = asks.join_all().await;
        let tokens: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.unwrap().into_inner().connection.unwrap().credentials.unwrap())
            .collect();
        assert!(tokens.iter().all(|token| *token == tokens[0]), "round {round}: there are several tokens");
        let book = house.oidc.book().await;
        assert_eq!(book["grants"]["refresh_token"], round);
        assert_eq!(book["refused"], json!([]));
        assert_each_once(&book["presented"], round);
        assert_each_once(&book["redeemed"], round);
    }
    // The provider would have ended the grant if a spent token had come again.
    assert_eq!(house.oidc.book().await["revoked"], 0);
    house.expire();
    assert!(house.oidc.accepts(&house.token("ada").await, "ada").await);
}

#[tokio::test]
async fn a_callback_of_another_issuer_is_refused() {
    let house = House::new().await;
    let other = |issuer: &str| vec![issuer.replace("127.0.0.1", "127.0.0.2")];
    let slash = |issuer: &str| vec![format!("{issuer}/")];
    let none = |_: &str| Vec::new();
    let empty = |_: &str| vec![String::new()];
    let twice = |issuer: &str| vec![issuer.to_owned(), issuer.to_owned()];
    let changes: [fn(&str) -> Vec<String>; 5] = [other, slash, none, empty, twice];
    for change in changes {
        let mut browser = Browser::new();
        let callback = with_iss(&house.callback(&mut browser, "ada").await, change);
        let result = browser.get(&house.behind_proxy(callback.as_str())).await;
        assert_eq!(result.status, StatusCode::BAD_REQUEST, "{callback}");
        assert_eq!(
            (result.result("data-status"), result.result("data-error")),
            ("error", "CALLBACK_INVALID")
        );
    }
    // The code of one issuer never came to another: nobody asked for a token.
    let book = house.oidc.book().await;
    assert_eq!((&book["grants"], &book["refused"]), (&json!({}), &json!([])));
    assert_refused(house.server.token("oidc", "ada").await, Code::NotFound, "CONNECTION_NOT_FOUND");
    // An unchanged callback of the same making is taken.
    house.connect("ada").await;
}

#[tokio::test]
async fn a_refusal_at_the_provider_is_told() {
    let house = House::new().await;
    let mut browser = Browser::new();
    let form = house.login_form(&mut browser, "ada").await;
    let answer = browser.get(&format!("{form}/abort")).await;
    let callback = house.back(&mut browser, answer).await;
    let result = browser.get(&house.behind_proxy(callback.as_str())).await;
    assert_eq!(result.result("data-error"), "AUTHORIZATION_DENIED", "{}", result.body);
    assert_eq!(result.result("data-oauth-error"), "access_denied");
    assert_eq!(house.oidc.book().await["grants"], json!({}));
}

/// RFC 9207, section 2.4: the issuer is checked in error responses as well, before anything they say is believed.
#[tokio::test]
async fn a_refusal_of_another_issuer_is_not_believed() {
    let house = House::new().await;
    let mut browser = Browser::new();
    let form = house.login_form(&mut browser, "ada").await;
    let answer = browser.get(&format!("{form}/abort")).await;
    let callback = house.back(&mut browser, answer).await;
    let forged = with_iss(&callback, |issuer| vec![issuer.replace("127.0.0.1", "127.0.0.2")]);
    let result = browser.get(&house.behind_proxy(forged.as_str())).await;
    assert_eq!(result.result("data-error"), "CALLBACK_INVALID", "{}", result.body);
}

#[tokio::test]
async fn a_grant_that_was_revoked_at_the_provider_needs_a_new_one() {
    let house = House::new().await;
    house.connect("ada").await;
    house.connect("bob").await;
    house.oidc.revoke(&house.token("ada").await).await;
    house.expire();
    for _ in 0..3 {
        let gone = assert_refused(
            house.server.token("oidc", "ada").await,
            Code::FailedPrecondition,
            "NEEDS_REAUTHORIZATION",
        );
        assert_eq!((&*gone.metadata["integration_id"], &*gone.metadata["connection_id"]), ("oidc", "ada"));
    }
    // It was asked once: a dead grant is not tried again by every Get.
    let book = house.oidc.book().await;
    assert_eq!(book["refused"].as_array().unwrap().len(), 1, "{book}");
    assert_eq!(book["refused"][0]["error"], "invalid_grant");
    // It is nobody else's trouble.
    assert!(house.oidc.accepts(&house.token("bob").await, "bob").await);
    // Connecting again heals it.
    house.connect("ada").await;
    assert!(house.oidc.accepts(&house.token("ada").await, "ada").await);
}
