//! A project that has one of everything, and who else calls.

use tokenwell::{
    api::pb::{
        auth::v1::BeginRequest,
        connection::v1::SetMetadataRequest,
        project::v1::{
            ApiKeyKind, Completion, CreateApiKeyRequest, Permission, RevokeApiKeyRequest, Settings,
        },
        webhook::v1 as webhook,
    },
    flow::NewApiKey,
    model::{self, Clock as _, Duration, ExposeSecret as _, KeyKind, ProjectId},
};
use tonic::transport::Channel;
use url::Url;

use super::fields::Names;
use crate::{
    caller::{ALL, channel},
    support::{
        Browser, Database, ManualClock, Options, TestProvider, TestServer,
        database::Kind,
        server::begin,
        steps::{object, param, walk},
    },
};

const RETURN_URL: &str = "https://app.example.com/done";

/// The project `default`, which has one of everything.
pub struct World {
    pub server: TestServer,
    pub provider: TestProvider,
    pub channel: Channel,
    /// What it has.
    pub theirs: Names,
    /// The same, and yet nobody has them.
    pub nobodys: Names,
    /// What nobody else may be told.
    pub secrets: Vec<String>,
    /// A key of each permission that has all others.
    pub without: Vec<(Permission, String)>,
    pub publishable: String,
    pub revoked: String,
    pub expired: String,
    _database: Database,
}

/// Another project: its keys.
pub struct Other {
    pub full: String,
    /// May administer the instance, besides.
    pub admin: String,
    pub publishable: String,
}

impl World {
    pub async fn new(kind: Kind) -> Self {
        let clock = ManualClock::new();
        let provider = TestProvider::plain(&clock).await;
        let database = Database::new(kind).await;
        let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
        server.create_integration("sandbox", "sandbox").await;

        let mut without = Vec::new();
        for missing in ALL {
            let others: Vec<_> = ALL.into_iter().filter(|it| *it != missing).collect();
            without.push((missing, server.create_key(&others).await.1));
        }
        let (_, publishable) =
            server.create_key_of(&server.key, ApiKeyKind::Publishable, &[Permission::Begin]).await;
        let (key, revoked) = server.create_key(&ALL).await;
        let request = RevokeApiKeyRequest { api_key_id: key.api_key_id };
        server.project(&server.key).revoke_api_key(request).await.unwrap();
        let expired = expiring_key(&server).await;
        clock.advance(Duration::seconds(2));

        let theirs = furnish(&server).await;
        let nobodys = theirs.iter().map(|(field, name)| (*field, unlike(field, name))).collect();
        let (_, token) = server.token("sandbox", "user-1").await.unwrap();
        let mut secrets = vec![
            token.access_token,
            crate::support::provider::CLIENT_ID.to_owned(),
            "canary-metadata".to_owned(),
            "https://hooks.example.com/canary".to_owned(),
        ];
        let own = ["api_key_id", "connection_id", "delivery_id", "flow_id", "webhook_id"];
        secrets.extend(own.map(|field| theirs[field].clone()));
        let channel = channel(&server);
        Self {
            server,
            provider,
            channel,
            theirs,
            nobodys,
            secrets,
            without,
            publishable,
            revoked,
            expired,
            _database: database,
        }
    }

    /// Makes a second one of all that there are lists of.
    pub async fn furnish_twice(&self) {
        let server = &self.server;
        server.create_integration("sandbox-2", "sandbox").await;
        server.update_settings(Settings::default(), &["completion"]).await;
        server.connect("sandbox", "user-2").await;
        create_webhook(server).await;
        let webhook_id = self.theirs["webhook_id"].clone();
        server.webhook(&server.key).test(webhook::TestRequest { webhook_id }).await.unwrap();
    }

    /// A project that has nothing but its keys.
    pub async fn other(&self, id: &str) -> Other {
        let server = &self.server;
        let full = server.create_project(id).await;
        let (_, publishable) =
            server.create_key_of(&full, ApiKeyKind::Publishable, &[Permission::Begin]).await;
        let key = NewApiKey {
            display_name: "admin".to_owned(),
            kind: KeyKind::Secret,
            permissions: model::Permission::ALL.to_vec(),
            expire_time: None,
        };
        let made = server.flows().make_api_key(&ProjectId::parse(id).unwrap(), key).await;
        let admin = made.unwrap().1.expose_secret().to_owned();
        Other { full, admin, publishable }
    }
}

async fn expiring_key(server: &TestServer) -> String {
    let end = server.clock.now() + Duration::SECOND;
    let request = CreateApiKeyRequest {
        display_name: "short".to_owned(),
        kind: ApiKeyKind::Secret.into(),
        permissions: ALL.map(i32::from).to_vec(),
        expire_time: Some(prost_types::Timestamp { seconds: end.unix_timestamp(), nanos: 0 }),
    };
    server.project(&server.key).create_api_key(request).await.unwrap().into_inner().secret
}

/// Makes one of everything. Gives its names, by the fields that name them.
async fn furnish(server: &TestServer) -> Names {
    server.connect("sandbox", "user-1").await;
    let request = SetMetadataRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "user-1".to_owned(),
        metadata: Some(object(&[("plan", "canary-metadata")])),
        etag: String::new(),
    };
    server.connection(&server.key).set_metadata(request).await.unwrap();

    // A callback that nobody has followed yet, of a flow that a backend may complete.
    let begun = server.begin(begin("sandbox", "user-1")).await.unwrap();
    let mut browser = Browser::new();
    let consent = browser.open(&begun.authorization_url).await;
    let callback = browser.decide(&consent, "approve").await.location().unwrap();

    // And a flow that waits for its confirmation.
    let settings = Settings {
        allowed_return_urls: vec![RETURN_URL.to_owned()],
        completion: Completion::Confirm.into(),
        ..Settings::default()
    };
    server.update_settings(settings, &["allowed_return_urls", "completion"]).await;
    let returning = BeginRequest { return_url: RETURN_URL.to_owned(), ..begin("sandbox", "user-1") };
    let (parked, back) = walk(server, &mut browser, returning).await;
    let back = browser.get(back.as_str()).await.location().unwrap();

    // What happened before is not for the webhook, whoever reads the feed first.
    server.flows().store().place_events().await.unwrap();
    let webhook = create_webhook(server).await;
    let request = webhook::TestRequest { webhook_id: webhook.webhook_id.clone() };
    let delivery = server.webhook(&server.key).test(request).await.unwrap().into_inner().delivery.unwrap();
    let (key, _) = server.create_key(&[Permission::Read]).await;

    Names::from([
        ("api_key_id", key.api_key_id),
        ("code", param(&back, "tokenwell_confirmation")),
        ("connection_id", "user-1".to_owned()),
        ("delivery_id", delivery.delivery_id),
        ("flow_id", parked.flow_id),
        ("integration_id", "sandbox".to_owned()),
        ("project_id", "default".to_owned()),
        ("query", callback.query().unwrap().to_owned()),
        ("webhook_id", webhook.webhook_id),
    ])
}

async fn create_webhook(server: &TestServer) -> webhook::Webhook {
    let given = webhook::Webhook { url: "https://hooks.example.com/canary".to_owned(), ..Default::default() };
    let request = webhook::CreateRequest { webhook: Some(given) };
    server.webhook(&server.key).create(request).await.unwrap().into_inner().webhook.unwrap()
}

/// A name of the same length and form that is nobody's.
fn unlike(field: &str, name: &str) -> String {
    if field == "query" {
        let url = Url::parse(&format!("https://callback/?{name}")).unwrap();
        let state = param(&url, "state");
        return name.replace(&state, &unlike("state", &state));
    }
    let place = name.len() * 2 / 3;
    let other = if name[place..].starts_with('0') { "1" } else { "0" };
    format!("{}{other}{}", &name[..place], &name[place + 1..])
}
