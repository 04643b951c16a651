//! The board: what the streams of this process wait for, and how far the feed has come.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::FlowNews;
use crate::model::{FlowStatus, OffsetDateTime, ProjectId, Uuid};

#[derive(Debug, Default)]
pub(super) struct Board {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The place of a project's last event, as far as is known.
    projects: HashMap<ProjectId, watch::Sender<i64>>,
    flows: HashMap<Uuid, watch::Sender<Sight>>,
    /// The end of the feed: events up to there have been announced to the streams of their project. None while nobody
    /// follows it.
    end: Option<i64>,
}

/// What was last seen of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nobody has looked yet.
    Unseen,
    /// It stands here.
    Seen(FlowNews),
    /// It has been deleted.
    Gone,
}

/// What to look for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Whether anybody follows the feed.
    pub(super) feed: bool,
    /// The flows that somebody follows.
    pub(super) flows: Vec<Uuid>,
}

impl Board {
    /// Changes when the project has new events. Whoever reads the project's events after this call misses none.
    pub(super) fn follow_project(&self, project: &ProjectId) -> watch::Receiver<i64> {
        let mut waiting = self.waiting();
        let sender = waiting.projects.entry(project.clone()).or_insert_with(|| watch::Sender::new(0));
        self.arrived.notify_one();
        sender.subscribe()
    }

    /// Changes when the flow does.
    pub(super) fn follow_flow(&self, id: Uuid) -> watch::Receiver<Sight> {
        let mut waiting = self.waiting();
        let sender = waiting.flows.entry(id).or_insert_with(|| watch::Sender::new(Sight::Unseen));
        self.arrived.notify_one();
        sender.subscribe()
    }

    /// Waits until somebody waits for something.
    pub(super) async fn occupied(&self) {
        loop {
            let wanted = self.wanted();
            if wanted.feed || !wanted.flows.is_empty() {
                return;
            }
            self.arrived.notified().await;
        }
    }

    /// What to look for. Forgets what nobody waits for any more.
    pub(super) fn wanted(&self) -> Wanted {
        let mut waiting = self.waiting();
        waiting.projects.retain(|_, sender| sender.receiver_count() > 0);
        waiting.flows.retain(|_, sender| sender.receiver_count() > 0);
        if waiting.projects.is_empty() {
            waiting.end = None;
        }
        Wanted { feed: !waiting.projects.is_empty(), flows: waiting.flows.keys().copied().collect() }
    }

    /// The end of the feed. A stream that then has nothing announced to it has missed nothing up to there.
    pub(super) fn end(&self) -> Option<i64> {
        self.waiting().end
    }

    /// Announces that these projects have events up to these places, and that the feed now ends there.
    pub(super) fn advance(&self, projects: &[(ProjectId, i64)], end: i64) {
        let mut waiting = self.waiting();
        if waiting.end.is_none() {
            // Nobody has followed the feed until now, so any project may have had events since its streams began.
            for sender in waiting.projects.values() {
                sender.send_replace(end);
            }
        }
        for (project, last) in projects {
            if let Some(sender) = waiting.projects.get(project) {
                sender.send_replace(*last);
            }
        }
        waiting.end = Some(end);
    }

    /// Tells where these flows stand.
    pub(super) fn tell(&self, flows: &[Uuid], statuses: Vec<FlowStatus>, now: OffsetDateTime) {
        let news = statuses.into_iter().map(|status| (status.id, FlowNews::new(status, now)));
        let mut news: HashMap<_, _> = news.collect();
        let waiting = self.waiting();
        for id in flows {
            let sight = news.remove(id).map_or(Sight::Gone, Sight::Seen);
            if let Some(sender) = waiting.flows.get(id) {
                sender.send_if_modified(|old| {
                    let new = *old != sight;
                    *old = sight;
                    new
                });
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectId {
        ProjectId::stored(name.to_owned())
    }

    #[test]
    fn only_streams_of_projects_with_events_are_woken() {
        let board = Board::default();
        let (mut a, mut b) = (board.follow_project(&project("a")), board.follow_project(&project("b")));
        // At first nobody knows what has happened since they began.
        board.advance(&[], 7);
        assert_eq!((*a.borrow_and_update(), *b.borrow_and_update(), board.end()), (7, 7, Some(7)));
        board.advance(&[(project("a"), 8), (project("c"), 9)], 9);
        assert_eq!((a.has_changed().ok(), b.has_changed().ok()), (Some(true), Some(false)));
        assert_eq!(board.end(), Some(9));

        drop(a);
        assert!(board.wanted().feed);
        assert_eq!(board.waiting().projects.len(), 1);
        drop(b);
        assert!(!board.wanted().feed);
        assert_eq!(board.end(), None);
    }
}
