//! Speaks to the database: SQLite or PostgreSQL, through sea-orm. Knows rows, not RFCs.
//!
//! Every lookup is pinned to a project. What correctness rests on is single conditional statements, so that it holds on
//! every replica and on any PostgreSQL-compatible engine; no transaction is open across a call to a provider. Secrets are
//! sealed on the way in and opened on the way out, here and nowhere else.

mod column;
mod connection;
#[expect(unreachable_pub, reason = "the derive macros of entities want `pub`")]
mod entity;
mod flow;
mod integration;
mod key;
mod project;
mod seal;

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr, RuntimeErr, SqlErr, sqlx};
use tokenwell_migrations::{Migrator, MigratorTrait as _};

pub use connection::{NewGrant, RefreshedTokens};
pub use flow::NewFlow;
pub use seal::{KeyRing, KeyRingError};

use crate::model::{Error, Random, Result};

/// How often, and how fast, a start tries again what others that start at the same time may be in the way of.
const START_TRIES: u32 = 50;
const START_PAUSE: Duration = Duration::from_millis(100);

/// The database, and the keys that seal what is secret in it.
#[derive(Debug, Clone)]
pub struct Store {
    db: DatabaseConnection,
    keys: Arc<KeyRing>,
    random: Arc<dyn Random>,
}

/// Where the database is.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `sqlite://PATH` or `postgres://...`.
    pub url: String,
    /// The most connections to it.
    pub max_connections: u32,
}

impl Store {
    /// Connects.
    pub async fn open(options: &StoreOptions, keys: KeyRing, random: Arc<dyn Random>) -> Result<Self> {
        let mut connect = ConnectOptions::new(&options.url);
        connect
            .max_connections(options.max_connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(5))
            // Statements carry values that no log should have.
            .sqlx_logging(false)
            .set_application_name("tokenwell")
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .create_if_missing(true)
                    .foreign_keys(true)
                    .busy_timeout(Duration::from_secs(5))
                    .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
                    // A rotated refresh token that a power failure takes back is lost for good.
                    .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
            });
        let db = patiently(|| Database::connect(connect.clone()), is_locked).await.map_err(failed)?;
        Ok(Self { db, keys: Arc::new(keys), random })
    }

    /// Brings the schema up to date. Of several that do so at once, the others fail on what one has done already, and find
    /// nothing left to do.
    pub async fn migrate(&self) -> Result<()> {
        let migrated = patiently(
            || {
                let db = self.db.clone();
                async move { Migrator::up(&db, None).await }
            },
            |error| !is_gone(error),
        );
        migrated.await.map_err(failed)
    }

    /// How many migrations the database still lacks.
    pub async fn pending_migrations(&self) -> Result<usize> {
        Ok(Migrator::get_pending_migrations(&self.db).await.map_err(failed)?.len())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.db.ping().await.map_err(failed)
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

/// Whether the database is not there for the moment.
fn is_gone(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner)) => matches!(
            **inner,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_)
        ),
        _ => false,
    }
}

/// Whether an insert failed because the row is there already.
fn is_duplicate(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
