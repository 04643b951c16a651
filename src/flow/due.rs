//! What a server does without being asked: it renews tokens before they expire, keeps refresh tokens alive that die of
//! idleness, tries again what has failed, tells what ends soon, and marks what has expired for good.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Flows;
use crate::{
    model::{
        ConnectionState, Duration, Error, GrantType, OffsetDateTime, ProjectId, ProviderId, Result, TokenSet,
        fraction,
    },
    provider::Provider,
    store::{Due, DueLimits},
};

/// Tokens are renewed ahead at a random point in this part of their life, so that those that were issued together do not
/// come due together.
const AHEAD: (f64, f64) = (0.75, 0.9);
/// Shorter ones would be renewed all the time, whether anybody needs them or not: a Get renews them.
const SHORTEST_AHEAD: Duration = Duration::minutes(5);
/// Refresh tokens are used at a random point in this part of their life.
const ALIVE: (f64, f64) = (0.5, 0.7);
/// Nothing is used more often than that to be kept alive. Else one whose end stays where it is would be used at half of what
/// is left, then at half of that, and so on without an end.
const SHORTEST_ALIVE: Duration = Duration::minutes(5);
/// How long a refresh token stays unused if nothing else is known of it.
const LONGEST_IDLE: Duration = Duration::days(14);
/// How many rows one server works on at a time, and how many of them for one provider.
const HANDS: usize = 64;
const HANDS_PER_PROVIDER: usize = 16;
/// When a row is looked at again whose provider has all its hands full.
const BUSY: Duration = Duration::seconds(3);
/// When a row is looked at again that cannot be worked on: its entry is gone, it does not open, ...
const STUCK: Duration = Duration::hours(1);
/// How often the projects are gone through for rows while there are hands free.
const ROUNDS: usize = 3;

/// The hands that a server has free for rows that are due.
#[derive(Debug)]
pub(super) struct Hands {
    all: Arc<Semaphore>,
    by_provider: Mutex<HashMap<ProviderId, Arc<Semaphore>>>,
}

/// One hand. It is free again when this is dropped.
struct Hand {
    _of_all: OwnedSemaphorePermit,
    _of_provider: OwnedSemaphorePermit,
}

// === impl Hands ===

impl Default for Hands {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(HANDS)), by_provider: Mutex::default() }
    }
}

impl Hands {
    fn free(&self) -> usize {
        self.all.available_permits()
    }

    fn take(&self, provider: &ProviderId) -> Option<Hand> {
        let of_provider = {
            let mut by_provider = self.by_provider.lock().unwrap_or_else(PoisonError::into_inner);
            // One for each provider of the catalog at the most.
            by_provider
                .entry(provider.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(HANDS_PER_PROVIDER)))
                .clone()
        };
        let of_provider = of_provider.try_acquire_owned().ok()?;
        Some(Hand { _of_all: self.all.clone().try_acquire_owned().ok()?, _of_provider: of_provider })
    }
}

// === impl Flows ===

impl Flows {
    /// When a connection with these tokens is due: to be renewed, to be kept alive, or to be marked as expired.
    pub(super) fn due_time(
        &self,
        provider: &Provider,
        grant_type: GrantType,
        tokens: &TokenSet,
    ) -> Result<Option<OffsetDateTime>> {
        let now = self.now();
        let renewable = grant_type == GrantType::ClientCredentials || tokens.refresh_token.is_some();
        if !renewable {
            return Ok(tokens.expire_time);
        }
        let part = |life: Duration, (from, to): (f64, f64)| {
            Ok::<_, Error>(now + life * (from + (to - from) * fraction(self.random())?))
        };
        let mut times = Vec::new();
        let life = tokens.expire_time.map(|expire_time| expire_time - now);
        if let Some(life) = life.filter(|life| self.inner.parts.refresh_ahead && *life >= SHORTEST_AHEAD) {
            times.push(part(life, AHEAD)?);
        }
        if tokens.refresh_token.is_some() {
            // One that has outlived its end has another, which nobody knows.
            let declared = tokens.refresh_token_expire_time.map(|expire_time| expire_time - now);
            let declared = declared.filter(|life| life.is_positive());
            let idle = provider.refresh_token_idle_expires_in();
            let idle = idle.map(|seconds| Duration::seconds(seconds.into()));
            let known = [declared, idle].into_iter().flatten().min();
            times.push(part(known.unwrap_or(LONGEST_IDLE), ALIVE)?.max(now + SHORTEST_ALIVE));
        }
        Ok(times.into_iter().min())
    }

    /// Claims rows that are due, as many as there are hands free, and sets to work on them. Gives how many.
    pub async fn look_after_due(&self) -> Result<usize> {
        let mut taken = 0;
        for _ in 0..ROUNDS {
            let projects = self.projects_in_turn().await?;
            let free = self.inner.hands.free();
            if projects.is_empty() || free == 0 {
                break;
            }
            let share = (free / projects.len()).max(1);
            for project in projects.iter().take(free) {
                let limits = DueLimits { rows: share as u64, claim: self.claim() };
                for due in self.store().claim_due(project, limits, self.now()).await? {
                    taken += 1;
                    self.take_in_hand(due).await?;
                }
            }
        }
        Ok(taken)
    }

    /// The projects with due rows, beginning with a random one: nobody is always the last.
    async fn projects_in_turn(&self) -> Result<Vec<ProjectId>> {
        let mut projects = self.store().list_due_projects(self.now()).await?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a part of a small length"
        )]
        let first = (projects.len() as f64 * fraction(self.random())?) as usize;
        let length = projects.len();
        projects.rotate_left(first.min(length));
        Ok(projects)
    }

    /// How long a claimed row is nobody else's: longer than the work on it takes.
    fn claim(&self) -> Duration {
        Duration::try_from(self.inner.parts.lease).unwrap_or(STUCK) + Duration::minutes(1)
    }

    async fn take_in_hand(&self, due: Due) -> Result<()> {
        let Some(hand) = self.inner.hands.take(&due.connection.provider_id) else {
            let until = self.now() + BUSY * (1.0 + fraction(self.random())?);
            return self.store().postpone(&due, Some(until)).await;
        };
        let flows = self.clone();
        self.inner.tasks.spawn(async move {
            flows.look_after(&due).await;
            drop(hand);
        });
        Ok(())
    }

    /// Does for a row what it is due for. Whatever happens, it has another due time then, or none.
    async fn look_after(&self, due: &Due) {
        let row = due.connection.row_id;
        let until = match self.renew_due(due).await {
            Ok(until) => until,
            Err(Error::ProviderUnavailable { retry_after, .. }) => {
                // Its own failure has made it due already. This is for the one whose provider is left alone.
                let wait = retry_after.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or(BUSY);
                Some(self.now() + wait + BUSY)
            }
            Err(
                Error::ProviderResponseInvalid { .. }
                | Error::ProviderAddressRefused { .. }
                | Error::ClientRejected { .. },
            ) => Some(self.now() + Duration::minutes(1)),
            Err(Error::NeedsReauthorization { .. } | Error::ConnectionNotFound { .. }) => None,
            // Another server takes it at once.
            Err(Error::ServerStopping) => Some(self.now()),
            // The database is away: the claim runs out by itself.
            Err(Error::StoreUnavailable(_)) => return,
            Err(error) => {
                tracing::error!(connection = %row, %error, "a due connection could not be looked after");
                Some(self.now() + STUCK)
            }
        };
        // Only if its due time is still that of the claim.
        if let Err(error) = self.store().postpone(due, until).await {
            tracing::warn!(connection = %row, %error, "a due connection keeps its claim");
        }
    }

    async fn renew_due(&self, due: &Due) -> Result<Option<OffsetDateTime>> {
        let seen = &due.connection;
        let name = (&seen.integration_id, &seen.id);
        let (connection, credentials) = self.credentials_of(&seen.project_id, name).await?;
        if connection.row_id != seen.row_id || connection.state == ConnectionState::NeedsReauthorization {
            return Ok(None);
        }
        if credentials.generation != due.generation {
            // Somebody has renewed it since it was claimed, and so given it another due time.
            return Ok(Some(due.claimed_until));
        }
        if !credentials.renewable(connection.grant_type) {
            if credentials.tokens.valid(self.now()) {
                self.store().put_expiring_soon(&connection, self.now()).await?;
                let notice = connection.notice.and_then(|notice| notice.time);
                return Ok(notice.filter(|time| *time > self.now()).or(credentials.tokens.expire_time));
            }
            self.store().put_expired(&connection, &credentials, self.now()).await?;
            return Ok(None);
        }
        // Those that somebody waits for go first.
        let Some(turn) = self.spare_turn(&connection)? else {
            return Ok(Some(self.now() + BUSY * (1.0 + fraction(self.random())?)));
        };
        let renewed = self.refreshed(&connection, due.generation, Some(turn)).await;
        if matches!(
            renewed,
            Err(Error::ProviderUnavailable { .. }
                | Error::ProviderResponseInvalid { .. }
                | Error::ProviderAddressRefused { .. }
                | Error::ClientRejected { .. })
        ) {
            // What has brought nothing has not moved its end, either. A refresh that has brought something tells it itself.
            self.store().put_expiring_soon(&connection, self.now()).await?;
        }
        renewed?;
        // The new tokens have brought a due time of their own; if they are not stored yet, the claim holds.
        Ok(Some(due.claimed_until))
    }
}
