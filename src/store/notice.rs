//! That the end of what can be renewed comes near: kept with the tokens, and told once.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, UpdateMany, sea_query::Expr,
};

use super::{
    Store, column,
    connection::{of, state_name},
    entity::connection::{Column, Entity, Model},
    failed,
};
use crate::model::{Connection, ConnectionState, EventType, NewEvent, Notice, OffsetDateTime, Result};

// === impl Store ===

impl Store {
    /// Tells that the end is near, if it is, and nobody has told it yet. Tells whether it did.
    pub async fn put_expiring_soon(&self, connection: &Connection, now: OffsetDateTime) -> Result<bool> {
        let transaction = self.db.begin().await.map_err(failed)?;
        let told = self.tell_end(&transaction, connection, now).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(told)
    }

    /// The same, within a transaction.
    pub(super) async fn tell_end(
        &self,
        transaction: &impl ConnectionTrait,
        connection: &Connection,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let time = connection.notice.and_then(|notice| notice.time);
        let Some(time) = time.filter(|time| *time <= now) else { return Ok(false) };
        let done = Entity::update_many()
            .col_expr(Column::NoticeTime, Expr::value(None::<i64>))
            .filter(of(connection))
            // Of a grant that is gone there is nothing more to tell.
            .filter(Column::State.eq(state_name(ConnectionState::Active)))
            .filter(Column::NoticeTime.eq(column::micros(time)))
            .exec(transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected == 1 {
            let event = NewEvent::of(connection, EventType::ExpiringSoon, None);
            self.record(transaction, &event, now).await?;
        }
        Ok(done.rows_affected == 1)
    }
}

/// Writes a notice.
pub(super) fn with_notice(update: UpdateMany<Entity>, notice: Option<Notice>) -> UpdateMany<Entity> {
    let time = notice.and_then(|notice| notice.time);
    update
        .col_expr(Column::NoticeEnd, Expr::value(notice.map(|notice| column::micros(notice.end))))
        .col_expr(Column::NoticeTime, Expr::value(time.map(column::micros)))
}

/// The earlier one: a row is due when it was to be, and when its end is to be told after `now`.
pub(super) fn due(
    due_time: Option<OffsetDateTime>,
    notice: Option<Notice>,
    now: OffsetDateTime,
) -> Option<i64> {
    let notice = notice.and_then(|notice| notice.time).filter(|time| *time > now);
    [due_time, notice].into_iter().flatten().min().map(column::micros)
}

/// The notice of a row.
pub(super) fn notice(row: &Model) -> Result<Option<Notice>> {
    let Some(end) = row.notice_end else { return Ok(None) };
    // An earlier release that has moved the end did not know of the notice.
    let own = if row.refresh_token.is_some() { row.refresh_token_expire_time } else { row.token_expire_time };
    let own = own.map(column::time).transpose()?;
    let notice = Notice { end: column::time(end)?, time: row.notice_time.map(column::time).transpose()? };
    Ok(own.filter(|own| notice.is_of(*own)).map(|_| notice))
}
