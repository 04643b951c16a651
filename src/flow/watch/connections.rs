//! What happens to connections.

use std::{collections::VecDeque, future::pending};

use futures::{Stream, stream::try_unfold};
use tokio::sync::watch;

use super::{
    super::Flows,
    pulse::{Pulse, Woken},
};
use crate::{
    model::{Caller, Cursor, CursorScope, Error, Event, ProjectId, Result},
    store::EventFilter,
};

/// How many events are read at once.
const PAGE: u64 = 100;

/// An event, or only how far the stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedNews {
    /// What happened.
    pub event: Option<Event>,
    /// What to begin with after the stream has ended.
    pub cursor: Cursor,
}

/// Events of a project from some place on.
#[derive(Debug)]
pub struct ConnectionWatch {
    pulse: Pulse,
    filter: EventFilter,
    scope: CursorScope,
    announced: watch::Receiver<i64>,
    /// Events up to here have been told, or passed over by the filter.
    position: i64,
    /// Read, and not yet told.
    events: VecDeque<Event>,
    /// Where the stream stands when those are told.
    reached: i64,
    /// There is more to read.
    behind: bool,
    begun: bool,
}

impl Flows {
    /// Streams the project's events that this filter lets through, from after the cursor, or from now on.
    pub async fn watch_connections(
        &self,
        caller: &Caller,
        filter: EventFilter,
        cursor: &str,
    ) -> Result<ConnectionWatch> {
        let project = caller.project_id();
        let scope = scope(project, &filter);
        let cursor = Cursor::parse(cursor, scope)?;
        let watches = &self.inner.watches;
        let permit = watches.connections.take(project)?;
        let announced = watches.board.follow_project(project);
        let position = if let Some(cursor) = cursor {
            self.still_kept(&cursor).await?
        } else {
            // What is committed, but has no place yet, was before.
            self.place_events().await?;
            self.store().feed_bounds().await?.end
        };
        Ok(ConnectionWatch {
            pulse: Pulse::new(self, caller, permit),
            filter,
            scope,
            announced,
            position,
            events: VecDeque::new(),
            reached: position,
            behind: true,
            begun: false,
        })
    }

    /// The cursor's place, if nothing is missing from there on. One beyond the end is of another database, or of this one
    /// before it was restored.
    async fn still_kept(&self, cursor: &Cursor) -> Result<i64> {
        let bounds = self.store().feed_bounds().await?;
        let kept = bounds.purged..=bounds.end;
        if kept.contains(&cursor.position()) { Ok(cursor.position()) } else { Err(Error::CursorExpired) }
    }
}

impl ConnectionWatch {
    /// The stream. It ends only by an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<FeedNews>> + Send {
        try_unfold(self, |mut watch| async move { Ok(Some((watch.next().await?, watch))) })
    }

    async fn next(&mut self) -> Result<FeedNews> {
        if !self.begun {
            self.begun = true;
            return Ok(self.news(None));
        }
        loop {
            self.pulse.go_on().await?;
            if let Some(event) = self.events.pop_front() {
                self.position = event.position;
                return Ok(self.news(Some(event)));
            }
            self.position = self.position.max(self.reached);
            if self.behind {
                self.read().await?;
                continue;
            }
            let announced = &mut self.announced;
            let news = async {
                if announced.changed().await.is_err() {
                    // The board drops nobody who listens.
                    pending::<()>().await;
                }
            };
            match self.pulse.wait(news).await? {
                Woken::News => self.behind = true,
                Woken::Beat => return Ok(self.beat()),
            }
        }
    }

    /// Reads a page.
    async fn read(&mut self) -> Result<()> {
        let flows = self.pulse.flows();
        let project = self.pulse.caller().project_id();
        // Before the events: what is announced later is read again, and what lies before the end has been announced.
        let end = flows.board().end();
        self.announced.mark_unchanged();
        let events = flows.store().list_events(project, &self.filter, self.position, PAGE).await?;
        // After the events: what was purged before they were read is missing among them.
        if flows.store().feed_bounds().await?.purged > self.position {
            return Err(Error::CursorExpired);
        }
        self.behind = u64::try_from(events.len()).is_ok_and(|read| read >= PAGE);
        self.reached = if self.behind { self.position } else { end.unwrap_or(self.position) };
        self.events = events.into();
        Ok(())
    }

    /// Says where the stream stands. Nothing that is not announced can lie before the end.
    fn beat(&mut self) -> FeedNews {
        let end = self.pulse.flows().board().end();
        if let (Some(end), Ok(false)) = (end, self.announced.has_changed()) {
            self.position = self.position.max(end);
        }
        self.news(None)
    }

    fn news(&mut self, event: Option<Event>) -> FeedNews {
        self.pulse.told();
        FeedNews { event, cursor: Cursor::new(self.position, self.scope) }
    }
}

/// What a cursor is of: the project, and everything that selects events.
fn scope(project: &ProjectId, filter: &EventFilter) -> CursorScope {
    let mut types: Vec<_> = filter.types.iter().map(|it| it.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    let (integration, connection) = (&filter.integration_id, &filter.connection_id);
    CursorScope::new(&format!("events {project:?} {integration:?} {connection:?} {types:?}"))
}
