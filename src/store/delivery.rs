//! Deliveries of events to webhooks: made when an event gets its place, and kept for a while after they have ended.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _,
    sea_query::{Expr, LockType},
};

use super::{
    Store, column,
    entity::{
        event, webhook as hook,
        webhook_delivery::{ActiveModel, Column, Entity, Model},
    },
    failed,
};
use crate::model::{
    ConnectionId, Delivery, DeliveryStatus, Error, IntegrationId, OffsetDateTime, Page, PageRequest,
    ProjectId, ProviderId, Result, Subject, TEST_EVENT, Uuid, Webhook, uuid_v7,
};

const TABLE: &str = "webhook_deliveries";
/// How many rows go into one statement: databases bound the number of its values.
const ROWS: usize = 500;

impl Store {
    /// Makes the deliveries of events that get their places, in the same transaction: one for each webhook that wants it. Those
    /// of one that we have disabled wait: nobody has said that it wants them no longer.
    pub(super) async fn fan_out(
        &self,
        transaction: &impl ConnectionTrait,
        events: &[(event::Model, i64)],
    ) -> Result<()> {
        let mut projects: Vec<_> = events.iter().map(|(event, _)| event.project_id.as_str()).collect();
        projects.sort_unstable();
        projects.dedup();
        let listening = Condition::any()
            .add(hook::Column::Disabled.eq(false))
            .add(hook::Column::DisableReason.is_not_null());
        let query = hook::Entity::find()
            .filter(hook::Column::ProjectId.is_in(projects))
            .filter(listening)
            // None of them is deleted meanwhile: a delivery without its webhook would fail all.
            .lock(LockType::KeyShare);
        let webhooks = query.all(transaction).await.map_err(failed)?;
        // What makes no sense is nobody's but its own misfortune: the feed goes on without it.
        let webhooks: Vec<_> = webhooks
            .into_iter()
            .filter_map(|row| {
                let id = row.id;
                let webhook = super::webhook::webhook(row);
                webhook.inspect_err(|error| tracing::error!(webhook = %id, %error, "it is told nothing")).ok()
            })
            .collect();
        let mut rows = Vec::new();
        for (event, position) in events {
            if let Err(error) = column::time(event.time) {
                tracing::error!(event = %event.id, %error, "no webhook is told of it");
                continue;
            }
            let wanting = webhooks
                .iter()
                .filter(|it| it.project_id.as_str() == event.project_id && it.wants(&event.r#type));
            for webhook in wanting {
                rows.push(self.event_row(webhook, event, *position)?);
            }
        }
        for rows in rows.chunks(ROWS) {
            Entity::insert_many(rows.to_vec()).exec_without_returning(transaction).await.map_err(failed)?;
        }
        Ok(())
    }

    fn event_row(&self, webhook: &Webhook, event: &event::Model, position: i64) -> Result<ActiveModel> {
        Ok(ActiveModel {
            event_id: Set(event.id),
            event_type: Set(event.r#type.clone()),
            event_time: Set(event.time),
            sequence: Set(Some(position)),
            integration_id: Set(Some(event.integration_id.clone())),
            connection_id: Set(Some(event.connection_id.clone())),
            provider_id: Set(Some(event.provider_id.clone())),
            reason: Set(event.reason.clone()),
            // Due since it happened.
            ..self.test_row(webhook, column::time(event.time)?)?
        })
    }

    fn test_row(&self, webhook: &Webhook, now: OffsetDateTime) -> Result<ActiveModel> {
        Ok(ActiveModel {
            id: Set(uuid_v7(&*self.random, now)?),
            webhook_id: Set(webhook.id),
            project_id: Set(webhook.project_id.to_string()),
            event_id: Set(uuid_v7(&*self.random, now)?),
            event_type: Set(TEST_EVENT.to_owned()),
            event_time: Set(column::micros(now)),
            sequence: Set(None),
            integration_id: Set(None),
            connection_id: Set(None),
            provider_id: Set(None),
            reason: Set(None),
            status: Set(DeliveryStatus::Pending.as_str().to_owned()),
            attempts: Set(0),
            attempt_time: Set(None),
            response_status: Set(None),
            problem: Set(None),
            next_time: Set(Some(column::micros(now))),
            begin_time: Set(column::micros(now)),
            end_time: Set(None),
        })
    }

    /// Makes a delivery that no event has caused.
    pub async fn insert_test_delivery(&self, webhook: &Webhook, now: OffsetDateTime) -> Result<Delivery> {
        let row = self.test_row(webhook, now)?;
        delivery(Entity::insert(row).exec_with_returning(&self.db).await.map_err(failed)?)
    }

    /// Lists a webhook's deliveries, newest first.
    pub async fn list_deliveries(
        &self,
        project: &ProjectId,
        webhook: Uuid,
        status: Option<DeliveryStatus>,
        page: &PageRequest,
    ) -> Result<Page<Delivery>> {
        let mut query = Entity::find()
            .filter(of(project, webhook))
            .order_by_desc(Column::Id)
            .limit(u64::from(page.size) + 1);
        if let Some(status) = status {
            query = query.filter(Column::Status.eq(status.as_str()));
        }
        if let Some(after) = &page.after {
            let after: Uuid = after.parse().map_err(|_| Error::PageTokenInvalid)?;
            query = query.filter(Column::Id.lt(after));
        }
        let rows = query.all(&self.db).await.map_err(failed)?;
        let deliveries = rows.into_iter().map(delivery).collect::<Result<Vec<_>>>()?;
        Ok(page.page(deliveries, |delivery| delivery.id.to_string()))
    }

    /// Makes deliveries of a webhook that have ended due once more: this one, or all dead ones. Tells how many.
    pub async fn redeliver(
        &self,
        project: &ProjectId,
        webhook: Uuid,
        which: Option<Uuid>,
        now: OffsetDateTime,
    ) -> Result<u64> {
        let which = match which {
            Some(id) => Condition::all().add(Column::Id.eq(id)).add(Column::NextTime.is_null()),
            None => Condition::all().add(Column::Status.eq(DeliveryStatus::Dead.as_str())),
        };
        let done = Entity::update_many()
            .col_expr(Column::Status, Expr::value(DeliveryStatus::Pending.as_str()))
            .col_expr(Column::Attempts, Expr::value(0_i64))
            .col_expr(Column::NextTime, Expr::value(column::micros(now)))
            .col_expr(Column::BeginTime, Expr::value(column::micros(now)))
            .col_expr(Column::EndTime, Expr::value(None::<i64>))
            .filter(of(project, webhook))
            .filter(which)
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected)
    }

    /// Whether the webhook has this delivery.
    pub async fn has_delivery(&self, project: &ProjectId, webhook: Uuid, id: Uuid) -> Result<bool> {
        let query = Entity::find_by_id(id).filter(of(project, webhook));
        Ok(query.one(&self.db).await.map_err(failed)?.is_some())
    }

    /// Deletes deliveries that were delivered before `delivered`, or died before `dead`, or have waited since before that, at
    /// most so many of each. Tells how many.
    pub async fn purge_deliveries(
        &self,
        delivered: OffsetDateTime,
        dead: OffsetDateTime,
        limit: u64,
    ) -> Result<u64> {
        let (delivered, dead) = (column::micros(delivered), column::micros(dead));
        let done = Column::Status.eq(DeliveryStatus::Delivered.as_str());
        let mut purged = 0;
        for old in [
            Condition::all().add(Column::EndTime.lt(delivered)).add(done),
            Condition::all().add(Column::EndTime.lt(dead)),
            Condition::all().add(Column::EndTime.is_null()).add(Column::BeginTime.lt(dead)),
        ] {
            let some = Entity::find().select_only().column(Column::Id).filter(old).limit(limit).into_query();
            let gone = Entity::delete_many()
                .filter(Column::Id.in_subquery(some))
                .exec(&self.db)
                .await
                .map_err(failed)?;
            purged += gone.rows_affected;
        }
        Ok(purged)
    }
}

fn of(project: &ProjectId, webhook: Uuid) -> Condition {
    Condition::all().add(Column::WebhookId.eq(webhook)).add(Column::ProjectId.eq(project.as_str()))
}

pub(super) fn delivery(row: Model) -> Result<Delivery> {
    let status = DeliveryStatus::parse(&row.status);
    let status = status.ok_or_else(|| column::inconsistent(TABLE, row.id, "status"))?;
    let ids = row.integration_id.zip(row.connection_id).zip(row.provider_id);
    let subject = row.sequence.zip(ids).map(|(sequence, ((integration, connection), provider))| Subject {
        sequence,
        integration_id: IntegrationId::stored(integration),
        connection_id: ConnectionId::stored(connection),
        provider_id: ProviderId::stored(provider),
        reason: row.reason,
    });
    Ok(Delivery {
        id: row.id,
        webhook_id: row.webhook_id,
        project_id: ProjectId::stored(row.project_id),
        event_id: row.event_id,
        event_type: row.event_type,
        event_time: column::time(row.event_time)?,
        subject,
        status,
        attempts: row.attempts,
        attempt_time: row.attempt_time.map(column::time).transpose()?,
        response_status: row.response_status.and_then(|status| u16::try_from(status).ok()),
        problem: row.problem,
        next_time: row.next_time.map(column::time).transpose()?,
        end_time: row.end_time.map(column::time).transpose()?,
    })
}
