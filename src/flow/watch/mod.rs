//! Streams: what happens to connections, and where a flow stands.
//!
//! The database is the buffer. A stream reads the feed at its client's pace, one page at a time, and only when there is
//! something of its project: [`Flows::follow`] finds that out, once for all streams of the process. A stream that nobody
//! reads holds a page of events, and nobody up.

mod board;
mod connections;
mod flows;
mod limit;
mod pulse;

use std::time::Duration;

use board::Board;
pub use connections::{ConnectionWatch, FeedNews};
pub use flows::{FlowNews, FlowWatch};
use limit::Limit;

use super::Flows;
use crate::model::Result;

/// How often the database is asked for what other servers have done.
const POLL: Duration = Duration::from_millis(500);
/// What this server does is committed a moment after it is recorded; and what comes together is read together.
const SETTLE: Duration = Duration::from_millis(50);
/// How long the database is left alone after it has failed.
const PAUSE: Duration = Duration::from_secs(2);

/// The streams of this process.
#[derive(Debug, Default)]
pub(super) struct Watches {
    board: Board,
    connections: Limit,
    flows: Limit,
}

impl Flows {
    /// Finds out, for all streams of this process, what they have to read, until the server stops. Does nothing while there
    /// are none.
    pub async fn follow(&self) {
        let work = async {
            let mut recorded = self.store().recorded();
            loop {
                self.board().occupied().await;
                if let Err(error) = self.look().await {
                    tracing::warn!(%error, "the feed of events could not be read");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    Ok(()) = recorded.changed() => tokio::time::sleep(SETTLE).await,
                }
            }
        };
        self.stopping().run_until_cancelled(work).await;
    }

    async fn look(&self) -> Result<()> {
        let wanted = self.board().wanted();
        if wanted.feed {
            self.store().place_events().await?;
            let end = self.store().feed_bounds().await?.end;
            let projects = match self.board().end() {
                Some(known) if known < end => self.store().list_event_projects(known).await?,
                Some(_) | None => Vec::new(),
            };
            self.board().advance(&projects, end);
        }
        if !wanted.flows.is_empty() {
            let statuses = self.store().list_flow_statuses(&wanted.flows).await?;
            self.board().tell(&wanted.flows, statuses, self.now());
        }
        Ok(())
    }

    /// Gives places to all events that are committed now.
    async fn place_events(&self) -> Result<()> {
        while self.store().place_events().await? > 0 {}
        Ok(())
    }

    fn board(&self) -> &Board {
        &self.inner.watches.board
    }
}
