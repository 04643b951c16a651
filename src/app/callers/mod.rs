//! The callers file: who may call by a certificate or a token, about which project, and what they may do.

mod written;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use written::{Problem, Written};
use zeroize::Zeroizing;

use super::{
    AppError,
    follow::{self, Follower, Print},
    reload,
};
use crate::{
    flow::Flows,
    model::{Callers, Error},
    provider::{Fault, Lines, line_at},
};

/// Follows the callers file.
#[derive(Debug)]
pub(super) struct CallersReloader {
    file: CallersFile,
    follower: Follower,
}

/// Where the file is.
#[derive(Debug, Clone)]
pub(super) struct CallersFile {
    path: PathBuf,
    /// Whether clients show certificates at all.
    certificates: bool,
}

/// Reads the callers for the first time, when a fault ends the start, and prepares to read them again.
pub(super) async fn start(
    path: Option<&Path>,
    certificates: bool,
) -> Result<Option<(Callers, CallersReloader)>, AppError> {
    let Some(path) = path else { return Ok(None) };
    let file = CallersFile { path: path.to_owned(), certificates };
    let from = file.clone();
    let (print, read) = tokio::task::spawn_blocking(move || from.read()).await.map_err(Error::internal)?;
    let callers = read.map_err(AppError::Callers)?;
    Ok(Some((callers, CallersReloader { file, follower: Follower::new(print)? })))
}

// === impl CallersReloader ===

impl CallersReloader {
    /// Follows the file until the server stops.
    pub(super) async fn run(self, flows: Flows, stopping: CancellationToken) {
        let Self { file, follower } = self;
        let path = file.path.display().to_string();
        let take = move |read: Result<Callers, Vec<Fault>>| match read {
            Ok(callers) => replace(&flows, callers),
            Err(faults) => {
                for fault in &faults {
                    tracing::error!(fault = reload::line(fault), "the callers file has a fault");
                }
                let faults = faults.len();
                tracing::error!(path, faults, "the callers file has faults: the last good one stays");
            }
        };
        follower.run(move || file.read(), take, stopping).await;
    }
}

fn replace(flows: &Flows, callers: Callers) {
    let (count, issuers) = (callers.count(), callers.issuers().len());
    match flows.replace_callers(callers) {
        Ok(()) => tracing::info!(callers = count, issuers, "reloaded the callers file"),
        Err(error) => tracing::error!(%error, "the callers file cannot be used: the last good one stays"),
    }
}

// === impl CallersFile ===

impl CallersFile {
    /// Reads the file, and those that it names. Blocks.
    fn read(&self) -> (Print, Result<Callers, Vec<Fault>>) {
        let mut readings = vec![follow::read(&self.path)];
        let parsed = match &readings[0] {
            Ok(bytes) => self.parse(&bytes.clone(), |path| {
                let read = follow::read(path);
                readings.push(read.clone());
                read
            }),
            Err(problem) => Err(vec![self.fault(None, problem.clone())]),
        };
        (follow::print(readings.iter()), parsed)
    }

    fn fault(&self, line: Option<usize>, problem: String) -> Fault {
        Fault { file: self.path.display().to_string(), line, problem }
    }

    fn parse(
        &self,
        bytes: &[u8],
        read: impl FnMut(&Path) -> Result<Zeroizing<Vec<u8>>, String>,
    ) -> Result<Callers, Vec<Fault>> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| vec![self.fault(None, "it is not UTF-8".to_owned())])?;
        let written: Written = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_at(text, span.start));
            vec![self.fault(line, error.message().to_owned())]
        })?;
        written.check(self.certificates, read).map_err(|problems| {
            let lines = Lines::of(text);
            let fault = |(key, problem): Problem| self.fault(lines.find(&key), format!("`{key}` {problem}"));
            let mut faults: Vec<_> = problems.into_iter().map(fault).collect();
            faults.sort_by_key(|fault| fault.line);
            faults
        })
    }
}

#[cfg(test)]
mod tests;
