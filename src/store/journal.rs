//! The journal of refreshes: a line before the provider is asked, and what came of it after.

use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QuerySelect as _, QueryTrait as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    Store, column,
    entity::refresh_attempt::{Column, Entity},
    failed,
    refresh::Lease,
};
use crate::model::{Connection, OffsetDateTime, Result, Uuid};

/// How an attempt ended, as the journal has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// New tokens were written.
    Committed,
    /// New tokens came, but the row had newer ones, or was gone.
    Superseded,
    /// The provider said no.
    Refused,
    /// The provider was not reached, or turned the request away.
    Failed,
    /// The provider may have answered, but nothing arrived.
    Unanswered,
    /// Its server did not finish it: killed, or stopped for longer than the lease.
    Interrupted,
    /// One of the last two, and the provider has since refused the token: the one that replaced it is lost.
    Lost,
}

// === impl AttemptOutcome ===

impl AttemptOutcome {
    /// Its name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unanswered => "unanswered",
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
        }
    }
}

// === impl Store ===

impl Store {
    /// Whether an earlier attempt to replace this token set had no clear answer: the provider may have replaced it already.
    pub async fn was_unclear(&self, connection: &Connection, generation: i64) -> Result<bool> {
        let query = Entity::find().filter(is_unclear(connection, generation)).limit(1);
        Ok(query.one(&self.db).await.map_err(failed)?.is_some())
    }

    /// The attempt that has replaced this token set, if it was an attempt.
    pub(super) async fn committed_attempt(
        &self,
        connection: &Connection,
        generation: i64,
    ) -> Result<Option<Uuid>> {
        let query = Entity::find()
            .filter(Column::ConnectionRowId.eq(connection.row_id))
            .filter(Column::Generation.eq(generation))
            .filter(Column::Outcome.eq(AttemptOutcome::Committed.as_str()));
        Ok(query.one(&self.db).await.map_err(failed)?.map(|line| line.id))
    }

    /// How many attempts have replaced this token set, or one after it.
    pub(super) async fn count_committed(&self, connection: &Connection, generation: i64) -> Result<u64> {
        let query = Entity::find()
            .filter(Column::ConnectionRowId.eq(connection.row_id))
            .filter(Column::Generation.gte(generation))
            .filter(Column::Outcome.eq(AttemptOutcome::Committed.as_str()));
        query.count(&self.db).await.map_err(failed)
    }

    /// Deletes lines of the journal that began before this time, at most so many. Tells how many.
    pub async fn purge_attempts(&self, before: OffsetDateTime, limit: u64) -> Result<u64> {
        let old = Column::StartTime.lt(column::micros(before));
        let some = Entity::find().select_only().column(Column::Id).filter(old).limit(limit).into_query();
        let done = Entity::delete_many()
            .filter(Column::Id.in_subquery(some))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected)
    }
}

pub(super) fn is_unclear(connection: &Connection, generation: i64) -> Condition {
    let outcomes = [AttemptOutcome::Unanswered, AttemptOutcome::Interrupted];
    Condition::all()
        .add(Column::ConnectionRowId.eq(connection.row_id))
        .add(Column::Generation.eq(generation))
        .add(Column::Outcome.is_in(outcomes.map(AttemptOutcome::as_str)))
}

pub(super) async fn end_attempt(
    db: &impl ConnectionTrait,
    lease: &Lease,
    outcome: AttemptOutcome,
    now: OffsetDateTime,
) -> Result<()> {
    end_attempts(db, Condition::all().add(Column::Id.eq(lease.attempt)), outcome, now).await.map(drop)
}

/// Ends these attempts, and tells how many. What is known to be lost stays so, unless it turns up.
pub(super) async fn end_attempts(
    db: &impl ConnectionTrait,
    which: Condition,
    outcome: AttemptOutcome,
    now: OffsetDateTime,
) -> Result<u64> {
    let done = Entity::update_many()
        .col_expr(Column::Outcome, Expr::value(outcome.as_str()))
        .col_expr(Column::EndTime, Expr::value(column::micros(now)))
        .filter(which);
    let lost = Column::Outcome.ne(AttemptOutcome::Lost.as_str()).or(Column::Outcome.is_null());
    let done = if outcome == AttemptOutcome::Committed { done } else { done.filter(lost) };
    Ok(done.exec(db).await.map_err(failed)?.rows_affected)
}
