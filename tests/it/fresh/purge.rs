//! What nobody needs any more is deleted: all of it, and whatever becomes of the rest.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use tokenwell::{
    api::pb::{
        auth::v1::BeginRequest,
        project::v1::{Completion, Settings},
    },
    model::Duration,
};

use super::{forced, usual};
use crate::support::{
    Browser, TestResult,
    acme::ACME,
    server::begin,
    steps::{until, walk},
};

async fn number<T: sea_orm::TryGetable>(db: &DatabaseConnection, sql: &str) -> T {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

async fn count(db: &DatabaseConnection, table: &str) -> i64 {
    number(db, &format!("SELECT count(*) FROM {table}")).await
}

/// Makes a thousand and more copies of a table's one row, which differ in these columns.
async fn multiply(db: &DatabaseConnection, table: &str, fresh: &[(&str, &str)]) {
    let names = fresh.iter().map(|(name, _)| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let columns =
        format!("SELECT group_concat(name) FROM pragma_table_info('{table}') WHERE name NOT IN ({names})");
    let rest: String = number(db, &columns).await;
    let (into, from): (Vec<_>, Vec<_>) = fresh.iter().copied().unzip();
    let (into, from) = (into.join(", "), from.join(", "));
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)
         INSERT INTO {table} ({into}, {rest}) SELECT {from}, {rest} FROM {table}, n"
    );
    db.execute_unprepared(&sql).await.unwrap();
}

/// More than one batch of each.
#[tokio::test]
async fn a_purge_does_not_stop_before_all_is_gone() -> TestResult {
    let acme = usual().await;
    acme.server.get(forced()).await?;
    acme.server.begin(begin(ACME, "bob")).await?;
    let db = acme.database.connect().await;
    // The flow that has been completed is one more.
    db.execute_unprepared("DELETE FROM flows WHERE connection_id <> 'bob'").await?;
    let digests = [("state_digest", "hex(randomblob(32))"), ("connect_digest", "hex(randomblob(32))")];
    multiply(&db, "flows", &[&[("id", "randomblob(16)")], &digests[..]].concat()).await;
    multiply(&db, "refresh_attempts", &[("id", "randomblob(16)")]).await;
    assert_eq!((count(&db, "flows").await, count(&db, "refresh_attempts").await), (1101, 1101));
    acme.server.flows().purge().await?;
    assert_eq!((count(&db, "flows").await, count(&db, "refresh_attempts").await), (1101, 1101), "too early");
    acme.clock.advance(Duration::days(31));
    assert_eq!(acme.server.flows().purge().await?, 1101);
    assert_eq!((count(&db, "flows").await, count(&db, "refresh_attempts").await), (0, 0));
    Ok(())
}

/// What a flow keeps to be ended with is of use to nobody but a thief once it has expired.
#[tokio::test]
async fn a_flow_that_has_expired_keeps_nothing_secret() -> TestResult {
    let acme = usual().await;
    let confirm = Settings {
        allowed_return_urls: vec!["https://app.example.com/".to_owned()],
        completion: Completion::Confirm.into(),
        ..Settings::default()
    };
    acme.server.update_settings(confirm, &["allowed_return_urls", "completion"]).await;
    let return_url = "https://app.example.com/".to_owned();
    let request = BeginRequest { return_url, ..begin(ACME, "bob") };
    let mut browser = Browser::new();
    let (_, callback) = walk(&acme.server, &mut browser, request).await;
    assert_eq!(browser.step(callback.as_str()).await.status.as_u16(), 303);
    let db = acme.database.connect().await;
    let kept = "SELECT count(parked_query) + count(code_verifier) FROM flows WHERE connection_id = 'bob'";
    assert_eq!(number::<i64>(&db, kept).await, 2);
    acme.clock.advance(Duration::seconds(59));
    acme.server.flows().wipe_expired().await?;
    assert_eq!(number::<i64>(&db, kept).await, 2);
    acme.clock.advance(Duration::seconds(1));
    let background = acme.background().await;
    until(async || number::<i64>(&db, kept).await, |kept| *kept == 0).await;
    drop(background);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_purged_keeps_nothing_else() -> TestResult {
    let acme = usual().await;
    let db = acme.database.connect().await;
    for broken in ["events", "refresh_attempts", "webhooks", "webhook_deliveries"] {
        acme.begin(&[]).await?;
        acme.server.get(forced()).await?;
        acme.clock.advance(Duration::days(31));
        db.execute_unprepared(&format!("ALTER TABLE {broken} RENAME TO elsewhere")).await?;
        assert!(acme.server.flows().purge().await.is_err(), "nobody learns that {broken} cannot be purged");
        let left = ["flows", "refresh_attempts"].into_iter().filter(|table| *table != broken);
        for table in left {
            assert_eq!(count(&db, table).await, 0, "{table} was left because of {broken}");
        }
        db.execute_unprepared(&format!("ALTER TABLE elsewhere RENAME TO {broken}")).await?;
    }
    acme.server.flows().purge().await?;
    Ok(())
}
