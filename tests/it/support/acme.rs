//! A provider whose catalog entry is the test's own.

use std::collections::{BTreeMap, HashMap};

use tokenwell::{
    api::pb::{
        auth::v1::{BeginRequest, BeginResponse},
        connection::v1::{
            Connection, GetConfigRequest, GetRequest, ImportCredentials, ImportRequest, UpdateConfigRequest,
            import_credentials::Kind,
        },
        integration::v1::{Integration, UpdateRequest},
    },
    sandbox::{Client, Failure, Quirks, TokenRequest},
};
use tonic::Status;

use super::{
    Browser, Database, Detour, Gate, ManualClock, Options, TestProvider, TestServer,
    browser::Answer,
    database, provider,
    server::{begin, get},
    steps::{basic, walk},
};

/// The provider, and the integration there.
pub const ACME: &str = "acme";
/// Where the provider is behind TLS.
const HOST: &str = "api.acme.example";
/// The connection.
pub const ADA: &str = "ada";

/// A server that has the integration `acme` at the provider `acme`, whose entry and quirks the test chooses.
pub struct Acme {
    pub clock: ManualClock,
    pub gate: Gate,
    pub detour: Detour,
    pub provider: TestProvider,
    pub server: TestServer,
    pub database: Database,
}

impl Acme {
    /// On SQLite, with the usual client. In the entry, `PROVIDER` stands for the provider's origin.
    pub async fn new(quirks: Quirks, entry: &str) -> Self {
        Self::on(database::Kind::Sqlite, quirks, entry).await
    }

    /// On this kind of database.
    pub async fn on(kind: database::Kind, quirks: Quirks, entry: &str) -> Self {
        Self::of(Database::new(kind).await, vec![provider::client()], quirks, entry).await
    }

    /// On this database, at a provider that knows these clients.
    pub async fn of(database: Database, clients: Vec<Client>, quirks: Quirks, entry: &str) -> Self {
        let (clock, gate, detour) = (ManualClock::new(), Gate::new(), Detour::default());
        let around = |router| gate.before(detour.before(router));
        let provider = TestProvider::plain_of(clients, quirks, &clock, around).await;
        let origin = format!("http://{}", provider.address);
        Self::at(provider, &origin, entry, database, (clock, gate, detour)).await
    }

    /// On SQLite, at a provider behind TLS that knows these clients.
    pub async fn secure(clients: Vec<Client>, quirks: Quirks, entry: &str) -> Self {
        let clock = ManualClock::new();
        let provider = TestProvider::quirky_of(clients, quirks, &[HOST], &clock).await;
        let about = (clock, Gate::new(), Detour::default());
        Self::at(provider, &format!("https://{HOST}"), entry, Database::sqlite(), about).await
    }

    async fn at(
        mut provider: TestProvider,
        origin: &str,
        entry: &str,
        database: Database,
        (clock, gate, detour): (ManualClock, Gate, Detour),
    ) -> Self {
        let entry = format!(
            "display_name = \"Acme\"\ncategories = [\"test\"]\ndocumentation = \"https://acme.example/docs\"\n\
             hosts = [\"127.0.0.1\", \"{HOST}\"]\n{}",
            entry.replace("PROVIDER", origin)
        );
        provider.entry = Some((format!("{ACME}.toml"), entry));
        let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
        server.create_integration(ACME, ACME).await;
        Self { clock, gate, detour, provider, server, database }
    }

    fn browser(&self) -> Browser {
        Browser::with(&self.provider.http.extra_roots, self.provider.http.resolver.clone())
    }

    /// One more server on the same database.
    pub async fn replica(&self) -> TestServer {
        let options = Options::with(&self.clock, &self.provider);
        let mut server = TestServer::start(&self.database, options).await;
        server.key.clone_from(&self.server.key);
        server
    }

    /// One more server on the same database, which does what nobody asks for.
    pub async fn background(&self) -> TestServer {
        let options = Options { background: true, ..Options::with(&self.clock, &self.provider) };
        let mut server = TestServer::start(&self.database, options).await;
        server.key.clone_from(&self.server.key);
        server
    }

    /// Changes the fields of the integration that are given.
    pub async fn update_integration(&self, integration: Integration) -> Result<Integration, Status> {
        let integration = Integration { integration_id: ACME.to_owned(), ..integration };
        let request = UpdateRequest { integration: Some(integration), update_mask: None };
        let updated = self.server.integration(&self.server.key).update(request).await?;
        Ok(updated.into_inner().integration.unwrap())
    }

    pub async fn import(&self, kind: Kind) -> Result<Connection, Status> {
        self.import_with(import(kind)).await
    }

    pub async fn import_with(&self, request: ImportRequest) -> Result<Connection, Status> {
        let imported = self.server.connection(&self.server.key).import(request).await?;
        Ok(imported.into_inner().connection.unwrap())
    }

    /// The connection with its credentials.
    pub async fn get(&self) -> Result<Connection, Status> {
        self.get_with(get(ACME, ADA)).await
    }

    /// The connection with credentials that are not those before.
    pub async fn force(&self) -> Result<Connection, Status> {
        self.get_with(GetRequest { force_refresh: true, ..get(ACME, ADA) }).await
    }

    async fn get_with(&self, request: GetRequest) -> Result<Connection, Status> {
        let got = self.server.connection(&self.server.key).get(request).await?;
        Ok(got.into_inner().connection.unwrap())
    }

    /// The connection without its credentials.
    pub async fn basic(&self) -> Result<Connection, Status> {
        basic(&self.server, ACME, ADA).await
    }

    /// The access token.
    pub async fn token(&self) -> Result<String, Status> {
        Ok(self.server.token(ACME, ADA).await?.1.access_token)
    }

    pub async fn begin(&self, config: &[(&str, &str)]) -> Result<BeginResponse, Status> {
        self.server.begin(beginning(config)).await
    }

    /// A flow up to the callback, which is given and not followed.
    pub async fn callback(&self, config: &[(&str, &str)]) -> (BeginResponse, url::Url) {
        walk(&self.server, &mut self.browser(), beginning(config)).await
    }

    /// A whole flow. Gives the gateway's answer to the callback.
    pub async fn try_connect(&self, config: &[(&str, &str)]) -> Answer {
        let mut browser = self.browser();
        let (_, callback) = walk(&self.server, &mut browser, beginning(config)).await;
        browser.get(callback.as_str()).await
    }

    /// A whole flow that succeeds.
    pub async fn connect(&self, config: &[(&str, &str)]) {
        let answer = self.try_connect(config).await;
        assert_eq!(answer.result("data-status"), "success", "{}", answer.body);
    }

    /// What `GetConfig` says.
    pub async fn config(&self) -> BTreeMap<String, String> {
        let request = GetConfigRequest { integration_id: ACME.to_owned(), connection_id: ADA.to_owned() };
        let got = self.server.connection(&self.server.key).get_config(request).await.unwrap();
        got.into_inner().connection_config.into_iter().collect()
    }

    pub async fn update_config(&self, change: &[(&str, &str)]) -> Result<BTreeMap<String, String>, Status> {
        let request = UpdateConfigRequest {
            integration_id: ACME.to_owned(),
            connection_id: ADA.to_owned(),
            connection_config: map(change),
        };
        let updated = self.server.connection(&self.server.key).update_config(request).await?;
        Ok(updated.into_inner().connection_config.into_iter().collect())
    }

    /// Lets the next token request be answered with this JSON.
    pub fn answer_next(&self, json: &str) {
        self.provider.sandbox.fail_next(Failure::Garbage(json.to_owned()));
    }

    /// Lets the next token request be answered with this error.
    pub fn refuse_next(&self, code: &str) {
        let (code, description) = (code.to_owned(), String::new());
        self.provider.sandbox.fail_next(Failure::Error { status: 400, code, description });
    }

    /// How often a path was asked that is no token endpoint. What the detour answered does not count.
    pub fn count(&self, path: &str) -> u64 {
        self.provider.sandbox.book().requests.get(path).copied().unwrap_or_default()
    }

    /// The token requests so far.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.provider.sandbox.book().token_requests
    }

    /// The last one.
    pub fn last_request(&self) -> TokenRequest {
        self.token_requests().pop().expect("nothing came to the token endpoint")
    }
}

/// An Import that has nothing but its ids and this.
pub fn import(kind: Kind) -> ImportRequest {
    ImportRequest {
        integration_id: ACME.to_owned(),
        connection_id: ADA.to_owned(),
        credentials: Some(ImportCredentials { kind: Some(kind) }),
        ..ImportRequest::default()
    }
}

/// A Begin with this config.
pub fn beginning(config: &[(&str, &str)]) -> BeginRequest {
    BeginRequest { connection_config: map(config), ..begin(ACME, ADA) }
}

/// A server that speaks http, as the plain one does.
pub fn plain() -> Quirks {
    Quirks { https: false, ..Quirks::default() }
}

pub fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The same in order, for comparing.
pub fn sorted(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    map(pairs).into_iter().collect()
}
