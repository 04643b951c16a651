//! The sandbox over its router, as clients and browsers see it.

mod answer;
mod api;
mod authentication;
mod callback;
mod consent;
mod failures;
mod named;
mod oauth1;
mod openid;
mod request;
mod strict;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use url::{Url, form_urlencoded};

use super::{AuthMethod, Client, Options, Quirks, RequestFormat, Sandbox};
use crate::model::{Clock, Duration, OffsetDateTime, OsRandom};

const HOST: &str = "acme.sandbox.test";
const CALLBACK: &str = "https://app.test/callback";
const CLIENT_ID: &str = "an app";
const CLIENT_SECRET: &str = "s3cret+&:%";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

type Pairs<'a> = [(&'a str, &'a str)];

/// A sandbox, its clock, and everybody who speaks to it.
struct Stage {
    sandbox: Sandbox,
    clock: Arc<HandClock>,
    quirks: Quirks,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

#[derive(Debug)]
struct HandClock(Mutex<OffsetDateTime>);

impl Clock for HandClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

impl HandClock {
    fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += Duration::seconds(seconds);
    }
}

impl Stage {
    fn strict() -> Self {
        Self::new(Quirks::default())
    }

    fn named(provider_id: &str) -> Self {
        Self::new(Quirks::named(provider_id).unwrap())
    }

    fn new(quirks: Quirks) -> Self {
        Self::with_clients(quirks, Vec::new())
    }

    /// A sandbox with further clients.
    fn with_clients(quirks: Quirks, more: Vec<Client>) -> Self {
        let client = |client_id: &str, client_secret: Option<&str>| Client {
            client_id: client_id.to_owned(),
            client_secret: client_secret.map(Into::into),
            redirect_uris: vec![CALLBACK.to_owned()],
            ..Client::default()
        };
        let mut clients =
            vec![client(CLIENT_ID, Some(CLIENT_SECRET)), client("other", Some("x")), client("public", None)];
        clients.extend(more);
        let options = Options { clients, access_token_ttl: Duration::seconds(5), quirks: quirks.clone() };
        let clock = Arc::new(HandClock(Mutex::new(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000))));
        Self { sandbox: Sandbox::new(options, clock.clone(), Arc::new(OsRandom)), clock, quirks }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.sandbox.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str, query: &Pairs<'_>) -> Answer {
        let request = Request::get(format!("{path}?{}", encode(query))).header(header::HOST, HOST);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, authorization: Option<&str>, form: &Pairs<'_>) -> Answer {
        let mut request = Request::post(path)
            .header(header::HOST, HOST)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.send(request.body(Body::from(encode(form))).unwrap()).await
    }

    /// Asks for the consent page. Given parameters replace or, when empty, remove the usual ones.
    async fn ask(&self, changes: &Pairs<'_>) -> Answer {
        let challenge = challenge();
        let usual = [
            ("client_id", CLIENT_ID),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("state", "st&te"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        self.get(&self.quirks.authorize_path, &changed(&usual, changes)).await
    }

    /// Approves, and gives the callback's parameters.
    async fn approve(&self, changes: &Pairs<'_>) -> BTreeMap<String, String> {
        let page = self.ask(changes).await;
        assert_eq!(page.status, StatusCode::OK, "{:?} {}", page.headers, page.body);
        self.decide(&page, &[("decision", "approve")]).await.callback()
    }

    async fn decide(&self, page: &Answer, form: &Pairs<'_>) -> Answer {
        let id = page.hidden("consent");
        self.post(&self.quirks.authorize_path, None, &[&[("consent", id.as_str())], form].concat()).await
    }

    /// A request to the token endpoint as the usual client, in the way that the quirks allow first.
    async fn token(&self, form: &Pairs<'_>) -> Answer {
        if self.quirks.auth_methods.first() == Some(&AuthMethod::Basic) {
            let authorization = basic(CLIENT_ID, CLIENT_SECRET);
            return self.post(&self.quirks.token_path, Some(&authorization), form).await;
        }
        let credentials = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        self.post(&self.quirks.token_path, None, &[&credentials, form].concat()).await
    }

    /// A request to the token endpoint by `GET`, or with JSON.
    async fn token_as(&self, format: RequestFormat, path: &str, params: &Pairs<'_>) -> Answer {
        let members: BTreeMap<_, _> = params.iter().copied().collect();
        let request = match format {
            RequestFormat::Form => return self.post(path, None, params).await,
            RequestFormat::Query => return self.get(path, params).await,
            RequestFormat::Json => Request::post(path)
                .header(header::HOST, HOST)
                .header(header::CONTENT_TYPE, "application/json; charset=utf-8"),
        };
        self.send(request.body(serde_json::to_string(&members).unwrap().into()).unwrap()).await
    }

    async fn exchange(&self, code: &str, changes: &Pairs<'_>) -> Answer {
        let usual = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token(&changed(&usual, changes)).await
    }

    async fn refresh(&self, refresh_token: &str, changes: &Pairs<'_>) -> Answer {
        let usual = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        self.token(&changed(&usual, changes)).await
    }

    /// The whole way to the first tokens.
    async fn connect(&self, authorization: &Pairs<'_>, exchange: &Pairs<'_>) -> Value {
        let callback = self.approve(authorization).await;
        let answer = self.exchange(&callback["code"], exchange).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()
    }

    async fn userinfo(&self, tokens: &Value) -> Answer {
        let token = tokens["access_token"].as_str().unwrap();
        let request = Request::get(&self.quirks.userinfo_path)
            .header(header::HOST, HOST)
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn works(&self, tokens: &Value) -> bool {
        self.userinfo(tokens).await.status == StatusCode::OK
    }
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    fn callback_url(&self) -> Url {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        let location = self.headers[header::LOCATION].to_str().unwrap();
        assert!(location.starts_with(CALLBACK), "{location}");
        Url::parse(location).unwrap()
    }

    fn callback(&self) -> BTreeMap<String, String> {
        self.callback_url().query_pairs().into_owned().collect()
    }

    /// The value of a hidden field.
    fn hidden(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.body.split_once(&start).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// Asserts an error of RFC 6749, section 5.2.
    fn refuses(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.json()["error"].as_str()),
            (status, Some(code)),
            "{}",
            self.body
        );
    }
}

fn owned(pairs: &Pairs<'_>) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn encode(pairs: &Pairs<'_>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn changed<'a>(usual: &Pairs<'a>, changes: &Pairs<'a>) -> Vec<(&'a str, &'a str)> {
    let kept = usual.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    kept.chain(changes.iter().filter(|(_, value)| !value.is_empty())).copied().collect()
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

fn basic(client_id: &str, client_secret: &str) -> String {
    let part = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", part(client_id), part(client_secret))))
}

fn refresh_token(tokens: &Value) -> &str {
    tokens["refresh_token"].as_str().unwrap()
}
