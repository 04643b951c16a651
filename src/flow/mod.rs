//! What happens: flows begin and complete, credentials are imported, tokens are handed out and refreshed, tenants manage
//! what is theirs.
//!
//! The only room that uses `provider`, `oauth` and `store` together. Each function takes the project, or
//! its caller, and what is asked, and says what became of it; nothing here knows gRPC or HTTP.

mod begin;
mod caller;
mod coalescer;
mod complete;
mod config;
mod connection;
mod due;
mod failure;
mod heartbeat;
mod import;
mod integration;
mod lifetime;
mod pause;
mod persist;
mod project;
mod purge;
mod redeem;
mod refresh;
mod revoke;
mod save;
mod scopes;
mod setback;
mod signed;
mod ticket;
mod token;
mod turn;
mod watch;
mod webhook;

use std::sync::Arc;

use arc_swap::ArcSwap;
pub use begin::{BeginInput, Begun, BrowserToken};
use caller::Known;
use coalescer::Coalescer;
pub use complete::{CallbackRoute, CompleteInput, Completed, Completer, Expected, Outcome};
use due::Hands;
pub use import::{ImportInput, ImportedCredentials};
pub use integration::NewIntegration;
use pause::Strikes;
pub use project::{FirstKey, NewApiKey};
use revoke::Outbox;
use save::Unsaved;
pub use token::{GetInput, Granted};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use turn::Turns;
use watch::Watches;
pub use watch::{ConnectionWatch, FeedNews, FlowNews, FlowWatch};
use webhook::Dispatch;
pub use webhook::NewWebhook;

use crate::{
    model::{
        Clock, Error, Failpoints, Integration, IntegrationId, OffsetDateTime, ProjectId, Random, Result,
        Settings,
    },
    oauth::OAuthClient,
    provider::{Catalog, SharedProvider},
    store::Store,
};

/// Everything that happens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Flows {
    inner: Arc<Inner>,
}

/// What [`Flows`] is built of.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The way to providers.
    pub oauth: OAuthClient,
    /// What is known of them. A reload replaces it as a whole.
    pub catalog: ArcSwap<Catalog>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
    /// The gateway's address as browsers see it, without a slash at the end.
    pub public_url: String,
    /// How long the right to refresh lasts unless it is extended: longer than it takes to learn a provider's endpoints and to
    /// call it.
    pub lease: std::time::Duration,
    /// What the journal calls this server.
    pub replica: String,
    /// Whether tokens are renewed before anybody asks.
    pub refresh_ahead: bool,
    /// How many refreshes ask one provider at a time.
    pub refresh_concurrency: usize,
    /// How long a Get whose token has expired waits for a provider that is left alone.
    pub patience: std::time::Duration,
    /// How long a stream says nothing.
    pub heartbeat: std::time::Duration,
    /// Says that the server stops.
    pub stopping: CancellationToken,
    /// Where it fails on purpose. Nothing but in test builds.
    pub failpoints: Failpoints,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    known: ArcSwap<Known>,
    refreshes: Coalescer,
    unsaved: Unsaved,
    strikes: Strikes,
    hands: Hands,
    outbox: Outbox,
    turns: Turns,
    watches: Watches,
    /// Work that finishes though its caller has gone: what costs a single-use code or token.
    tasks: TaskTracker,
    webhooks: Dispatch,
}

impl Flows {
    /// Builds everything.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let turns = Turns::new(parts.refresh_concurrency);
        Self {
            inner: Arc::new(Inner {
                parts,
                known: ArcSwap::default(),
                turns,
                refreshes: Coalescer::default(),
                unsaved: Unsaved::default(),
                strikes: Strikes::default(),
                hands: Hands::default(),
                outbox: Outbox::default(),
                watches: Watches::default(),
                tasks: TaskTracker::new(),
                webhooks: Dispatch::default(),
            }),
        }
    }

    /// The catalog as it is now. Whoever asks twice may see two.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.inner.parts.catalog.load_full()
    }

    /// Puts another catalog in the place of the present one. Calls under way end with the one that they began with.
    pub fn replace_catalog(&self, catalog: Catalog) {
        self.inner.parts.catalog.store(Arc::new(catalog));
    }

    /// The store: for readiness, shutdown, and commands without a server.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    /// The gateway's address as browsers see it.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.inner.parts.public_url
    }

    /// The `redirect_uri` of an integration, to be pasted into the provider's console: the project's own, or the gateway's
    /// route for it.
    #[must_use]
    pub fn callback_url(
        &self,
        settings: &Settings,
        project: &ProjectId,
        integration: &IntegrationId,
    ) -> String {
        let gateway = || self.own_callback_url(project, integration);
        settings.own_redirect_uri(integration).unwrap_or_else(gateway)
    }

    /// The gateway's route of an integration.
    fn own_callback_url(&self, project: &ProjectId, integration: &IntegrationId) -> String {
        format!("{}/oauth/callback/{project}/{integration}", self.public_url())
    }

    /// Says that the server stops.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.inner.parts.stopping
    }

    /// Waits for the work that is under way, at shutdown.
    pub async fn drain(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// How much work of its own is under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.inner.tasks.len()
    }

    /// Does work that goes on though its caller goes away.
    async fn owned<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.inner.tasks.spawn(work).await.map_err(Error::internal)?
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.inner.parts.clock.now()
    }

    fn random(&self) -> &dyn Random {
        &*self.inner.parts.random
    }

    fn failpoints(&self) -> &Failpoints {
        &self.inner.parts.failpoints
    }

    fn oauth(&self) -> &OAuthClient {
        &self.inner.parts.oauth
    }

    fn provider(&self, integration: &Integration) -> Result<SharedProvider> {
        self.catalog().get(&integration.provider_id).cloned()
    }

    async fn settings_of(&self, project: &ProjectId) -> Result<Settings> {
        let settings = self.store().get_settings(project).await?;
        settings.ok_or_else(|| Error::internal(format!("project {project} of an API key is gone")))
    }

    async fn integration_of(&self, project: &ProjectId, id: &IntegrationId) -> Result<Integration> {
        let integration = self.store().get_integration(project, id).await?;
        integration.ok_or_else(|| Error::IntegrationNotFound(id.clone()))
    }
}
