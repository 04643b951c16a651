//! Connections: reading, granting, leasing, refreshing.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    Store, column,
    entity::connection::{ActiveModel, Column, Entity, Model},
    failed, is_duplicate, is_orphan,
    seal::{Place, row_name},
};
use crate::model::{
    Connection, ConnectionId, ConnectionState, Credentials, Error, Flow, IntegrationId, Metadata,
    OffsetDateTime, Page, PageRequest, ProjectId, ProviderId, Result, SecretString, StringMap, TokenSet,
    Uuid, uuid_v7,
};

const TABLE: &str = "connections";
const ACCESS_TOKEN: &str = "access_token";
const REFRESH_TOKEN: &str = "refresh_token";

/// What the end of a flow brings.
#[derive(Debug)]
pub struct NewGrant<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// Config, given and captured.
    pub config: &'a StringMap,
    /// The scopes granted.
    pub granted_scopes: &'a [String],
    /// The tokens.
    pub tokens: &'a TokenSet,
}

/// What a refresh brings.
#[derive(Debug)]
pub struct RefreshedTokens<'a> {
    /// The tokens.
    pub tokens: &'a TokenSet,
    /// The config, if something in it was captured anew and differs.
    pub config: Option<&'a StringMap>,
    /// The scopes, if the provider named them.
    pub granted_scopes: Option<&'a [String]>,
}

struct SealedTokens {
    access: Vec<u8>,
    refresh: Option<Vec<u8>>,
}

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

    /// Deletes a connection. Tells whether there was one.
    pub async fn delete_connection(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<bool> {
        let done = Entity::delete_many().filter(named(project, integration, id)).exec(&self.db).await;
        Ok(done.map_err(failed)?.rows_affected == 1)
    }

    /// Makes the flow's connection, or gives an existing one its new grant: new credentials, config and scopes, active
    /// again; metadata only if the flow brought some. The new epoch makes a refresh of the old grant void.
    pub async fn put_grant(&self, grant: &NewGrant<'_>, now: OffsetDateTime) -> Result<()> {
        let flow = grant.flow;
        // An insert that meets another one becomes an update, and the other way round; each try is one statement.
        for _ in 0..8 {
            let found =
                self.find_connection(&flow.project_id, &flow.integration_id, &flow.connection_id).await?;
            let done = match found {
                Some(row) => self.renew_grant(row.id, grant, now).await?,
                None => self.insert_grant(grant, now).await?,
            };
            if done {
                return Ok(());
            }
        }
        Err(Error::internal("a connection was made and deleted again too often while it was granted"))
    }

    async fn insert_grant(&self, grant: &NewGrant<'_>, now: OffsetDateTime) -> Result<bool> {
        let flow = grant.flow;
        let id = uuid_v7(&*self.random, now)?;
        let sealed = self.seal_tokens(id, &flow.project_id, grant.tokens)?;
        let metadata = flow.metadata.clone().unwrap_or_default();
        let row = ActiveModel {
            id: Set(id),
            project_id: Set(flow.project_id.to_string()),
            integration_row_id: Set(flow.integration_row_id),
            integration_id: Set(flow.integration_id.to_string()),
            provider_id: Set(flow.provider_id.to_string()),
            connection_id: Set(flow.connection_id.to_string()),
            state: Set(state_name(ConnectionState::Active).to_owned()),
            config: Set(column::json(grant.config)?),
            metadata: Set(column::json(metadata.as_map())?),
            metadata_version: Set(1),
            granted_scopes: Set(column::json(grant.granted_scopes)?),
            access_token: Set(sealed.access),
            token_type: Set(grant.tokens.token_type.clone()),
            token_expire_time: Set(grant.tokens.expire_time.map(column::micros)),
            refresh_token: Set(sealed.refresh),
            refresh_token_expire_time: Set(grant.tokens.refresh_token_expire_time.map(column::micros)),
            epoch: Set(1),
            lease_until: Set(None),
            create_time: Set(column::micros(now)),
            update_time: Set(column::micros(now)),
            refresh_time: Set(column::micros(now)),
        };
        match Entity::insert(row).exec_without_returning(&self.db).await {
            Ok(_) => Ok(true),
            Err(error) if is_duplicate(&error) => Ok(false),
            // The integration was deleted while its user consented.
            Err(error) if is_orphan(&error) => Err(Error::IntegrationNotFound(flow.integration_id.clone())),
            Err(error) => Err(failed(error)),
        }
    }

    async fn renew_grant(&self, id: Uuid, grant: &NewGrant<'_>, now: OffsetDateTime) -> Result<bool> {
        let refreshed = RefreshedTokens {
            tokens: grant.tokens,
            config: Some(grant.config),
            granted_scopes: Some(grant.granted_scopes),
        };
        let mut update = self
            .token_update(id, &grant.flow.project_id, &refreshed, now)?
            .col_expr(Column::UpdateTime, Expr::value(column::micros(now)));
        if let Some(metadata) = &grant.flow.metadata {
            update = update
                .col_expr(Column::Metadata, Expr::value(column::json(metadata.as_map())?))
                .col_expr(Column::MetadataVersion, Expr::col(Column::MetadataVersion).add(1));
        }
        let update = update
            .filter(Column::Id.eq(id))
            .filter(Column::ProjectId.eq(grant.flow.project_id.as_str()))
            .filter(Column::IntegrationRowId.eq(grant.flow.integration_row_id));
        let done = update.exec(&self.db).await.map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Replaces the metadata if its version is still the given one. Gives the new version.
    pub async fn put_metadata(
        &self,
        connection: &Connection,
        metadata: &Metadata,
        now: OffsetDateTime,
    ) -> Result<Option<i64>> {
        let version = connection.metadata_version + 1;
        let done = Entity::update_many()
            .col_expr(Column::Metadata, Expr::value(column::json(metadata.as_map())?))
            .col_expr(Column::MetadataVersion, Expr::value(version))
            .col_expr(Column::UpdateTime, Expr::value(column::micros(now)))
            .filter(Column::Id.eq(connection.row_id))
            .filter(Column::ProjectId.eq(connection.project_id.as_str()))
            .filter(Column::MetadataVersion.eq(connection.metadata_version))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok((done.rows_affected == 1).then_some(version))
    }

    /// Takes the right to refresh, if nobody has it and nothing has changed since `epoch`. Gives the epoch to commit with.
    pub async fn take_lease(
        &self,
        connection: &Connection,
        epoch: i64,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<Option<i64>> {
        let free = Condition::any()
            .add(Column::LeaseUntil.is_null())
            .add(Column::LeaseUntil.lte(column::micros(now)));
        let done = Entity::update_many()
            .col_expr(Column::Epoch, Expr::value(epoch + 1))
            .col_expr(Column::LeaseUntil, Expr::value(column::micros(until)))
            .filter(held(connection, epoch))
            .filter(free)
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok((done.rows_affected == 1).then_some(epoch + 1))
    }

    /// Gives the right to refresh back.
    pub async fn release_lease(&self, connection: &Connection, epoch: i64) -> Result<()> {
        Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(None::<i64>))
            .filter(held(connection, epoch))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Writes what a refresh brought, in one statement, if the lease still holds. Nothing else of the row is touched.
    pub async fn put_refreshed(
        &self,
        connection: &Connection,
        epoch: i64,
        refreshed: &RefreshedTokens<'_>,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let update = self.token_update(connection.row_id, &connection.project_id, refreshed, now)?;
        let done = update.filter(held(connection, epoch)).exec(&self.db).await.map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Marks the grant as gone, if the lease still holds.
    pub async fn put_needs_reauthorization(
        &self,
        connection: &Connection,
        epoch: i64,
        now: OffsetDateTime,
    ) -> Result<bool> {
        let done = Entity::update_many()
            .col_expr(Column::State, Expr::value(state_name(ConnectionState::NeedsReauthorization)))
            .col_expr(Column::UpdateTime, Expr::value(column::micros(now)))
            .col_expr(Column::Epoch, Expr::value(epoch + 1))
            .col_expr(Column::LeaseUntil, Expr::value(None::<i64>))
            .filter(held(connection, epoch))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    fn token_update(
        &self,
        id: Uuid,
        project: &ProjectId,
        refreshed: &RefreshedTokens<'_>,
        now: OffsetDateTime,
    ) -> Result<sea_orm::UpdateMany<Entity>> {
        let tokens = refreshed.tokens;
        let sealed = self.seal_tokens(id, project, tokens)?;
        let mut update = Entity::update_many()
            .col_expr(Column::State, Expr::value(state_name(ConnectionState::Active)))
            .col_expr(Column::AccessToken, Expr::value(sealed.access))
            .col_expr(Column::TokenType, Expr::value(tokens.token_type.clone()))
            .col_expr(Column::TokenExpireTime, Expr::value(tokens.expire_time.map(column::micros)))
            .col_expr(Column::RefreshToken, Expr::value(sealed.refresh))
            .col_expr(
                Column::RefreshTokenExpireTime,
                Expr::value(tokens.refresh_token_expire_time.map(column::micros)),
            )
            .col_expr(Column::Epoch, Expr::col(Column::Epoch).add(1))
            .col_expr(Column::LeaseUntil, Expr::value(None::<i64>))
            .col_expr(Column::RefreshTime, Expr::value(column::micros(now)));
        if let Some(config) = refreshed.config {
            update = update.col_expr(Column::Config, Expr::value(column::json(config)?));
        }
        if let Some(scopes) = refreshed.granted_scopes {
            update = update.col_expr(Column::GrantedScopes, Expr::value(column::json(scopes)?));
        }
        Ok(update)
    }

    async fn find_connection(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<Option<Model>> {
        Entity::find().filter(named(project, integration, id)).one(&self.db).await.map_err(failed)
    }

    fn seal_tokens(&self, id: Uuid, project: &ProjectId, tokens: &TokenSet) -> Result<SealedTokens> {
        let row = row_name(id);
        let seal = |column, token: &SecretString| {
            self.keys.seal_text(&*self.random, Place::new(TABLE, column, &row, project.as_str()), token)
        };
        Ok(SealedTokens {
            access: seal(ACCESS_TOKEN, &tokens.access_token)?,
            refresh: tokens.refresh_token.as_ref().map(|token| seal(REFRESH_TOKEN, token)).transpose()?,
        })
    }

    fn credentials(&self, row: &Model) -> Result<Credentials> {
        let name = row_name(row.id);
        let open = |column, sealed: &[u8]| {
            self.keys.open_text(Place::new(TABLE, column, &name, &row.project_id), sealed)
        };
        let tokens = TokenSet {
            access_token: open(ACCESS_TOKEN, &row.access_token)?,
            token_type: row.token_type.clone(),
            expire_time: row.token_expire_time.map(column::time).transpose()?,
            refresh_token: row
                .refresh_token
                .as_deref()
                .map(|token| open(REFRESH_TOKEN, token))
                .transpose()?,
            refresh_token_expire_time: row.refresh_token_expire_time.map(column::time).transpose()?,
        };
        let lease_until = row.lease_until.map(column::time).transpose()?;
        Ok(Credentials { tokens, epoch: row.epoch, lease_until })
    }
}

fn named(project: &ProjectId, integration: &IntegrationId, id: &ConnectionId) -> Condition {
    Condition::all()
        .add(Column::ProjectId.eq(project.as_str()))
        .add(Column::IntegrationId.eq(integration.as_str()))
        .add(Column::ConnectionId.eq(id.as_str()))
}

fn held(connection: &Connection, epoch: i64) -> Condition {
    Condition::all()
        .add(Column::Id.eq(connection.row_id))
        .add(Column::ProjectId.eq(connection.project_id.as_str()))
        .add(Column::Epoch.eq(epoch))
}

fn state_name(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Active => "active",
        ConnectionState::NeedsReauthorization => "needs_reauthorization",
    }
}

fn connection(row: Model) -> Result<Connection> {
    let state = match row.state.as_str() {
        "active" => ConnectionState::Active,
        "needs_reauthorization" => ConnectionState::NeedsReauthorization,
        _ => return Err(column::inconsistent(TABLE, row.id, "state")),
    };
    Ok(Connection {
        row_id: row.id,
        project_id: ProjectId::stored(row.project_id),
        integration_row_id: row.integration_row_id,
        integration_id: IntegrationId::stored(row.integration_id),
        id: ConnectionId::stored(row.connection_id),
        provider_id: ProviderId::stored(row.provider_id),
        state,
        config: column::parse(&row.config)?,
        metadata: Metadata::stored(column::parse(&row.metadata)?),
        metadata_version: row.metadata_version,
        granted_scopes: column::parse(&row.granted_scopes)?,
        create_time: column::time(row.create_time)?,
        update_time: column::time(row.update_time)?,
        refresh_time: column::time(row.refresh_time)?,
    })
}
