//! Reads the directory of catalog files again whenever it changes. A set with a fault in it changes nothing.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    AppError,
    sources::{Reading, Sources},
    watch::{Changes, Watch},
};
use crate::{
    flow::Flows,
    model::{ProviderId, digest},
    provider::{Catalog, Fault},
};

/// How often the directory is read though nothing was heard of it: some file systems tell nothing of changes that are made
/// elsewhere, and links may lead out of what is watched.
const UNASKED: Duration = Duration::from_mins(1);
/// How often it is read while it cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(2);
/// How many ids one line of the log names.
const MAX_IDS: usize = 100;
/// How much of what is wrong with a file a line of the log says.
const MAX_PROBLEM_CHARS: usize = 500;

/// Replaces the catalog when its files change.
#[derive(Debug)]
pub(super) struct Reloader {
    sources: Sources,
    directory: PathBuf,
    hangup: Signal,
    changes: Changes,
    watch: Result<Watch, String>,
    /// What was read last, good or not.
    last: Print,
    /// The files of the catalog in use.
    good: Digests,
}

/// Files by name, each by its digest: the texts themselves need not stay in memory.
type Digests = BTreeMap<String, String>;

/// Enough of a reading to tell whether the next one is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Print {
    files: Digests,
    faults: Vec<Fault>,
}

/// A look at the directory.
struct Look {
    watch: Result<Watch, String>,
    print: Print,
    /// Nothing, if it is as before.
    built: Option<Result<Catalog, Vec<Fault>>>,
}

impl Print {
    pub(super) fn of(reading: &Reading) -> Self {
        let files = reading.files.iter().map(|(name, text)| (name.clone(), digest(text))).collect();
        Self { files, faults: reading.faults.clone() }
    }
}

impl Reloader {
    /// Prepares to follow the sources, if they have a directory. From now on SIGHUP does not end the process.
    pub(super) fn new(sources: Sources, loaded: Print) -> Result<Option<Self>, AppError> {
        let Some(directory) = sources.directory().map(ToOwned::to_owned) else { return Ok(None) };
        let hangup = signal(SignalKind::hangup()).map_err(|error| AppError::Serve(error.into()))?;
        Ok(Some(Self {
            sources,
            directory,
            hangup,
            changes: Changes::default(),
            watch: Err(String::new()),
            good: loaded.files.clone(),
            last: loaded,
        }))
    }

    /// Follows the directory until the server stops.
    pub(super) async fn run(mut self, flows: Flows, stopping: CancellationToken) {
        // What changed between the start and the first watch is seen by the first look.
        let mut asked = false;
        while stopping.run_until_cancelled(self.look(&flows, asked)).await.is_some() {
            let pause = if self.watch.is_ok() { UNASKED } else { UNWATCHED };
            asked = tokio::select! {
                () = stopping.cancelled() => return,
                Some(()) = self.hangup.recv() => true,
                () = self.changes.settled() => false,
                () = sleep(pause) => false,
            };
        }
    }

    /// Reads the directory and takes over what is new. Who asked for it is told of faults that were told before.
    async fn look(&mut self, flows: &Flows, asked: bool) {
        let (sources, directory) = (self.sources.clone(), self.directory.clone());
        let (changes, last) = (self.changes.clone(), self.last.clone());
        let looked = tokio::task::spawn_blocking(move || {
            // By now another directory may be there. Watched first and read then, it cannot change unseen.
            let watch = Watch::start(&directory, &changes).map_err(|error| error.to_string());
            let reading = sources.read();
            let print = Print::of(&reading);
            let same = print == last && !asked;
            Look { watch, print, built: (!same).then(|| sources.build(&reading)) }
        });
        match looked.await {
            Ok(look) => self.take(flows, look),
            Err(error) => tracing::error!(%error, "the catalog could not be read: the last good set stays"),
        }
    }

    fn take(&mut self, flows: &Flows, look: Look) {
        if let Err(problem) = &look.watch
            && self.watch.as_ref().err() != Some(problem)
        {
            tracing::warn!(
                directory = %self.directory.display(),
                problem,
                "the providers directory cannot be watched: it is read every {} seconds",
                UNWATCHED.as_secs(),
            );
        }
        self.watch = look.watch;
        let before = std::mem::replace(&mut self.last, look.print);
        match look.built {
            None => {}
            Some(Ok(catalog)) if self.last.files == self.good => {
                if before == self.last {
                    tracing::debug!(providers = catalog.iter().count(), "the catalog is as before");
                } else {
                    tracing::info!("the providers directory is in order again, and as before");
                }
            }
            Some(Ok(catalog)) => {
                let old = flows.catalog();
                let difference = difference(&old, &catalog, &self.good, &self.last.files);
                let [added, changed, removed] = difference.map(|ids| names(&ids));
                let providers = catalog.iter().count();
                flows.replace_catalog(catalog);
                self.good.clone_from(&self.last.files);
                tracing::info!(providers, added, changed, removed, "reloaded the catalog");
            }
            Some(Err(faults)) => {
                for fault in &faults {
                    tracing::error!(fault = line(fault), "a catalog file has a fault");
                }
                tracing::error!(
                    directory = %self.directory.display(),
                    faults = faults.len(),
                    "the providers directory has faults: the last good set stays",
                );
            }
        }
    }
}

/// The ids of entries that a reload added, changed and removed. A file may have replaced a built-in entry, or given it back.
fn difference(old: &Catalog, new: &Catalog, before: &Digests, after: &Digests) -> [Vec<ProviderId>; 3] {
    let mut difference = [const { Vec::new() }; 3];
    let mut files: Vec<_> = before.keys().chain(after.keys()).collect();
    files.sort();
    files.dedup();
    for file in files.into_iter().filter(|file| before.get(*file) != after.get(*file)) {
        let Ok(id) = ProviderId::parse(file.trim_end_matches(".toml")) else { continue };
        let kind = match (old.get(&id).is_ok(), new.get(&id).is_ok()) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        };
        difference[kind].push(id);
    }
    difference
}

fn names(ids: &[ProviderId]) -> String {
    let mut names: Vec<_> = ids.iter().take(MAX_IDS).map(ToString::to_string).collect();
    if ids.len() > MAX_IDS {
        names.push(format!("and {} more", ids.len() - MAX_IDS));
    }
    names.join(", ")
}

/// A fault for the log: one line, not endless, and without the file's texts. A file with secrets may have come there by
/// mistake.
pub(super) fn line(fault: &Fault) -> String {
    let mut fault = fault.clone();
    if let Some((before, rest)) = fault.problem.split_once("string \"") {
        let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
        fault.problem = format!("{before}a text{after}");
    }
    let text = fault.to_string();
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    text.take(MAX_PROBLEM_CHARS).collect()
}
