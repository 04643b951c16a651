//! Connections: reading, listing, deleting, and what callers change of them. Their credentials are in `grant` and `tokens`.

use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    UpdateMany, sea_query::Expr,
};

use super::{
    Store, column,
    entity::connection::{Column, Entity, Model},
    failed,
    notice::notice,
};
use crate::model::{
    Config, Connection, ConnectionId, ConnectionState, Credentials, Error, EventType, FailureKind, GrantType,
    IntegrationId, Metadata, NewEvent, OffsetDateTime, Page, PageRequest, ProjectId, ProviderId,
    ReauthorizationReason, RefreshFailure, Result, Revocation, Secrets, UnknownAnswers, Uuid,
};

pub(super) const TABLE: &str = "connections";

impl Store {
    /// Gets a connection without credentials, if the project has it.
    pub async fn get_connection(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>> {
        self.find_connection(project, integration, id).await?.map(connection).transpose()
    }

    /// Gets a connection without opening its credentials, and their generation, if the project has it.
    pub async fn get_unopened(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, i64)>> {
        let Some(row) = self.find_connection(project, integration, id).await? else { return Ok(None) };
        let generation = row.generation;
        Ok(Some((connection(row)?, generation)))
    }

    /// Gets a connection with its credentials, if the project has it.
    pub async fn get_credentials(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, Credentials)>> {
        let Some(row) = self.find_connection(project, integration, id).await? else { return Ok(None) };
        let credentials = self.credentials(&row)?;
        Ok(Some((connection(row)?, credentials)))
    }

    /// Lists a project's connections, oldest first, of one integration or of all.
    pub async fn list_connections(
        &self,
        project: &ProjectId,
        integration: Option<&IntegrationId>,
        page: &PageRequest,
    ) -> Result<Page<Connection>> {
        let mut query = Entity::find()
            .filter(Column::ProjectId.eq(project.as_str()))
            .order_by_asc(Column::Id)
            .limit(u64::from(page.size) + 1);
        if let Some(integration) = integration {
            query = query.filter(Column::IntegrationId.eq(integration.as_str()));
        }
        if let Some(after) = &page.after {
            let after: Uuid = after.parse().map_err(|_| Error::PageTokenInvalid)?;
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.all(&self.db).await.map_err(failed)?;
        let connections = rows.into_iter().map(connection).collect::<Result<Vec<_>>>()?;
        Ok(page.page(connections, |connection| connection.row_id.to_string()))
    }

    /// Deletes a connection whose tokens are still these. What is to be revoked is noted in the same transaction. Tells whether
    /// it did.
    pub async fn delete_connection(
        &self,
        connection: &Connection,
        generation: i64,
        revocation: Option<&Revocation>,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let same = of(connection).add(Column::Generation.eq(generation));
        self.delete_if(same, connection, revocation, now).await
    }

    /// The same, with nothing to be revoked, unless a refresh is under way: what that brings would be.
    pub async fn forget_connection(
        &self,
        connection: &Connection,
        generation: i64,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let same = of(connection).add(Column::Generation.eq(generation));
        self.delete_if(same.add(self.unleased()), connection, None, now).await
    }

    async fn delete_if(
        &self,
        guard: Condition,
        connection: &Connection,
        revocation: Option<&Revocation>,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let transaction = self.db.begin().await.map_err(failed)?;
        let done = Entity::delete_many().filter(guard).exec(&transaction).await.map_err(failed)?;
        if done.rows_affected != 1 {
            return Ok(false);
        }
        self.record(&transaction, &NewEvent::of(connection, EventType::Deleted, None), now).await?;
        if let Some(revocation) = revocation {
            self.insert_revocation(&transaction, revocation, now).await?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// Replaces the metadata if its version is still the given one. Gives the new version.
    pub async fn put_metadata(
        &self,
        connection: &Connection,
        metadata: &Metadata,
        now: OffsetDateTime,
    ) -> Result<Option<i64>> {
        let version = connection.metadata_version + 1;
        let update = Entity::update_many()
            .col_expr(Column::Metadata, Expr::value(column::json(metadata.as_map())?))
            .col_expr(Column::MetadataVersion, Expr::value(version))
            .col_expr(Column::UpdateTime, Expr::value(column::micros(now)))
            .filter(of(connection))
            .filter(Column::MetadataVersion.eq(connection.metadata_version));
        let updated = self.update_connection(connection, update, now).await?;
        Ok(updated.then_some(version))
    }

    /// Replaces the config, with its secrets, if its version is still that of `connection`. Tells whether it was.
    pub async fn put_config(
        &self,
        connection: &Connection,
        secrets: &Secrets,
        config: &Config,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let secrets = Secrets { config: config.secrets.clone(), ..secrets.clone() };
        let sealed = self.seal_secrets_of(connection.row_id, &connection.project_id, &secrets)?;
        let update = Entity::update_many()
            .col_expr(Column::Config, Expr::value(column::json(&config.values)?))
            .col_expr(Column::Secrets, Expr::value(sealed))
            .col_expr(Column::ConfigVersion, Expr::value(connection.config_version + 1))
            .col_expr(Column::UpdateTime, Expr::value(column::micros(now)))
            .filter(of(connection))
            .filter(Column::ConfigVersion.eq(connection.config_version));
        let updated = self.update_connection(connection, update, now).await?;
        Ok(updated)
    }

    /// Changes a row, and says so.
    async fn update_connection(
        &self,
        connection: &Connection,
        update: UpdateMany<Entity>,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let transaction = self.db.begin().await.map_err(failed)?;
        let done = update.exec(&transaction).await.map_err(failed)?;
        if done.rows_affected != 1 {
            return Ok(false);
        }
        self.record(&transaction, &NewEvent::of(connection, EventType::Updated, None), now).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    pub(super) async fn find_connection(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<Option<Model>> {
        Entity::find().filter(named(project, integration, id)).one(&self.db).await.map_err(failed)
    }
}

pub(super) fn of(connection: &Connection) -> Condition {
    Condition::all()
        .add(Column::Id.eq(connection.row_id))
        .add(Column::ProjectId.eq(connection.project_id.as_str()))
}

fn named(project: &ProjectId, integration: &IntegrationId, id: &ConnectionId) -> Condition {
    Condition::all()
        .add(Column::ProjectId.eq(project.as_str()))
        .add(Column::IntegrationId.eq(integration.as_str()))
        .add(Column::ConnectionId.eq(id.as_str()))
}

fn failure(row: &Model) -> Result<Option<RefreshFailure>> {
    let (Some(code), Some(since), Some(retry_time)) = (&row.failure_code, row.failure_time, row.retry_time)
    else {
        return Ok(None);
    };
    // What a later release calls by a name of its own, this one does not understand.
    let kind = FailureKind::parse(code).unwrap_or(FailureKind::ProviderResponseInvalid);
    let unknown = |since| UnknownAnswers { count: row.unknown_failures, since };
    Ok(Some(RefreshFailure {
        kind,
        oauth_error: row.failure_error.clone(),
        count: row.failures,
        since: column::time(since)?,
        retry_time: column::time(retry_time)?,
        // Those of earlier failures have been ended by a release that did not know of them.
        unknown: row.unknown_time.filter(|time| *time >= since).map(column::time).transpose()?.map(unknown),
    }))
}

/// Whether it is said of the failures that the row has now.
fn needs_attention(row: &Model) -> bool {
    let (since, attention) = (row.failure_time, row.attention_time);
    since.zip(attention).is_some_and(|(since, attention)| since <= attention)
}

/// What the column says of it. That a connection needs attention is told by a column of its own.
pub(super) fn state_name(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Active | ConnectionState::NeedsAttention => "active",
        ConnectionState::NeedsReauthorization => "needs_reauthorization",
    }
}

pub(super) fn connection(row: Model) -> Result<Connection> {
    let state = match row.state.as_str() {
        "active" if needs_attention(&row) => ConnectionState::NeedsAttention,
        "active" => ConnectionState::Active,
        "needs_reauthorization" => ConnectionState::NeedsReauthorization,
        _ => return Err(column::inconsistent(TABLE, row.id, "state")),
    };
    let grant_type = GrantType::parse(&row.grant_type);
    let reason = row.reason.as_deref().map(|name| {
        let reason = ReauthorizationReason::parse(name);
        reason.ok_or_else(|| column::inconsistent(TABLE, row.id, "reason"))
    });
    let failure = failure(&row)?;
    let notice = notice(&row)?;
    Ok(Connection {
        reason: reason.transpose()?,
        failure,
        notice,
        grant_type: grant_type.ok_or_else(|| column::inconsistent(TABLE, row.id, "grant_type"))?,
        row_id: row.id,
        project_id: ProjectId::stored(row.project_id),
        integration_row_id: row.integration_row_id,
        integration_id: IntegrationId::stored(row.integration_id),
        id: ConnectionId::stored(row.connection_id),
        provider_id: ProviderId::stored(row.provider_id),
        state,
        config: column::parse(&row.config)?,
        config_version: row.config_version,
        metadata: Metadata::stored(column::parse(&row.metadata)?),
        metadata_version: row.metadata_version,
        granted_scopes: column::parse(&row.granted_scopes)?,
        requested_scopes: column::parse(&row.requested_scopes)?,
        refresh_token_expire_time: row.refresh_token_expire_time.map(column::time).transpose()?,
        create_time: column::time(row.create_time)?,
        update_time: column::time(row.update_time)?,
        refresh_time: column::time(row.refresh_time)?,
    })
}
