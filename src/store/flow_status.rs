//! How far flows have come, and how they have ended.

use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, sea_query::Expr};

use super::{
    Store, column,
    entity::flow::{Column, Entity, Model},
    failed,
    flow::{PARKED, PENDING, TABLE, TAKEN},
};
use crate::model::{
    ConnectionId, FlowOutcome, FlowProgress, FlowStatus, IntegrationId, OffsetDateTime, ProjectId, Result,
    Uuid,
};

const CONNECTED: &str = "connected";
const FAILED: &str = "failed";

impl Store {
    /// Notes that a flow has failed.
    pub async fn fail_flow(&self, id: Uuid, reason: &str, now: OffsetDateTime) -> Result<()> {
        end_flow(&self.db, id, &FlowOutcome::Failed(reason.to_owned()), now).await.map(drop)
    }

    /// Notes that a flow has brought nothing, because one that was taken after it has made the connection meanwhile.
    pub async fn pass_flow(&self, id: Uuid, now: OffsetDateTime) -> Result<()> {
        end_flow(&self.db, id, &FlowOutcome::Connected, now).await.map(drop)
    }

    /// When a flow was taken; for what comes without one, now. By the database's clock.
    pub(super) async fn grant_time(&self, flow: Option<Uuid>) -> Result<i64> {
        if let Some(id) = flow {
            let row = Entity::find_by_id(id).one(&self.db).await.map_err(failed)?;
            if let Some(taken) = row.and_then(|row| row.taken_time) {
                return Ok(taken);
            }
        }
        self.database_time().await
    }

    /// Where a flow of the project stands.
    pub async fn get_flow_status(&self, project: &ProjectId, id: Uuid) -> Result<Option<FlowStatus>> {
        let query = Entity::find_by_id(id).filter(Column::ProjectId.eq(project.as_str()));
        query.one(&self.db).await.map_err(failed)?.map(status).transpose()
    }

    /// Where these flows stand, as far as they are there, whatever their projects.
    pub async fn list_flow_statuses(&self, ids: &[Uuid]) -> Result<Vec<FlowStatus>> {
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().copied()));
        query.all(&self.db).await.map_err(failed)?.into_iter().map(status).collect()
    }
}

/// Notes how a flow has ended, once. Tells whether it did.
pub(super) async fn end_flow(
    db: &impl ConnectionTrait,
    id: Uuid,
    outcome: &FlowOutcome,
    now: OffsetDateTime,
) -> Result<bool> {
    let (name, reason) = match outcome {
        FlowOutcome::Connected => (CONNECTED, None),
        FlowOutcome::Failed(reason) => (FAILED, Some(reason.as_str())),
    };
    let done = Entity::update_many()
        .col_expr(Column::Outcome, Expr::value(name))
        .col_expr(Column::OutcomeReason, Expr::value(reason))
        .col_expr(Column::OutcomeTime, Expr::value(column::micros(now)))
        .filter(Column::Id.eq(id))
        .filter(Column::Outcome.is_null())
        .exec(db)
        .await
        .map_err(failed)?;
    Ok(done.rows_affected == 1)
}

fn status(row: Model) -> Result<FlowStatus> {
    let progress = match (row.outcome.as_deref(), row.status.as_str()) {
        (Some(CONNECTED), _) => FlowProgress::Ended(FlowOutcome::Connected),
        (Some(FAILED), _) => FlowProgress::Ended(FlowOutcome::Failed(row.outcome_reason.unwrap_or_default())),
        (Some(_), _) => return Err(column::inconsistent(TABLE, row.id, "outcome")),
        (None, PENDING) => FlowProgress::Pending,
        (None, PARKED) => FlowProgress::AwaitingConfirmation,
        (None, TAKEN) => FlowProgress::Completing,
        (None, _) => return Err(column::inconsistent(TABLE, row.id, "status")),
    };
    Ok(FlowStatus {
        id: row.id,
        integration_id: IntegrationId::stored(row.integration_id),
        connection_id: ConnectionId::stored(row.connection_id),
        progress,
        expire_time: column::time(row.expire_time)?,
    })
}
