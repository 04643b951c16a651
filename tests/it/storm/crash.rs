//! Servers that die in the middle of a refresh, at each of its points.

use std::collections::{BTreeMap, BTreeSet};

use tonic_types::StatusExt as _;

use super::{
    caller::reason,
    world::{INTEGRATION, Kind, Size, World},
};
use crate::support::server::get;

const POINTS: [&str; 4] =
    ["refresh.before_call", "refresh.after_answer", "refresh.before_commit", "refresh.after_commit"];
/// What lies between the provider's answer and the commit.
const BETWEEN: [&str; 2] = ["refresh.after_answer", "refresh.before_commit"];

/// Lets a server die at each point, in the refresh of a connection of its own. Gives the points whose connections are lost,
/// after the others have shown a token; the journal names just those.
async fn lost_at(name: &'static str, kind: Kind) -> BTreeSet<&'static str> {
    let size = Size { connections: POINTS.len(), ..Size::chosen(kind) };
    let failpoints = POINTS.map(|point| format!("{point}=abort"));
    let world = World::with(name, kind, size, &failpoints.each_ref().map(String::as_str)).await;
    for (replica, connection) in world.connections.iter().enumerate() {
        let died = world.fleet.client(replica).get(get(INTEGRATION, connection)).await;
        let broken = died.expect_err("the server has outlived its failpoint");
        assert!(broken.get_error_details().error_info().is_none(), "the server has answered: {broken:?}");
        world.fleet.died(replica).await;
    }
    world.start_over().await;

    let (mut lost, mut lost_connections) = (BTreeSet::new(), BTreeSet::new());
    for (point, connection) in POINTS.iter().zip(world.connections.iter()) {
        match world.fleet.client(0).get(get(INTEGRATION, connection)).await {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(reason(&status), "NEEDS_REAUTHORIZATION", "{point}: {status:?}");
                lost.insert(*point);
                lost_connections.insert(connection.clone());
            }
        }
    }
    assert_eq!(world.named_lost().await, lost_connections);
    let redeemed: BTreeMap<_, _> = world.provider.book().await.redeemed;
    assert!(redeemed.values().all(|count| *count == 1), "{redeemed:?}");
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_death_between_the_answer_and_the_commit_loses_a_connection() {
    assert_eq!(lost_at("crash", Kind::Rotating).await, BTreeSet::from(BETWEEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_provider_with_a_grace_period_no_death_loses_one() {
    assert_eq!(lost_at("crash with grace", Kind::Forgiving).await, BTreeSet::new());
}
