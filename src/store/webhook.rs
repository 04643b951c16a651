//! Webhooks.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, IntoCondition},
};

use super::{
    Store, column,
    entity::{
        project,
        webhook::{ActiveModel, Column, Entity, Model},
    },
    failed,
    seal::{Place, row_name},
};
use crate::model::{
    DisableReason, Disabling, Error, MAX_WEBHOOKS, OffsetDateTime, Page, PageRequest, ProjectId, Result,
    SECRET_OVERLAP, SecretString, Uuid, Webhook,
};

const TABLE: &str = "webhooks";
const SECRET: &str = "secret";
const PREVIOUS_SECRET: &str = "previous_secret";

/// Where deliveries of a webhook go, and what signs them.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// Its URL.
    pub url: String,
    /// Its secrets: the present one, then the one before it while that counts.
    pub secrets: Vec<SecretString>,
}

impl Store {
    /// Inserts a webhook, if its project may have one more.
    pub async fn insert_webhook(&self, webhook: &Webhook, secret: &SecretString) -> Result<()> {
        let sealed = self.seal_webhook_secret(webhook.id, &webhook.project_id, SECRET, secret)?;
        let row = ActiveModel {
            id: Set(webhook.id),
            project_id: Set(webhook.project_id.to_string()),
            url: Set(webhook.url.clone()),
            event_types: Set(column::json(&webhook.event_types)?),
            display_name: Set(webhook.display_name.clone()),
            disabled: Set(webhook.disabled),
            disable_reason: Set(None),
            disable_time: Set(None),
            failure_time: Set(None),
            pause_until: Set(None),
            secret: Set(sealed),
            previous_secret: Set(None),
            previous_secret_expire_time: Set(None),
            create_time: Set(column::micros(webhook.create_time)),
            update_time: Set(column::micros(webhook.update_time)),
        };
        let transaction = self.db.begin().await.map_err(failed)?;
        // A write first: others that would add one to this project wait, and then count this one, too.
        project::Entity::update_many()
            .col_expr(project::Column::CreateTime, Expr::col(project::Column::CreateTime))
            .filter(project::Column::Id.eq(webhook.project_id.as_str()))
            .exec(&transaction)
            .await
            .map_err(failed)?;
        let those = Entity::find().filter(Column::ProjectId.eq(webhook.project_id.as_str()));
        let count = those.count(&transaction).await.map_err(failed)?;
        if count >= MAX_WEBHOOKS {
            return Err(Error::WebhookLimitReached(count));
        }
        Entity::insert(row).exec_without_returning(&transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// Gets a webhook, if the project has it.
    pub async fn get_webhook(&self, project: &ProjectId, id: Uuid) -> Result<Option<Webhook>> {
        let row = Entity::find().filter(of(project, id)).one(&self.db).await.map_err(failed)?;
        row.map(webhook).transpose()
    }

    /// Lists a project's webhooks, oldest first.
    pub async fn list_webhooks(&self, project: &ProjectId, page: &PageRequest) -> Result<Page<Webhook>> {
        let mut query = Entity::find()
            .filter(Column::ProjectId.eq(project.as_str()))
            .order_by_asc(Column::Id)
            .limit(u64::from(page.size) + 1);
        if let Some(after) = &page.after {
            let after: Uuid = after.parse().map_err(|_| Error::PageTokenInvalid)?;
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.all(&self.db).await.map_err(failed)?;
        let webhooks = rows.into_iter().map(webhook).collect::<Result<Vec<_>>>()?;
        Ok(page.page(webhooks, |webhook| webhook.id.to_string()))
    }

    /// Replaces what can change of a webhook, if neither a caller nor we have changed it since it was `old`.
    pub async fn put_webhook(&self, old: &Webhook, new: &Webhook) -> Result<bool> {
        let mut update = Entity::update_many()
            .col_expr(Column::Url, Expr::value(new.url.clone()))
            .col_expr(Column::EventTypes, Expr::value(column::json(&new.event_types)?))
            .col_expr(Column::DisplayName, Expr::value(new.display_name.clone()))
            .col_expr(Column::Disabled, Expr::value(new.disabled))
            .col_expr(Column::UpdateTime, Expr::value(column::micros(new.update_time)));
        if new.disabling.is_none() {
            update = update
                .col_expr(Column::DisableReason, Expr::value(None::<String>))
                .col_expr(Column::DisableTime, Expr::value(None::<i64>));
        }
        // One that begins anew. Whatever else changes, what we know of it stays.
        if old.url != new.url || (old.disabled && !new.disabled) {
            update = update
                .col_expr(Column::FailureTime, Expr::value(None::<i64>))
                .col_expr(Column::PauseUntil, Expr::value(None::<i64>));
        }
        let done = update
            .filter(of(&old.project_id, old.id))
            .filter(Column::UpdateTime.eq(column::micros(old.update_time)))
            .filter(Column::Disabled.eq(old.disabled))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Deletes a webhook; its deliveries go with it. Tells whether it did.
    pub async fn delete_webhook(&self, project: &ProjectId, id: Uuid) -> Result<bool> {
        let done = Entity::delete_many().filter(of(project, id)).exec(&self.db).await.map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Puts a secret in the place of the present one, which signs on for a while, if the project has the webhook. Of several
    /// that do so at once, each takes the place of the one before it.
    pub async fn rotate_webhook_secret(
        &self,
        project: &ProjectId,
        id: Uuid,
        secret: &SecretString,
        now: OffsetDateTime,
    ) -> Result<Option<Webhook>> {
        let until = now + SECRET_OVERLAP;
        loop {
            let row = Entity::find().filter(of(project, id)).one(&self.db).await.map_err(failed)?;
            let Some(row) = row else { return Ok(None) };
            let present = self.open_webhook_secret(&row, SECRET, &row.secret)?;
            let previous = self.seal_webhook_secret(id, project, PREVIOUS_SECRET, &present)?;
            let done = Entity::update_many()
                .col_expr(Column::Secret, Expr::value(self.seal_webhook_secret(id, project, SECRET, secret)?))
                .col_expr(Column::PreviousSecret, Expr::value(previous))
                .col_expr(Column::PreviousSecretExpireTime, Expr::value(column::micros(until)))
                .filter(of(project, id))
                // No two ciphertexts are alike, so this is the secret that was read.
                .filter(Column::Secret.eq(row.secret.clone()))
                .exec(&self.db)
                .await
                .map_err(failed)?;
            if done.rows_affected == 1 {
                return Ok(Some(Webhook { previous_secret_expire_time: Some(until), ..webhook(row)? }));
            }
        }
    }

    /// Where the deliveries of a webhook go, if it is still there and enabled.
    pub async fn get_webhook_target(&self, id: Uuid, now: OffsetDateTime) -> Result<Option<WebhookTarget>> {
        let query = Entity::find_by_id(id).filter(Column::Disabled.eq(false));
        let Some(row) = query.one(&self.db).await.map_err(failed)? else { return Ok(None) };
        let mut secrets = vec![self.open_webhook_secret(&row, SECRET, &row.secret)?];
        let counts = row.previous_secret_expire_time.is_some_and(|until| until > column::micros(now));
        if let Some(previous) = row.previous_secret.as_deref().filter(|_| counts) {
            secrets.push(self.open_webhook_secret(&row, PREVIOUS_SECRET, previous)?);
        }
        Ok(Some(WebhookTarget { url: row.url, secrets }))
    }

    /// Leaves a webhook alone until then, or longer if it is to be left alone longer.
    pub async fn pause_webhook(&self, id: Uuid, until: OffsetDateTime) -> Result<()> {
        pause(&self.db, Column::Id.eq(id), until).await
    }

    /// Wipes secrets that have been rotated away for long enough.
    pub async fn wipe_webhook_secrets(&self, now: OffsetDateTime) -> Result<()> {
        Entity::update_many()
            .col_expr(Column::PreviousSecret, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::PreviousSecretExpireTime, Expr::value(None::<i64>))
            .filter(Column::PreviousSecretExpireTime.lte(column::micros(now)))
            .exec(&self.db)
            .await
            .map(drop)
            .map_err(failed)
    }

    fn seal_webhook_secret(
        &self,
        id: Uuid,
        project: &ProjectId,
        column: &'static str,
        secret: &SecretString,
    ) -> Result<Vec<u8>> {
        let row = row_name(id);
        self.keys.seal_text(&*self.random, Place::new(TABLE, column, &row, project.as_str()), secret)
    }

    fn open_webhook_secret(&self, row: &Model, column: &'static str, sealed: &[u8]) -> Result<SecretString> {
        let name = row_name(row.id);
        self.keys.open_text(Place::new(TABLE, column, &name, &row.project_id), sealed)
    }
}

/// Notes that a webhook which still points there works, if it was not known to. A write only then. A pause goes on: this
/// was under way when it was asked for.
pub(super) async fn note_success(db: &impl ConnectionTrait, tried: (Uuid, &str)) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::FailureTime, Expr::value(None::<i64>))
        .filter(at(tried))
        .filter(Column::FailureTime.is_not_null())
        .exec(db)
        .await
        .map(drop)
        .map_err(failed)
}

/// Notes that a webhook which still points there does not work, if it did, and the pause that it asked for.
pub(super) async fn note_failure(
    db: &impl ConnectionTrait,
    tried: (Uuid, &str),
    pause_until: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::FailureTime, Expr::value(column::micros(now)))
        .filter(at(tried))
        .filter(Column::FailureTime.is_null())
        .exec(db)
        .await
        .map_err(failed)?;
    let Some(until) = pause_until else { return Ok(()) };
    pause(db, at(tried), until).await
}

/// Of several pauses the longest counts.
async fn pause(db: &impl ConnectionTrait, which: impl IntoCondition, until: OffsetDateTime) -> Result<()> {
    let until = column::micros(until);
    Entity::update_many()
        .col_expr(Column::PauseUntil, Expr::value(until))
        .filter(which)
        .filter(Condition::any().add(Column::PauseUntil.is_null()).add(Column::PauseUntil.lt(until)))
        .exec(db)
        .await
        .map(drop)
        .map_err(failed)
}

/// Disables a webhook that still points there, if it has failed since then or for longer. Tells whether it did.
pub(super) async fn disable(
    db: &impl ConnectionTrait,
    tried: (Uuid, &str),
    reason: DisableReason,
    failing_since: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<bool> {
    let done = Entity::update_many()
        .col_expr(Column::Disabled, Expr::value(true))
        .col_expr(Column::DisableReason, Expr::value(reason.as_str()))
        .col_expr(Column::DisableTime, Expr::value(column::micros(now)))
        .filter(at(tried))
        .filter(Column::Disabled.eq(false))
        .filter(Column::FailureTime.lte(column::micros(failing_since)))
        .exec(db)
        .await
        .map_err(failed)?;
    Ok(done.rows_affected == 1)
}

/// The webhook, if it points where it did when it was tried.
fn at((id, url): (Uuid, &str)) -> Condition {
    Condition::all().add(Column::Id.eq(id)).add(Column::Url.eq(url))
}

pub(super) fn of(project: &ProjectId, id: Uuid) -> Condition {
    Condition::all().add(Column::Id.eq(id)).add(Column::ProjectId.eq(project.as_str()))
}

pub(super) fn webhook(row: Model) -> Result<Webhook> {
    let disabling = row.disable_reason.as_deref().zip(row.disable_time).map(|(reason, time)| {
        let reason = DisableReason::parse(reason);
        let reason = reason.ok_or_else(|| column::inconsistent(TABLE, row.id, "disable_reason"))?;
        Ok::<_, Error>(Disabling { reason, time: column::time(time)? })
    });
    Ok(Webhook {
        id: row.id,
        disabling: disabling.transpose()?,
        project_id: ProjectId::stored(row.project_id),
        url: row.url,
        event_types: column::parse(&row.event_types)?,
        display_name: row.display_name,
        disabled: row.disabled,
        failure_time: row.failure_time.map(column::time).transpose()?,
        previous_secret_expire_time: row.previous_secret_expire_time.map(column::time).transpose()?,
        create_time: column::time(row.create_time)?,
        update_time: column::time(row.update_time)?,
    })
}
