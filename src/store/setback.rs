//! What a failed refresh leaves on its row: a back-off, or the end of the grant.

use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    Store, column,
    connection::{of, state_name},
    entity::connection::{Column, Entity},
    failed,
    journal::{AttemptOutcome, end_attempt, end_attempts, is_unclear},
    notice::due,
    refresh::{Lease, held},
};
use crate::model::{
    ATTENTION_PAUSE, Connection, ConnectionState, Credentials, Duration, EventType, FailureKind, NewEvent,
    OffsetDateTime, ReauthorizationReason, Result, UnknownAnswers,
};

/// Why an attempt failed that may succeed another time, and when that is.
#[derive(Debug, Clone)]
pub struct Setback {
    /// Why.
    pub kind: FailureKind,
    /// The provider's error, if that is why.
    pub oauth_error: Option<String>,
    /// Whether nobody understands what the provider has answered.
    pub unknown: bool,
    /// How the journal has it.
    pub outcome: AttemptOutcome,
    /// The provider is not asked again before.
    pub retry_time: OffsetDateTime,
}

// === impl Store ===

impl Store {
    /// Ends an attempt that may succeed another time, if its lease still holds. Tells whether it did.
    pub async fn put_refresh_failure(
        &self,
        connection: &Connection,
        lease: &Lease,
        failure: &Setback,
        now: OffsetDateTime,
    ) -> Result<bool> {
        // Nobody else writes these under the lease, so that they are what was read.
        let before = connection.failure.as_ref().and_then(|failure| failure.unknown);
        let unknown = if failure.unknown { Some(UnknownAnswers::one_more(before, now)) } else { before };
        let enough = failure.unknown && unknown.is_some_and(|unknown| unknown.need_attention(now));
        let newly = enough && connection.state == ConnectionState::Active;
        let pause = if newly || connection.state == ConnectionState::NeedsAttention {
            ATTENTION_PAUSE
        } else {
            Duration::ZERO
        };
        let due_time = due(Some(failure.retry_time + pause), connection.notice, now);
        let mut update = Entity::update_many()
            .col_expr(Column::Failures, Expr::col(Column::Failures).add(1))
            .col_expr(Column::FailureTime, Expr::col(Column::FailureTime).if_null(column::micros(now)))
            .col_expr(Column::FailureCode, Expr::value(failure.kind.as_str()))
            .col_expr(Column::FailureError, Expr::value(failure.oauth_error.clone()))
            .col_expr(Column::UnknownFailures, Expr::value(unknown.map_or(0, |unknown| unknown.count)))
            .col_expr(Column::UnknownTime, Expr::value(unknown.map(|unknown| column::micros(unknown.since))))
            .col_expr(Column::RetryTime, Expr::value(column::micros(failure.retry_time)))
            .col_expr(Column::DueTime, Expr::value(due_time))
            // Who has read the row before takes no lease that knows nothing of this failure.
            .col_expr(Column::Epoch, Expr::col(Column::Epoch).add(1))
            .col_expr(Column::LeaseUntil, Expr::value(None::<i64>));
        if newly {
            update = update
                .col_expr(Column::AttentionTime, Expr::value(column::micros(now)))
                .col_expr(Column::UpdateTime, Expr::value(column::micros(now)));
        }
        let transaction = self.db.begin().await.map_err(failed)?;
        let done = update.filter(held(connection, lease)).exec(&transaction).await.map_err(failed)?;
        end_attempt(&transaction, lease, failure.outcome, now).await?;
        let reason = Some(failure.kind.as_str());
        let first = connection.failure.is_none().then_some(EventType::RefreshFailed);
        let events = [first, newly.then_some(EventType::NeedsAttention)];
        for event_type in events.into_iter().flatten().filter(|_| done.rows_affected == 1) {
            self.record(&transaction, &NewEvent::of(connection, event_type, reason), now).await?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Marks the grant as gone, if the lease still holds. Tells whether it did.
    pub async fn put_needs_reauthorization(
        &self,
        connection: &Connection,
        lease: &Lease,
        reason: ReauthorizationReason,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let transaction = self.db.begin().await.map_err(failed)?;
        if !self.end_grant(&transaction, connection, held(connection, lease), reason, now).await? {
            end_attempt(&transaction, lease, AttemptOutcome::Superseded, now).await?;
            transaction.commit().await.map_err(failed)?;
            return Ok(false);
        }
        end_attempt(&transaction, lease, AttemptOutcome::Refused, now).await?;
        if reason == ReauthorizationReason::RotationLost {
            let unclear = is_unclear(connection, lease.generation);
            end_attempts(&transaction, unclear, AttemptOutcome::Lost, now).await?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// Marks credentials as gone that have expired and cannot be renewed, if they are still those. Tells whether they were.
    pub async fn put_expired(
        &self,
        connection: &Connection,
        credentials: &Credentials,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let same = of(connection)
            .add(Column::Generation.eq(credentials.generation))
            .add(Column::State.eq(state_name(ConnectionState::Active)));
        let transaction = self.db.begin().await.map_err(failed)?;
        let reason = ReauthorizationReason::CredentialsExpired;
        let ended = self.end_grant(&transaction, connection, same, reason, now).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(ended)
    }

    async fn end_grant(
        &self,
        transaction: &impl ConnectionTrait,
        connection: &Connection,
        guard: Condition,
        reason: ReauthorizationReason,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let done = Entity::update_many()
            .col_expr(Column::State, Expr::value(state_name(ConnectionState::NeedsReauthorization)))
            .col_expr(Column::Reason, Expr::value(reason.as_str()))
            .col_expr(Column::UpdateTime, Expr::value(column::micros(now)))
            .col_expr(Column::Epoch, Expr::col(Column::Epoch).add(1))
            .col_expr(Column::LeaseUntil, Expr::value(None::<i64>))
            .col_expr(Column::RetryTime, Expr::value(None::<i64>))
            .col_expr(Column::DueTime, Expr::value(None::<i64>))
            .filter(guard)
            .exec(transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected == 1 {
            let event = NewEvent::of(connection, EventType::NeedsReauthorization, Some(reason.as_str()));
            self.record(transaction, &event, now).await?;
        }
        Ok(done.rows_affected == 1)
    }
}
