//! The schema: what migrations make is what the entities name.

use std::{collections::BTreeMap, fs, path::Path};

use sea_orm::{ConnectionTrait as _, Statement};
use tokenwell::model::Error;

use super::{
    fixture::{add_project, open},
    on_both_databases,
};
use crate::support::database::{Database, Kind};

on_both_databases!(
    migrating_twice_is_migrating_once,
    servers_that_start_at_once_migrate_once,
    the_schema_has_the_columns_that_the_entities_name,
    a_store_without_a_schema_fails,
);

/// Columns by name, and whether they may be null.
type Columns = BTreeMap<String, bool>;

async fn migrating_twice_is_migrating_once(kind: Kind) {
    let database = Database::new(kind).await;
    let store = open(&database.storage()).await;
    let pending = store.pending_migrations().await.unwrap();
    assert!(pending > 0, "a new database has the schema already");
    store.migrate().await.unwrap();
    assert_eq!(store.pending_migrations().await.unwrap(), 0);
    let project = add_project(&store, "acme").await;

    store.migrate().await.unwrap();
    let again = open(&database.storage()).await;
    again.migrate().await.unwrap();
    assert_eq!(again.pending_migrations().await.unwrap(), 0);
    assert!(again.get_project(&project).await.unwrap().is_some());
    again.ping().await.unwrap();
}

/// Replicas are rolled out together, and each of them migrates at its start.
async fn servers_that_start_at_once_migrate_once(kind: Kind) {
    let database = Database::new(kind).await;
    let storage = database.storage();
    let results = super::fixture::at_once(4, |_| {
        let storage = storage.clone();
        async move { open(&storage).await.migrate().await }
    })
    .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(open(&storage).await.pending_migrations().await.unwrap(), 0);
}

async fn the_schema_has_the_columns_that_the_entities_name(kind: Kind) {
    let database = Database::new(kind).await;
    let store = open(&database.storage()).await;
    store.migrate().await.unwrap();
    let entities = entities();
    assert_eq!(entities.len(), 11, "{:?}", entities.keys());
    for (table, columns) in entities {
        assert!(columns.len() > 2, "{table}: {columns:?}");
        assert_eq!(columns_of(&database, kind, &table).await, columns, "{table}");
    }
}

async fn a_store_without_a_schema_fails(kind: Kind) {
    let database = Database::new(kind).await;
    let store = open(&database.storage()).await;
    assert!(matches!(store.has_api_keys().await, Err(Error::Internal(_))));
}

async fn columns_of(database: &Database, kind: Kind, table: &str) -> Columns {
    let sql = match kind {
        Kind::Sqlite => format!("SELECT name, \"notnull\" = 0 AS nullable FROM pragma_table_info('{table}')"),
        Kind::Postgres => format!(
            "SELECT column_name::text AS name, is_nullable = 'YES' AS nullable FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}'"
        ),
    };
    let db = database.connect().await;
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "name").unwrap(), row.try_get("", "nullable").unwrap())).collect()
}

/// Tables and columns as the entities' files declare them: the types themselves are private to the store.
fn entities() -> BTreeMap<String, Columns> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/entity");
    let mut entities = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let Some((_, rest)) = text.split_once("table_name = \"") else { continue };
        let table = rest.split('"').next().unwrap().to_owned();
        let (_, fields) = rest.split_once("pub struct Model {").unwrap();
        let fields =
            fields.split('}').next().unwrap().lines().filter_map(|line| line.trim().strip_prefix("pub "));
        let columns = fields.map(|field| {
            let (name, kind) = field.split_once(": ").unwrap();
            (name.trim_start_matches("r#").to_owned(), kind.starts_with("Option<"))
        });
        entities.insert(table, columns.collect());
    }
    entities
}
