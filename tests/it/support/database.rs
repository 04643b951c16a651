//! Databases of tests: SQLite in a directory of its own, or a database of its own in the test run's PostgreSQL.

use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use tokenwell::config::StorageArgs;

/// One database, gone after the test.
pub struct Database {
    directory: TempDir,
    url: Option<String>,
    connections: u32,
}

/// The kinds of databases that every store test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A sealing key that is the same for all replicas of a test.
const KEY: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

impl Database {
    /// SQLite in a new directory.
    pub fn sqlite() -> Self {
        Self { directory: TempDir::new().unwrap(), url: None, connections: 8 }
    }

    /// A new database in PostgreSQL, which `make test` starts.
    #[expect(clippy::disallowed_methods, reason = "the test run names its PostgreSQL by a variable")]
    pub async fn postgres() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("TOKENWELL_TEST_POSTGRES_URL").expect(
            "TOKENWELL_TEST_POSTGRES_URL names no PostgreSQL: run `scripts/with-postgres cargo test`",
        );
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let admin = sea_orm::Database::connect(&server).await.unwrap();
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        admin.close().await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { directory: TempDir::new().unwrap(), url: Some(format!("{base}/{name}")), connections: 8 }
    }

    /// A database of this kind.
    pub async fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::sqlite(),
            Kind::Postgres => Self::postgres().await,
        }
    }

    /// The same, with this many connections for each server.
    pub fn with_connections(self, connections: u32) -> Self {
        Self { connections, ..self }
    }

    /// The arguments that name it.
    pub fn storage(&self) -> StorageArgs {
        StorageArgs {
            data_dir: self.directory.path().to_owned(),
            database_url: self.url.as_deref().map(Into::into),
            database_max_connections: self.connections,
            sealing_keys: Some(KEY.into()),
            sealing_key_file: None,
        }
    }

    /// The directory of SQLite's files.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Everything that is stored, as bytes in a row: the files of SQLite, the columns of PostgreSQL.
    pub async fn contents(&self) -> Vec<u8> {
        if self.url.is_none() {
            let files = std::fs::read_dir(self.directory.path()).unwrap();
            return files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        }
        let database = self.connect().await;
        let columns = "SELECT table_name::text, column_name::text, data_type::text \
                       FROM information_schema.columns WHERE table_schema = 'public'";
        let mut contents = Vec::new();
        for column in database.query_all_raw(statement(columns)).await.unwrap() {
            let read = |name: &str| column.try_get::<String>("", name).unwrap();
            let (table, name, kind) = (read("table_name"), read("column_name"), read("data_type"));
            let value = match kind.as_str() {
                "bytea" => format!("\"{name}\""),
                _ => format!("convert_to(\"{name}\"::text, 'UTF8')"),
            };
            let sql = format!("SELECT {value} AS value FROM \"{table}\" WHERE \"{name}\" IS NOT NULL");
            for row in database.query_all_raw(statement(&sql)).await.unwrap() {
                contents.extend(row.try_get::<Vec<u8>>("", "value").unwrap());
            }
        }
        contents
    }

    /// Changes something past the store.
    pub async fn execute(&self, sql: &str) {
        let db = self.connect().await;
        db.execute_unprepared(sql).await.unwrap();
        db.close().await.unwrap();
    }

    /// What a query for one number finds.
    pub async fn number(&self, sql: &str) -> i64 {
        let db = self.connect().await;
        let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        db.close().await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }

    /// A connection past the store, for looking at what is there.
    pub async fn connect(&self) -> DatabaseConnection {
        let path = self.directory.path().join("tokenwell.db");
        let url = self.url.clone().unwrap_or_else(|| format!("sqlite://{}", path.display()));
        sea_orm::Database::connect(url).await.unwrap()
    }
}

fn statement(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, sql)
}
