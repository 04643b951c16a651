//! Refreshing while other things happen: many callers, several replicas, callers that leave, writes in between.

use futures::future::join_all;
use tokenwell::{
    api::pb::{
        connection::v1::{DeleteRequest, GetRequest, SetMetadataRequest, State, View},
        integration::v1::DeleteRequest as IntegrationDelete,
    },
    model::Duration,
    sandbox::{Book, Failure, Quirks},
};
use tonic::Code;

use crate::support::{
    Browser, Database, Gate, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused,
    database::Kind,
    server::{begin, get},
    steps::{basic, complete, object, walk, works},
};

/// A server whose provider has a gate, and the connection `u1`, whose token has expired.
struct Race {
    server: TestServer,
    provider: TestProvider,
    gate: Gate,
    database: Database,
}

impl Race {
    async fn new(database: Database) -> Self {
        let (clock, gate) = (ManualClock::new(), Gate::new());
        let provider =
            TestProvider::plain_with(Quirks::default(), &clock, |router| gate.before(router)).await;
        let server = TestServer::start(&database, Options::with(&clock, &provider)).await;
        server.create_integration("sandbox", "sandbox").await;
        server.connect("sandbox", "u1").await;
        clock.advance(Duration::hours(1));
        Self { server, provider, gate, database }
    }

    /// One more server on the same database.
    async fn replica(&self) -> TestServer {
        let options = Options::with(&self.server.clock, &self.provider);
        let mut server = TestServer::start(&self.database, options).await;
        server.key.clone_from(&self.server.key);
        server
    }

    fn book(&self) -> Book {
        self.provider.sandbox.book()
    }

    /// Asserts that all got one token, which works, and that the provider was asked once.
    async fn assert_one_refresh(&self, tokens: Vec<String>) {
        assert!(tokens.iter().all(|token| *token == tokens[0]));
        assert!(works(&self.provider, &tokens[0]).await);
        let book = self.book();
        let redemptions: Vec<_> = book.redemptions.values().copied().collect();
        assert_eq!((book.refreshes, redemptions, book.reuse_detected), (1, vec![1], 0));
        assert_eq!(book.token_requests.len(), 2);
    }
}

async fn token(server: &TestServer) -> String {
    server.token("sandbox", "u1").await.unwrap().1.access_token
}

/// Two replicas and fifty callers each.
async fn replicas_refresh_once(kind: Kind) {
    let race = Race::new(Database::new(kind).await).await;
    let other = race.replica().await;
    race.gate.close();
    let calls = join_all((0..100).map(|n| token(if n % 2 == 0 { &race.server } else { &other })));
    let opener = async {
        race.gate.arrived(1).await;
        // The other replica has seen that the row is taken, since it has waited for this call.
        drop(basic(&other, "sandbox", "u1").await);
        assert_eq!(race.gate.count(), 1);
        race.gate.open();
    };
    let (tokens, ()) = tokio::join!(calls, opener);
    race.assert_one_refresh(tokens).await;
}

#[tokio::test]
async fn a_hundred_callers_cause_one_refresh() {
    let race = Race::new(Database::sqlite()).await;
    race.gate.close();
    let calls = join_all((0..100).map(|_| token(&race.server)));
    let opener = async {
        race.gate.arrived(1).await;
        drop(basic(&race.server, "sandbox", "u1").await);
        race.gate.open();
    };
    let (tokens, ()) = tokio::join!(calls, opener);
    race.assert_one_refresh(tokens).await;
}

#[tokio::test]
async fn two_replicas_on_sqlite_refresh_once() {
    replicas_refresh_once(Kind::Sqlite).await;
}

#[tokio::test]
async fn two_replicas_on_postgresql_refresh_once() {
    replicas_refresh_once(Kind::Postgres).await;
}

#[tokio::test]
async fn another_replica_serves_what_one_has_refreshed() {
    let race = Race::new(Database::sqlite()).await;
    let other = race.replica().await;
    let first = token(&race.server).await;
    assert_eq!(token(&other).await, first);
    assert_eq!(race.book().refreshes, 1);
    race.server.clock.advance(Duration::hours(1));
    let second = token(&other).await;
    assert_ne!(second, first);
    assert_eq!(token(&race.server).await, second);
    assert_eq!((race.book().refreshes, race.book().reuse_detected), (2, 0));
}

#[tokio::test]
async fn a_failed_refresh_is_told_to_all_who_waited_and_holds_nobody_up() {
    let race = Race::new(Database::sqlite()).await;
    race.gate.close();
    race.provider.sandbox.fail_next(Failure::Status(503));
    let calls = join_all((0..20).map(|_| race.server.token("sandbox", "u1")));
    let opener = async {
        race.gate.arrived(1).await;
        race.gate.open();
    };
    let (answers, ()) = tokio::join!(calls, opener);
    assert!(answers.iter().any(Result::is_err));
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    }
    // No longer than the back-off, so that a lease that was kept would still hold.
    race.server.clock.wait_out();
    let new = token(&race.server).await;
    assert!(works(&race.provider, &new).await);
}

#[tokio::test]
async fn a_refresh_ends_though_its_caller_has_gone() {
    let race = Race::new(Database::sqlite()).await;
    let mut client = race.server.connection(&race.server.key);
    race.gate.close();
    tokio::select! {
        answer = client.get(get("sandbox", "u1")) => panic!("{answer:?} came through a closed gate"),
        () = race.gate.arrived(1) => {}
    }
    // The call is dropped. The next on the same channel comes after the word of that.
    client.get(GetRequest { view: View::Basic.into(), ..get("sandbox", "u1") }).await.unwrap();
    race.gate.open();
    let new = token(&race.server).await;
    assert!(works(&race.provider, &new).await);
    assert_eq!(
        (race.book().refreshes, race.book().token_requests.len(), race.book().reuse_detected),
        (1, 2, 0)
    );
}

#[tokio::test]
async fn a_caller_whose_time_is_up_does_not_end_a_refresh() {
    let race = Race::new(Database::sqlite()).await;
    race.gate.close();
    let mut request = tonic::Request::new(get("sandbox", "u1"));
    request.set_timeout(std::time::Duration::from_secs(1));
    let late = race.server.connection(&race.server.key).get(request).await.unwrap_err();
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&late.code()), "{late:?}");
    race.gate.arrived(1).await;
    race.gate.open();
    let new = token(&race.server).await;
    assert!(works(&race.provider, &new).await);
    assert_eq!((race.book().refreshes, race.book().token_requests.len()), (1, 2));
}

#[tokio::test]
async fn metadata_written_during_a_refresh_is_kept() -> TestResult {
    let race = Race::new(Database::sqlite()).await;
    let gold = object(&[("plan", "gold")]);
    race.gate.close();
    let write = async {
        race.gate.arrived(1).await;
        let request = SetMetadataRequest {
            integration_id: "sandbox".to_owned(),
            connection_id: "u1".to_owned(),
            metadata: Some(gold.clone()),
            etag: String::new(),
        };
        let written = race.server.connection(&race.server.key).set_metadata(request).await;
        assert_eq!(race.book().refreshes, 0, "the write came before the answer");
        race.gate.open();
        written.unwrap().into_inner().etag
    };
    let (got, etag) = tokio::join!(race.server.token("sandbox", "u1"), write);
    let (connection, token) = got?;
    assert!(works(&race.provider, &token.access_token).await);
    assert_eq!((connection.metadata, connection.etag), (Some(gold.clone()), etag.clone()));
    let stored = basic(&race.server, "sandbox", "u1").await?;
    assert_eq!((stored.metadata, stored.etag), (Some(gold), etag));
    Ok(())
}

#[tokio::test]
async fn a_connection_deleted_during_its_refresh_stays_deleted() {
    let race = Race::new(Database::sqlite()).await;
    race.gate.close();
    let delete = async {
        race.gate.arrived(1).await;
        let request = DeleteRequest {
            integration_id: "sandbox".to_owned(),
            connection_id: "u1".to_owned(),
            ..DeleteRequest::default()
        };
        let deleted = race.server.connection(&race.server.key).delete(request).await;
        race.gate.open();
        deleted.unwrap();
    };
    let (got, ()) = tokio::join!(race.server.token("sandbox", "u1"), delete);
    assert_refused(got, Code::NotFound, "CONNECTION_NOT_FOUND");
    assert_eq!(race.book().refreshes, 1, "the provider has answered");
    assert_refused(basic(&race.server, "sandbox", "u1").await, Code::NotFound, "CONNECTION_NOT_FOUND");
}

/// Connects `u1` anew while its refresh waits at the provider, which then gives this answer.
async fn reconnected_during_a_refresh(failure: Option<Failure>) {
    let race = Race::new(Database::sqlite()).await;
    let (_, callback) = walk(&race.server, &mut Browser::new(), begin("sandbox", "u1")).await;
    race.gate.close();
    let reconnect = async {
        race.gate.arrived(1).await;
        race.gate.pass_next();
        complete(&race.server, &race.server.key, callback.query().unwrap()).await.unwrap();
        let new = token(&race.server).await;
        if let Some(failure) = failure {
            race.provider.sandbox.fail_next(failure);
        }
        race.gate.open();
        new
    };
    let (got, new) = tokio::join!(token(&race.server), reconnect);
    assert_eq!((&got, &token(&race.server).await), (&new, &new));
    assert!(works(&race.provider, &new).await);
    assert_eq!(basic(&race.server, "sandbox", "u1").await.unwrap().state(), State::Active);
    let grants: Vec<_> = race.book().token_requests.iter().map(|it| it.form["grant_type"].clone()).collect();
    assert_eq!(grants, ["authorization_code", "authorization_code", "refresh_token"], "in this order");

    // The refresh token is the new one, too.
    race.server.clock.advance(Duration::hours(1));
    assert!(works(&race.provider, &token(&race.server).await).await);
    assert_eq!((race.book().token_requests.len(), race.book().reuse_detected), (4, 0));
}

#[tokio::test]
async fn a_new_grant_outlives_the_refresh_of_the_old_one() {
    reconnected_during_a_refresh(None).await;
}

#[tokio::test]
async fn a_new_grant_outlives_the_end_of_the_old_one() {
    let gone = Failure::Error { status: 400, code: "invalid_grant".to_owned(), description: String::new() };
    reconnected_during_a_refresh(Some(gone)).await;
}

/// The same for a first grant: the integration goes while the code is redeemed.
#[tokio::test]
async fn an_integration_deleted_while_its_code_is_redeemed_gets_no_connection() {
    let race = Race::new(Database::sqlite()).await;
    race.server.create_integration("other", "sandbox").await;
    let (_, callback) = walk(&race.server, &mut Browser::new(), begin("other", "u2")).await;
    race.gate.close();
    let completing = complete(&race.server, &race.server.key, callback.query().unwrap());
    let deleting = async {
        race.gate.arrived(1).await;
        let request = IntegrationDelete { integration_id: "other".to_owned() };
        race.server.integration(&race.server.key).delete(request).await.unwrap();
        race.gate.open();
    };
    let (completed, ()) = tokio::join!(completing, deleting);
    let refusal = assert_refused(completed, Code::NotFound, "INTEGRATION_NOT_FOUND");
    assert_eq!(refusal.metadata["integration_id"], "other");
    assert_refused(race.server.token("other", "u2").await, Code::NotFound, "CONNECTION_NOT_FOUND");
}
