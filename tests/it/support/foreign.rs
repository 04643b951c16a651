//! Authorization servers that are not ours, each in a process of its own.
//!
//! They live in real time, and judge: what they have counted is at `/__book`, and `/__mint` gives refresh tokens to begin
//! with, so that a test with hundreds of connections does not sign in hundreds of users.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::Browser;

/// A server's process, which ends with its standard input.
pub struct Foreign {
    /// `http://127.0.0.1:PORT`.
    pub origin: String,
    child: Child,
    _stdin: ChildStdin,
}

/// What such a server counted of refresh tokens.
#[derive(Debug, Deserialize)]
pub struct ForeignBook {
    /// How often each was sent, redeemed or not.
    pub presented: BTreeMap<String, u64>,
    /// How often each was exchanged for tokens that there were not before.
    pub redeemed: BTreeMap<String, u64>,
    /// Whole grants that were taken back: because a spent token came again, or because somebody asked for it.
    pub revoked: u64,
    /// Refusals at the token endpoint.
    pub refused: Vec<Value>,
    /// Access tokens that were handed out a second time, within a grace period.
    #[serde(default)]
    pub replayed: Vec<String>,
    /// Access tokens that a refresh has ended before their time, whether or not its answer arrived.
    #[serde(default)]
    pub ended: Vec<String>,
}

impl Foreign {
    /// Starts it, and waits for the line that says where it listens.
    pub async fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a tool of the tests is missing: run scripts/setup");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let first = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
        let line =
            tokio::time::timeout(Duration::from_mins(1), first).await.expect("the provider does not start");
        let line = line.unwrap().expect("the provider ended at once: run scripts/setup").unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        Self { origin: started["issuer"].as_str().unwrap().to_owned(), child, _stdin: stdin }
    }

    /// What it counted, as it is.
    pub async fn whole_book(&self) -> Value {
        serde_json::from_str(&Browser::new().get(&format!("{}/__book", self.origin)).await.body).unwrap()
    }

    /// What it counted of refresh tokens.
    pub async fn book(&self) -> ForeignBook {
        serde_json::from_value(self.whole_book().await).unwrap()
    }

    /// This many refresh tokens, each of a grant and a user of its own.
    pub async fn mint(&self, count: usize) -> Vec<String> {
        let url = format!("{}/__mint?count={count}", self.origin);
        let answer = Browser::new().send_with(Method::POST, &url, &[]).await;
        serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no tokens were minted: {answer:?}"))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
