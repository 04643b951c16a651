//! Deliveries that are due: claimed by whoever sends them, and what came of that.
//!
//! Claiming one moves its due time on, by a conditional statement, so that two servers do not send it at once, and one
//! that dies with it leaves it to the others. Who then notes what came of it names that due time; only a success counts
//! whoever has the row by then.

use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _,
    sea_query::{Expr, ExprTrait as _, Query},
};

use super::{
    Store,
    claim::claiming,
    column,
    delivery::delivery,
    entity::{
        webhook as hook,
        webhook_delivery::{Column, Entity},
    },
    failed,
    webhook::{disable, note_failure, note_success},
};
use crate::model::{
    Attempt, Delivery, DeliveryStatus, DisableReason, MAX_FAILING, OffsetDateTime, Result, Uuid, Verdict,
};

/// A webhook that has due deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueWebhook {
    /// Its id.
    pub id: Uuid,
    /// Whether its last try failed.
    pub failing: bool,
}

impl Store {
    /// The webhooks that have due deliveries, by id: one look into the index for each that is enabled.
    pub async fn list_due_webhooks(&self, now: OffsetDateTime) -> Result<Vec<DueWebhook>> {
        let due = Query::select()
            .expr(Expr::value(1))
            .from(Entity)
            .and_where(Expr::col((Entity, Column::WebhookId)).equals((hook::Entity, hook::Column::Id)))
            .and_where(Expr::col((Entity, Column::NextTime)).lte(column::micros(now)))
            .to_owned();
        let quiet = Condition::any()
            .add(hook::Column::PauseUntil.is_null())
            .add(hook::Column::PauseUntil.lte(column::micros(now)));
        let query = hook::Entity::find()
            .select_only()
            .column(hook::Column::Id)
            .column(hook::Column::FailureTime)
            .filter(hook::Column::Disabled.eq(false))
            .filter(quiet)
            .filter(Expr::exists(due))
            .order_by_asc(hook::Column::Id);
        let rows: Vec<(Uuid, Option<i64>)> = query.into_tuple().all(&self.db).await.map_err(failed)?;
        Ok(rows.into_iter().map(|(id, failure)| DueWebhook { id, failing: failure.is_some() }).collect())
    }

    /// Claims a webhook's deliveries that have been due the longest, at most so many: until then nobody else does.
    pub async fn claim_deliveries(
        &self,
        webhook: Uuid,
        limit: u64,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<Vec<Delivery>> {
        let oldest = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::WebhookId.eq(webhook))
            .filter(Column::NextTime.lte(column::micros(now)))
            .order_by_asc(Column::NextTime)
            .order_by_asc(Column::Id)
            .limit(limit)
            .into_query();
        let claim = Entity::update_many()
            .col_expr(Column::NextTime, Expr::value(column::micros(until)))
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .col_expr(Column::AttemptTime, Expr::value(column::micros(now)))
            .filter(Column::NextTime.lte(column::micros(now)));
        let claim = claiming(claim, Column::Id, oldest);
        let claimed = claim.exec_with_returning(&self.db).await.map_err(failed)?;
        // A row that makes no sense holds up nobody but itself: it comes again when its claim runs out.
        let readable = claimed.into_iter().filter_map(|row| {
            let delivery = delivery(row).inspect_err(|error| tracing::error!(%webhook, %error, "a delivery"));
            delivery.ok()
        });
        Ok(readable.collect())
    }

    /// Notes what came of a try, in the delivery that was claimed and in its webhook. Tells whether the webhook, which then
    /// pointed to this URL, is disabled by it.
    pub async fn note_attempt(&self, claimed: &Delivery, url: &str, attempt: &Attempt) -> Result<bool> {
        let (tried, now) = ((claimed.webhook_id, url), attempt.time);
        let transaction = self.db.begin().await.map_err(failed)?;
        // The webhook first, as whoever deletes it does: the two wait for each other, but not both.
        let disabled = match &attempt.verdict {
            Verdict::Delivered => {
                note_success(&transaction, tried).await?;
                false
            }
            Verdict::Gone { .. } => {
                note_failure(&transaction, tried, None, now).await?;
                disable(&transaction, tried, DisableReason::Gone, now, now).await?
            }
            Verdict::Failed { next_time, pause_until, .. } => {
                note_failure(&transaction, tried, *pause_until, now).await?;
                let since = now - MAX_FAILING;
                // A failure long ago and one now may have nothing between them: the webhook was quiet. All the tries of a
                // delivery take days.
                next_time.is_none()
                    && disable(&transaction, tried, DisableReason::Failing, since, now).await?
            }
        };
        let (status, problem, next_time) = match &attempt.verdict {
            Verdict::Delivered => (DeliveryStatus::Delivered, None, None),
            Verdict::Gone { problem } | Verdict::Failed { problem, next_time: None, .. } => {
                (DeliveryStatus::Dead, Some(problem), None)
            }
            Verdict::Failed { problem, next_time, .. } => {
                (DeliveryStatus::Pending, Some(problem), *next_time)
            }
        };
        let end_time = next_time.is_none().then(|| column::micros(now));
        let mine = match status {
            DeliveryStatus::Delivered => Column::Status.eq(DeliveryStatus::Pending.as_str()),
            _ => Column::NextTime.eq(claimed.next_time.map(column::micros)),
        };
        Entity::update_many()
            .col_expr(Column::Status, Expr::value(status.as_str()))
            .col_expr(Column::ResponseStatus, Expr::value(attempt.response_status.map(i64::from)))
            .col_expr(Column::Problem, Expr::value(problem.cloned()))
            .col_expr(Column::NextTime, Expr::value(next_time.map(column::micros)))
            .col_expr(Column::EndTime, Expr::value(end_time))
            .filter(Column::Id.eq(claimed.id))
            .filter(mine)
            .exec(&transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(disabled)
    }
}
