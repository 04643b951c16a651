//! A clock that a test moves.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use tokenwell::model::{Clock, Duration, OffsetDateTime, SystemClock};

/// Stands still until a test moves it. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

/// Longer than a provider is left alone after its first few failures.
const BACKOFF: Duration = Duration::seconds(10);

impl ManualClock {
    /// Waits until a provider that has failed once or twice is asked again.
    pub fn wait_out(&self) {
        self.advance(BACKOFF);
    }

    /// A clock at a moment of 2026.
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_790_000_000_000_000)))
    }

    /// A clock at the present moment, for what is signed outside of the test.
    pub fn at_present() -> Self {
        let micros = SystemClock.now().unix_timestamp_nanos() / 1_000;
        Self(Arc::new(AtomicI64::new(i64::try_from(micros).unwrap())))
    }

    /// Moves it.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.whole_microseconds()).unwrap();
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        let micros = self.0.load(Ordering::SeqCst);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap()
    }
}
