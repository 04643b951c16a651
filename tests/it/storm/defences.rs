//! Each defence is needed: in the scenario that it is for all goes well, and without it something goes wrong that the provider,
//! the caller or the journal sees. So the scenarios can fail.

use futures::future::join_all;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use tokenwell::{
    api::pb::connection::v1::{GetRequest, State, View},
    model::{Action, Defence, Duration, Failpoints, Point},
    sandbox::{Failure, Quirks},
};

use super::world::{self, REPLICAS, Size, World};
use crate::support::{
    Browser, Database, Gate, ManualClock, Options, TestProvider, TestServer,
    database::Kind,
    server::{begin, get},
    steps::{basic, complete, walk, works},
};

/// What rests on statements of the database is tried on both.
const KINDS: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

/// A server whose provider has a gate, and the connection `u1`, whose token has expired.
pub struct Scene {
    pub server: TestServer,
    pub failpoints: Failpoints,
    provider: TestProvider,
    gate: Gate,
    pub database: Database,
}

impl Scene {
    pub async fn without(off: &[Defence]) -> Self {
        Self::on(Kind::Sqlite, off).await
    }

    async fn on(kind: Kind, off: &[Defence]) -> Self {
        let (clock, gate, database) = (ManualClock::new(), Gate::new(), Database::new(kind).await);
        let provider =
            TestProvider::plain_with(Quirks::default(), &clock, |router| gate.before(router)).await;
        let failpoints = failpoints_without(off);
        let options = Options { failpoints: failpoints.clone(), ..Options::with(&clock, &provider) };
        let server = TestServer::start(&database, options).await;
        server.create_integration("sandbox", "sandbox").await;
        server.connect("sandbox", "u1").await;
        clock.advance(Duration::hours(1));
        Self { server, failpoints, provider, gate, database }
    }

    /// One more server on the same database.
    pub async fn replica(&self, off: &[Defence]) -> TestServer {
        let failpoints = failpoints_without(off);
        let options = Options { failpoints, ..Options::with(&self.server.clock, &self.provider) };
        let mut server = TestServer::start(&self.database, options).await;
        server.key.clone_from(&self.server.key);
        server
    }

    /// Whether every refresh token came to the provider once.
    pub fn once(&self) -> bool {
        let book = self.provider.sandbox.book();
        assert!(!book.redemptions.is_empty(), "nothing was refreshed");
        let once = book.redemptions.values().all(|count| *count == 1);
        assert_eq!(once, book.reuse_detected == 0);
        once
    }

    /// Whether the connection is as it should be: active, with a token that works.
    pub async fn is_well(&self) -> bool {
        match self.server.token("sandbox", "u1").await {
            Ok((connection, token)) => {
                connection.state() == State::Active && works(&self.provider, &token.access_token).await
            }
            Err(_) => false,
        }
    }

    /// Lets time pass until no lease holds any more.
    pub async fn leases_run_out(&self) {
        let database = self.database.connect().await;
        database.execute_unprepared("UPDATE connections SET lease_until = 0").await.unwrap();
        database.close().await.unwrap();
    }

    async fn journal_names_a_loss(&self) -> bool {
        let database = self.database.connect().await;
        let lost = outcomes(&database).await.contains(&"lost".to_owned());
        database.close().await.unwrap();
        lost
    }
}

fn failpoints_without(off: &[Defence]) -> Failpoints {
    let failpoints = Failpoints::default();
    for defence in off {
        failpoints.disable(*defence);
    }
    failpoints
}

async fn outcomes(database: &DatabaseConnection) -> Vec<String> {
    let sql = "SELECT outcome FROM refresh_attempts WHERE outcome IS NOT NULL";
    let rows = database.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap();
    rows.iter().map(|row| row.try_get::<String>("", "outcome").unwrap()).collect()
}

/// Twenty callers of one server. The lease would hold them apart, too, so it is off.
async fn a_crowd_at_one_server(off: &[Defence], arrivals: usize) -> Scene {
    let scene = Scene::without(off).await;
    scene.gate.close();
    let calls = join_all((0..20).map(|_| scene.server.token("sandbox", "u1")));
    let opener = async {
        scene.gate.arrived(arrivals).await;
        scene.gate.open();
    };
    let (answers, ()) = tokio::join!(calls, opener);
    drop(answers);
    scene
}

#[tokio::test]
async fn coalescing_holds_the_callers_of_one_server_together() {
    let scene = a_crowd_at_one_server(&[Defence::Lease], 1).await;
    assert!(scene.once() && scene.is_well().await);
    let scene = a_crowd_at_one_server(&[Defence::Lease, Defence::Coalescing], 2).await;
    assert!(!scene.once() && !scene.is_well().await);
}

/// A caller at each of two servers.
async fn two_servers(kind: Kind, off: &[Defence], arrivals: usize) -> Scene {
    let scene = Scene::on(kind, off).await;
    let other = scene.replica(off).await;
    scene.gate.close();
    let opener = async {
        scene.gate.arrived(arrivals).await;
        // The other server has seen that the row is taken, if it looks at all.
        drop(basic(&other, "sandbox", "u1").await);
        scene.gate.open();
    };
    let (first, second) = (scene.server.token("sandbox", "u1"), other.token("sandbox", "u1"));
    drop(tokio::join!(first, second, opener));
    scene
}

#[tokio::test]
async fn the_lease_keeps_two_servers_apart() {
    for kind in KINDS {
        let scene = two_servers(kind, &[], 1).await;
        assert!(scene.once() && scene.is_well().await, "{kind:?}");
        let scene = two_servers(kind, &[Defence::Lease], 2).await;
        assert!(!scene.once() && !scene.is_well().await, "{kind:?}");
    }
}

/// A refresh that ends between the provider's answer and the commit, as its server's death would end it.
async fn an_answer_that_is_lost(off: &[Defence]) -> Scene {
    let scene = Scene::without(off).await;
    scene.failpoints.set(Point::RefreshAfterAnswer, Action::Panic, 1..=1);
    scene.server.token("sandbox", "u1").await.unwrap_err();
    scene.leases_run_out().await;
    assert!(!scene.is_well().await, "the only copy of the refresh token is gone");
    assert_eq!(basic(&scene.server, "sandbox", "u1").await.unwrap().state(), State::NeedsReauthorization);
    scene
}

#[tokio::test]
async fn the_journal_names_what_is_lost() {
    assert!(an_answer_that_is_lost(&[]).await.journal_names_a_loss().await);
    assert!(!an_answer_that_is_lost(&[Defence::Journal]).await.journal_names_a_loss().await);
}

/// The user connects anew while a refresh of the old grant is at the provider. Tells whether the new token is still there
/// when it comes back.
async fn a_new_grant_survives(kind: Kind, off: &[Defence]) -> bool {
    let scene = Scene::on(kind, off).await;
    let (_, callback) = walk(&scene.server, &mut Browser::new(), begin("sandbox", "u1")).await;
    scene.gate.close();
    let reconnect = async {
        scene.gate.arrived(1).await;
        scene.gate.pass_next();
        complete(&scene.server, &scene.server.key, callback.query().unwrap()).await.unwrap();
        let (_, new) = scene.server.token("sandbox", "u1").await.unwrap();
        scene.gate.open();
        new.access_token
    };
    let (late, new) = tokio::join!(scene.server.token("sandbox", "u1"), reconnect);
    drop(late);
    scene.server.token("sandbox", "u1").await.unwrap().1.access_token == new
}

#[tokio::test]
async fn the_epoch_keeps_late_answers_out() {
    for kind in KINDS {
        assert!(a_new_grant_survives(kind, &[]).await, "{kind:?}");
        assert!(!a_new_grant_survives(kind, &[Defence::Epoch]).await, "{kind:?}");
    }
}

/// A server is so slow that its lease runs out; another one refreshes meanwhile; then the first one's token is refused.
async fn overtaken(kind: Kind, off: &[Defence]) -> Scene {
    let scene = Scene::on(kind, off).await;
    let other = scene.replica(&[]).await;
    scene.failpoints.set(Point::RefreshBeforeCall, Action::Hold, ..);
    let overtake = async {
        scene.failpoints.visited(Point::RefreshBeforeCall, 1).await;
        scene.leases_run_out().await;
        other.token("sandbox", "u1").await.unwrap();
        let gone =
            Failure::Error { status: 400, code: "invalid_grant".to_owned(), description: String::new() };
        scene.provider.sandbox.fail_next(gone);
        scene.failpoints.release(Point::RefreshBeforeCall);
    };
    drop(tokio::join!(scene.server.token("sandbox", "u1"), overtake));
    scene
}

#[tokio::test]
async fn a_refusal_counts_only_for_the_token_that_was_refused() {
    for kind in KINDS {
        assert!(overtaken(kind, &[]).await.is_well().await, "{kind:?}");
        assert!(!overtaken(kind, &[Defence::Reread]).await.is_well().await, "{kind:?}");
    }
}

/// The caller leaves when the provider has answered and nothing is stored yet.
async fn the_caller_leaves(off: &[Defence]) -> Scene {
    let scene = Scene::without(off).await;
    scene.failpoints.set(Point::RefreshAfterAnswer, Action::Hold, ..);
    let mut client = scene.server.connection(&scene.server.key);
    tokio::select! {
        answer = client.get(get("sandbox", "u1")) => panic!("{answer:?} came past a failpoint"),
        () = scene.failpoints.visited(Point::RefreshAfterAnswer, 1) => {}
    }
    // The call is dropped. The next on the same channel comes after the word of that.
    client.get(GetRequest { view: View::Basic.into(), ..get("sandbox", "u1") }).await.unwrap();
    scene.failpoints.release(Point::RefreshAfterAnswer);
    scene
}

#[tokio::test]
async fn a_refresh_belongs_to_the_server() {
    assert!(the_caller_leaves(&[]).await.is_well().await);
    let scene = the_caller_leaves(&[Defence::OwnedTask]).await;
    // Nobody works on the row any more.
    scene.leases_run_out().await;
    assert!(!scene.is_well().await);
}

/// So its silence about the other storms says something.
#[tokio::test(flavor = "multi_thread")]
async fn the_judge_of_the_storms_sees_that_leases_are_missing() {
    let size = Size::chosen(world::Kind::Rotating);
    let world = World::with("without leases", world::Kind::Rotating, size, &["lease=off"; REPLICAS]).await;
    let seen = world.storm(None).await;
    let verdict = world.judge(seen).await;
    assert!(verdict.book.presented.values().any(|count| *count > 1), "{:?}", verdict.book.presented);
    assert!(verdict.book.revoked > 0 && !verdict.lost.is_empty());
}
