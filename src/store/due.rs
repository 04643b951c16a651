//! Rows that are due: connections whose tokens a server renews, keeps alive or marks as expired without being asked.
//!
//! Claiming a row moves its due time on, by one conditional statement per project, so that two servers never work on the same
//! row, and one that dies with it leaves it to the others. Projects take turns, so that many due rows of one do not hold up
//! the one row of another.

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, ExprTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _,
    sea_query::{Expr, Query},
};

use super::{
    Store,
    claim::claiming,
    column,
    connection::connection,
    entity::{
        connection::{Column, Entity, Model},
        project,
    },
    failed,
};
use crate::model::{Connection, Duration, OffsetDateTime, ProjectId, Result};

/// How much is claimed at once, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct DueLimits {
    /// The most rows in all.
    pub rows: u64,
    /// How long nobody else claims them.
    pub claim: Duration,
}

/// A row that was claimed.
#[derive(Debug, Clone)]
pub struct Due {
    /// The connection.
    pub connection: Connection,
    /// The token set that it had then.
    pub generation: i64,
    /// Until when it is claimed: its due time now.
    pub claimed_until: OffsetDateTime,
}

#[derive(FromQueryResult)]
struct ProjectName {
    id: String,
}

impl Store {
    /// The projects that have due rows: one look into the index for each project there is.
    pub async fn list_due_projects(&self, now: OffsetDateTime) -> Result<Vec<ProjectId>> {
        let due = Query::select()
            .expr(Expr::value(1))
            .from(Entity)
            .and_where(Expr::col((Entity, Column::ProjectId)).equals((project::Entity, project::Column::Id)))
            .and_where(Expr::col((Entity, Column::DueTime)).lte(column::micros(now)))
            .to_owned();
        let query = project::Entity::find()
            .select_only()
            .column(project::Column::Id)
            .filter(Expr::exists(due))
            .order_by_asc(project::Column::Id);
        let names = query.into_model::<ProjectName>().all(&self.db).await.map_err(failed)?;
        Ok(names.into_iter().map(|name| ProjectId::stored(name.id)).collect())
    }

    /// Claims a project's rows that have been due the longest.
    pub async fn claim_due(
        &self,
        project: &ProjectId,
        limits: DueLimits,
        now: OffsetDateTime,
    ) -> Result<Vec<Due>> {
        let claimed_until = now + limits.claim;
        let oldest = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::ProjectId.eq(project.as_str()))
            .filter(Column::DueTime.lte(column::micros(now)))
            .order_by_asc(Column::DueTime)
            .limit(limits.rows)
            .into_query();
        let claim = Entity::update_many()
            .col_expr(Column::DueTime, Expr::value(column::micros(claimed_until)))
            .filter(Column::DueTime.lte(column::micros(now)));
        let claim = claiming(claim, Column::Id, oldest);
        let claimed: Vec<Model> = claim.exec_with_returning(&self.db).await.map_err(failed)?;
        // A row that makes no sense holds up nobody but itself: it is looked at again when its claim runs out.
        let readable = claimed.into_iter().filter_map(|row| {
            let generation = row.generation;
            let connection = connection(row).inspect_err(|error| tracing::error!(%error, "a due row"));
            Some(Due { connection: connection.ok()?, generation, claimed_until })
        });
        Ok(readable.collect())
    }

    /// Makes a claimed row due at another time, if nobody has touched it since. Without one, it is due no more.
    pub async fn postpone(&self, due: &Due, until: Option<OffsetDateTime>) -> Result<()> {
        Entity::update_many()
            .col_expr(Column::DueTime, Expr::value(until.map(column::micros)))
            .filter(super::connection::of(&due.connection))
            .filter(Column::DueTime.eq(column::micros(due.claimed_until)))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(())
    }
}
