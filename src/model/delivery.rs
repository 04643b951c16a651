//! Deliveries: events on their way to webhooks.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{ConnectionId, IntegrationId, ProjectId, ProviderId, Random, Result, fraction};

/// The waits between the tries: those that the Standard Webhooks specification gives as an example.
const WAITS: [Duration; 9] = [
    Duration::seconds(5),
    Duration::minutes(5),
    Duration::minutes(30),
    Duration::hours(2),
    Duration::hours(5),
    Duration::hours(10),
    Duration::hours(14),
    Duration::hours(20),
    Duration::hours(24),
];
/// How much longer a wait may be, so that what failed together does not come back together.
const JITTER: f64 = 0.1;

/// The type of a delivery that no event has caused.
pub const TEST_EVENT: &str = "webhook.test";

/// One event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: Uuid,
    /// The webhook.
    pub webhook_id: Uuid,
    /// The project of both.
    pub project_id: ProjectId,
    /// The event's id, which is the message's, too.
    pub event_id: Uuid,
    /// The event's name.
    pub event_type: String,
    /// When it happened.
    pub event_time: OffsetDateTime,
    /// What it happened to. A test happens to nothing.
    pub subject: Option<Subject>,
    /// How far it is.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was last tried.
    pub attempt_time: Option<OffsetDateTime>,
    /// The status of the last answer, if there was one.
    pub response_status: Option<u16>,
    /// What went wrong the last time, in words of ours.
    pub problem: Option<String>,
    /// When it is due. None: it has ended.
    pub next_time: Option<OffsetDateTime>,
    /// When it was delivered or given up.
    pub end_time: Option<OffsetDateTime>,
}

/// What an event happened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The event's place in the feed.
    pub sequence: i64,
    /// The integration.
    pub integration_id: IntegrationId,
    /// The connection.
    pub connection_id: ConnectionId,
    /// The provider.
    pub provider_id: ProviderId,
    /// Why, in a word that programs can act on.
    pub reason: Option<String>,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It is under way or waits.
    Pending,
    /// It was taken.
    Delivered,
    /// It was given up.
    Dead,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it was made.
    pub time: OffsetDateTime,
    /// The status of the answer, if there was one.
    pub response_status: Option<u16>,
    /// What is next.
    pub verdict: Verdict,
}

/// What is next after a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it was taken.
    Delivered,
    /// Nothing: the endpoint wants no more of anything.
    Gone {
        /// What went wrong, in words of ours.
        problem: String,
    },
    /// It failed.
    Failed {
        /// What went wrong, in words of ours.
        problem: String,
        /// When it is tried again. None: never.
        next_time: Option<OffsetDateTime>,
        /// Until when the endpoint asked to be left alone.
        pause_until: Option<OffsetDateTime>,
    },
}

// === impl DeliveryStatus ===

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// Its name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// How long to wait after so many tries. None: that was the last one.
pub fn delivery_wait(attempts: i64, random: &dyn Random) -> Result<Option<Duration>> {
    let index = usize::try_from(attempts.max(1) - 1).unwrap_or(usize::MAX);
    WAITS.get(index).map(|wait| Ok(*wait * (1.0 + JITTER * fraction(random)?))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsRandom;

    #[test]
    fn the_tenth_try_is_the_last() {
        for (attempts, wait) in (1..).zip(WAITS) {
            let waits: Vec<_> =
                (0..50).map(|_| delivery_wait(attempts, &OsRandom).unwrap().unwrap()).collect();
            assert!(waits.iter().all(|it| (wait..=wait * 1.1).contains(it)), "{attempts}: {waits:?}");
            assert!(waits.iter().any(|it| *it != waits[0]), "they all come back together");
        }
        assert_eq!(WAITS.len(), 9);
        for attempts in [10, 11, i64::MAX] {
            assert_eq!(delivery_wait(attempts, &OsRandom).unwrap(), None);
        }
    }
}
