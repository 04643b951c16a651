//! Servers whose clocks differ: one is five minutes ahead, one is right, one is five minutes behind.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use futures::future::join_all;
use tokenwell::{
    api::pb::connection::v1::{OAuth2Credentials, credentials},
    model::{Clock as _, OffsetDateTime, SystemClock},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    fleet::Replica,
    world::{INTEGRATION, Kind, Size, World},
};
use crate::support::{Fault, server::get};

/// How far the servers are ahead, in seconds.
const AHEAD: [i64; 3] = [300, 0, -300];
/// How long access tokens live, in seconds: longer than that, so that the one behind does not take a new one for expired.
const TTL: u32 = 400;
/// How long the provider wishes to be left alone, in seconds.
const WISH: i64 = 60;
/// What a server says that does not go by its own clock.
const WARNING: &str = "the clock is wrong, or the database's is: the database's counts";

/// The library that gives a process another time. The directory names the machine's architecture.
fn faketime() -> PathBuf {
    let directories = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let libraries = directories.map(|directory| directory.path().join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| library.exists()).expect("libfaketime is missing: run scripts/setup")
}

/// A wrong clock on the wall, and no other, which is told by these variables, too.
fn wrong_clock(name: &'static str, value: String) -> Vec<(&'static str, String)> {
    let library = faketime().display().to_string();
    let only = |name| (name, "1".to_owned());
    vec![("LD_PRELOAD", library), (name, value), only("FAKETIME_DONT_FAKE_MONOTONIC"), only("NO_FAKE_STAT")]
}

fn variables(ahead: i64, failpoints: &str) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("TOKENWELL_FAILPOINTS", failpoints.to_owned()),
        // What is due is to be looked at, not done.
        ("TOKENWELL_NO_BACKGROUND", "true".to_owned()),
    ];
    if ahead != 0 {
        variables.extend(wrong_clock("FAKETIME", format!("{ahead:+}s")));
    }
    variables
}

async fn token(server: &Replica, connection: &str) -> Result<OAuth2Credentials, Status> {
    let response = server.client.clone().get(get(INTEGRATION, connection)).await?.into_inner();
    match response.connection.unwrap().credentials.unwrap().kind {
        Some(credentials::Kind::Oauth2(token)) => Ok(token),
        other => panic!("no OAuth 2.0 credentials: {other:?}"),
    }
}

/// When this is, in seconds from now.
fn from_now(time: OffsetDateTime) -> f64 {
    (time - SystemClock.now()).as_seconds_f64()
}

/// The times in this column of some rows, in seconds from now: the least and the greatest.
async fn times(world: &World, column: &str, table: &str) -> [f64; 2] {
    let mut times = [0.0; 2];
    for (time, which) in times.iter_mut().zip(["min", "max"]) {
        let micros = world.database.number(&format!("SELECT {which}({column}) FROM {table}")).await;
        *time = from_now(OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap());
    }
    times
}

/// Whether a server says to come again when the provider's wish is over.
async fn waits(server: &Replica, connection: &str) -> bool {
    let Err(refused) = token(server, connection).await else { return false };
    let retry = refused.get_error_details().retry_info().and_then(|retry| retry.retry_delay);
    let wish = Duration::from_secs(WISH.unsigned_abs());
    refused.code() == Code::Unavailable
        && retry.is_some_and(|retry| retry <= wish + Duration::from_secs(2) && retry >= wish / 2)
}

async fn world(connections: usize) -> World {
    let size = Size { connections, ttl: TTL, ..Size::chosen(Kind::Rotating) };
    World::with("clocks", Kind::Rotating, size, &[]).await
}

/// How long a token lives from then on, in seconds.
fn lifetime(token: &OAuth2Credentials, from: OffsetDateTime) -> f64 {
    let expire_time = OffsetDateTime::from_unix_timestamp(token.expire_time.unwrap().seconds).unwrap();
    (expire_time - from).as_seconds_f64()
}

fn is_right(lifetime: f64) -> bool {
    (lifetime - f64::from(TTL)).abs() < 2.0
}

/// What goes wrong.
async fn faults(failpoints: &str) -> BTreeSet<&'static str> {
    let world = world(AHEAD.len() + 1).await;
    let servers = join_all(AHEAD.map(|ahead| world.fleet.one_more(variables(ahead, failpoints)))).await;
    let (last, connections) = world.connections.split_last().unwrap();
    let mut faults = BTreeSet::new();
    let mut expect = |holds: bool, fault| {
        if !holds {
            faults.insert(fault);
        }
    };

    // Each server refreshes a connection, and the others read what it has stored.
    for (first, connection) in connections.iter().enumerate() {
        let before = SystemClock.now();
        for turn in 0..servers.len() {
            let token = token(&servers[(first + turn) % servers.len()], connection).await.unwrap();
            let userinfo = format!("{}/me", world.provider.origin);
            let answer = world.http.get(userinfo).bearer_auth(&token.access_token).send().await.unwrap();
            expect(answer.status().is_success(), "a token does not work");
            expect(is_right(lifetime(&token, before)), "a token expires at another time");
        }
    }
    let presented = world.provider.book().await.presented;
    let once = presented.len() == connections.len() && presented.values().all(|times| *times == 1);
    expect(once, "a token is refreshed for nothing");
    let rows = format!("connections WHERE connection_id != '{last}'");
    let ahead = f64::from(TTL) * 0.75 - 30.0..f64::from(TTL) * 0.9 + 2.0;
    for time in times(&world, "due_time", &rows).await {
        expect(ahead.contains(&time), "a row is due at another time");
    }

    // The first server is asked to wait, and the others know for how long.
    world.proxy.next([Some(Fault::TooMany(WISH.to_string()))]);
    for server in &servers {
        expect(waits(server, last).await, "a pause has another length");
    }
    for (server, ahead) in servers.into_iter().zip(AHEAD) {
        let stopped = tokio::task::spawn_blocking(move || server.server.unwrap().stop()).await.unwrap();
        assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
        expect(stopped.stderr.contains(WARNING) == (ahead != 0), "a wrong clock goes unnoticed");
    }
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_whose_clocks_differ_go_by_the_databases() {
    let (with, without) = tokio::join!(faults(""), faults("clock=off"));
    assert_eq!(with, BTreeSet::new());
    let missed = [
        "a token expires at another time",
        "a token is refreshed for nothing",
        "a row is due at another time",
        "a pause has another length",
        "a wrong clock goes unnoticed",
    ];
    assert_eq!(without, BTreeSet::from(missed));
}

/// A clock that somebody has set wrong while the server runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_wrong_is_noticed() {
    let world = world(1).await;
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("faketime");
    std::fs::write(&file, "+0s").unwrap();
    let mut variables = wrong_clock("FAKETIME_TIMESTAMP_FILE", file.display().to_string());
    variables.push(("FAKETIME_NO_CACHE", "1".to_owned()));
    // Nobody is to refresh before it is noticed.
    variables.push(("TOKENWELL_NO_BACKGROUND", "true".to_owned()));
    let mut server = world.fleet.one_more(variables).await;
    std::fs::write(&file, "+300s").unwrap();
    let mut process = server.server.take().unwrap();
    let noticed = tokio::task::spawn_blocking(move || {
        let fields = process.wait_for(WARNING);
        (process, fields["correction_seconds"].as_f64().unwrap())
    });
    let (_process, correction) = noticed.await.unwrap();
    assert!((correction + 300.0).abs() < 1.0, "{correction}");
    let before = SystemClock.now();
    let token = token(&server, &world.connections[0]).await.unwrap();
    assert!(is_right(lifetime(&token, before)), "{}", lifetime(&token, before));
}
