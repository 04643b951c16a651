//! A whole server on ports of the system's choice, and clients for it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokenwell::{
    api::pb::{
        auth::v1::{BeginRequest, BeginResponse, auth_service_client::AuthServiceClient},
        connection::v1::{
            Connection, GetRequest, OAuth2Credentials, connection_service_client::ConnectionServiceClient,
            credentials::Kind,
        },
        integration::v1::{CreateRequest, Integration, integration_service_client::IntegrationServiceClient},
        project::v1::{Settings, UpdateSettingsRequest, project_service_client::ProjectServiceClient},
        provider::v1::provider_service_client::ProviderServiceClient,
        webhook::v1::webhook_service_client::WebhookServiceClient,
    },
    app::{Addresses, App, Environment},
    config::{
        BackgroundArgs, BehaviourArgs, CallerArgs, LimitArgs, ListenArgs, ProviderArgs, RefreshArgs,
        ServeArgs, TlsArgs, WebhookArgs, loopback,
    },
    flow::Flows,
    model::{ExposeSecret as _, Failpoints, OsRandom},
    oauth::HttpOptions,
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::interceptor::InterceptedService,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{
    Browser, Database, ManualClock, TestProvider,
    browser::Answer,
    provider::{CLIENT_ID, CLIENT_SECRET},
};

/// A client that sends an API key with every call.
pub type Keyed = InterceptedService<Channel, Bearer>;

/// How a server is started.
pub struct Options {
    pub clock: ManualClock,
    pub http: HttpOptions,
    pub providers: Vec<(String, String)>,
    pub public_url: Option<String>,
    pub providers_dir: Option<PathBuf>,
    pub deadline: Duration,
    /// Whether it does what nobody asks for: most tests want nothing to happen behind their backs.
    pub background: bool,
    pub heartbeat: Duration,
    pub limits: LimitArgs,
    /// By default nobody waits for a provider that is left alone: the time of tests stands still.
    pub refresh: RefreshArgs,
    pub failpoints: Failpoints,
    /// Whether it calls this machine, where the providers and receivers of tests are.
    pub loopback: bool,
    pub private_webhooks: bool,
    pub tls: TlsArgs,
    pub callers_file: Option<PathBuf>,
    /// What its clients bring, if it speaks TLS.
    pub clients: Option<ClientTlsConfig>,
}

/// A server that runs, and the first key of its project `default`.
pub struct TestServer {
    pub addresses: Addresses,
    pub public_url: String,
    pub key: String,
    pub clock: ManualClock,
    clients: Option<ClientTlsConfig>,
    flows: Option<Flows>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

/// Puts an API key into every call; none if it is empty.
#[derive(Clone)]
pub struct Bearer(String);

impl Options {
    /// A server that has only the built-in catalog.
    pub fn new(clock: &ManualClock) -> Self {
        Self {
            clock: clock.clone(),
            http: HttpOptions::default(),
            providers: Vec::new(),
            public_url: None,
            providers_dir: None,
            deadline: Duration::from_mins(1),
            background: false,
            heartbeat: Duration::from_secs(30),
            limits: LimitArgs::default(),
            refresh: RefreshArgs { refresh_patience: Duration::ZERO, ..RefreshArgs::default() },
            failpoints: Failpoints::default(),
            loopback: true,
            private_webhooks: false,
            tls: TlsArgs::default(),
            callers_file: None,
            clients: None,
        }
    }

    /// A server that reaches this provider.
    pub fn with(clock: &ManualClock, provider: &TestProvider) -> Self {
        let providers = provider.entry.clone().into_iter().collect();
        Self { http: provider.http.clone(), providers, ..Self::new(clock) }
    }
}

impl TestServer {
    /// Starts a server on this database. `key` is empty if the database is not new.
    pub async fn start(database: &Database, options: Options) -> Self {
        let args = ServeArgs {
            storage: database.storage(),
            providers: ProviderArgs {
                providers_dir: options.providers_dir,
                dev_loopback_providers: options.loopback,
                provider_ca_file: None,
            },
            listen: ListenArgs {
                grpc_listen: loopback(0),
                gateway_listen: loopback(0),
                admin_listen: loopback(0),
                public_url: options.public_url,
            },
            tls: options.tls,
            callers: CallerArgs { callers_file: options.callers_file },
            behaviour: BehaviourArgs {
                deadline: options.deadline,
                drain: Duration::from_secs(5),
                heartbeat: options.heartbeat,
                no_reflection: false,
                no_migrate: false,
            },
            limits: options.limits,
            refresh: options.refresh,
            background: BackgroundArgs { no_background: !options.background, no_refresh_ahead: false },
            webhooks: WebhookArgs { allow_private_webhooks: options.private_webhooks },
            failpoints: options.failpoints,
        };
        let environment = Environment {
            clock: Some(Arc::new(options.clock.clone())),
            random: Arc::new(OsRandom),
            http: options.http,
            providers: options.providers,
        };
        let mut app = App::start(&args, environment).await.unwrap();
        let key =
            app.take_first_key().map(|first| first.secret.expose_secret().to_owned()).unwrap_or_default();
        let addresses = app.addresses().unwrap();
        let public_url = app.public_url().to_owned();
        let flows = Some(app.flows().clone());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            app.run(async move { drop(stopped.await) }).await.unwrap();
        });
        let (clock, clients) = (options.clock, options.clients);
        Self { addresses, public_url, key, clock, clients, flows, stop: Some(stop), task: Some(task) }
    }

    /// A server on SQLite with the plain sandbox as the provider of the integration `sandbox`.
    pub async fn with_sandbox() -> (Self, TestProvider, Database) {
        let clock = ManualClock::new();
        let provider = TestProvider::plain(&clock).await;
        let database = Database::sqlite();
        let server = Self::start(&database, Options::with(&clock, &provider)).await;
        server.create_integration("sandbox", "sandbox").await;
        (server, provider, database)
    }

    /// Clients for a server in another process, which has this first key. Its time is not the test's.
    pub fn elsewhere(addresses: Addresses, key: String) -> Self {
        let public_url = format!("http://{}", addresses.gateway);
        let clock = ManualClock::new();
        Self { addresses, public_url, key, clock, clients: None, flows: None, stop: None, task: None }
    }

    /// Stops it as SIGTERM does, and waits until it has drained.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.take().unwrap().await.unwrap();
    }

    /// What happens in it, to drive what it would do in the background.
    pub fn flows(&self) -> &Flows {
        self.flows.as_ref().expect("it runs in another process")
    }

    /// `http://...` of the gateway's listener.
    pub fn gateway(&self) -> String {
        format!("http://{}", self.addresses.gateway)
    }

    fn channel(&self) -> Channel {
        self.channel_with(self.clients.clone())
    }

    /// A new way to it, by TLS if this says how.
    pub fn channel_with(&self, tls: Option<ClientTlsConfig>) -> Channel {
        let address = self.addresses.grpc;
        let endpoint = match tls {
            None => Endpoint::from_shared(format!("http://{address}")).unwrap(),
            Some(tls) => {
                Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap()
            }
        };
        endpoint.connect_lazy()
    }

    pub fn auth(&self, key: &str) -> AuthServiceClient<Keyed> {
        AuthServiceClient::with_interceptor(self.channel(), Bearer(key.to_owned()))
    }

    pub fn connection(&self, key: &str) -> ConnectionServiceClient<Keyed> {
        ConnectionServiceClient::with_interceptor(self.channel(), Bearer(key.to_owned()))
    }

    pub fn integration(&self, key: &str) -> IntegrationServiceClient<Keyed> {
        IntegrationServiceClient::with_interceptor(self.channel(), Bearer(key.to_owned()))
    }

    pub fn provider(&self, key: &str) -> ProviderServiceClient<Keyed> {
        ProviderServiceClient::with_interceptor(self.channel(), Bearer(key.to_owned()))
    }

    pub fn project(&self, key: &str) -> ProjectServiceClient<Keyed> {
        ProjectServiceClient::with_interceptor(self.channel(), Bearer(key.to_owned()))
    }

    pub fn webhook(&self, key: &str) -> WebhookServiceClient<Keyed> {
        WebhookServiceClient::with_interceptor(self.channel(), Bearer(key.to_owned()))
    }

    /// Creates an integration with the test client of the sandbox.
    pub async fn create_integration(&self, integration_id: &str, provider_id: &str) -> Integration {
        let integration = Integration {
            integration_id: integration_id.to_owned(),
            provider_id: provider_id.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            ..Integration::default()
        };
        let request = CreateRequest { integration: Some(integration) };
        self.integration(&self.key).create(request).await.unwrap().into_inner().integration.unwrap()
    }

    /// Changes the settings that `paths` name.
    pub async fn update_settings(&self, settings: Settings, paths: &[&str]) -> Settings {
        self.update_settings_of(&self.key, settings, paths).await
    }

    /// Those of the project that has this key.
    pub async fn update_settings_of(&self, key: &str, settings: Settings, paths: &[&str]) -> Settings {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateSettingsRequest {
            settings: Some(settings),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        self.project(key).update_settings(request).await.unwrap().into_inner().settings.unwrap()
    }

    /// Begins a flow with the first key.
    pub async fn begin(&self, request: BeginRequest) -> Result<BeginResponse, Status> {
        self.auth(&self.key).begin(request).await.map(tonic::Response::into_inner)
    }

    /// Walks from a connect URL over the sandbox's consent page to the redirect back to the gateway, which is not followed.
    pub async fn consent(&self, browser: &mut Browser, connect_url: &str, decision: &str) -> Answer {
        let consent = browser.open(connect_url).await;
        browser.decide(&consent, decision).await
    }

    /// A whole flow. Gives the gateway's answer to the callback.
    pub async fn connect(&self, integration_id: &str, connection_id: &str) -> Answer {
        let mut browser = Browser::new();
        let begun = self.begin(begin(integration_id, connection_id)).await.unwrap();
        let back = self.consent(&mut browser, &begun.connect_url, "approve").await;
        let answer = browser.get(back.location().unwrap().as_str()).await;
        assert_eq!(answer.result("data-status"), "success", "{}", answer.body);
        answer
    }

    /// Gets a connection with its token.
    pub async fn token(
        &self,
        integration_id: &str,
        connection_id: &str,
    ) -> Result<(Connection, OAuth2Credentials), Status> {
        self.get(get(integration_id, connection_id)).await
    }

    /// Gets a connection with its token, by a request of the test's own.
    pub async fn get(&self, request: GetRequest) -> Result<(Connection, OAuth2Credentials), Status> {
        let response = self.connection(&self.key).get(request).await?.into_inner();
        let connection = response.connection.unwrap();
        let Some(Kind::Oauth2(token)) = connection.credentials.clone().unwrap().kind else {
            panic!("no OAuth 2.0 credentials")
        };
        Ok((connection, token))
    }
}

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if !self.0.is_empty() {
            let header = MetadataValue::try_from(format!("Bearer {}", self.0)).unwrap();
            request.metadata_mut().insert("authorization", header);
        }
        Ok(request)
    }
}

/// A Begin with nothing but its two ids.
pub fn begin(integration_id: &str, connection_id: &str) -> BeginRequest {
    BeginRequest {
        integration_id: integration_id.to_owned(),
        connection_id: connection_id.to_owned(),
        ..BeginRequest::default()
    }
}

/// A Get with nothing but its two ids.
pub fn get(integration_id: &str, connection_id: &str) -> GetRequest {
    GetRequest {
        integration_id: integration_id.to_owned(),
        connection_id: connection_id.to_owned(),
        ..GetRequest::default()
    }
}
