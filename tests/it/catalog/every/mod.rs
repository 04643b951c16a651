//! Every entry of the catalog leads to a connection: with a sandbox that demands exactly what the entry says, under the
//! entry's own addresses, in every way that the entry knows.
//!
//! The files are read here once more, so that the code under test is not its own witness. An entry runs with the examples
//! of all its fields, and again with no more than it requires.

mod end;
mod entry;
mod features;
mod flow;
mod front;
mod house;
mod import;
mod quirks;
mod scene;

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

use entry::Entry;
use house::House;

/// How many tests share the catalog, each with a server of its own.
const PARTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_lead_to_connections_1() {
    part(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_lead_to_connections_2() {
    part(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_lead_to_connections_3() {
    part(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_lead_to_connections_4() {
    part(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_lead_to_connections_5() {
    part(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_lead_to_connections_6() {
    part(PARTS - 1).await;
}

/// Plays every entry of a part, and tells all that went wrong.
async fn part(number: usize) {
    let mut house = House::new().await;
    let mut faults = Vec::new();
    let mut played = 0;
    for entry in entry::all().iter().skip(number).step_by(PARTS) {
        let mut runs = vec![false];
        // Without what is optional, where that is anything.
        if entry.given(true) != entry.given(false) {
            runs.push(true);
        }
        let integrated = match quirks::quirks(entry) {
            Ok(quirks) => house.integrate(entry, &quirks).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = integrated {
            faults.push(format!("{}: {fault}", entry.id));
            continue;
        }
        for grant in entry.grants() {
            for bare in &runs {
                let ended = AssertUnwindSafe(play(&mut house, entry, &grant, *bare)).catch_unwind().await;
                let ended = ended.unwrap_or_else(|_| Err("the test itself failed, see above".to_owned()));
                let how = if *bare { " without what is optional" } else { "" };
                faults.extend(ended.err().map(|fault| format!("{} ({grant}{how}): {fault}", entry.id)));
                played += 1;
            }
        }
    }
    assert!(played > 0, "no entry was played");
    assert!(faults.is_empty(), "{} of {played} failed:\n{}", faults.len(), faults.join("\n"));
}

async fn play(house: &mut House, entry: &Entry, grant: &str, bare: bool) -> Result<(), String> {
    match grant {
        "authorization_code" => flow::authorization_code(house, entry, bare).await,
        "oauth1" => flow::oauth1(house, entry, bare).await,
        "client_credentials" => import::client_credentials(house, entry, bare).await,
        "api_key" | "basic" => import::fixed(house, entry, grant, bare).await,
        other => Err(format!("{other} is no grant type")),
    }
}
