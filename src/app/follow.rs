//! Follows a few small files: reads them again and again, and tells when they have changed.

use std::{fs::File, io::Read as _, path::Path, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::AppError;

/// How often they are read. They are small, and this way it makes no difference on what they lie, and which links lead there.
const INTERVAL: Duration = Duration::from_secs(1);
/// Larger than any that is one of them.
const MAX_BYTES: u64 = 1024 * 1024;

/// What files held at one time: their digests, or why they could not be read.
pub(super) type Print = Vec<Result<[u8; 32], String>>;

/// Follows files.
#[derive(Debug)]
pub(super) struct Follower {
    hangup: Signal,
    /// What is in use, or was refused.
    known: Print,
}

impl Follower {
    /// Prepares to follow files that hold this now. From now on SIGHUP does not end the process.
    pub(super) fn new(known: Print) -> Result<Self, AppError> {
        let hangup = signal(SignalKind::hangup()).map_err(|error| AppError::Serve(error.into()))?;
        Ok(Self { hangup, known })
    }

    /// Gives what is read to `take` whenever it is new, until the server stops. Who asks for it by SIGHUP gets an answer though
    /// nothing is new.
    pub(super) async fn run<R: Send + 'static>(
        mut self,
        read: impl Fn() -> (Print, R) + Clone + Send + 'static,
        mut take: impl FnMut(R) + Send,
        stopping: CancellationToken,
    ) {
        let mut seen = self.known.clone();
        loop {
            let asked = tokio::select! {
                () = stopping.cancelled() => return,
                Some(()) = self.hangup.recv() => true,
                () = sleep(INTERVAL) => false,
            };
            let (print, found) = match tokio::task::spawn_blocking(read.clone()).await {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(%error, "files could not be read");
                    continue;
                }
            };
            // Files are written one after the other, and in several steps: what is the same twice is all there.
            let settled = print == seen;
            if asked || (settled && print != self.known) {
                self.known.clone_from(&print);
                take(found);
            }
            seen = print;
        }
    }
}

/// Reads a file. Blocks.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = |error: std::io::Error| error.to_string();
    // Opening anything else, such as a pipe, might wait for ever.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {} KiB", MAX_BYTES / 1024));
    }
    Ok(bytes)
}

/// What tells one reading from the next.
pub(super) fn print<'a>(readings: impl Iterator<Item = &'a Result<Zeroizing<Vec<u8>>, String>>) -> Print {
    let print = |reading: &Result<Zeroizing<Vec<u8>>, String>| match reading {
        Ok(bytes) => Ok(Sha256::digest(bytes).into()),
        Err(problem) => Err(problem.clone()),
    };
    readings.map(print).collect()
}
