//! The database, seen past the store: no secret is there in clear, and a ciphertext is worth nothing in another place.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement, Value};
use tonic::Code;

use super::drive::drive;
use crate::support::{
    Database, ManualClock, Options, TestProvider, TestServer, assert_refused, database::Kind,
};

async fn start(kind: Kind) -> (TestServer, TestProvider, Database) {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::new(kind).await;
    let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;
    (server, provider, database)
}

/// The run left something in every sealed column; else nothing would be proved.
async fn assert_full(database: &DatabaseConnection) {
    for (what, sql) in [
        (
            "HMAC keys",
            "SELECT COUNT(*) AS n FROM projects WHERE hmac_key_1 IS NOT NULL AND hmac_key_2 IS NOT NULL",
        ),
        ("API keys", "SELECT COUNT(*) AS n FROM api_keys WHERE digest <> ''"),
        ("webhooks' secrets", "SELECT COUNT(*) AS n FROM webhooks WHERE previous_secret IS NOT NULL"),
        ("client secrets", "SELECT COUNT(*) AS n FROM integrations WHERE client_secret IS NOT NULL"),
        ("tokens", "SELECT COUNT(*) AS n FROM connections WHERE refresh_token IS NOT NULL"),
        ("flows", "SELECT COUNT(*) AS n FROM flows WHERE status = 'pending' AND code_verifier IS NOT NULL"),
        (
            "parked flows",
            "SELECT COUNT(*) AS n FROM flows WHERE status = 'parked' AND parked_query IS NOT NULL",
        ),
    ] {
        let row = database.query_one_raw(statement(database, sql, [])).await.unwrap().unwrap();
        assert!(row.try_get::<i64>("", "n").unwrap() > 0, "there are no {what}");
    }
}

#[tokio::test]
async fn no_secret_is_in_sqlites_files() {
    let (server, provider, database) = start(Kind::Sqlite).await;
    let canaries = drive(&server, &provider).await;
    canaries.assert_absent_on_the_way();
    assert_full(&database.connect().await).await;

    let mut names = Vec::new();
    let mut all = Vec::new();
    for entry in std::fs::read_dir(database.directory()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        canaries.assert_absent(&name, &bytes);
        names.push(name);
        all.extend(bytes);
    }
    names.sort();
    assert_eq!(names, ["tokenwell.db", "tokenwell.db-shm", "tokenwell.db-wal"]);
    // What is no secret is found there, so that the search is known to have looked at the rows.
    for clear in ["gina", "hugo", "client-of-tokenwell", "https://app.example.com/done"] {
        assert!(String::from_utf8_lossy(&all).contains(clear), "{clear} was not found");
    }

    server.stop().await;
    canaries
        .assert_absent("the database", &std::fs::read(database.directory().join("tokenwell.db")).unwrap());
}

#[tokio::test]
async fn no_secret_is_in_postgresqls_columns() {
    let (server, provider, database) = start(Kind::Postgres).await;
    let canaries = drive(&server, &provider).await;
    canaries.assert_absent_on_the_way();
    let database = database.connect().await;
    assert_full(&database).await;

    let columns = "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns \
                   WHERE table_schema = 'public'";
    let mut clear = String::new();
    let mut tables = std::collections::BTreeSet::new();
    for column in database.query_all_raw(statement(&database, columns, [])).await.unwrap() {
        let read = |name: &str| column.try_get::<String>("", name).unwrap();
        let (table, name, kind) = (read("table_name"), read("column_name"), read("data_type"));
        // Bytes as they are, whatever they are: the search knows what to look for in them.
        let value = match kind.as_str() {
            "bytea" => format!("\"{name}\""),
            _ => format!("convert_to(\"{name}\"::text, 'UTF8')"),
        };
        let sql = format!("SELECT {value} AS value FROM \"{table}\" WHERE \"{name}\" IS NOT NULL");
        for row in database.query_all_raw(statement(&database, &sql, [])).await.unwrap() {
            let value = row.try_get::<Vec<u8>>("", "value").unwrap();
            canaries.assert_absent(&format!("{table}.{name}"), &value);
            clear.push_str(&String::from_utf8_lossy(&value));
            clear.push('\n');
        }
        tables.insert(table);
    }
    for table in ["api_keys", "connections", "flows", "integrations", "projects", "webhooks"] {
        assert!(tables.contains(table), "{table} was not searched");
    }
    for known in ["gina", "hugo", "client-of-tokenwell", "https://app.example.com/done"] {
        assert!(clear.contains(known), "{known} was not found");
    }
}

#[tokio::test]
async fn ciphertexts_that_change_places_do_not_open_on_sqlite() {
    ciphertexts_that_change_places_do_not_open(Kind::Sqlite).await;
}

#[tokio::test]
async fn ciphertexts_that_change_places_do_not_open_on_postgresql() {
    ciphertexts_that_change_places_do_not_open(Kind::Postgres).await;
}

async fn ciphertexts_that_change_places_do_not_open(kind: Kind) {
    let (server, _provider, database) = start(kind).await;
    for id in ["one", "two"] {
        server.connect("sandbox", id).await;
    }
    let database = database.connect().await;
    let [one, two] = [sealed(&database, "one").await, sealed(&database, "two").await];
    let [(one_access, one_refresh), (two_access, two_refresh)] = [&one, &two];

    for (what, changed_one, changed_two) in [
        ("between rows", (two_access, one_refresh), (one_access, two_refresh)),
        ("between columns", (one_refresh, one_access), (two_refresh, two_access)),
        ("refresh tokens between rows", (one_access, two_refresh), (two_access, one_refresh)),
    ] {
        put(&database, "one", changed_one).await;
        put(&database, "two", changed_two).await;
        for id in ["one", "two"] {
            let refusal = assert_refused(server.token("sandbox", id).await, Code::Internal, "INTERNAL");
            assert_eq!(refusal.message, "internal error", "{what}");
            assert!(refusal.metadata.is_empty() && refusal.fields.is_empty(), "{what}: {refusal:?}");
        }
    }
    let mut altered = one_access.clone();
    *altered.last_mut().unwrap() ^= 1;
    put(&database, "one", (&altered, one_refresh)).await;
    assert_refused(server.token("sandbox", "one").await, Code::Internal, "INTERNAL");

    // In their own places they open.
    put(&database, "one", (one_access, one_refresh)).await;
    put(&database, "two", (two_access, two_refresh)).await;
    for id in ["one", "two"] {
        server.token("sandbox", id).await.unwrap();
    }
}

/// The sealed access and refresh tokens of a connection.
async fn sealed(database: &DatabaseConnection, id: &str) -> (Vec<u8>, Vec<u8>) {
    let sql = "SELECT access_token, refresh_token FROM connections WHERE connection_id = $1";
    let row = database.query_one_raw(statement(database, sql, [id.into()])).await.unwrap().unwrap();
    let read = |column: &str| row.try_get::<Vec<u8>>("", column).unwrap();
    (read("access_token"), read("refresh_token"))
}

async fn put(database: &DatabaseConnection, id: &str, (access, refresh): (&Vec<u8>, &Vec<u8>)) {
    let sql = "UPDATE connections SET access_token = $1, refresh_token = $2 WHERE connection_id = $3";
    let values = [access.clone().into(), refresh.clone().into(), id.into()];
    let done = database.execute_raw(statement(database, sql, values)).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
}

fn statement<const N: usize>(database: &DatabaseConnection, sql: &str, values: [Value; N]) -> Statement {
    let backend: DbBackend = database.get_database_backend();
    Statement::from_sql_and_values(backend, sql, values)
}
