//! Builds everything, binds the listeners, serves, and drains.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    api::{self, Door, StackOptions},
    config::{ProviderArgs, ServeArgs, StorageArgs},
    flow::{FirstKey, Flows, Parts},
    gateway,
    model::{Clock, Error, ExposeSecret as _, OsRandom, Random, SystemClock, is_secure},
    oauth::{HttpClient, HttpOptions, OAuthClient},
    provider::{Catalog, Fault, Transport},
    store::{KeyRing, KeyRingError, Store, StoreOptions},
};

const DATABASE_FILE: &str = "tokenwell.db";
const KEY_FILE: &str = "sealing.key";
/// How much longer the right to refresh lasts than a call to a provider may take: time to read what the call needs, and to
/// commit its answer in all tries, each of which may wait for a connection.
const LEASE_MARGIN: Duration = Duration::from_secs(45);
/// How long the database may take to let go.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Parked codes live a minute, so about as often.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);

/// What the server takes from its surroundings, which tests replace.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
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
    gateway: TcpListener,
    admin: TcpListener,
    first_key: Option<FirstKey>,
    drain: Duration,
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

/// Why a server did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The sealing keys.
    #[error("{0}")]
    Keys(#[from] KeyRingError),
    /// PostgreSQL without a key: the replicas need the same one, so none is made.
    #[error(
        "there is no sealing key: give TOKENWELL_SEALING_KEYS or --sealing-key-file; `tokenwell keys generate-sealing-key` makes one"
    )]
    NoKeys,
    /// A database without its key.
    #[error("{} is gone, but the database that it opens is there: put it back", .0.display())]
    KeyFileGone(PathBuf),
    /// The catalog.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Catalog(Vec<Fault>),
    /// The public URL.
    #[error("the public URL {0}")]
    PublicUrl(&'static str),
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A command that needs a database was pointed at none.
    #[error("there is no database at {}: check --data-dir, or start the server once", .0.display())]
    NoDatabase(PathBuf),
    /// The schema is old.
    #[error("the database's schema is old (migrations missing: {0}): run `tokenwell migrate`")]
    OldSchema(usize),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("{}", chain(.0))]
    Domain(#[from] Error),
}

// === impl Environment ===

impl Default for Environment {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
            http: HttpOptions::default(),
            providers: Vec::new(),
        }
    }
}

// === impl App ===

impl App {
    /// Opens the database, reads the catalog, binds the listeners.
    pub async fn start(args: &ServeArgs, environment: Environment) -> Result<Self, AppError> {
        let catalog = load_catalog(&args.providers, &environment.providers)?;
        let store = open_store(&args.storage, environment.random.clone()).await?;
        if args.behaviour.no_migrate {
            match store.pending_migrations().await? {
                0 => {}
                pending => return Err(AppError::OldSchema(pending)),
            }
        } else {
            store.migrate().await?;
        }
        let grpc = bind(args.listen.grpc_listen).await?;
        let gateway = bind(args.listen.gateway_listen).await?;
        let admin = bind(args.listen.admin_listen).await?;
        let public_url = public_url(args.listen.public_url.as_deref(), address(&gateway)?)?;
        let mut http = environment.http;
        if let Some(path) = &args.providers.provider_ca_file {
            http.extra_roots.push(read(path)?);
        }
        let lease = http.timeout + LEASE_MARGIN;
        let flows = Flows::new(Parts {
            store,
            oauth: OAuthClient::new(
                HttpClient::new(&http)?,
                environment.clock.clone(),
                environment.random.clone(),
            ),
            catalog,
            clock: environment.clock,
            random: environment.random,
            public_url,
            lease,
        });
        let first_key = flows.bootstrap().await?;
        let options =
            StackOptions { deadline: args.behaviour.deadline, reflection: !args.behaviour.no_reflection };
        let (stack, health) = api::stack(&flows, &options).await?;
        Ok(Self { flows, stack, health, grpc, gateway, admin, first_key, drain: args.behaviour.drain })
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

    /// The secret of the first key, if this start made it. It is given once.
    pub fn take_first_key(&mut self) -> Option<FirstKey> {
        self.first_key.take()
    }

    /// Serves until `stop`, then drains: health says so, no new work is taken, what is under way ends.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), AppError> {
        let stopping = CancellationToken::new();
        let mut servers = JoinSet::new();
        let door = Door::new(self.stack.clone());
        let gateway = gateway::router(door, self.flows.clone());
        let admin = gateway::admin_router(self.flows.clone(), stopping.clone());
        servers.spawn(api::serve(self.grpc, self.stack, stopping.clone()));
        servers.spawn(gateway::serve(self.gateway, gateway, stopping.clone()));
        servers.spawn(gateway::serve(self.admin, admin, stopping.clone()));
        let purge = tokio::spawn(purge(self.flows.clone(), stopping.clone()));

        let early = tokio::select! {
            () = stop => None,
            ended = servers.join_next() => ended,
        };
        self.health.stop().await;
        stopping.cancel();
        let drained = tokio::time::timeout(self.drain, async {
            while servers.join_next().await.is_some() {}
            self.flows.drain().await;
        });
        if drained.await.is_err() {
            tracing::warn!("calls were still under way when the time to drain was over");
        }
        servers.shutdown().await;
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, async {
            drop(purge.await);
            self.flows.store().clone().close().await
        });
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

/// Opens the database that the arguments name.
pub async fn open_store(args: &StorageArgs, random: Arc<dyn Random>) -> Result<Store, AppError> {
    let url = args.database_url.as_ref().map(|url| url.expose_secret().to_owned());
    let embedded = url.as_ref().is_none_or(|url| url.starts_with("sqlite:"));
    if embedded {
        std::fs::create_dir_all(&args.data_dir)
            .map_err(|source| AppError::File { path: args.data_dir.clone(), source })?;
    }
    let keys = match (&args.sealing_keys, &args.sealing_key_file) {
        (Some(keys), _) => KeyRing::parse(keys)?,
        (None, Some(file)) => KeyRing::read(file)?,
        (None, None) if embedded => default_key_ring(&args.data_dir, &*random)?,
        (None, None) => return Err(AppError::NoKeys),
    };
    let url = url.unwrap_or_else(|| format!("sqlite://{}", args.data_dir.join(DATABASE_FILE).display()));
    let options = StoreOptions { url: url.into(), max_connections: args.database_max_connections };
    Ok(Store::open(&options, keys, random).await?)
}

/// The key ring beside the embedded database, made with it. A database whose key is gone gets no other one: it would open
/// nothing, and hide that something is missing.
fn default_key_ring(directory: &std::path::Path, random: &dyn Random) -> Result<KeyRing, AppError> {
    let (key, database) = (directory.join(KEY_FILE), directory.join(DATABASE_FILE));
    if database.exists() && !key.exists() {
        return Err(AppError::KeyFileGone(key));
    }
    Ok(KeyRing::read_or_create(&key, random)?)
}

/// Everything that happens, on the database alone: for commands that need no server.
pub async fn offline(args: &StorageArgs) -> Result<Flows, AppError> {
    let file = args.data_dir.join(DATABASE_FILE);
    if args.database_url.is_none() && !file.exists() {
        // A mistyped directory must not be made, with a key and an empty database in it.
        return Err(AppError::NoDatabase(file));
    }
    let environment = Environment::default();
    let store = open_store(args, environment.random.clone()).await?;
    match store.pending_migrations().await? {
        0 => {}
        pending => return Err(AppError::OldSchema(pending)),
    }
    Ok(Flows::new(Parts {
        store,
        oauth: OAuthClient::new(
            HttpClient::new(&environment.http)?,
            environment.clock.clone(),
            environment.random.clone(),
        ),
        catalog: load_catalog(&ProviderArgs::default(), &[])?,
        clock: environment.clock,
        random: environment.random,
        public_url: String::new(),
        lease: environment.http.timeout + LEASE_MARGIN,
    }))
}

/// The built-in catalog, and what the arguments and the surroundings add.
pub fn load_catalog(args: &ProviderArgs, further: &[(String, String)]) -> Result<Catalog, AppError> {
    let mut catalog = Catalog::built_in().map_err(AppError::Catalog)?;
    if let Some(directory) = &args.providers_dir {
        let transport = if args.dev_loopback_providers { Transport::LoopbackHttp } else { Transport::Strict };
        catalog.add_directory(directory, transport).map_err(AppError::Catalog)?;
    }
    for (file, text) in further {
        catalog.add(file, text, Transport::LoopbackHttp).map_err(AppError::Catalog)?;
    }
    Ok(catalog)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, source })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, AppError> {
    listener.local_addr().map_err(|error| AppError::Serve(error.into()))
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, AppError> {
    std::fs::read(path).map_err(|source| AppError::File { path: path.to_owned(), source })
}

/// The gateway's address as browsers see it: what is given, or its own if it is on loopback.
fn public_url(given: Option<&str>, own: SocketAddr) -> Result<String, AppError> {
    match given {
        Some(given) => check_public_url(given),
        None if own.ip().is_loopback() => Ok(format!("http://{own}")),
        None => Err(AppError::PublicUrl("is missing: only a gateway on a loopback address goes without")),
    }
}

fn check_public_url(text: &str) -> Result<String, AppError> {
    let url = Url::parse(text).map_err(|_| AppError::PublicUrl("is not a URL"))?;
    if !is_secure(&url) {
        return Err(AppError::PublicUrl("must be https, or http on a loopback address"));
    }
    if url.path() != "/"
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(AppError::PublicUrl("must be a scheme, a host and perhaps a port"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Deletes expired flows from time to time.
async fn purge(flows: Flows, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(PURGE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        match flows.purge().await {
            Ok(0) => {}
            Ok(purged) => tracing::debug!(purged, "expired flows were deleted"),
            Err(error) => tracing::warn!(%error, "expired flows could not be deleted"),
        }
    }
}

/// A domain error as an operator needs it: with its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
