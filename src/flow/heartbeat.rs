//! A lease that lasts as long as the work does: it is extended while its server lives, and runs out soon after that dies.

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::Flows;
use crate::{
    model::{Connection, Defence, Duration, Result},
    store::Lease,
};

/// How often a lease is extended within its length: some tries may fail.
const BEATS: u32 = 3;

/// Extends a lease until it is dropped.
#[derive(Debug)]
pub(super) struct Heartbeat {
    _task: Option<AbortOnDropHandle<()>>,
}

impl Flows {
    /// How long a lease lasts.
    pub(super) fn lease_length(&self) -> Result<Duration> {
        Duration::try_from(self.inner.parts.lease).map_err(crate::model::Error::internal)
    }

    /// Extends this lease from time to time.
    pub(super) fn keep_alive(&self, connection: &Connection, lease: Lease) -> Heartbeat {
        if self.failpoints().disabled(Defence::Lease) || self.failpoints().disabled(Defence::Heartbeat) {
            return Heartbeat { _task: None };
        }
        let (flows, connection) = (self.clone(), connection.clone());
        let beats = async move {
            loop {
                sleep(flows.inner.parts.lease / BEATS).await;
                let Ok(length) = flows.lease_length() else { return };
                match flows.store().extend_lease(&connection, &lease, length).await {
                    Ok(true) => {}
                    // Its work is done, or somebody else has it.
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!(connection = %connection.row_id, %error, "a lease could not be extended");
                    }
                }
            }
        };
        Heartbeat { _task: Some(AbortOnDropHandle::new(tokio::spawn(beats))) }
    }
}
