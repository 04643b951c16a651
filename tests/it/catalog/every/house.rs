//! One server for many entries, which are on stage one after the other.

use std::{fmt::Debug, sync::Arc};

use axum::{Router, body::Body, http::Request};
use tokenwell::{
    api::pb::{
        connection::v1::{Connection, GetRequest},
        integration::v1::{CreateRequest, Integration},
    },
    model::{Clock as _, Duration, OsRandom},
    oauth::HttpOptions,
    sandbox::{AuthMethod, Client, Options as SandboxOptions, Quirks, Sandbox},
};
use tonic::Status;
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::{
    entry::Entry,
    front::Front,
    quirks::{TTL, USERINFO_PATH},
    scene::Scene,
};
use crate::support::{
    Browser, Database, ManualClock, Options, TestServer,
    provider::{CLIENT_ID, CLIENT_SECRET},
    server::get,
    tls::OneAddress,
};

/// A client that is not the integration's.
pub const OWN_CLIENT_ID: &str = "own client";
pub const OWN_CLIENT_SECRET: &str = "own secret: +%";

/// A server, a browser, and a stage.
pub struct House {
    pub server: TestServer,
    pub clock: ManualClock,
    pub browser: Browser,
    pub front: Front,
    pub http: HttpOptions,
    pub database: Database,
}

/// The provider on stage.
pub struct Actor {
    pub sandbox: Sandbox,
    router: Router,
}

impl House {
    pub async fn new() -> Self {
        let clock = ManualClock::new();
        let front = Front::open().await;
        let http = HttpOptions {
            extra_roots: vec![front.authority.clone()],
            resolver: Some(Arc::new(OneAddress(front.address))),
            loopback: true,
            ..HttpOptions::default()
        };
        let browser = Browser::with(&http.extra_roots, http.resolver.clone());
        let database = Database::sqlite();
        let options = Options { http: http.clone(), ..Options::new(&clock) };
        let server = TestServer::start(&database, options).await;
        Self { server, clock, browser, front, http, database }
    }

    /// Where the provider sends browsers back to.
    pub fn redirect_uri(&self, entry: &Entry) -> String {
        format!("{}/oauth/callback/default/{}", self.server.public_url, entry.id)
    }

    /// Makes the integration of an entry, with what the entry has clients prove themselves with.
    pub async fn integrate(&self, entry: &Entry, quirks: &Quirks) -> Result<(), String> {
        let identity = &self.front.identity;
        let [method] = quirks.auth_methods[..] else { return Err("several methods".to_owned()) };
        let certificate = method == AuthMethod::TlsClientAuth || quirks.certificate_required;
        let key = certificate || method == AuthMethod::PrivateKeyJwt;
        let when = |wanted: bool, text: &str| if wanted { text.to_owned() } else { String::new() };
        let integration = Integration {
            integration_id: entry.id.clone(),
            provider_id: entry.id.clone(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: when(has_secret(method), CLIENT_SECRET),
            client_private_key: when(key, &identity.key),
            client_private_key_id: when(key, "key-1"),
            client_certificate: when(certificate, &identity.certificate),
            ..Integration::default()
        };
        let request = CreateRequest { integration: Some(integration) };
        let made = self.server.integration(&self.server.key).create(request).await;
        made.map(drop).map_err(|status| format!("no integration: {}", words(&status)))
    }

    /// Puts the provider of a scene on stage.
    pub fn present(&self, entry: &Entry, scene: &Scene) -> Actor {
        let identity = &self.front.identity;
        let [method] = scene.quirks.auth_methods[..] else { panic!("several methods") };
        let client = |id: &str, secret: &str| Client {
            client_id: id.to_owned(),
            client_secret: has_secret(method).then(|| secret.into()),
            public_key: (method == AuthMethod::PrivateKeyJwt).then(|| identity.public_key.clone()),
            certificate: (method == AuthMethod::TlsClientAuth || scene.quirks.certificate_required)
                .then(|| identity.certificate_der.clone()),
            redirect_uris: vec![self.redirect_uri(entry)],
        };
        let options = SandboxOptions {
            clients: vec![client(CLIENT_ID, CLIENT_SECRET), client(OWN_CLIENT_ID, OWN_CLIENT_SECRET)],
            access_token_ttl: Duration::seconds(TTL),
            quirks: scene.quirks.clone(),
        };
        let sandbox = Sandbox::new(options, Arc::new(self.clock.clone()), Arc::new(OsRandom));
        let router = sandbox.router();
        self.front.present(router.clone(), scene.addresses.clone());
        Actor { sandbox, router }
    }

    /// Gets a connection.
    pub async fn get(&self, entry: &Entry, id: &str, force_refresh: bool) -> Result<Connection, Status> {
        let request = GetRequest { force_refresh, ..get(&entry.id, id) };
        let response = self.server.connection(&self.server.key).get(request).await?.into_inner();
        Ok(response.connection.unwrap())
    }

    /// The present time of the test, in seconds.
    pub fn now(&self) -> i64 {
        self.clock.now().unix_timestamp()
    }

    /// Nothing went where the provider has nothing.
    pub fn check_strays(&self) -> Result<(), String> {
        same("requests to other addresses", &self.front.strays(), &Vec::new())
    }
}

impl Actor {
    /// Whether an access token opens something.
    pub async fn opens(&self, access_token: &str) -> bool {
        let request = Request::get(USERINFO_PATH).header("authorization", format!("Bearer {access_token}"));
        let request = request.body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap().status().is_success()
    }
}

pub fn has_secret(method: AuthMethod) -> bool {
    matches!(method, AuthMethod::Basic | AuthMethod::Post)
}

/// Asserts that a connection's config is the one that the entry leads to.
pub fn check_config(entry: &Entry, scene: &Scene, connection: &Connection) -> Result<(), String> {
    let of = |secret: bool| {
        let fields = entry.fields().filter(move |field| field.secret() == secret);
        let kept =
            fields.filter_map(|field| Some((field.name.to_owned(), scene.kept.get(field.name)?.clone())));
        kept.collect()
    };
    same("config", &connection.connection_config, &of(false))?;
    same("secret config", &connection.secret_config, &of(true))
}

/// Says what differs, if anything does.
pub fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

/// Says what does not hold.
pub fn ensure(holds: bool, words: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(words()) }
}

/// A refusal: its reason and its words.
pub fn words(status: &Status) -> String {
    let reason = reason(status);
    let details = status.get_error_details();
    let fields = details.bad_request().map(|it| it.field_violations.clone()).unwrap_or_default();
    let fields: Vec<_> = fields.into_iter().map(|it| format!("{} {}", it.field, it.description)).collect();
    format!("{reason}: {} {}", status.message(), fields.join("; "))
}

/// The reason of a refusal.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().map_or_else(|| status.code().to_string(), |info| info.reason.clone())
}
