//! Storing what exists nowhere else.

use std::time::Duration;

use tokio::time::sleep;

use crate::model::{Error, Result};

/// How often it is tried while the answer is in memory.
const TRIES: u32 = 5;
/// The first pause.
const PAUSE: Duration = Duration::from_millis(100);

/// Tries to store what exists nowhere else, as often as the lease allows, whatever the database says.
pub(super) async fn persistently<T, F: Future<Output = Result<T>>>(write: impl Fn() -> F) -> Result<T> {
    for tries in 1..TRIES {
        match write().await {
            Ok(done) => return Ok(done),
            Err(error @ (Error::StoreUnavailable(_) | Error::Internal(_))) => {
                tracing::warn!(%error, tries, "tokens could not be stored yet");
            }
            Err(final_error) => return Err(final_error),
        }
        sleep(PAUSE * 2_u32.pow(tries)).await;
    }
    write().await
}
