//! Storing what a refresh brought. A rotated refresh token exists nowhere else, so nothing but the end of the process ends
//! the tries; meanwhile this server hands the new token out.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    Flows,
    refresh::{Answer, Attempt},
};
use crate::{
    model::{Credentials, Defence, Error, Point, Result, TokenSet, Uuid},
    store::{PATIENCE, RefreshedTokens, Written},
};

/// The first pause between two tries, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// By when a server that has an answer in memory has stored it, once the database is back: after its longest pause, and the
/// longest that it waits for a connection.
pub(super) const SAVED_BY: Duration =
    LONGEST_PAUSE.saturating_add(PATIENCE).saturating_add(Duration::from_secs(1));
/// How long a caller waits for what a server still asks when the token is stored.
const AFTERMATH: Duration = Duration::from_secs(3);

/// Token sets that are in memory only, by row, with the generation that they replace.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    tokens: Mutex<HashMap<Uuid, (i64, TokenSet)>>,
}

// === impl Unsaved ===

impl Unsaved {
    /// The one that replaces this generation, if there is one.
    pub(super) fn get(&self, row: Uuid, generation: i64) -> Option<TokenSet> {
        let unsaved = self.lock();
        unsaved.get(&row).filter(|(replaced, _)| *replaced == generation).map(|(_, tokens)| tokens.clone())
    }

    /// Puts the token set in memory, if there is one, in the place of the one that it replaces.
    pub(super) fn overlay(&self, row: Uuid, credentials: &mut Credentials) {
        if let Some(tokens) = self.get(row, credentials.generation) {
            credentials.tokens = tokens;
        }
    }

    fn put(&self, row: Uuid, generation: i64, tokens: TokenSet) {
        self.lock().insert(row, (generation, tokens));
    }

    /// Forgets the one that replaces this generation.
    fn forget(&self, row: Uuid, generation: i64) {
        if let Entry::Occupied(entry) = self.lock().entry(row)
            && entry.get().0 == generation
        {
            entry.remove();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (i64, TokenSet)>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Flows ===

impl Flows {
    /// Stores an answer. If that fails for the moment, goes on trying behind the caller's back.
    pub(super) async fn save(&self, attempt: Attempt, answer: Answer) -> Result<()> {
        match self.try_save(&attempt, &answer).await {
            Ok(written) => {
                self.failpoints().reached(Point::RefreshAfterCommit).await?;
                let flows = self.clone();
                let rest =
                    self.inner.tasks.spawn(async move { flows.saved(&attempt, &answer, written).await });
                // What it learns is worth a moment to the caller, and no more.
                drop(timeout(AFTERMATH, rest).await);
                Ok(())
            }
            Err(error) => {
                let row = attempt.connection.row_id;
                tracing::error!(connection = %row, %error, "a refreshed token could not be stored yet");
                self.inner.unsaved.put(row, attempt.lease.generation, answer.tokens.clone());
                let flows = self.clone();
                self.inner.tasks.spawn(async move { flows.keep_saving(attempt, answer).await });
                Ok(())
            }
        }
    }

    async fn keep_saving(&self, attempt: Attempt, answer: Answer) {
        let row = attempt.connection.row_id;
        let mut pause = PAUSE;
        let written = loop {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.try_save(&attempt, &answer).await {
                Ok(written) => break written,
                Err(error) => tracing::warn!(connection = %row, %error, "still not stored"),
            }
        };
        self.inner.unsaved.forget(row, attempt.lease.generation);
        tracing::info!(connection = %row, ?written, "the refreshed token is stored now");
        self.saved(&attempt, &answer, written).await;
    }

    async fn try_save(&self, attempt: &Attempt, answer: &Answer) -> Result<Written, Error> {
        self.failpoints().reached(Point::RefreshBeforeCommit).await?;
        let mut lease = attempt.lease;
        if self.failpoints().disabled(Defence::Epoch) {
            let name = (&attempt.connection.integration_id, &attempt.connection.id);
            lease.generation = self.credentials_of(&attempt.connection.project_id, name).await?.1.generation;
        }
        let tokens = &answer.tokens;
        let due_time = self.due_time(&attempt.provider, attempt.connection.grant_type, tokens)?;
        let granted_scopes = answer.grant.scopes.as_deref();
        let refreshed = RefreshedTokens { tokens, granted_scopes, due_time, refresh_time: answer.asked };
        self.store().put_refreshed(&attempt.connection, &lease, &refreshed, self.now()).await
    }

    async fn saved(&self, attempt: &Attempt, answer: &Answer, written: Written) {
        let row = attempt.connection.row_id;
        match written {
            // Only now that the tokens are safe: what they were captured with may be told anew, and must not cost them.
            Written::Committed => {
                let (name, grant) = (attempt.connection.name(), &answer.grant);
                self.settle_lifetime(attempt.registration(), name, grant, answer.asked).await;
                if let Err(error) = self.recapture(attempt, grant, &answer.tokens).await {
                    let provider = attempt.provider.id();
                    tracing::warn!(%provider, %error, "config could not be captured anew");
                }
            }
            // The row has tokens of the same grant that came later: these are as good, and nobody's.
            Written::Renewed => tracing::info!(connection = %row, "a refresh came too late for its row"),
            Written::Replaced | Written::Gone => {
                tracing::info!(connection = %row, ?written, "a refresh came for a grant that was given up");
                self.discard(attempt, &answer.tokens, written).await;
            }
        }
    }
}
