//! What is made of a refresh that has failed: a back-off, or the end of the grant.

use std::time::Duration as StdDuration;

use super::{
    Flows,
    failure::{Verdict, refresh_failed},
    persist::persistently,
    refresh::Attempt,
    token::reauthorize,
};
use crate::{
    model::{
        Backoff, Connection, Defence, Duration, Error, FailureKind, OffsetDateTime, ReauthorizationReason,
        RefreshFailure, Result,
    },
    oauth::Failure,
    store::{AttemptOutcome, Lease, Setback},
};

/// How long a connection is left alone after its refresh has failed, unless the provider says more.
const BACKOFF: Backoff = Backoff { base: Duration::seconds(1), cap: Duration::minutes(5) };

// === impl Flows ===

impl Flows {
    /// Notes a refresh that has brought nothing.
    pub(super) async fn failed(
        &self,
        attempt: &Attempt,
        failure: Failure,
        verdict: &Verdict,
        sent: bool,
    ) -> Result<()> {
        let Attempt { connection, lease, provider, .. } = attempt;
        if let Verdict::Final(reason) = verdict {
            // If it cannot be noted, the next refusal looks like that of a token which somebody else has spent.
            return persistently(|| self.refused(attempt, *reason)).await;
        }
        let count = connection.failure.as_ref().map_or(0, |failure| failure.count) + 1;
        let wait = match verdict {
            // The integration is left alone for that, and its correction is to help at once.
            Verdict::Client(_) if !provider.token_host_varies() => Duration::ZERO,
            _ => BACKOFF.wait_at_least(count, failure.retry_after(), self.random())?,
        };
        let setback = Setback {
            kind: verdict.kind(),
            unknown: verdict.is_unknown(),
            oauth_error: failure.code().map(str::to_owned),
            outcome: if sent && failure.is_unclear() {
                AttemptOutcome::Unanswered
            } else {
                AttemptOutcome::Failed
            },
            retry_time: self.now() + wait,
        };
        if let Err(error) = self.store().put_refresh_failure(connection, lease, &setback, self.now()).await {
            // The lease runs out by itself.
            tracing::warn!(connection = %connection.row_id, %error, "a failed refresh could not be noted");
        }
        Err(refresh_failed(failure, verdict, provider, wait))
    }

    /// Marks the grant as gone, unless somebody has brought a newer token in the meantime.
    async fn refused(&self, attempt: &Attempt, reason: ReauthorizationReason) -> Result<()> {
        let connection = &attempt.connection;
        let reason = self.known_reason(attempt, reason).await?;
        let lease = &self.lease_of_refusal(attempt).await?;
        if self.store().put_needs_reauthorization(connection, lease, reason, self.now()).await? {
            let ended = Connection { reason: Some(reason), ..connection.clone() };
            return Err(reauthorize(&ended));
        }
        Ok(())
    }

    /// The lease under which a refusal counts: that of the token which was refused.
    async fn lease_of_refusal(&self, attempt: &Attempt) -> Result<Lease> {
        if !self.failpoints().disabled(Defence::Reread) {
            return Ok(attempt.lease);
        }
        let name = (&attempt.connection.integration_id, &attempt.connection.id);
        let (_, now) = self.credentials_of(&attempt.connection.project_id, name).await?;
        Ok(Lease { epoch: now.epoch, ..attempt.lease })
    }

    /// A refused refresh token may be one that the provider has replaced by a token that never arrived.
    async fn known_reason(
        &self,
        attempt: &Attempt,
        reason: ReauthorizationReason,
    ) -> Result<ReauthorizationReason> {
        let on_record = !self.failpoints().disabled(Defence::Journal);
        let refused = reason == ReauthorizationReason::GrantRefused && on_record;
        if refused && self.store().was_unclear(&attempt.connection, attempt.lease.generation).await? {
            return Ok(ReauthorizationReason::RotationLost);
        }
        Ok(reason)
    }

    /// The provider is not asked yet again.
    pub(super) fn backing_off(&self, connection: &Connection, failure: &RefreshFailure) -> Error {
        let provider = connection.provider_id.clone();
        let problem = "its last answers were no help, and it is left alone for a moment".to_owned();
        match failure.kind {
            FailureKind::ProviderUnavailable => Error::ProviderUnavailable {
                provider,
                problem,
                retry_after: until(failure.retry_time, self.now()),
            },
            FailureKind::ProviderResponseInvalid => Error::ProviderResponseInvalid { provider, problem },
            FailureKind::ProviderAddressRefused => Error::ProviderAddressRefused { provider },
            FailureKind::ClientRejected => Error::ClientRejected {
                provider,
                code: failure.oauth_error.clone().unwrap_or_else(|| "invalid_client".to_owned()),
                description: Some(problem),
            },
        }
    }
}

/// How long it is until then.
pub(super) fn until(time: OffsetDateTime, now: OffsetDateTime) -> Option<StdDuration> {
    StdDuration::try_from(time - now).ok()
}
