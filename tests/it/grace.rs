//! A provider that is not ours and forgives: `django-oauth-toolkit` rotates refresh tokens, and takes a spent one again for a
//! while, for clients that never got the answer.
//!
//! It wants to know the callback URL before it starts, so the public URL is a fixed name, and the browser reaches the gateway
//! under it as through a reverse proxy. The provider lives in real time, Tokenwell in the test's.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokenwell::{
    api::pb::{
        connection::v1::{ImportCredentials, ImportOAuth2, ImportRequest, import_credentials::Kind},
        integration::v1::{CreateRequest, Integration},
    },
    model,
};

use crate::support::{
    Browser, Database, Foreign, ManualClock, Options, TestServer,
    browser::Answer,
    grace,
    oidc::{CLIENT_ID, CLIENT_SECRET},
    server::begin,
};

const PUBLIC_URL: &str = "https://connect.example.test";
/// How long access tokens live, in seconds.
const TTL: u32 = 60;

/// A server with the provider's integration `grace`.
struct House {
    server: TestServer,
    clock: ManualClock,
    provider: Foreign,
    _database: Database,
}

impl House {
    /// At a provider that takes a spent refresh token again for so many seconds.
    async fn new(grace_period: u32) -> Self {
        let callback = format!("{PUBLIC_URL}/oauth/callback/default/grace");
        let provider = grace::start(&callback, TTL, grace_period).await;
        let (clock, database) = (ManualClock::new(), Database::sqlite());
        let mut options = Options::new(&clock);
        options.providers.push(grace::entry(&provider, &provider.origin));
        options.public_url = Some(PUBLIC_URL.to_owned());
        let server = TestServer::start(&database, options).await;
        let integration = Integration {
            integration_id: "grace".to_owned(),
            provider_id: "grace".to_owned(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            ..Integration::default()
        };
        let request = CreateRequest { integration: Some(integration) };
        server.integration(&server.key).create(request).await.unwrap();
        Self { server, clock, provider, _database: database }
    }

    /// Where a reverse proxy would send a request for this public address.
    fn behind_proxy(&self, url: &str) -> String {
        let rest = url.strip_prefix(PUBLIC_URL).expect("this is not the gateway's public address");
        format!("{}{rest}", self.server.gateway())
    }

    /// A whole flow: begins, signs in at the provider, consents, and comes back.
    async fn connect(&self, connection: &str) {
        let mut browser = Browser::new();
        let begun = self.server.begin(begin("grace", connection)).await.unwrap();
        let login = browser.open(&self.behind_proxy(&begun.connect_url)).await;
        assert_eq!(login.url.path(), "/login/", "{}", login.body);
        let mut form = hidden(&login);
        form.extend([("username".to_owned(), "ada".to_owned()), ("password".to_owned(), "ada".to_owned())]);
        let signed_in = submit(&mut browser, &login, &form).await;
        let consent = browser.follow(signed_in, |_| false).await;
        assert_eq!(consent.url.path(), "/o/authorize/", "{}", consent.body);
        let mut form = hidden(&consent);
        form.push(("allow".to_owned(), "Authorize".to_owned()));
        let back = submit(&mut browser, &consent, &form).await;
        let callback = back.location().expect("the provider does not send the browser back");
        let result = browser.get(&self.behind_proxy(callback.as_str())).await;
        assert_eq!(result.result("data-status"), "success", "{}", result.body);
    }

    async fn token(&self, connection: &str) -> String {
        self.server.token("grace", connection).await.unwrap().1.access_token
    }

    /// Lets Tokenwell's time go on until the present token has expired.
    fn expire(&self) {
        self.clock.advance(model::Duration::seconds(i64::from(TTL) + 1));
    }

    /// What the provider says to this access token.
    async fn userinfo(&self, token: &str) -> Answer {
        let (url, header) = (format!("{}/me", self.provider.origin), format!("Bearer {token}"));
        Browser::new().send_with(Method::GET, &url, &[("authorization", &header)]).await
    }

    /// Redeems a refresh token as the client, past Tokenwell.
    #[expect(clippy::disallowed_methods, reason = "this is not Tokenwell's client")]
    async fn redeem(&self, refresh_token: &str) -> (StatusCode, Value) {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
            .extend_pairs([("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)])
            .finish();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}/o/token/", self.provider.origin)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.send().await.unwrap();
        let status = answer.status();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    async fn import(&self, connection: &str, refresh_token: &str) {
        let oauth2 = ImportOAuth2 { refresh_token: refresh_token.to_owned(), ..ImportOAuth2::default() };
        let request = ImportRequest {
            integration_id: "grace".to_owned(),
            connection_id: connection.to_owned(),
            credentials: Some(ImportCredentials { kind: Some(Kind::Oauth2(oauth2)) }),
            ..ImportRequest::default()
        };
        self.server.connection(&self.server.key).import(request).await.unwrap();
    }
}

/// The hidden fields of the page's form.
fn hidden(page: &Answer) -> Vec<(String, String)> {
    let inputs =
        page.body.split("<input type=\"hidden\"").skip(1).map(|rest| rest.split('>').next().unwrap());
    let attribute = |input: &str, name: &str| {
        let rest = input.split_once(&format!("{name}=\""))?.1;
        Some(rest.split('"').next().unwrap().replace("&amp;", "&"))
    };
    inputs.filter_map(|input| Some((attribute(input, " name")?, attribute(input, " value")?))).collect()
}

/// Sends the page's form to where it came from.
async fn submit(browser: &mut Browser, page: &Answer, form: &[(String, String)]) -> Answer {
    let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post(page.url.as_str(), &form).await
}

#[tokio::test]
async fn a_connection_is_made_and_refreshed() {
    let house = House::new(120).await;
    house.connect("ada").await;
    let first = house.token("ada").await;
    let said = house.userinfo(&first).await;
    assert_eq!((said.status, said.body.as_str()), (StatusCode::OK, "{\"sub\": \"ada\"}"));
    assert_eq!(house.token("ada").await, first, "a valid token is not refreshed");
    for round in 1..=3 {
        house.expire();
        let token = house.token("ada").await;
        assert_eq!(house.userinfo(&token).await.status, StatusCode::OK, "round {round}");
        let book = house.provider.book().await;
        assert_eq!(book.redeemed.len(), round);
        assert_eq!(book.presented, book.redeemed);
    }
    // This server ends a token when it is replaced.
    assert_eq!(house.userinfo(&first).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn within_the_grace_period_a_spent_refresh_token_brings_what_it_brought_before() {
    let house = House::new(120).await;
    let spent = house.provider.mint(1).await.remove(0);
    house.import("ada", &spent).await;
    let token = house.token("ada").await;
    let (status, again) = house.redeem(&spent).await;
    assert_eq!((status, again["access_token"].as_str()), (StatusCode::OK, Some(token.as_str())));
    let book = house.provider.book().await;
    assert_eq!((book.presented[&spent], book.redeemed[&spent]), (2, 1));
    assert_eq!((book.revoked, book.replayed), (0, vec![token]));
    // Tokenwell goes on with the one that replaced it.
    house.expire();
    let next = house.token("ada").await;
    assert_eq!(house.userinfo(&next).await.status, StatusCode::OK);
}

/// The twin of the last one: that the grace period is what makes the difference.
#[tokio::test]
async fn after_the_grace_period_a_spent_refresh_token_ends_the_grant() {
    let house = House::new(0).await;
    let spent = house.provider.mint(1).await.remove(0);
    house.import("ada", &spent).await;
    house.token("ada").await;
    let (status, refused) = house.redeem(&spent).await;
    assert_eq!((status, refused["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));
    assert_eq!(house.provider.book().await.revoked, 1);
    house.expire();
    let gone = house.server.token("grace", "ada").await;
    crate::support::assert_refused(gone, tonic::Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
}
