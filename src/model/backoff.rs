//! How long to wait before the next try: exponential back-off with full jitter.

use time::Duration;

use super::{Random, Result, fraction};

/// A span that doubles with every failure up to a cap. The wait is a random part of it, so that those who failed together
/// do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The span after the first failure.
    pub base: Duration,
    /// The longest span.
    pub cap: Duration,
}

impl Backoff {
    /// The span after so many failures in a row.
    #[must_use]
    pub fn span(self, failures: i64) -> Duration {
        let doublings = u32::try_from((failures - 1).clamp(0, 30)).unwrap_or_default();
        self.base.checked_mul(2_i32.saturating_pow(doublings)).unwrap_or(self.cap).min(self.cap)
    }

    /// The wait after so many failures in a row.
    pub fn wait(self, failures: i64, random: &dyn Random) -> Result<Duration> {
        Ok(self.span(failures) * fraction(random)?)
    }

    /// The same, but no shorter than whoever failed has asked for.
    pub fn wait_at_least(
        self,
        failures: i64,
        asked: Option<std::time::Duration>,
        random: &dyn Random,
    ) -> Result<Duration> {
        let asked = asked.and_then(|asked| Duration::try_from(asked).ok()).unwrap_or_default();
        Ok(self.wait(failures, random)?.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsRandom;

    const BACKOFF: Backoff = Backoff { base: Duration::seconds(1), cap: Duration::minutes(5) };

    #[test]
    fn the_span_doubles_up_to_its_cap() {
        let seconds: Vec<_> = (0..=10).map(|failures| BACKOFF.span(failures).whole_seconds()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(BACKOFF.span(i64::MAX), BACKOFF.cap);
    }

    #[test]
    fn waits_are_spread_over_the_whole_span() {
        let waits: Vec<_> = (0..200).map(|_| BACKOFF.wait(9, &OsRandom).unwrap()).collect();
        assert!(waits.iter().all(|wait| !wait.is_negative() && *wait <= BACKOFF.span(9)));
        assert!(waits.iter().any(|wait| *wait < BACKOFF.span(9) / 3));
        assert!(waits.iter().any(|wait| *wait > BACKOFF.span(9) / 3 * 2));
    }
}
