//! Speaks to the database: SQLite or PostgreSQL, through sea-orm. Knows rows, not RFCs.
//!
//! Every lookup is pinned to a project, but for those by an API key, a `state`, a connect token, a signature or a flow's id,
//! which decide the project. What correctness rests on is single conditional statements, so that it holds on
//! every replica and on any PostgreSQL-compatible engine; no transaction is open across a call to a provider. Secrets are
//! sealed on the way in and opened on the way out, here and nowhere else.

mod claim;
mod column;
mod connection;
mod delivery;
mod dispatch;
mod due;
#[expect(unreachable_pub, reason = "the derive macros of entities want `pub`")]
mod entity;
mod event;
mod flow;
mod flow_status;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grant;
mod integration;
mod journal;
mod key;
mod notice;
mod pool;
mod project;
mod refresh;
mod revocation;
mod seal;
mod secrets;
mod setback;
mod ticket;
mod tokens;
mod webhook;

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, RuntimeErr, SqlErr, sea_query::Query, sqlx};
use tokenwell_migrations::{Migrator, MigratorTrait as _};
use tokio::sync::watch;
use url::Url;

pub use dispatch::DueWebhook;
pub use due::{Due, DueLimits};
pub use event::{EventFilter, FeedBounds};
pub use flow::NewFlow;
pub use grant::{NewGrant, Placed};
pub use journal::AttemptOutcome;
use pool::Pool;
pub use refresh::{Lease, Written};
pub use seal::{KeyRing, KeyRingError};
pub use setback::Setback;
pub use tokens::RefreshedTokens;
pub use webhook::WebhookTarget;

use crate::model::{Error, ExposeSecret as _, OffsetDateTime, Random, Result, SecretString};

/// How often, and how fast, a start tries again what others that start at the same time may be in the way of.
const START_TRIES: u32 = 50;
const START_PAUSE: Duration = Duration::from_millis(100);

/// How long a call waits for a connection to the database.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The database, and the keys that seal what is secret in it.
#[derive(Debug, Clone)]
pub struct Store {
    db: Pool,
    keys: Arc<KeyRing>,
    random: Arc<dyn Random>,
    recorded: watch::Sender<()>,
}

/// Where the database is.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `sqlite://PATH` or `postgres://...`.
    pub url: SecretString,
    /// The most connections to it.
    pub max_connections: u32,
}

impl Store {
    /// Connects.
    pub async fn open(options: &StoreOptions, keys: KeyRing, random: Arc<dyn Random>) -> Result<Self> {
        check_url(options.url.expose_secret())?;
        let db = Box::pin(Pool::open(options)).await.map_err(failed)?;
        Ok(Self { db, keys: Arc::new(keys), random, recorded: watch::Sender::new(()) })
    }

    /// Brings the schema up to date. Of several that do so at once, the others fail on what one has done already, and find
    /// nothing left to do.
    pub async fn migrate(&self) -> Result<()> {
        let migrated = patiently(
            || {
                let db = self.db.writer().clone();
                async move { Migrator::up(&db, None).await }
            },
            |error| !is_gone(error) || is_busy(error),
        );
        migrated.await.map_err(failed)
    }

    /// How many migrations the database still lacks.
    pub async fn pending_migrations(&self) -> Result<usize> {
        Ok(Migrator::get_pending_migrations(self.db.writer()).await.map_err(failed)?.len())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.db.ping().await.map_err(failed)
    }

    /// The database's own time, where it has one: SQLite's is this server's.
    pub async fn clock(&self) -> Result<Option<OffsetDateTime>> {
        if self.db.get_database_backend() == DbBackend::Sqlite {
            return Ok(None);
        }
        column::time(self.database_time().await?).map(Some)
    }

    /// What the database takes for the time, in microseconds.
    async fn database_time(&self) -> Result<i64> {
        let now = Query::select().expr(self.database_now()).to_owned();
        let row = self.db.query_one(&now).await.map_err(failed)?;
        let row = row.ok_or_else(|| Error::internal("the database does not know the time"))?;
        row.try_get_by_index(0).map_err(failed)
    }

    /// Closes the connections.
    pub async fn close(self) -> Result<()> {
        self.db.close().await.map_err(failed)
    }
}

/// A failure of the database as the domain sees it: not there for the moment, or a fault of ours.
fn failed(error: DbErr) -> Error {
    if is_gone(&error) { Error::StoreUnavailable(error.into()) } else { Error::internal(error) }
}

/// Refuses what the driver would refuse, too, but with the URL, and so with its password, in the message.
fn check_url(url: &str) -> Result<()> {
    let known = ["postgres:", "postgresql:", "sqlite:"].iter().any(|scheme| url.starts_with(scheme));
    if known && (url.starts_with("sqlite:") || Url::parse(url).is_ok()) {
        return Ok(());
    }
    Err(Error::field(
        "database_url",
        "is malformed: expected `postgres://user:password@host/name` or `sqlite://PATH`",
    ))
}

/// Does what servers that start at once may be in each other's way of, until it succeeds or `again` says no.
async fn patiently<T, F: Future<Output = Result<T, DbErr>>>(
    work: impl Fn() -> F,
    again: impl Fn(&DbErr) -> bool,
) -> Result<T, DbErr> {
    for _ in 1..START_TRIES {
        match work().await {
            Err(error) if again(&error) => tokio::time::sleep(START_PAUSE).await,
            done => return done,
        }
    }
    work().await
}

/// Whether another process holds SQLite's lock: the change to WAL does not wait for it.
fn is_locked(error: &DbErr) -> bool {
    matches!(error, DbErr::Conn(RuntimeErr::SqlxError(inner)) if inner.to_string().contains("database is locked"))
}

/// Whether another one writes to SQLite at the same time.
fn is_busy(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner))) = error
    else {
        return is_locked(error);
    };
    inner.to_string().contains("database is locked")
}

/// Whether the database is not there for the moment: out of reach, stopping, full, read-only after a failover, or in
/// somebody's way. The same call may succeed later.
fn is_gone(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner)) => {
            match &**inner {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing(&code)),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Codes of failures that pass: PostgreSQL's classes connection exception (08), insufficient resources (53) and operator
/// intervention (57P), serialization failure, deadlock and read-only transaction; SQLite's BUSY, LOCKED, READONLY, IOERR and
/// FULL.
fn is_passing(code: &str) -> bool {
    const SQLSTATES: [&str; 3] = ["40001", "40P01", "25006"];
    const SQLITE: [u32; 5] = [5, 6, 8, 10, 13];
    if code.len() == 5 {
        let class = ["08", "53", "57P"].iter().any(|class| code.starts_with(class));
        return class || SQLSTATES.contains(&code);
    }
    // The lowest byte says what kind it is.
    code.parse::<u32>().is_ok_and(|code| SQLITE.contains(&(code & 0xff)))
}

/// Whether a row that another one needs is gone, or a row is still needed.
fn is_orphan(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_)))
}

/// Whether an insert failed because the row is there already.
fn is_duplicate(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
