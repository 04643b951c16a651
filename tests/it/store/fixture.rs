//! A store with a project and an integration in it, and short ways to make what goes into it.

use std::sync::{Arc, LazyLock};

use sea_orm::{ConnectionTrait as _, Statement};
use tokenwell::{
    app::open_store,
    config::StorageArgs,
    model::{
        Breaker, Completion, Config, Connection, ConnectionId, Credentials, Duration, ExposeSecret, FLOW_TTL,
        Flow, GrantType, Integration, IntegrationId, Metadata, OffsetDateTime, OsRandom, PageRequest,
        Project, ProjectId, ProviderId, SecretString, Secrets, StringMap, TokenSet, Uuid, uuid_v7,
    },
    store::{NewFlow, NewGrant, Store},
};
use tokio::task::JoinSet;

use crate::support::database::{Database, Kind};

/// A store on a database of its own, with the project `acme` and its integration `zendesk`.
pub struct House {
    pub database: Database,
    pub store: Store,
    pub project: ProjectId,
    pub integration: Integration,
}

impl House {
    pub async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let store = open(&database.storage()).await;
        store.migrate().await.unwrap();
        let project = add_project(&store, "acme").await;
        let integration = integration(&project, "zendesk");
        store.insert_integration(&integration).await.unwrap();
        Self { database, store, project, integration }
    }

    /// A flow of the integration, not stored.
    pub fn flow(&self, connection: &str) -> Flow {
        flow(&self.integration, connection)
    }

    /// Grants `NAME`, with the tokens `access-WORD` and `refresh-WORD`.
    pub async fn grant(&self, name: &str, word: &str, now: OffsetDateTime) -> Connection {
        self.grant_flow(&self.flow(name), word, now).await;
        self.get(name).await.0
    }

    /// Grants what this flow asks for.
    pub async fn grant_flow(&self, flow: &Flow, word: &str, now: OffsetDateTime) {
        let (config, scopes, tokens) =
            (config("subdomain", word), vec![format!("scope-{word}")], tokens(word, now));
        let grant = grant(flow, &config, &scopes, &tokens);
        self.store.put_grant(&grant, now).await.unwrap();
    }

    /// The connection of the integration with this name.
    pub async fn get(&self, name: &str) -> (Connection, Credentials) {
        let found =
            self.store.get_credentials(&self.project, &self.integration.id, &connection_id(name)).await;
        found.unwrap().expect("there is no such connection")
    }

    /// Stores a flow under the tokens `state-WORD` and `connect-WORD`.
    pub async fn begin(&self, flow: &Flow, word: &str, browser_binding: bool) {
        let (state, connect_token) = (state(word), secret(&format!("connect-{word}")));
        let new =
            NewFlow { flow, state: &state, connect_token: &connect_token, browser_binding, signature: None };
        self.store.insert_flow(&new).await.unwrap();
    }

    /// Runs a statement past the store.
    pub async fn execute(&self, sql: &str) {
        let db = self.database.connect().await;
        let done = db.execute_unprepared(sql).await.unwrap();
        assert!(done.rows_affected() > 0, "`{sql}` changed nothing");
        db.close().await.unwrap();
    }

    /// Deletes the connection of this name.
    pub async fn delete(&self, name: &str) {
        let (connection, credentials) = self.get(name).await;
        assert!(
            self.store.delete_connection(&connection, credentials.generation, None, start()).await.unwrap()
        );
    }

    /// Reads the texts of one column past the store.
    pub async fn values(&self, sql: &str) -> Vec<String> {
        let db = self.database.connect().await;
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        db.close().await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    /// Reads one value past the store.
    pub async fn value<T: sea_orm::TryGetable>(&self, sql: &str) -> T {
        let db = self.database.connect().await;
        let row =
            db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
        db.close().await.unwrap();
        row.try_get_by_index(0).unwrap()
    }
}

pub async fn open(storage: &StorageArgs) -> Store {
    open_store(storage, Arc::new(OsRandom)).await.unwrap()
}

pub async fn add_project(store: &Store, id: &str) -> ProjectId {
    let id = ProjectId::parse(id).unwrap();
    let project = Project { id: id.clone(), display_name: "A project".to_owned(), create_time: start() };
    store.insert_project(&project).await.unwrap();
    id
}

pub fn integration(project: &ProjectId, id: &str) -> Integration {
    Integration {
        row_id: new_id(),
        project_id: project.clone(),
        id: integration_id(id),
        provider_id: ProviderId::parse("zendesk").unwrap(),
        client_id: "client".to_owned(),
        client_secret: Some(secret("client-secret")),
        further_client_secrets: vec![secret("further-one"), secret("further-two")],
        private_key: Some(secret("private-key")),
        private_key_id: Some("key-1".to_owned()),
        certificate: Some("certificate".to_owned()),
        allow_private_addresses: false,
        scopes: vec!["read".to_owned(), "write".to_owned()],
        user_scopes: vec!["user:read".to_owned()],
        failure: None,
        breaker: Breaker::default(),
        create_time: start(),
        update_time: start(),
    }
}

/// What the end of this flow brings, without further secrets.
pub fn grant<'a>(
    flow: &'a Flow,
    config: &'a StringMap,
    granted_scopes: &'a [String],
    tokens: &'a TokenSet,
) -> NewGrant<'a> {
    static NONE: LazyLock<Secrets> = LazyLock::new(Secrets::default);
    NewGrant {
        project_id: &flow.project_id,
        integration_row_id: flow.integration_row_id,
        integration_id: &flow.integration_id,
        provider_id: &flow.provider_id,
        connection_id: &flow.connection_id,
        grant_type: flow.grant_type,
        metadata: flow.metadata.as_ref(),
        config,
        secrets: &NONE,
        granted_scopes,
        requested_scopes: granted_scopes,
        tokens,
        due_time: None,
        flow_id: None,
        may_replace: true,
        account: &[],
    }
}

pub fn flow(integration: &Integration, connection: &str) -> Flow {
    Flow {
        id: new_id(),
        project_id: integration.project_id.clone(),
        integration_row_id: integration.row_id,
        integration_id: integration.id.clone(),
        connection_id: connection_id(connection),
        provider_id: integration.provider_id.clone(),
        redirect_uri: "https://connect.example.com/oauth/callback".to_owned(),
        code_verifier: Some(secret("verifier")),
        grant_type: GrantType::AuthorizationCode,
        request_token_secret: Some(secret("request-token-secret")),
        nonce: Some(secret("nonce")),
        config: Config {
            values: config("subdomain", "asked"),
            secrets: [("app_key".to_owned(), secret("app-key"))].into(),
        },
        scopes: vec!["read".to_owned()],
        metadata: None,
        return_url: Some("https://app.example.com/done".to_owned()),
        completion: Completion::Confirm,
        may_replace: true,
        allow_account_change: false,
        browser_digest: None,
        authorization_url: secret("https://provider.example.com/authorize?state=s"),
        parked_query: None,
        create_time: start(),
        expire_time: start() + FLOW_TTL,
    }
}

/// Tokens that say whose they are, for an hour.
pub fn tokens(word: &str, now: OffsetDateTime) -> TokenSet {
    TokenSet {
        access_token: secret(&format!("access-{word}")),
        token_type: "Bearer".to_owned(),
        expire_time: Some(now + Duration::hours(1)),
        refresh_token: Some(secret(&format!("refresh-{word}"))),
        refresh_token_expire_time: Some(now + Duration::days(90)),
    }
}

/// Whose tokens these are.
pub fn words(credentials: &Credentials) -> (&str, Option<&str>) {
    let TokenSet { access_token, refresh_token, .. } = &credentials.tokens;
    (access_token.expose_secret(), refresh_token.as_ref().map(ExposeSecret::expose_secret))
}

/// Does this many things at once, and gives what came of them.
pub async fn at_once<T, F>(count: usize, one: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut all = JoinSet::new();
    for index in 0..count {
        all.spawn(one(index));
    }
    all.join_all().await
}

pub fn start() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()
}

pub fn new_id() -> Uuid {
    uuid_v7(&OsRandom, start()).unwrap()
}

pub fn secret(text: &str) -> SecretString {
    text.into()
}

pub fn state(word: &str) -> SecretString {
    secret(&format!("state-{word}"))
}

pub fn connection_id(id: &str) -> ConnectionId {
    ConnectionId::parse(id).unwrap()
}

pub fn integration_id(id: &str) -> IntegrationId {
    IntegrationId::parse(id).unwrap()
}

pub fn config(key: &str, value: &str) -> StringMap {
    StringMap::from([(key.to_owned(), value.to_owned())])
}

pub fn metadata(key: &str, value: &str) -> Metadata {
    let object = serde_json::json!({ key: value, "text": "ä \u{0} \u{1f511}", "list": [1, null] });
    Metadata::new(object.as_object().cloned().unwrap()).unwrap()
}

/// The page of this size after that token.
pub fn page(size: i32, token: &str) -> PageRequest {
    PageRequest::parse(size, token, "test").unwrap()
}
