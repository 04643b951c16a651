//! Credentials of connections: granting. How they lie in their row is in `tokens`, how they are renewed in `refresh`.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    Store, column,
    connection::state_name,
    entity::connection::{ActiveModel, Column, Entity, Model},
    failed,
    flow_status::end_flow,
    is_duplicate, is_orphan,
    notice::{due, with_notice},
    tokens::RefreshedTokens,
};
use crate::model::{
    ConnectionId, ConnectionState, Error, EventType, FlowOutcome, FlowProgress, GrantType, IntegrationId,
    Metadata, NewEvent, Notice, OffsetDateTime, ProjectId, ProviderId, Result, Secrets, StringMap, TokenSet,
    Uuid, uuid_v7,
};

/// How often a grant may meet somebody else's write before it gives up.
const GRANT_TRIES: u32 = 32;

/// What the end of a flow, or an Import, brings.
#[derive(Debug)]
pub struct NewGrant<'a> {
    /// The project.
    pub project_id: &'a ProjectId,
    /// The row of the integration.
    pub integration_row_id: Uuid,
    /// The integration.
    pub integration_id: &'a IntegrationId,
    /// The provider.
    pub provider_id: &'a ProviderId,
    /// The connection.
    pub connection_id: &'a ConnectionId,
    /// How it is made.
    pub grant_type: GrantType,
    /// Metadata, if some was given.
    pub metadata: Option<&'a Metadata>,
    /// Config, given and captured, but for its secrets.
    pub config: &'a StringMap,
    /// What is secret beside the tokens.
    pub secrets: &'a Secrets,
    /// The scopes granted.
    pub granted_scopes: &'a [String],
    /// The scopes that were asked for, as far as that is known.
    pub requested_scopes: &'a [String],
    /// The tokens.
    pub tokens: &'a TokenSet,
    /// When a server looks after them unasked.
    pub due_time: Option<OffsetDateTime>,
    /// The flow that ends with it.
    pub flow_id: Option<Uuid>,
    /// Whether it may be given to a connection that is there.
    pub may_replace: bool,
    /// The config that tells which account it is of. Where it differs, the grant is not given to the connection.
    pub account: &'a [&'a str],
}

/// What became of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It is the connection's.
    Stored,
    /// The connection has one that was taken later.
    Overtaken,
}

impl Store {
    /// Makes a connection, or gives an existing one its new grant: new credentials, config and scopes, active again;
    /// metadata only if some came with it. The new generation makes a refresh of the old grant void. The flow that it ends,
    /// if there is one, has succeeded in the same transaction; of one that has an end already nothing is written, so that
    /// whoever tries again because no confirmation came undoes nothing that has happened since.
    ///
    /// Of two flows that end at the same time the one that was taken later wins, whichever is stored first.
    pub async fn put_grant(&self, grant: &NewGrant<'_>, now: OffsetDateTime) -> Result<Placed> {
        let grant_time = self.grant_time(grant.flow_id).await?;
        // An insert that meets another one becomes an update, and the other way round; each try is one statement.
        for _ in 0..GRANT_TRIES {
            let found = self.find_connection(grant.project_id, grant.integration_id, grant.connection_id);
            let found = found.await?;
            let done = match found {
                Some(_) if !grant.may_replace => return self.not_replaced(grant).await,
                Some(row) if other_account(&row, grant)? => {
                    return Err(Error::AccountChanged {
                        integration: grant.integration_id.clone(),
                        connection: grant.connection_id.clone(),
                    });
                }
                Some(row) if grant.flow_id.is_some() && row.grant_time > grant_time => {
                    return Ok(Placed::Overtaken);
                }
                Some(row) => self.renew_grant(&row, grant, grant_time, now).await?,
                None => self.insert_grant(grant, grant_time, now).await?,
            };
            if done {
                return Ok(Placed::Stored);
            }
        }
        Err(Error::internal("a connection was made and deleted again too often while it was granted"))
    }

    /// There is a connection that the grant may not be given to; unless it is the grant's own, and nobody was told.
    async fn not_replaced(&self, grant: &NewGrant<'_>) -> Result<Placed> {
        if let Some(flow) = grant.flow_id {
            let status = self.get_flow_status(grant.project_id, flow).await?;
            if status.is_some_and(|it| it.progress == FlowProgress::Ended(FlowOutcome::Connected)) {
                return Ok(Placed::Stored);
            }
        }
        Err(Error::ConnectionAlreadyExists {
            integration: grant.integration_id.clone(),
            connection: grant.connection_id.clone(),
        })
    }

    async fn insert_grant(&self, grant: &NewGrant<'_>, grant_time: i64, now: OffsetDateTime) -> Result<bool> {
        let id = uuid_v7(&*self.random, now)?;
        let sealed = self.seal_tokens(id, grant.project_id, grant.tokens)?;
        let metadata = grant.metadata.cloned().unwrap_or_default();
        let notice = Notice::of(grant.tokens, grant.grant_type, now);
        let row = ActiveModel {
            id: Set(id),
            project_id: Set(grant.project_id.to_string()),
            integration_row_id: Set(grant.integration_row_id),
            integration_id: Set(grant.integration_id.to_string()),
            provider_id: Set(grant.provider_id.to_string()),
            connection_id: Set(grant.connection_id.to_string()),
            grant_type: Set(grant.grant_type.as_str().to_owned()),
            state: Set(state_name(ConnectionState::Active).to_owned()),
            config: Set(column::json(grant.config)?),
            config_version: Set(1),
            metadata: Set(column::json(metadata.as_map())?),
            metadata_version: Set(1),
            granted_scopes: Set(column::json(grant.granted_scopes)?),
            requested_scopes: Set(column::json(grant.requested_scopes)?),
            access_token: Set(sealed.access),
            token_type: Set(grant.tokens.token_type.clone()),
            token_expire_time: Set(grant.tokens.expire_time.map(column::micros)),
            refresh_token: Set(sealed.refresh),
            refresh_token_expire_time: Set(grant.tokens.refresh_token_expire_time.map(column::micros)),
            secrets: Set(self.seal_secrets_of(id, grant.project_id, grant.secrets)?),
            epoch: Set(1),
            lease_until: Set(None),
            generation: Set(1),
            reason: Set(None),
            failures: Set(0),
            failure_time: Set(None),
            failure_code: Set(None),
            failure_error: Set(None),
            unknown_failures: Set(0),
            unknown_time: Set(None),
            attention_time: Set(None),
            retry_time: Set(None),
            due_time: Set(due(grant.due_time, notice, now)),
            notice_end: Set(notice.map(|notice| column::micros(notice.end))),
            notice_time: Set(notice.and_then(|notice| notice.time).map(column::micros)),
            grant_time: Set(grant_time),
            create_time: Set(column::micros(now)),
            update_time: Set(column::micros(now)),
            refresh_time: Set(column::micros(now)),
        };
        let transaction = self.db.begin().await.map_err(failed)?;
        match Entity::insert(row).exec_without_returning(&transaction).await {
            Ok(_) => {}
            Err(error) if is_duplicate(&error) => return Ok(false),
            // The integration was deleted while its user consented.
            Err(error) if is_orphan(&error) => {
                return Err(Error::IntegrationNotFound(grant.integration_id.clone()));
            }
            Err(error) => return Err(failed(error)),
        }
        self.granted(transaction, id, grant, &[EventType::Created], now).await?;
        Ok(true)
    }

    /// Ends the transaction of a grant: with its events, and the end of its flow, if it has none yet.
    async fn granted(
        &self,
        transaction: DatabaseTransaction,
        id: Uuid,
        grant: &NewGrant<'_>,
        events: &[EventType],
        now: OffsetDateTime,
    ) -> Result<()> {
        if let Some(flow) = grant.flow_id
            && !end_flow(&transaction, flow, &FlowOutcome::Connected, now).await?
        {
            transaction.rollback().await.map_err(failed)?;
            let status = self.get_flow_status(grant.project_id, flow).await?;
            return match status.map(|status| status.progress) {
                Some(FlowProgress::Ended(FlowOutcome::Connected)) => Ok(()),
                other => Err(Error::internal(format!("a flow that was granted has come to {other:?}"))),
            };
        }
        for event_type in events {
            let event = NewEvent {
                event_type: *event_type,
                project_id: grant.project_id,
                integration_id: grant.integration_id,
                connection_id: grant.connection_id,
                connection_row_id: id,
                provider_id: grant.provider_id,
                reason: None,
            };
            self.record(&transaction, &event, now).await?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn renew_grant(
        &self,
        row: &Model,
        grant: &NewGrant<'_>,
        grant_time: i64,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let id = row.id;
        let refreshed = RefreshedTokens {
            tokens: grant.tokens,
            granted_scopes: Some(grant.granted_scopes),
            due_time: grant.due_time,
            refresh_time: now,
        };
        let secrets = self.seal_secrets_of(id, grant.project_id, grant.secrets)?;
        // A new grant begins anew, and so does what is told of its end.
        let notice = Notice::of(grant.tokens, grant.grant_type, now);
        let update = self.token_update(id, grant.project_id, &refreshed, notice, now)?;
        let mut update = with_notice(update, notice)
            .col_expr(Column::GrantType, Expr::value(grant.grant_type.as_str()))
            .col_expr(Column::RequestedScopes, Expr::value(column::json(grant.requested_scopes)?))
            .col_expr(Column::Config, Expr::value(column::json(grant.config)?))
            .col_expr(Column::Secrets, Expr::value(secrets))
            .col_expr(Column::ConfigVersion, Expr::col(Column::ConfigVersion).add(1))
            .col_expr(Column::GrantTime, Expr::value(grant_time))
            .col_expr(Column::UpdateTime, Expr::value(column::micros(now)));
        if let Some(metadata) = grant.metadata {
            update = update
                .col_expr(Column::Metadata, Expr::value(column::json(metadata.as_map())?))
                .col_expr(Column::MetadataVersion, Expr::col(Column::MetadataVersion).add(1));
        }
        let update = update
            .filter(Column::Id.eq(id))
            .filter(Column::ProjectId.eq(grant.project_id.as_str()))
            .filter(Column::IntegrationRowId.eq(grant.integration_row_id))
            // What the events say of before must be what was before.
            .filter(Column::Generation.eq(row.generation))
            .filter(Column::State.eq(row.state.as_str()))
            .filter(Column::Failures.eq(row.failures));
        let transaction = self.db.begin().await.map_err(failed)?;
        let done = update.exec(&transaction).await.map_err(failed)?;
        if done.rows_affected != 1 {
            return Ok(false);
        }
        let healed = row.failures > 0 || row.state != state_name(ConnectionState::Active);
        let events = [EventType::Updated, EventType::Recovered];
        self.granted(transaction, id, grant, &events[..if healed { 2 } else { 1 }], now).await?;
        Ok(true)
    }
}

/// Whether the grant is of another account than the connection's, as far as both are known.
fn other_account(row: &Model, grant: &NewGrant<'_>) -> Result<bool> {
    if grant.account.is_empty() {
        return Ok(false);
    }
    let before: StringMap = column::parse(&row.config)?;
    let differs = |name: &&str| match (before.get(*name), grant.config.get(*name)) {
        (Some(before), Some(now)) => before != now,
        _ => false,
    };
    Ok(grant.account.iter().any(differs))
}
