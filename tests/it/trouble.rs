//! A database that fails at the worst moment: when the provider has answered, and its answer exists nowhere else.

use sea_orm::ConnectionTrait as _;
use tokenwell::{
    api::pb::{
        auth::v1::{WatchRequest, watch_response::Status},
        connection::v1::GetRequest,
    },
    model::{Action, Duration, Failpoints, Point},
};
use tonic::Code;

use crate::support::{
    Acme, Browser, Database, ManualClock, Options, TestProvider, TestServer,
    acme::plain,
    assert_refused,
    database::Kind,
    server::{begin, get},
    steps::{complete, until, walk, works},
};

/// Makes the next writes of tokens fail with this SQLSTATE. A sequence counts them, since it is not rolled back.
async fn fail_writes(database: &Database, times: u32, sqlstate: &str) {
    let db = database.connect().await;
    for sql in [
        "DROP TRIGGER IF EXISTS trouble ON connections".to_owned(),
        "DROP SEQUENCE IF EXISTS troubles".to_owned(),
        "CREATE SEQUENCE troubles".to_owned(),
        format!(
            "CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF nextval('troubles') <= {times} THEN RAISE EXCEPTION 'trouble' USING ERRCODE = '{sqlstate}'; \
             END IF; RETURN NEW; END $$"
        ),
        "CREATE TRIGGER trouble BEFORE INSERT OR UPDATE OF access_token ON connections \
         FOR EACH ROW EXECUTE FUNCTION trouble()"
            .to_owned(),
    ] {
        db.execute_unprepared(&sql).await.unwrap();
    }
    db.close().await.unwrap();
}

async fn stage() -> (TestServer, TestProvider, Database) {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::postgres().await;
    let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;
    (server, provider, database)
}

/// A serialization failure, an administrator's shutdown, a read-only replica after a failover, and one that says nothing.
const STATES: [&str; 4] = ["40001", "57P01", "25006", "XX000"];

#[tokio::test]
async fn a_refreshed_token_is_stored_when_the_database_is_well_again() {
    let (server, provider, database) = stage().await;
    server.connect("sandbox", "u1").await;
    for (refreshes, sqlstate) in (1..).zip(STATES) {
        server.clock.advance(Duration::hours(1));
        fail_writes(&database, 2, sqlstate).await;
        let (_, token) = server.token("sandbox", "u1").await.unwrap();
        assert!(works(&provider, &token.access_token).await, "{sqlstate}");
        let book = provider.sandbox.book();
        assert_eq!((book.refreshes, book.reuse_detected), (refreshes, 0), "{sqlstate}");
    }
}

#[tokio::test]
async fn a_redeemed_code_is_stored_when_the_database_is_well_again() {
    let (server, provider, database) = stage().await;
    for (exchanges, sqlstate) in (1..).zip(STATES) {
        let mut browser = Browser::new();
        let (_, callback) = walk(&server, &mut browser, begin("sandbox", sqlstate)).await;
        fail_writes(&database, 2, sqlstate).await;
        let answer = browser.get(callback.as_str()).await;
        assert_eq!(answer.result("data-status"), "success", "{sqlstate}: {}", answer.body);
        assert_eq!(provider.sandbox.book().exchanges, exchanges, "{sqlstate}");
        let (_, token) = server.token("sandbox", sqlstate).await.unwrap();
        assert!(works(&provider, &token.access_token).await, "{sqlstate}");
    }
}

/// What passes is told from what is broken: a caller may try again.
#[tokio::test]
async fn a_failure_that_passes_is_unavailable() {
    let (server, _provider, database) = stage().await;
    for (sqlstate, code, reason) in
        [("40001", Code::Unavailable, "STORE_UNAVAILABLE"), ("XX000", Code::Internal, "INTERNAL")]
    {
        let (_, callback) = walk(&server, &mut Browser::new(), begin("sandbox", "u1")).await;
        fail_writes(&database, 100, sqlstate).await;
        let query = callback.query().unwrap();
        let refused = complete(&server, &server.key, query).await;
        let refusal = assert_refused(refused, code, reason);
        assert_eq!(refusal.retry.is_some(), code == Code::Unavailable);
        assert!(!refusal.message.contains("trouble"), "{}", refusal.message);
    }
}

/// What it had is nobody's, and what was there before still works.
#[tokio::test]
async fn a_server_that_dies_with_a_grant_in_its_hands_leaves_the_connection_as_it_was() {
    let (clock, failpoints) = (ManualClock::new(), Failpoints::default());
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let options = Options { failpoints: failpoints.clone(), ..Options::with(&clock, &provider) };
    let server = TestServer::start(&database, options).await;
    server.create_integration("sandbox", "sandbox").await;
    server.connect("sandbox", "u1").await;
    let (_, before) = server.token("sandbox", "u1").await.unwrap();

    failpoints.set(Point::RedeemAfterExchange, Action::Panic, ..);
    let mut browser = Browser::new();
    let (begun, callback) = walk(&server, &mut browser, begin("sandbox", "u1")).await;
    let answer = browser.get(callback.as_str()).await;
    assert_eq!(answer.result("data-status"), "error", "{}", answer.body);
    assert_eq!(provider.sandbox.book().exchanges, 2);
    failpoints.release(Point::RedeemAfterExchange);
    // Nothing redeems a code twice, and the flow has an end.
    let again = browser.get(callback.as_str()).await;
    assert_eq!(again.result("data-status"), "error", "{}", again.body);
    // Its ten minutes, and the longest that a code may take to be redeemed.
    clock.advance(Duration::minutes(15));
    let request = WatchRequest { flow_id: begun.flow_id };
    let mut watch = server.auth(&server.key).watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), Status::Failed);

    let (_, token) = server.token("sandbox", "u1").await.unwrap();
    assert_eq!(token.access_token, before.access_token);
    assert!(works(&provider, &token.access_token).await);
    server.connect("sandbox", "u1").await;
    assert_eq!((provider.sandbox.book().exchanges, provider.sandbox.book().refreshes), (3, 0));
}

/// Before a single-use token is shown, the database has taken a line: if it takes none, the provider is not asked.
#[tokio::test]
async fn without_a_line_in_the_journal_nothing_is_asked_and_what_works_is_served() {
    let (server, provider, database) = stage().await;
    server.connect("sandbox", "u1").await;
    let (_, old) = server.token("sandbox", "u1").await.unwrap();
    let db = database.connect().await;
    for sql in [
        "CREATE FUNCTION read_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'trouble' USING ERRCODE = '25006'; END $$",
        "CREATE TRIGGER read_only BEFORE INSERT ON refresh_attempts EXECUTE FUNCTION read_only()",
    ] {
        db.execute_unprepared(sql).await.unwrap();
    }
    server.clock.advance(Duration::minutes(30));
    let fresher = prost_types::Duration { seconds: 45 * 60, nanos: 0 };
    let request = GetRequest { min_ttl: Some(fresher), ..get("sandbox", "u1") };
    assert_eq!(server.get(request).await.unwrap().1.access_token, old.access_token);
    server.clock.advance(Duration::minutes(30));
    assert_refused(server.token("sandbox", "u1").await, Code::Unavailable, "STORE_UNAVAILABLE");
    assert_eq!(provider.sandbox.book().refreshes, 0);
    db.execute_unprepared("DROP TRIGGER read_only ON refresh_attempts").await.unwrap();
    db.close().await.unwrap();
    let (_, new) = server.token("sandbox", "u1").await.unwrap();
    assert!(works(&provider, &new.access_token).await);
}

/// Its commit may have succeeded without a confirmation.
#[tokio::test]
async fn a_grant_whose_fate_is_unknown_is_not_revoked() {
    let entry = "authorization_endpoint = \"PROVIDER/authorize\"\ntoken_endpoint = \"PROVIDER/token\"\n\
                 revocation_endpoint = \"PROVIDER/revoke\"\n";
    let acme = Acme::on(Kind::Postgres, plain(), entry).await;
    let (_, callback) = acme.callback(&[]).await;
    fail_writes(&acme.database, 100, "57P01").await;
    let refused = complete(&acme.server, &acme.server.key, callback.query().unwrap()).await;
    assert_refused(refused, Code::Unavailable, "STORE_UNAVAILABLE");
    until(async || acme.server.flows().under_way(), |count| *count == 0).await;
    assert_eq!((acme.server.flows().revoke_due().await.unwrap(), acme.count("/revoke")), (0, 0));
}
