//! Where time comes from.

use std::{fmt::Debug, time::SystemTime};

use time::OffsetDateTime;

/// A source of the present time. Tests put their own in its place.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present time in UTC, in whole microseconds, which is what the database keeps.
    fn now(&self) -> OffsetDateTime;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one home of the present time")]
    fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::from(SystemTime::now());
        now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now)
    }
}
