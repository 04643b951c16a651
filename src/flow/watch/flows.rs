//! Where a flow stands.

use std::future::pending;

use futures::{Stream, stream::try_unfold};
use tokio::sync::watch;

use super::{
    super::Flows,
    board::Sight,
    pulse::{Pulse, Woken},
};
use crate::model::{Caller, Error, FlowStage, FlowStatus, OffsetDateTime, Result, Uuid};

/// Where a flow stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowNews {
    /// The flow.
    pub status: FlowStatus,
    /// How far it has come.
    pub stage: FlowStage,
}

/// The rest of a flow.
#[derive(Debug)]
pub struct FlowWatch {
    pulse: Pulse,
    sight: watch::Receiver<Sight>,
    last: FlowNews,
    begun: bool,
}

impl Flows {
    /// Streams where a flow of the project stands, now and after each change, until it has ended.
    pub async fn watch_flow(&self, caller: &Caller, id: Uuid) -> Result<FlowWatch> {
        let project = caller.project_id();
        let status = self.store().get_flow_status(project, id).await?.ok_or(Error::FlowNotFound)?;
        let watches = &self.inner.watches;
        let permit = watches.flows.take(project)?;
        // After the status was read, so that nothing older comes after it. What others have seen since is news.
        let mut sight = watches.board.follow_flow(id);
        sight.mark_changed();
        Ok(FlowWatch {
            pulse: Pulse::new(self, caller, permit),
            sight,
            last: FlowNews::new(status, self.now()),
            begun: false,
        })
    }
}

impl FlowNews {
    pub(super) fn new(status: FlowStatus, now: OffsetDateTime) -> Self {
        Self { stage: status.stage(now), status }
    }
}

impl FlowWatch {
    /// The stream. It ends after the flow has.
    pub fn into_stream(self) -> impl Stream<Item = Result<FlowNews>> + Send {
        try_unfold(self, |mut watch| async move { Ok(watch.next().await?.map(|news| (news, watch))) })
    }

    async fn next(&mut self) -> Result<Option<FlowNews>> {
        if !self.begun {
            self.begun = true;
            return Ok(Some(self.last.clone()));
        }
        if self.last.stage.is_final() {
            return Ok(None);
        }
        loop {
            let sight = &mut self.sight;
            let news = async {
                if sight.changed().await.is_err() {
                    // The board drops nobody who listens.
                    pending::<()>().await;
                }
            };
            if self.pulse.wait(news).await? == Woken::Beat {
                break;
            }
            let seen = self.sight.borrow_and_update().clone();
            match seen {
                Sight::Gone => return Err(Error::FlowNotFound),
                // Somebody else's look may be older than ours.
                Sight::Seen(news) if news.stage.rank() > self.last.stage.rank() => {
                    self.last = news;
                    break;
                }
                Sight::Seen(_) | Sight::Unseen => {}
            }
        }
        self.pulse.told();
        Ok(Some(self.last.clone()))
    }
}
