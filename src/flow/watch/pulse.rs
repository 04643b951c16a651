//! What all streams have in common: when they say that they are alive, and what ends them.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{super::Flows, limit::Permit};
use crate::model::{Caller, Error, Permission, Result};

/// How long a key that was revoked goes on counting for a stream.
const CHECK: Duration = Duration::from_secs(5);

/// A stream's part that knows time, its caller and its server.
#[derive(Debug)]
pub(super) struct Pulse {
    flows: Flows,
    caller: Caller,
    check: Instant,
    beat: Instant,
    _permit: Permit,
}

/// Why a stream was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// What it waits for has happened.
    News,
    /// It has said nothing for long enough.
    Beat,
}

impl Pulse {
    pub(super) fn new(flows: &Flows, caller: &Caller, permit: Permit) -> Self {
        let now = Instant::now();
        let (check, beat) = (now + CHECK, now + flows.inner.parts.heartbeat);
        Self { flows: flows.clone(), caller: caller.clone(), check, beat, _permit: permit }
    }

    pub(super) fn flows(&self) -> &Flows {
        &self.flows
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Something was told.
    pub(super) fn told(&mut self) {
        self.beat = Instant::now() + self.flows.inner.parts.heartbeat;
    }

    /// Ends the stream if its server stops, or its caller's key no longer counts.
    pub(super) async fn go_on(&mut self) -> Result<()> {
        if self.flows.stopping().is_cancelled() {
            return Err(Error::ServerStopping);
        }
        if self.check <= Instant::now() {
            self.flows.still(&self.caller, Permission::Read).await?;
            self.check = Instant::now() + CHECK;
        }
        Ok(())
    }

    /// Waits for news, but not for longer than a stream may be silent.
    pub(super) async fn wait(&mut self, news: impl Future<Output = ()> + Send) -> Result<Woken> {
        tokio::pin!(news);
        loop {
            self.go_on().await?;
            tokio::select! {
                biased;
                () = self.flows.stopping().cancelled() => {}
                () = &mut news => return Ok(Woken::News),
                () = sleep_until(self.beat) => return Ok(Woken::Beat),
                () = sleep_until(self.check) => {}
            }
        }
    }
}
