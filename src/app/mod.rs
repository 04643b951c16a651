//! Builds everything, binds the listeners, serves, and drains.

mod background;
mod callers;
mod clock;
mod error;
mod follow;
mod listen;
mod reload;
mod sources;
mod storage;
mod tls;
mod watch;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use callers::CallersReloader;
use clock::{clock_of, keep_in_step};
pub use error::AppError;
use listen::{address, bind, public_url};
use reload::{Print, Reloader};
use sources::Sources;
pub use sources::load_catalog;
pub use storage::{offline, open_store};
use tls::TlsReloader;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{self, ConnectionLimits, Door, Incoming, StackOptions, Tls},
    config::{LimitArgs, ProviderArgs, ServeArgs},
    flow::{FirstKey, Flows, Parts},
    gateway::{self, GatewayOptions, Rate},
    model::{Clock, Error, OsRandom, Random, SharedClock, SystemClock, uuid_v7},
    oauth::{HttpClient, HttpOptions, OAuthClient},
    provider::Catalog,
};

/// How much longer the right to refresh lasts than it takes to learn a provider's endpoints and to call it. While its server
/// lives, it is extended.
const LEASE_MARGIN: Duration = Duration::from_secs(15);
/// How long the database may take to let go.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server takes from its surroundings, which tests replace.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where time comes from, if not from the operating system, in step with the database.
    pub clock: Option<Arc<dyn Clock>>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
    /// How providers are reached.
    pub http: HttpOptions,
    /// Further catalog files, by name, which may have http endpoints on loopback: those of the demo and of tests.
    pub providers: Vec<(String, String)>,
}

/// A server that is ready to serve: its listeners are bound, and its database is there.
#[derive(Debug)]
pub struct App {
    flows: Flows,
    stack: api::Stack,
    health: api::Health,
    grpc: TcpListener,
    tls: Option<(Tls, TlsReloader)>,
    callers: Option<CallersReloader>,
    gateway: TcpListener,
    admin: TcpListener,
    connections: ConnectionLimits,
    gateway_options: GatewayOptions,
    reloader: Option<Reloader>,
    first_key: Option<FirstKey>,
    drain: Duration,
    background: bool,
    shared_clock: Option<SharedClock>,
    stopping: CancellationToken,
}

/// The addresses that a server listens on.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// The gateway.
    pub gateway: SocketAddr,
    /// Health.
    pub admin: SocketAddr,
}

// === impl Environment ===

impl Default for Environment {
    fn default() -> Self {
        Self { clock: None, random: Arc::new(OsRandom), http: HttpOptions::default(), providers: Vec::new() }
    }
}

// === impl App ===

impl App {
    /// Opens the database, reads the catalog, binds the listeners.
    pub async fn start(args: &ServeArgs, environment: Environment) -> Result<Self, AppError> {
        let (catalog, reloader) = read_catalog(Sources::new(&args.providers, environment.providers)).await?;
        let store = open_store(&args.storage, environment.random.clone()).await?;
        if args.behaviour.no_migrate {
            match store.pending_migrations().await? {
                0 => {}
                pending => return Err(AppError::OldSchema(pending)),
            }
        } else {
            store.migrate().await?;
        }
        let (clock, shared_clock) = clock_of(environment.clock, &store, &args.failpoints).await?;
        let grpc = bind(args.listen.grpc_listen).await?;
        let gateway = bind(args.listen.gateway_listen).await?;
        let admin = bind(args.listen.admin_listen).await?;
        let tls = tls::start(&args.tls, clock.clone()).await?;
        warn_of_plaintext(address(&grpc)?, tls.is_some());
        let certificates = args.tls.grpc_client_ca_file.is_some();
        let callers = callers::start(args.callers.callers_file.as_deref(), certificates).await?;
        let public_url = public_url(args.listen.public_url.as_deref(), address(&gateway)?)?;
        let mut http = ways_to_providers(environment.http, &args.providers)?;
        http.private_webhooks |= args.webhooks.allow_private_webhooks;
        let stopping = CancellationToken::new();
        let lease = 2 * http.timeout + LEASE_MARGIN;
        let flows = Flows::new(Parts {
            store,
            oauth: OAuthClient::new(HttpClient::new(&http)?, clock.clone(), environment.random.clone()),
            catalog: ArcSwap::from_pointee(catalog),
            clock,
            random: environment.random,
            public_url,
            lease,
            replica: uuid_v7(&OsRandom, SystemClock.now())?.to_string(),
            refresh_ahead: !args.background.no_refresh_ahead,
            refresh_concurrency: args.refresh.refresh_concurrency.into(),
            patience: args.refresh.refresh_patience,
            heartbeat: args.behaviour.heartbeat,
            stopping: stopping.clone(),
            failpoints: args.failpoints.clone(),
        });
        let callers = match callers {
            Some((known, reloader)) => flows.replace_callers(known).map(|()| Some(reloader))?,
            None => None,
        };
        let first_key = flows.bootstrap().await?;
        let options = StackOptions {
            deadline: args.behaviour.deadline,
            max_calls: args.limits.max_calls as usize,
            reflection: !args.behaviour.no_reflection,
        };
        let (stack, health) = api::stack(&flows, &options).await?;
        let drain = args.behaviour.drain;
        let background = !args.background.no_background;
        Ok(Self {
            flows,
            stack,
            health,
            grpc,
            tls,
            callers,
            gateway,
            admin,
            connections: connection_limits(&args.limits),
            gateway_options: gateway_options(&args.limits, args.behaviour.deadline),
            reloader,
            first_key,
            drain,
            background,
            shared_clock,
            stopping,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Result<Addresses, AppError> {
        Ok(Addresses {
            grpc: address(&self.grpc)?,
            gateway: address(&self.gateway)?,
            admin: address(&self.admin)?,
        })
    }

    /// The gateway's address as browsers see it.
    #[must_use]
    pub fn public_url(&self) -> &str {
        self.flows.public_url()
    }

    /// Everything that happens in it, for whoever drives it without its background.
    #[must_use]
    pub fn flows(&self) -> &Flows {
        &self.flows
    }

    /// The secret of the first key, if this start made it. It is given once.
    pub fn take_first_key(&mut self) -> Option<FirstKey> {
        self.first_key.take()
    }

    /// Serves until `stop`, then drains: health says so, no new work is taken, what is under way ends.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), AppError> {
        let stopping = self.stopping;
        let mut servers = JoinSet::new();
        let door = Door::new(self.stack.clone());
        let gateway = gateway::router(door, self.flows.clone(), &self.gateway_options);
        let admin = gateway::admin_router(self.flows.clone(), stopping.clone());
        let (tls, certificates) = self.tls.unzip();
        let incoming = |listener| Incoming::new(listener, self.connections);
        servers.spawn(api::serve(incoming(self.grpc), tls, self.stack, stopping.clone()));
        servers.spawn(gateway::serve(incoming(self.gateway), gateway, stopping.clone()));
        servers.spawn(gateway::serve(incoming(self.admin), admin, stopping.clone()));
        let mut chores = JoinSet::new();
        let flows = self.flows.clone();
        chores.spawn(async move { flows.follow().await });
        if let Some(clock) = self.shared_clock {
            chores.spawn(keep_in_step(clock, self.flows.store().clone(), stopping.clone()));
        }
        if self.background {
            background::spawn(&mut chores, &self.flows, &stopping);
        }
        if let Some(certificates) = certificates {
            chores.spawn(certificates.run(stopping.clone()));
        }
        if let Some(callers) = self.callers {
            chores.spawn(callers.run(self.flows.clone(), stopping.clone()));
        }
        if let Some(reloader) = self.reloader {
            chores.spawn(reloader.run(self.flows.clone(), stopping.clone()));
        }

        let early = tokio::select! {
            () = stop => None,
            ended = servers.join_next() => ended,
        };
        self.health.stop().await;
        stopping.cancel();
        let drained = tokio::time::timeout(self.drain, async {
            while servers.join_next().await.is_some() {}
            // What they have begun is drained with the rest.
            while chores.join_next().await.is_some() {}
            self.flows.drain().await;
        });
        if drained.await.is_err() {
            let under_way = self.flows.under_way();
            tracing::warn!(under_way, "work was still under way when the time to drain was over");
        }
        servers.shutdown().await;
        chores.shutdown().await;
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, self.flows.store().clone().close());
        if let Ok(closed) = closed.await {
            closed?;
        } else {
            tracing::warn!("the database's connections did not close in time");
        }
        match early {
            Some(Ok(Err(error))) => Err(AppError::Serve(error)),
            Some(Err(error)) => Err(AppError::Serve(error.into())),
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }
}

/// What the connections of each listener may take.
#[must_use]
pub fn connection_limits(args: &LimitArgs) -> ConnectionLimits {
    ConnectionLimits {
        connections: args.max_connections as usize,
        patience: args.request_timeout,
        keepalive: args.keepalive,
    }
}

fn gateway_options(args: &LimitArgs, deadline: Duration) -> GatewayOptions {
    let rate = NonZeroU32::new(args.rate_limit).zip(NonZeroU32::new(args.rate_burst));
    GatewayOptions {
        // To say what it wants, and for the call that it leads to.
        time: args.request_timeout + deadline,
        rate: rate.map(|(per_minute, burst)| Rate { per_minute, burst }),
        trusted_proxies: args.trusted_proxies.0.clone(),
    }
}

/// API keys go over this listener. A mesh may protect them, so it is not refused.
fn warn_of_plaintext(grpc: SocketAddr, tls: bool) {
    if !tls && !grpc.ip().is_loopback() {
        tracing::warn!(
            %grpc,
            "the gRPC listener speaks plaintext beyond this machine: give it --grpc-tls-cert-file, or a mesh in front",
        );
    }
}

/// Reads the catalog for the first time, when a fault ends the start, and prepares to read it again.
async fn read_catalog(sources: Sources) -> Result<(Catalog, Option<Reloader>), AppError> {
    let read = tokio::task::spawn_blocking(move || {
        let reading = sources.read();
        let catalog = sources.build(&reading).map_err(AppError::Catalog)?;
        Ok((catalog, Reloader::new(sources, Print::of(&reading))?))
    });
    read.await.map_err(Error::internal)?
}

/// How providers are reached: as the surroundings say, and the arguments.
fn ways_to_providers(mut http: HttpOptions, args: &ProviderArgs) -> Result<HttpOptions, AppError> {
    if let Some(path) = &args.provider_ca_file {
        let read = std::fs::read(path);
        http.extra_roots.push(read.map_err(|source| AppError::File { path: path.clone(), source })?);
    }
    http.loopback |= args.dev_loopback_providers;
    Ok(http)
}
