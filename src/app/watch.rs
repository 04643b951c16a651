//! Tells that something in a directory may have changed.

use std::{
    path::{Path, PathBuf, absolute},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

/// How long nothing must happen before what happened counts as over: a file is written in several steps.
const QUIET: Duration = Duration::from_millis(200);
/// How long a directory that is never quiet keeps us waiting.
const MAX_UNQUIET: Duration = Duration::from_secs(2);

/// A directory under watch, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    _watcher: RecommendedWatcher,
}

/// Wakes the one who waits for changes. Clones wake the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes(Arc<Notify>);

impl Watch {
    /// Watches the directory that is now at this path. Another one that takes its place needs a new watch, which
    /// `changes` tells, too.
    pub(super) fn start(directory: &Path, changes: &Changes) -> notify::Result<Self> {
        let directory = absolute(directory)?;
        let (changes, path) = (changes.clone(), directory.clone());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // What goes wrong while watching is a reason to look, too.
            if event.as_ref().map_or(true, |event| concerns(event, &path)) {
                changes.0.notify_one();
            }
        })?;
        if let Some(parent) = directory.parent() {
            // From there it is seen that another directory or link takes this one's place. We may not be allowed to.
            drop(watcher.watch(parent, RecursiveMode::NonRecursive));
        }
        watcher.watch(&directory, RecursiveMode::NonRecursive)?;
        Ok(Self { _watcher: watcher })
    }
}

impl Changes {
    /// Waits for a change, and until it seems to be over.
    pub(super) async fn settled(&self) {
        self.0.notified().await;
        let end = Instant::now() + MAX_UNQUIET;
        let quiet = async { while timeout(QUIET, self.0.notified()).await.is_ok() {} };
        drop(timeout_at(end, quiet).await);
    }
}

/// Whether an event may change what the directory holds. Reading it does not, or we would wake ourselves.
fn concerns(event: &Event, directory: &PathBuf) -> bool {
    let written = AccessKind::Close(AccessMode::Write);
    match event.kind {
        EventKind::Access(kind) if kind != written => false,
        // Kubernetes changes a mounted volume by moving this link, which may lie beside the directory.
        _ => {
            let ours = |path: &PathBuf| path.starts_with(directory) || path.ends_with("..data");
            event.paths.is_empty() || event.paths.iter().any(ours)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, Flag, ModifyKind, RemoveKind, RenameMode};

    /// Otherwise every reading would lead to the next one.
    #[test]
    fn reading_is_no_change() {
        let event = |kind| Event::new(kind).add_path("/etc/providers/acme.toml".into());
        let directory = PathBuf::from("/etc/providers");
        for access in [
            AccessKind::Any,
            AccessKind::Read,
            AccessKind::Open(AccessMode::Any),
            AccessKind::Close(AccessMode::Read),
        ] {
            assert!(!concerns(&event(EventKind::Access(access)), &directory), "{access:?}");
        }
        for kind in [
            EventKind::Any,
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Create(CreateKind::Any),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Remove(RemoveKind::File),
        ] {
            assert!(concerns(&event(kind), &directory), "{kind:?}");
        }
    }

    #[test]
    fn only_what_lies_in_the_directory_counts() {
        let directory = PathBuf::from("/etc/providers");
        let at = |path: &str| Event::new(EventKind::Create(CreateKind::Any)).add_path(path.into());
        for path in ["/etc/providers", "/etc/providers/acme.toml", "/etc/..data"] {
            assert!(concerns(&at(path), &directory), "{path}");
        }
        for path in ["/etc/passwd", "/etc/providers-old", "/etc/data"] {
            assert!(!concerns(&at(path), &directory), "{path}");
        }
        // Events were lost: anything may have happened.
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(concerns(&lost, &directory));
    }
}
