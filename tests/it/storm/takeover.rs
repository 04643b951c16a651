//! When one server takes over from another: not while that one works, and not before it has stored what it has.

use sea_orm::{ConnectionTrait as _, Statement};
use tokenwell::model::{Action, Defence, Point};
use tokio::join;

use super::defences::Scene;
use crate::support::steps::until;

/// What these columns of all rows say.
async fn values<T: sea_orm::TryGetable>(scene: &Scene, sql: &str) -> Vec<T> {
    let database = scene.database.connect().await;
    let rows = database.query_all_raw(Statement::from_string(database.get_database_backend(), sql));
    let values = rows.await.unwrap().iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    database.close().await.unwrap();
    values
}

/// How the attempts have ended, oldest first.
async fn journal(scene: &Scene) -> Vec<String> {
    values(scene, "SELECT coalesce(outcome, 'open') FROM refresh_attempts ORDER BY epoch").await
}

/// For how many seconds the lease still holds.
async fn lease(scene: &Scene) -> f64 {
    let sql = "SELECT coalesce(lease_until, 0) / 1000000.0 - unixepoch('subsec') FROM connections";
    values::<f64>(scene, sql).await[0]
}

async fn held_before_its_call(off: &[Defence]) -> Scene {
    let scene = Scene::without(off).await;
    scene.failpoints.set(Point::RefreshBeforeCall, Action::Hold, ..);
    scene
}

#[tokio::test]
async fn a_lease_outlasts_the_longest_call() {
    let scene = held_before_its_call(&[]).await;
    let look = async {
        scene.failpoints.visited(Point::RefreshBeforeCall, 1).await;
        let left = lease(&scene).await;
        scene.failpoints.release(Point::RefreshBeforeCall);
        left
    };
    let (got, left) = join!(scene.server.token("sandbox", "u1"), look);
    got.unwrap();
    // To learn the endpoints, and to call them, each within the time-out.
    assert!(left > 2.0 * tokenwell::oauth::REQUEST_TIMEOUT.as_secs_f64(), "the lease holds for {left} s");
    assert!(left < 60.0, "nobody takes over from a dead server for {left} s");
}

/// A server whose lease is about to run out while it works, and a caller of another one. Gives how many attempts there were.
async fn a_long_work(off: &[Defence]) -> usize {
    let scene = held_before_its_call(off).await;
    let other = scene.replica(&[Defence::Takeover]).await;
    let second = async {
        scene.failpoints.visited(Point::RefreshBeforeCall, 1).await;
        let soon =
            "UPDATE connections SET lease_until = CAST((unixepoch('subsec') + 20) * 1000000 AS INTEGER)";
        let database = scene.database.connect().await;
        database.execute_unprepared(soon).await.unwrap();
        database.close().await.unwrap();
        let time = async {
            let look = async || (lease(&scene).await, journal(&scene).await.len());
            // Extended, or taken over.
            until(look, |(left, attempts)| *left > 20.0 || *attempts > 1).await;
            scene.failpoints.release(Point::RefreshBeforeCall);
        };
        join!(other.token("sandbox", "u1"), time)
    };
    drop(join!(scene.server.token("sandbox", "u1"), second));
    journal(&scene).await.len()
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_the_work() {
    let (with, without) = join!(a_long_work(&[]), a_long_work(&[Defence::Heartbeat]));
    assert_eq!((with, without), (1, 2));
}

/// A server has an answer that it cannot store until its lease has run out, and a caller asks another one.
async fn an_answer_that_waits(off: &[Defence]) -> Scene {
    let scene = Scene::without(&[]).await;
    let other = scene.replica(off).await;
    scene.failpoints.set(Point::RefreshBeforeCommit, Action::Fail, ..);
    scene.server.token("sandbox", "u1").await.unwrap();
    scene.leases_run_out().await;
    let back = async {
        until(async || journal(&scene).await.len(), |attempts| *attempts == 2).await;
        scene.failpoints.release(Point::RefreshBeforeCommit);
    };
    let (got, ()) = join!(other.token("sandbox", "u1"), back);
    drop(got);
    scene
}

#[tokio::test]
async fn who_takes_over_waits_for_what_may_still_be_stored() {
    let scene = an_answer_that_waits(&[]).await;
    assert!(scene.once() && scene.is_well().await);
    assert_eq!(journal(&scene).await, ["committed", "superseded"]);
    assert!(!an_answer_that_waits(&[Defence::Takeover]).await.once());
}
