//! The providers of the catalog, each against the sandbox that wears its quirks, over TLS and under its own host names.

mod every;
mod gorgias;
mod pasted;
mod qualtrics;
mod salesforce;
mod shopify;
mod zendesk;
mod zoho;

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use tokenwell::{
    api::pb::{
        auth::v1::{
            BeginRequest, BeginResponse, Callback, CompleteRequest, CompleteResponse, complete_request::End,
        },
        connection::v1::{Connection, ListRequest, OAuth2Credentials},
    },
    model::{Clock as _, Duration},
    sandbox::{Quirks, TokenRequest},
};
use tonic::Status;
use url::Url;

use crate::support::{
    Browser, Database, ManualClock, Options, TestProvider, TestServer,
    provider::{CLIENT_ID, CLIENT_SECRET},
    server::begin,
};

/// The integration of every test here.
const APP: &str = "app";
/// The connection of every test here.
const ADA: &str = "ada";

/// A provider, and a server that has an app there.
struct Stage {
    clock: ManualClock,
    provider: TestProvider,
    server: TestServer,
    database: Database,
}

/// The times in a connection's row, in seconds from now.
#[derive(Debug, PartialEq, Eq)]
struct Lifetimes {
    access: Option<i64>,
    refresh: Option<i64>,
}

impl Stage {
    async fn new(provider_id: &str, hosts: &[&str]) -> Self {
        Self::with(provider_id, hosts, Quirks::named(provider_id).unwrap()).await
    }

    async fn with(provider_id: &str, hosts: &[&str], quirks: Quirks) -> Self {
        let clock = ManualClock::new();
        let provider = TestProvider::quirky(quirks, hosts, &clock).await;
        let database = Database::sqlite();
        let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
        server.create_integration(APP, provider_id).await;
        Self { clock, provider, server, database }
    }

    fn browser(&self) -> Browser {
        Browser::with(&self.provider.http.extra_roots, self.provider.http.resolver.clone())
    }

    /// Where the provider sends browsers back to.
    fn redirect_uri(&self) -> String {
        format!("{}/oauth/callback/default/{APP}", self.server.public_url)
    }

    async fn begin(&self, config: &[(&str, &str)], scopes: &[&str]) -> Result<BeginResponse, Status> {
        let connection_config =
            config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.server.begin(BeginRequest { connection_config, scopes, ..begin(APP, ADA) }).await
    }

    /// The address of the provider's page, and its parameters but for those that are the same for all, which are checked.
    fn asked(&self, begun: &BeginResponse) -> (String, BTreeMap<String, String>) {
        let mut url = Url::parse(&begun.authorization_url).unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let mut params: BTreeMap<String, String> = pairs.iter().cloned().collect();
        assert_eq!(params.len(), pairs.len(), "a parameter is there twice: {url}");
        assert_eq!(params.remove("response_type").as_deref(), Some("code"));
        assert_eq!(params.remove("client_id").as_deref(), Some(CLIENT_ID));
        assert_eq!(params.remove("redirect_uri"), Some(self.redirect_uri()));
        assert_eq!(params.remove("code_challenge_method").as_deref(), Some("S256"));
        for random in ["state", "code_challenge"] {
            assert_eq!(params.remove(random).map(|value| value.len()), Some(43), "{random}");
        }
        url.set_query(None);
        (url.into(), params)
    }

    /// Goes to the provider's page, says yes, and stops before the callback.
    async fn approve(&self, browser: &mut Browser, begun: &BeginResponse) -> Url {
        let back = self.server.consent(browser, &begun.connect_url, "approve").await;
        back.location().unwrap_or_else(|| panic!("no way back: {} {}", back.url, back.body))
    }

    /// A whole flow through the gateway.
    async fn connect(&self, config: &[(&str, &str)], scopes: &[&str]) -> BeginResponse {
        let begun = self.begin(config, scopes).await.unwrap();
        let mut browser = self.browser();
        let callback = self.approve(&mut browser, &begun).await;
        let answer = browser.get(callback.as_str()).await;
        assert_eq!(answer.result("data-status"), "success", "{}", answer.body);
        begun
    }

    /// A flow up to the callback, whose parameters are then changed and given to Complete.
    async fn complete_with(
        &self,
        config: &[(&str, &str)],
        scopes: &[&str],
        change: impl Fn(&mut Vec<(String, String)>),
    ) -> Result<CompleteResponse, Status> {
        let begun = self.begin(config, scopes).await.unwrap();
        let mut callback = self.approve(&mut self.browser(), &begun).await;
        let mut pairs: Vec<(String, String)> = callback.query_pairs().into_owned().collect();
        change(&mut pairs);
        callback.query_pairs_mut().clear().extend_pairs(pairs);
        let query = callback.query().unwrap().to_owned();
        let request = CompleteRequest { end: Some(End::Callback(Callback { query, ..Callback::default() })) };
        self.server.auth(&self.server.key).complete(request).await.map(tonic::Response::into_inner)
    }

    async fn token(&self) -> Result<(Connection, OAuth2Credentials), Status> {
        self.server.token(APP, ADA).await
    }

    /// The token of a connection, which the provider takes.
    async fn working_token(&self, host: &str) -> (Connection, String) {
        let (connection, token) = self.token().await.unwrap();
        assert_eq!(self.try_token(host, &token.access_token).await, 200);
        assert_eq!(token.token_type, "Bearer");
        (connection, token.access_token)
    }

    /// The status of an API call with this token.
    async fn try_token(&self, host: &str, token: &str) -> u16 {
        let header = format!("Bearer {token}");
        let url = format!("https://{host}/userinfo");
        let headers = [("authorization", header.as_str())];
        self.browser().send_with(reqwest::Method::GET, &url, &headers).await.status.as_u16()
    }

    /// How many connections there are.
    async fn connections(&self) -> usize {
        let mut client = self.server.connection(&self.server.key);
        client.list(ListRequest::default()).await.unwrap().into_inner().connections.len()
    }

    fn requests(&self) -> Vec<TokenRequest> {
        self.provider.sandbox.book().token_requests
    }

    fn last_request(&self) -> TokenRequest {
        self.requests().pop().expect("the token endpoint has seen nothing")
    }

    /// What the database says of the tokens' lives.
    async fn lifetimes(&self) -> Lifetimes {
        let sql = "SELECT token_expire_time, refresh_token_expire_time FROM connections";
        let database = self.database.connect().await;
        let row = database.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap();
        let row = row.expect("no connection is stored");
        let now = self.clock.now().unix_timestamp_nanos() / 1_000;
        let left = |micros: i64| (i128::from(micros) - now) / 1_000_000;
        let read = |column: &str| row.try_get::<Option<i64>>("", column).unwrap().map(left);
        let seconds = |left: Option<i128>| left.map(|left| i64::try_from(left).unwrap());
        Lifetimes {
            access: seconds(read("token_expire_time")),
            refresh: seconds(read("refresh_token_expire_time")),
        }
    }

    /// Moves the clock to where Get no longer gives the token out. Before the last fifth of its life it is left alone.
    async fn outlive(&self, lifetime: Duration) {
        let (_, before) = self.token().await.unwrap();
        let early = lifetime * 4 / 5 - Duration::SECOND;
        self.clock.advance(early);
        let refreshes = self.provider.sandbox.book().refreshes;
        let (_, still) = self.token().await.unwrap();
        assert_eq!(still.access_token, before.access_token, "the token was renewed too early");
        assert_eq!(self.provider.sandbox.book().refreshes, refreshes);
        self.clock.advance(lifetime - early);
    }
}

/// Asserts that the client authenticates in the body, and only there.
#[track_caller]
fn assert_post(request: &TokenRequest) {
    assert_eq!(request.authorization, None);
    assert_eq!(request.form["client_id"], CLIENT_ID);
    assert!(request.form["client_secret"] == CLIENT_SECRET);
    assert_eq!(request.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
}

/// Asserts the form of a code's exchange: what RFC 6749 and RFC 7636 name, these, and nothing else but the client.
#[track_caller]
fn assert_exchange(request: &TokenRequest, redirect_uri: &str, further: &[(&str, &str)]) {
    assert_eq!(request.form["grant_type"], "authorization_code");
    assert_eq!(request.form["redirect_uri"], redirect_uri);
    assert_eq!(request.form["code_verifier"].len(), 43);
    assert!(request.form["code"].starts_with("sandbox_ac_"));
    assert_form(request, &["grant_type", "redirect_uri", "code_verifier", "code"], further);
}

/// Asserts the form of a refresh.
#[track_caller]
fn assert_refresh(request: &TokenRequest, further: &[(&str, &str)]) {
    assert_eq!(request.form["grant_type"], "refresh_token");
    assert!(request.form["refresh_token"].starts_with("sandbox_rt_"));
    assert_form(request, &["grant_type", "refresh_token"], further);
}

#[track_caller]
fn assert_form(request: &TokenRequest, known: &[&str], further: &[(&str, &str)]) {
    let client = ["client_id", "client_secret"];
    let rest = request.form.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let rest: Vec<_> = rest.filter(|(name, _)| !known.contains(name) && !client.contains(name)).collect();
    assert_eq!(rest, further);
}

/// A map of parameters.
fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
