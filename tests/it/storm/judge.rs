//! The verdict: what the authorization server's book, the database and the callers say together.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};

use super::{
    caller::{Seen, reason},
    world::{INTEGRATION, Size, World},
};
use crate::support::{foreign::ForeignBook, server::get};

/// How long a connection may take to come back once all is well.
const RECOVERY: Duration = Duration::from_mins(2);

/// What came of a storm.
#[derive(Debug)]
pub struct Verdict {
    pub name: &'static str,
    pub size: Size,
    pub seen: Seen,
    pub book: ForeignBook,
    pub faults: BTreeMap<&'static str, u64>,
    /// Connections whose grant is gone.
    pub lost: BTreeSet<String>,
    /// Connections that the journal calls lost.
    pub named: BTreeSet<String>,
    /// How many of them their servers have lost without having been killed.
    pub forgotten: i64,
    /// Refused tokens that the provider itself had handed out a second time, with a lifetime that they had no longer.
    pub replayed: usize,
    /// Refused tokens that the provider had ended with a refresh whose answer never arrived.
    pub ended: usize,
}

impl World {
    /// Lets everything come to rest, looks at every connection, and judges.
    pub async fn judge(&self, mut seen: Seen) -> Verdict {
        self.proxy.odds(&[]);
        if seen.kills > 0 {
            self.start_over().await;
        }
        let looks = self.connections.iter().map(|connection| self.is_lost(connection));
        let lost = stream::iter(looks).buffer_unordered(16).filter_map(|lost| async { lost }).collect().await;
        let book = self.provider.book().await;
        let before = seen.refused.len();
        seen.refused.retain(|refused| !book.replayed.contains(&refused.token));
        let replayed = before - seen.refused.len();
        let before = seen.refused.len();
        seen.refused.retain(|refused| !book.ended.contains(&refused.token));
        let ended = before - seen.refused.len();
        Verdict {
            name: self.name,
            size: self.size.clone(),
            seen,
            book,
            faults: self.proxy.counts(),
            lost,
            named: self.named_lost().await,
            forgotten: self.forgotten().await,
            replayed,
            ended,
        }
    }

    /// The connection, if its grant is gone. Everything else that is wrong has to pass.
    async fn is_lost(&self, connection: &str) -> Option<String> {
        let end = Instant::now() + RECOVERY;
        loop {
            match self.fleet.client(0).get(get(INTEGRATION, connection)).await {
                Ok(_) => return None,
                Err(status) if reason(&status) == "NEEDS_REAUTHORIZATION" => {
                    return Some(connection.to_owned());
                }
                Err(status) => assert!(Instant::now() < end, "`{connection}` does not come back: {status:?}"),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Verdict {
    /// No refresh token came to the provider twice, and each one that came brought new tokens.
    #[track_caller]
    pub fn assert_each_presented_once(&self) {
        let again: Vec<_> = self.book.presented.values().filter(|count| **count != 1).collect();
        assert!(again.is_empty(), "{} refresh tokens were presented again: {again:?}", again.len());
        assert_eq!(self.book.presented, self.book.redeemed);
        assert_eq!((self.book.revoked, self.book.refused.len()), (0, 0), "{:?}", self.book.refused);
        assert!(self.book.redeemed.len() >= self.size.connections, "nothing was refreshed");
    }

    /// No refresh token was exchanged twice.
    #[track_caller]
    pub fn assert_each_redeemed_once(&self) {
        assert!(self.book.redeemed.values().all(|count| *count == 1), "{:?}", self.book.redeemed);
    }

    /// No caller got a token that did not work.
    #[track_caller]
    pub fn assert_nobody_was_refused(&self) {
        let refused: Vec<_> = self.seen.refused.iter().take(5).map(ToString::to_string).collect();
        assert!(refused.is_empty(), "{} tokens were refused: {refused:?}", self.seen.refused.len());
        let untried = self.seen.expired + self.seen.untried;
        assert!(
            self.seen.tokens > 2 * untried,
            "{untried} of {} tokens were not tried while they lived",
            self.seen.tokens
        );
    }

    #[track_caller]
    pub fn assert_nothing_is_lost(&self) {
        assert!(self.lost.is_empty() && self.named.is_empty(), "lost: {:?}, {:?}", self.lost, self.named);
    }

    /// What is lost is lost because the provider's answer died with its server: a new one has presented the spent token. The
    /// journal names each such connection, and no other.
    #[track_caller]
    pub fn assert_losses_are_explained(&self) {
        let again: Vec<_> = self.book.presented.values().filter(|count| **count > 1).collect();
        assert_eq!(self.lost.len(), again.len(), "lost: {:?}", self.lost);
        assert_eq!(self.lost, self.named);
        assert_eq!(self.forgotten, 0, "answers were lost by servers that lived on");
    }
}
