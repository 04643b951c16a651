//! How many streams may be open at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::{Error, ProjectId, Result};

/// The most streams of one method on this server: each costs a little memory, and reads of the database.
const MAX: usize = 1_000;
/// The most of one project, so that it leaves some to others.
const MAX_OF_PROJECT: usize = 100;

/// Counts the open streams of one method. Clones count the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Limit(Arc<Mutex<HashMap<ProjectId, usize>>>);

/// The right to be open. Counts until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limit: Limit,
    project: ProjectId,
}

impl Limit {
    /// Counts one more of this project, if it may have one.
    pub(super) fn take(&self, project: &ProjectId) -> Result<Permit> {
        let mut open = self.open();
        if open.values().sum::<usize>() >= MAX {
            return Err(Error::WatchLimit("1,000 streams on this server"));
        }
        let of_project = open.entry(project.clone()).or_default();
        if *of_project >= MAX_OF_PROJECT {
            return Err(Error::WatchLimit("100 streams of the project on this server"));
        }
        *of_project += 1;
        Ok(Permit { limit: self.clone(), project: project.clone() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<ProjectId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limit.open();
        if let Some(of_project) = open.get_mut(&self.project) {
            *of_project -= 1;
            if *of_project == 0 {
                open.remove(&self.project);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(number: usize) -> ProjectId {
        ProjectId::stored(format!("project-{number}"))
    }

    #[test]
    fn a_project_leaves_streams_to_others_and_the_server_has_an_end() {
        let limit = Limit::default();
        let mut permits: Vec<_> = (0..MAX_OF_PROJECT).map_while(|_| limit.take(&project(0)).ok()).collect();
        assert_eq!(permits.len(), MAX_OF_PROJECT);
        assert!(matches!(limit.take(&project(0)), Err(Error::WatchLimit(_))));
        permits.extend((MAX_OF_PROJECT..MAX).map_while(|number| limit.take(&project(number)).ok()));
        assert_eq!(permits.len(), MAX);
        assert!(matches!(limit.take(&project(1)), Err(Error::WatchLimit(_))));

        permits.truncate(MAX_OF_PROJECT - 1);
        assert!(limit.take(&project(0)).is_ok());
        drop(permits);
        assert!(limit.open().is_empty());
    }
}
