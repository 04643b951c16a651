//! The connections to the database.
//!
//! SQLite lets one connection write at a time, and those that wait for it look again and again, in no order, until one of
//! them has looked for too long. So there all writes of this process go over one connection, in the order in which they were
//! asked for, and only another process is ever waited for in that way. Reads go over connections of their own, and wait for
//! nobody.

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
    prelude::async_trait::async_trait,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};

use super::{PATIENCE, StoreOptions, is_locked, patiently};
use crate::model::ExposeSecret as _;

/// The connections, which are the same for reading and for writing in PostgreSQL.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
}

// === impl Pool ===

impl Pool {
    pub(super) async fn open(options: &StoreOptions) -> Result<Self, DbErr> {
        let most = options.max_connections;
        if !options.url.expose_secret().starts_with("sqlite:") {
            let both = Database::connect(connect(options, most)).await?;
            return Ok(Self { writer: both.clone(), reader: both });
        }
        let mut writer = connect(options, 1);
        writer.map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .create_if_missing(true)
                .foreign_keys(true)
                .busy_timeout(PATIENCE)
                .journal_mode(SqliteJournalMode::Wal)
                // A rotated refresh token that a power failure takes back is lost for good.
                .synchronous(SqliteSynchronous::Full)
        });
        let mut reader = connect(options, most.saturating_sub(1).max(1));
        reader.map_sqlx_sqlite_opts(|sqlite| sqlite.busy_timeout(PATIENCE).pragma("query_only", "ON"));
        // First the one that makes the file what it is.
        let writer = patiently(|| Database::connect(writer.clone()), is_locked).await?;
        let reader = patiently(|| Database::connect(reader.clone()), is_locked).await?;
        Ok(Self { writer, reader })
    }

    /// The connections that may write, for whoever wants them as they are.
    pub(super) fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    pub(super) fn get_database_backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// Begins a transaction. In SQLite it has the lock from the beginning: one that would take it later, after a read, is refused
    /// at once if somebody else has written meanwhile.
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let immediate = Some(SqliteTransactionMode::Immediate);
        let options =
            TransactionOptions { sqlite_transaction_mode: immediate, ..TransactionOptions::default() };
        self.writer.begin_with_options(options).await
    }

    pub(super) async fn ping(&self) -> Result<(), DbErr> {
        self.reader.ping().await
    }

    pub(super) async fn close(self) -> Result<(), DbErr> {
        self.reader.close().await?;
        self.writer.close().await
    }

    /// The connections for a statement. What may write, such as an update that gives its rows back, is no `SELECT`.
    fn of(&self, statement: &Statement) -> &DatabaseConnection {
        if statement.sql.starts_with("SELECT") { &self.reader } else { &self.writer }
    }
}

#[async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        self.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.writer.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.writer.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.of(&statement).query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.of(&statement).query_all_raw(statement).await
    }
}

fn connect(options: &StoreOptions, connections: u32) -> ConnectOptions {
    let mut connect = ConnectOptions::new(options.url.expose_secret());
    connect
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .connect_timeout(PATIENCE)
        // Statements carry values that no log should have.
        .sqlx_logging(false)
        .set_application_name("tokenwell");
    connect
}
