//! What a storm is made of: the provider, the proxy before it, the fleet, and the connections.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::join_all, stream};
use indicatif::{ProgressBar, ProgressStyle};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use tempfile::TempDir;
use tokenwell::api::pb::{
    connection::v1::{ImportCredentials, ImportOAuth2, ImportRequest, import_credentials},
    integration::v1::{CreateRequest, Integration},
};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};
use url::Url;

use super::{
    caller::{self, Caller, Seen},
    fleet::Fleet,
};
use crate::support::{
    Database, FaultProxy, Foreign, ManualClock, Options, TestServer, grace,
    oidc::{self, CLIENT_ID, CLIENT_SECRET},
};

/// How many servers there are.
pub const REPLICAS: usize = 3;
/// The integration of all connections.
pub const INTEGRATION: &str = "storm";
/// Longer than a lease, so that whoever takes over from a server that was killed still comes in time.
const GRACE: u32 = 300;
/// What the proxy's luck follows from.
const SEED: u64 = 4;
/// Longer than a refresh takes whose server lives, in microseconds: its time-out, and the time to commit.
const LONGEST_CALL: i64 = 20_000_000;
/// How many connections are made, or looked at, at the same time.
const AT_ONCE: usize = 16;

/// What the provider does with refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It rotates them. A spent one that comes again ends the grant.
    Rotating,
    /// It rotates them, but takes a spent one again for a while.
    Forgiving,
}

/// How servers end while callers call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By SIGKILL. Another one takes their place after that.
    Killed,
    /// By SIGTERM, once another one has taken their place.
    Stopped,
}

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Size {
    pub connections: usize,
    pub callers: usize,
    pub span: Duration,
    /// How long access tokens live, in seconds.
    pub ttl: u32,
    /// How long a caller rests between two calls, at the most.
    pub rest: Duration,
    /// How often a server ends, if any do.
    pub end_every: Duration,
    /// Whether the result is for the record.
    pub long: bool,
}

/// Everything, running.
pub struct World {
    pub name: &'static str,
    pub kind: Kind,
    pub size: Size,
    pub provider: Arc<Foreign>,
    pub proxy: FaultProxy,
    pub fleet: Fleet,
    pub database: Database,
    pub connections: Arc<Vec<String>>,
    /// What callers try their tokens with.
    pub http: reqwest::Client,
    _providers: TempDir,
}

impl Size {
    /// The short storm, unless `make storm` asks for the long one.
    #[expect(
        clippy::disallowed_methods,
        reason = "`make storm` says by a variable that it wants the long one"
    )]
    pub fn chosen(kind: Kind) -> Self {
        if std::env::var("TOKENWELL_STORM").as_deref() != Ok("long") {
            return Self {
                connections: 20,
                callers: 40,
                span: Duration::from_secs(6),
                ttl: 2,
                rest: Duration::from_millis(600),
                end_every: Duration::from_secs(1),
                long: false,
            };
        }
        Self {
            connections: 200,
            callers: 500,
            span: Duration::from_mins(3),
            // The forgiving provider is the slowest part of the storm by far: two-second tokens, or callers without rest, would
            // only measure it.
            ttl: if kind == Kind::Rotating { 2 } else { 20 },
            rest: Duration::from_secs(if kind == Kind::Rotating { 8 } else { 30 }),
            end_every: Duration::from_secs(7),
            long: true,
        }
    }
}

impl World {
    /// Starts all of it. The connections have a refresh token each, and no access token yet.
    pub async fn new(name: &'static str, kind: Kind, size: Size) -> Self {
        Self::with(name, kind, size, &[""; REPLICAS]).await
    }

    /// The same, with a server for each of these failpoints.
    pub async fn with(name: &'static str, kind: Kind, size: Size, failpoints: &[&str]) -> Self {
        let unused = "https://connect.example.test/callback";
        let provider = match kind {
            Kind::Rotating => oidc::start(unused, size.ttl).await,
            Kind::Forgiving => grace::start(unused, size.ttl, GRACE).await,
        };
        let origin = Url::parse(&provider.origin).unwrap();
        let proxy = FaultProxy::before(origin.socket_addrs(|| None).unwrap()[0], SEED).await;
        let token_origin = format!("http://{}", proxy.address);
        let (file, entry) = match kind {
            Kind::Rotating => oidc::entry(&provider, &token_origin),
            Kind::Forgiving => grace::entry(&provider, &token_origin),
        };
        let providers = TempDir::new().unwrap();
        std::fs::write(providers.path().join(&file), &entry).unwrap();

        let database = Database::postgres().await;
        let mut options = Options::new(&ManualClock::new());
        options.providers.push((file.clone(), entry));
        let server = TestServer::start(&database, options).await;
        let connections =
            import(&server, file.trim_end_matches(".toml"), provider.mint(size.connections).await);
        let connections = Arc::new(connections.await);
        let key = server.key.clone();
        server.stop().await;
        let fleet = Fleet::start(database.storage(), providers.path().to_owned(), &key, failpoints).await;
        let provider = Arc::new(provider);
        let http = caller::client();
        Self { name, kind, size, provider, proxy, fleet, database, connections, http, _providers: providers }
    }

    /// Lets the callers loose, and ends one server after the other, if that is asked for.
    pub async fn storm(&self, ends: Option<End>) -> Seen {
        let end = Instant::now() + self.size.span;
        // A connection whose server was killed is held up until that server's lease runs out, and callers need not be.
        let patience = Duration::from_secs(if ends == Some(End::Killed) { 4 } else { 25 });
        let mut callers = JoinSet::new();
        for number in 0..self.size.callers {
            callers.spawn(Caller::new(self, number, patience).call_until(end));
        }
        let bar = self.bar();
        let ticking = tokio::spawn(tick(bar.clone(), end));
        let ended = match ends {
            Some(how) => self.end_until(end, how).await,
            None => 0,
        };
        let mut seen = match ends {
            Some(End::Stopped) => Seen { stops: ended, ..Seen::default() },
            _ => Seen { kills: ended, ..Seen::default() },
        };
        while let Some(caller) = callers.join_next().await {
            seen.add(caller.unwrap());
        }
        ticking.await.unwrap();
        bar.finish_and_clear();
        seen
    }

    async fn end_until(&self, end: Instant, how: End) -> u64 {
        let (mut ended, pause) = (0, self.size.end_every);
        while Instant::now() + pause < end {
            sleep_until(Instant::now() + pause).await;
            let replica = usize::try_from(ended).unwrap() % self.fleet.len();
            match how {
                End::Killed => self.fleet.replace(replica).await,
                End::Stopped => self.fleet.relieve(replica).await,
            }
            ended += 1;
        }
        ended
    }

    /// How many attempts count as lost whose server has begun others long after: that one was not killed, it has forgotten.
    pub async fn forgotten(&self) -> i64 {
        let sql = format!(
            "SELECT count(*) FROM refresh_attempts a WHERE a.outcome = 'lost' AND EXISTS (SELECT 1 FROM \
             refresh_attempts b WHERE b.replica = a.replica AND b.start_time > a.start_time + {LONGEST_CALL})"
        );
        let database = self.database.connect().await;
        let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
        database.close().await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }

    /// Ends all servers by SIGKILL, lets the leases of the dead run out, and starts new ones.
    pub async fn start_over(&self) {
        for replica in 0..self.fleet.len() {
            self.fleet.kill(replica);
        }
        let database = self.database.connect().await;
        let expired = "UPDATE connections SET lease_until = 0 WHERE lease_until IS NOT NULL";
        database.execute_unprepared(expired).await.unwrap();
        database.close().await.unwrap();
        join_all((0..self.fleet.len()).map(|replica| self.fleet.replace(replica))).await;
    }

    /// The connections that the journal calls lost.
    pub async fn named_lost(&self) -> BTreeSet<String> {
        let sql = "SELECT DISTINCT c.connection_id FROM connections c \
                   JOIN refresh_attempts a ON a.connection_row_id = c.id WHERE a.outcome = 'lost'";
        let database = self.database.connect().await;
        let rows = database.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
        database.close().await.unwrap();
        rows.iter().map(|row| row.try_get("", "connection_id").unwrap()).collect()
    }

    /// Shows on a terminal how far it is.
    fn bar(&self) -> ProgressBar {
        if !self.size.long {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{prefix:>10} {bar:40} {pos}/{len} s {msg}").unwrap();
        let bar = ProgressBar::new(self.size.span.as_secs()).with_style(style);
        bar.with_prefix(self.name)
    }
}

async fn tick(bar: ProgressBar, end: Instant) {
    let mut seconds = interval(Duration::from_secs(1));
    while Instant::now() < end {
        seconds.tick().await;
        bar.inc(1);
    }
}

/// Makes a connection of each refresh token.
async fn import(server: &TestServer, provider: &str, tokens: Vec<String>) -> Vec<String> {
    let integration = Integration {
        integration_id: INTEGRATION.to_owned(),
        provider_id: provider.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        ..Integration::default()
    };
    let request = CreateRequest { integration: Some(integration) };
    server.integration(&server.key).create(request).await.unwrap();
    let client = server.connection(&server.key);
    let imports = tokens.into_iter().enumerate().map(|(number, refresh_token)| {
        let mut client = client.clone();
        async move {
            let connection_id = format!("c{number}");
            let oauth2 = ImportOAuth2 { refresh_token, ..ImportOAuth2::default() };
            let request = ImportRequest {
                integration_id: INTEGRATION.to_owned(),
                connection_id: connection_id.clone(),
                credentials: Some(ImportCredentials { kind: Some(import_credentials::Kind::Oauth2(oauth2)) }),
                ..ImportRequest::default()
            };
            client.import(request).await.unwrap();
            connection_id
        }
    });
    stream::iter(imports).buffer_unordered(AT_ONCE).collect().await
}
