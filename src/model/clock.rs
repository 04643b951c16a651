//! Where time comes from.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use time::{Duration, OffsetDateTime};

/// A source of the present time. Tests put their own in its place.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present time in UTC, in whole microseconds, which is what the database keeps.
    fn now(&self) -> OffsetDateTime;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A clock that goes by the operating system's, and by another that all servers share, where the two are too far apart. Clones
/// are the same clock.
#[derive(Debug, Clone, Default)]
pub struct SharedClock {
    /// What is added to the operating system's time, in microseconds.
    correction: Arc<AtomicI64>,
}

/// A look at the clock that all servers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// What it said.
    pub there: OffsetDateTime,
    /// The operating system's time when the answer came.
    pub here: OffsetDateTime,
    /// How long the answer took.
    pub took: Duration,
}

/// What two clocks may differ by and still count as one.
const TOLERANCE: Duration = Duration::SECOND;

// === impl SystemClock ===

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one home of the present time")]
    fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::from(SystemTime::now());
        now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now)
    }
}

// === impl SharedClock ===

impl SharedClock {
    /// Learns from looks at the other clock, of which the quickest is the best. Gives the correction if it has changed.
    #[must_use]
    pub fn learn(&self, looks: &[Look]) -> Option<Duration> {
        let best = looks.iter().min_by_key(|look| look.took)?;
        // Halfway through the look, as far as anybody knows; half of it is what that may be wrong by.
        let half = best.took / 2;
        let difference: Duration = best.there.saturating_add(half) - best.here;
        let tolerance = TOLERANCE + half;
        if (difference - self.correction()).abs() <= tolerance {
            return None;
        }
        let correction = if difference.abs() <= tolerance { Duration::ZERO } else { difference };
        let micros = i64::try_from(correction.whole_microseconds()).ok()?;
        self.correction.store(micros, Ordering::Relaxed);
        Some(correction)
    }

    fn correction(&self) -> Duration {
        Duration::microseconds(self.correction.load(Ordering::Relaxed))
    }
}

impl Clock for SharedClock {
    fn now(&self) -> OffsetDateTime {
        let now = SystemClock.now();
        now.checked_add(self.correction()).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look that took this long, at a clock that is this far ahead.
    fn look(ahead: Duration, took: Duration) -> Look {
        let here = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        Look { there: here - took / 2 + ahead, here, took }
    }

    fn quick(ahead: Duration) -> Look {
        look(ahead, Duration::milliseconds(2))
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::seconds_f64(seconds)
    }

    #[test]
    fn small_differences_are_none() {
        let clock = SharedClock::default();
        for ahead in [0.0, 0.9, -0.9] {
            assert_eq!(clock.learn(&[quick(seconds(ahead))]), None, "{ahead}");
        }
        assert_eq!(clock.learn(&[]), None);
    }

    #[test]
    fn a_large_difference_is_made_up_for_and_told_once() {
        for ahead in [300.0, -300.0] {
            let clock = SharedClock::default();
            assert_eq!(clock.learn(&[quick(seconds(ahead))]), Some(seconds(ahead)));
            let off = clock.now() - SystemClock.now() - seconds(ahead);
            assert!(off.abs() < Duration::seconds(1), "{off}");
            assert_eq!(clock.learn(&[quick(seconds(ahead + 0.5))]), None, "time does not tremble");
            assert_eq!(clock.learn(&[quick(seconds(ahead + 2.0))]), Some(seconds(ahead + 2.0)));
            assert_eq!(clock.learn(&[quick(seconds(0.3))]), Some(Duration::ZERO), "it was put right");
            assert_eq!(clock.learn(&[quick(seconds(0.3))]), None);
        }
    }

    #[test]
    fn the_quickest_look_counts() {
        let clock = SharedClock::default();
        let slow = look(seconds(9.0), seconds(4.0));
        assert_eq!(clock.learn(&[slow, quick(seconds(0.1)), slow]), None);
        assert_eq!(clock.learn(&[slow, quick(seconds(5.0)), slow]), Some(seconds(5.0)));
    }

    #[test]
    fn what_a_slow_look_may_be_wrong_by_is_no_difference() {
        let clock = SharedClock::default();
        assert_eq!(clock.learn(&[look(seconds(2.5), seconds(4.0))]), None);
        assert_eq!(clock.learn(&[look(seconds(3.5), seconds(4.0))]), Some(seconds(3.5)));
    }

    #[test]
    fn no_difference_is_too_large_to_tell_the_time() {
        let clock = SharedClock::default();
        let first = OffsetDateTime::new_utc(time::Date::MIN, time::Time::MIDNIGHT);
        let last = OffsetDateTime::new_utc(time::Date::MAX, time::Time::MIDNIGHT);
        for (there, here) in [(first, last), (last, first)] {
            assert_eq!(clock.learn(&[Look { there, here, took: Duration::ZERO }]), Some(there - here));
            assert!(
                (clock.now() - SystemClock.now()).abs() < Duration::SECOND,
                "it cannot be told in years of four digits"
            );
        }
    }
}
