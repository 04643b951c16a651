//! Events: recorded in the transaction of what they tell, then given their places in one feed.
//!
//! A number that is given when a row is written may become visible after a higher one, and whoever has read that far would
//! never see it. So the place is given after the commit, by whoever reads next: under the lock of the feed's one row,
//! places are given, and become visible, in their order.

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};
use tokio::sync::watch;

use super::{
    Store, column,
    entity::{
        event::{ActiveModel, Column, Entity, Model},
        event_feed,
    },
    failed,
};
use crate::model::{
    ConnectionId, Error, Event, EventType, IntegrationId, NewEvent, OffsetDateTime, ProjectId, ProviderId,
    Result, uuid_v7,
};

const TABLE: &str = "events";
const FEED: i32 = 1;
/// How many events get their place in one transaction.
const PLACES: u64 = 500;

/// Which events of a project.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only of this integration.
    pub integration_id: Option<IntegrationId>,
    /// Only of this connection.
    pub connection_id: Option<ConnectionId>,
    /// Only these. Empty: all.
    pub types: Vec<EventType>,
}

/// Where the feed begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedBounds {
    /// The last place whose event may be gone: a reader that has read less far has missed something.
    pub purged: i64,
    /// The last place that was given.
    pub end: i64,
}

impl Store {
    /// Records an event, in the transaction of what it tells.
    pub(super) async fn record(
        &self,
        transaction: &impl ConnectionTrait,
        event: &NewEvent<'_>,
        now: OffsetDateTime,
    ) -> Result<()> {
        let row = ActiveModel {
            seq: NotSet,
            id: Set(uuid_v7(&*self.random, now)?),
            position: Set(None),
            project_id: Set(event.project_id.to_string()),
            r#type: Set(event.event_type.as_str().to_owned()),
            integration_id: Set(event.integration_id.to_string()),
            connection_id: Set(event.connection_id.to_string()),
            connection_row_id: Set(event.connection_row_id),
            provider_id: Set(event.provider_id.to_string()),
            reason: Set(event.reason.map(str::to_owned)),
            time: Set(column::micros(now)),
        };
        Entity::insert(row).exec_without_returning(transaction).await.map_err(failed)?;
        self.recorded.send_replace(());
        Ok(())
    }

    /// Changes when this process has recorded an event: it will be committed in a moment, or not at all.
    #[must_use]
    pub fn recorded(&self) -> watch::Receiver<()> {
        self.recorded.subscribe()
    }

    /// Gives places to events that have none, and tells the number of those that got one.
    pub async fn place_events(&self) -> Result<u64> {
        let unplaced = || Entity::find().filter(Column::Position.is_null()).order_by_asc(Column::Seq);
        // Most of the time there is nothing to do, and then nothing is written.
        if unplaced().limit(1).one(&self.db).await.map_err(failed)?.is_none() {
            return Ok(0);
        }
        let transaction = self.db.begin().await.map_err(failed)?;
        // A write first: it waits for whoever gives places now, and what it has given is then seen.
        event_feed::Entity::update_many()
            .col_expr(event_feed::Column::Position, Expr::col(event_feed::Column::Position).add(0))
            .filter(event_feed::Column::Id.eq(FEED))
            .exec(&transaction)
            .await
            .map_err(failed)?;
        let feed = event_feed::Entity::find_by_id(FEED).one(&transaction).await.map_err(failed)?;
        let mut position = feed.ok_or_else(|| Error::internal("the feed of events has no row"))?.position;
        let events = unplaced().limit(PLACES).all(&transaction).await.map_err(failed)?;
        let mut placed = Vec::with_capacity(events.len());
        for event in events {
            position += 1;
            Entity::update_many()
                .col_expr(Column::Position, Expr::value(position))
                .filter(Column::Seq.eq(event.seq))
                .exec(&transaction)
                .await
                .map_err(failed)?;
            placed.push((event, position));
        }
        // Whoever gives an event its place also hands it to the webhooks, so that each gets it once.
        self.fan_out(&transaction, &placed).await?;
        event_feed::Entity::update_many()
            .col_expr(event_feed::Column::Position, Expr::value(position))
            .filter(event_feed::Column::Id.eq(FEED))
            .exec(&transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(u64::try_from(placed.len()).unwrap_or(u64::MAX))
    }

    /// Reads a project's events that come after this place, at most so many.
    pub async fn list_events(
        &self,
        project: &ProjectId,
        filter: &EventFilter,
        after: i64,
        limit: u64,
    ) -> Result<Vec<Event>> {
        let mut query = Entity::find()
            .filter(Column::ProjectId.eq(project.as_str()))
            .filter(Column::Position.gt(after))
            .order_by_asc(Column::Position)
            .limit(limit);
        if let Some(integration) = &filter.integration_id {
            query = query.filter(Column::IntegrationId.eq(integration.as_str()));
        }
        if let Some(connection) = &filter.connection_id {
            query = query.filter(Column::ConnectionId.eq(connection.as_str()));
        }
        // A type of a later release is one that this one cannot tell.
        let types = if filter.types.is_empty() { &EventType::ALL[..] } else { &filter.types };
        query = query.filter(Column::Type.is_in(types.iter().map(|it| it.as_str())));
        query.all(&self.db).await.map_err(failed)?.into_iter().map(event).collect()
    }

    /// The projects that have events after this place, with the last place of each.
    pub async fn list_event_projects(&self, after: i64) -> Result<Vec<(ProjectId, i64)>> {
        let query = Entity::find()
            .select_only()
            .column(Column::ProjectId)
            .column_as(Column::Position.max(), "position")
            .filter(Column::Position.gt(after))
            .group_by(Column::ProjectId);
        let last = query.into_tuple::<(String, i64)>().all(&self.db).await.map_err(failed)?;
        Ok(last.into_iter().map(|(project, position)| (ProjectId::stored(project), position)).collect())
    }

    /// Where the feed begins and ends.
    pub async fn feed_bounds(&self) -> Result<FeedBounds> {
        let feed = event_feed::Entity::find_by_id(FEED).one(&self.db).await.map_err(failed)?;
        let feed = feed.ok_or_else(|| Error::internal("the feed of events has no row"))?;
        Ok(FeedBounds { purged: feed.purged_position, end: feed.position })
    }

    /// Deletes events from before this time, oldest first, at most so many. Tells how many.
    pub async fn purge_events(&self, before: OffsetDateTime, limit: u64) -> Result<u64> {
        let old = Entity::find()
            .filter(Column::Time.lt(column::micros(before)))
            .filter(Column::Position.is_not_null())
            .order_by_asc(Column::Time)
            .limit(limit);
        let old = old.all(&self.db).await.map_err(failed)?;
        let Some(last) = old.iter().filter_map(|event| event.position).max() else { return Ok(0) };
        let transaction = self.db.begin().await.map_err(failed)?;
        event_feed::Entity::update_many()
            .col_expr(event_feed::Column::PurgedPosition, Expr::value(last))
            .filter(event_feed::Column::Id.eq(FEED))
            .filter(event_feed::Column::PurgedPosition.lt(last))
            .exec(&transaction)
            .await
            .map_err(failed)?;
        let gone = Entity::delete_many()
            .filter(Column::Seq.is_in(old.iter().map(|event| event.seq)))
            .exec(&transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(gone.rows_affected)
    }
}

fn event(row: Model) -> Result<Event> {
    let event_type = EventType::parse(&row.r#type);
    Ok(Event {
        event_type: event_type.ok_or_else(|| column::inconsistent(TABLE, row.seq, "type"))?,
        position: row.position.ok_or_else(|| column::inconsistent(TABLE, row.seq, "position"))?,
        id: row.id,
        project_id: ProjectId::stored(row.project_id),
        integration_id: IntegrationId::stored(row.integration_id),
        connection_id: ConnectionId::stored(row.connection_id),
        provider_id: ProviderId::stored(row.provider_id),
        reason: row.reason,
        time: column::time(row.time)?,
    })
}
