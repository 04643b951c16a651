//! Integrations.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, Query},
};
use zeroize::Zeroizing;

use super::{
    Store, column,
    entity::{
        connection,
        integration::{ActiveModel, Column, Entity, Model},
    },
    failed, is_duplicate, is_orphan,
    seal::{Place, row_name},
    secrets::secret,
};
use crate::model::{
    Breaker, ClientFailure, Error, ExposeSecret, FailureKind, Integration, IntegrationId, Page, PageRequest,
    ProjectId, ProviderId, Result, SecretString, Uuid,
};

const TABLE: &str = "integrations";
const CLIENT_SECRET: &str = "client_secret";
const FURTHER_CLIENT_SECRETS: &str = "further_client_secrets";
const PRIVATE_KEY: &str = "private_key";

impl Store {
    /// Inserts an integration. Fails if the project has one of this id.
    pub async fn insert_integration(&self, integration: &Integration) -> Result<()> {
        let row = ActiveModel {
            id: Set(integration.row_id),
            project_id: Set(integration.project_id.to_string()),
            integration_id: Set(integration.id.to_string()),
            provider_id: Set(integration.provider_id.to_string()),
            client_id: Set(integration.client_id.clone()),
            client_secret: Set(self.seal_of(
                integration,
                CLIENT_SECRET,
                integration.client_secret.as_ref(),
            )?),
            further_client_secrets: Set(self.seal_further(integration)?),
            private_key: Set(self.seal_of(integration, PRIVATE_KEY, integration.private_key.as_ref())?),
            private_key_id: Set(integration.private_key_id.clone()),
            certificate: Set(integration.certificate.clone()),
            allow_private_addresses: Set(integration.allow_private_addresses),
            scopes: Set(column::json(&integration.scopes)?),
            user_scopes: Set(column::json(&integration.user_scopes)?),
            failure_code: Set(None),
            failure_time: Set(None),
            pause_until: Set(None),
            pauses: Set(0),
            probing: Set(false),
            pause_of_client: Set(false),
            create_time: Set(column::micros(integration.create_time)),
            update_time: Set(column::micros(integration.update_time)),
        };
        match Entity::insert(row).exec_without_returning(&self.db).await {
            Ok(_) => Ok(()),
            Err(error) if is_duplicate(&error) => {
                Err(Error::IntegrationAlreadyExists(integration.id.clone()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Gets an integration, if the project has it.
    pub async fn get_integration(
        &self,
        project: &ProjectId,
        id: &IntegrationId,
    ) -> Result<Option<Integration>> {
        let query = Entity::find()
            .filter(Column::ProjectId.eq(project.as_str()))
            .filter(Column::IntegrationId.eq(id.as_str()));
        let row = query.one(&self.db).await.map_err(failed)?;
        row.map(|row| self.integration(row)).transpose()
    }

    /// Gets the integration of a flow or a connection, if it is still there.
    pub async fn get_integration_row(&self, project: &ProjectId, row: Uuid) -> Result<Option<Integration>> {
        let query = Entity::find_by_id(row).filter(Column::ProjectId.eq(project.as_str()));
        let row = query.one(&self.db).await.map_err(failed)?;
        row.map(|row| self.integration(row)).transpose()
    }

    /// Lists a project's integrations by id.
    pub async fn list_integrations(
        &self,
        project: &ProjectId,
        page: &PageRequest,
    ) -> Result<Page<Integration>> {
        let mut query = Entity::find()
            .filter(Column::ProjectId.eq(project.as_str()))
            .order_by_asc(Column::IntegrationId)
            .limit(u64::from(page.size) + 1);
        if let Some(after) = &page.after {
            query = query.filter(Column::IntegrationId.gt(after.as_str()));
        }
        let rows = query.all(&self.db).await.map_err(failed)?;
        let integrations = rows.into_iter().map(|row| self.integration(row)).collect::<Result<Vec<_>>>()?;
        Ok(page.page(integrations, |integration| integration.id.to_string()))
    }

    /// A project's integrations that have a private key.
    pub async fn integrations_with_keys(&self, project: &ProjectId) -> Result<Vec<Integration>> {
        let rows = Entity::find()
            .filter(Column::ProjectId.eq(project.as_str()))
            .filter(Column::PrivateKey.is_not_null())
            .all(&self.db)
            .await
            .map_err(failed)?;
        rows.into_iter().map(|row| self.integration(row)).collect()
    }

    /// Replaces what can change of an integration, if it has not changed since it was `old`. Connections whose refresh was
    /// rejected as that of a client, or made no sense for long, need not wait any longer, nor those whose provider may be in a
    /// private network now.
    pub async fn put_integration(&self, old: &Integration, new: &Integration) -> Result<bool> {
        let client_secret = self.seal_of(new, CLIENT_SECRET, new.client_secret.as_ref())?;
        let private_key = self.seal_of(new, PRIVATE_KEY, new.private_key.as_ref())?;
        let transaction = self.db.begin().await.map_err(failed)?;
        let done = Entity::update_many()
            .col_expr(Column::ClientId, Expr::value(new.client_id.clone()))
            .col_expr(Column::ClientSecret, Expr::value(client_secret))
            .col_expr(Column::FurtherClientSecrets, Expr::value(self.seal_further(new)?))
            .col_expr(Column::PrivateKey, Expr::value(private_key))
            .col_expr(Column::PrivateKeyId, Expr::value(new.private_key_id.clone()))
            .col_expr(Column::Certificate, Expr::value(new.certificate.clone()))
            .col_expr(Column::AllowPrivateAddresses, Expr::value(new.allow_private_addresses))
            .col_expr(Column::Scopes, Expr::value(column::json(&new.scopes)?))
            .col_expr(Column::UserScopes, Expr::value(column::json(&new.user_scopes)?))
            .col_expr(Column::UpdateTime, Expr::value(column::micros(new.update_time)))
            // What was wrong may be right now.
            .col_expr(Column::FailureCode, Expr::value(None::<String>))
            .col_expr(Column::FailureTime, Expr::value(None::<i64>))
            .col_expr(Column::PauseUntil, Expr::value(None::<i64>))
            .col_expr(Column::Pauses, Expr::value(0_i64))
            .col_expr(Column::Probing, Expr::value(false))
            .col_expr(Column::PauseOfClient, Expr::value(false))
            .filter(Column::Id.eq(old.row_id))
            .filter(Column::ProjectId.eq(old.project_id.as_str()))
            .filter(Column::UpdateTime.eq(column::micros(old.update_time)))
            .exec(&transaction)
            .await
            .map_err(failed)?;
        let now = column::micros(new.update_time);
        let mut mended = vec![FailureKind::ClientRejected.as_str()];
        if new.allow_private_addresses && !old.allow_private_addresses {
            mended.push(FailureKind::ProviderAddressRefused.as_str());
        }
        let rejected = connection::Column::FailureCode.is_in(mended);
        let rejected = rejected.and(connection::Column::RetryTime.gt(now));
        let strange = connection::Column::AttentionTime.is_not_null();
        let strange = strange.and(connection::Column::DueTime.gt(now));
        connection::Entity::update_many()
            .col_expr(connection::Column::RetryTime, Expr::value(now))
            .col_expr(connection::Column::DueTime, Expr::value(now))
            .filter(connection::Column::IntegrationRowId.eq(old.row_id))
            .filter(rejected.or(strange))
            .exec(&transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Leaves the provider of an integration alone until then, if nobody else has decided about that since it was read. Tells
    /// whether it did.
    pub async fn put_breaker(
        &self,
        integration: &Integration,
        breaker: Breaker,
        failure: Option<&ClientFailure>,
    ) -> Result<bool> {
        let seen = match integration.breaker.until {
            Some(time) => Column::PauseUntil.eq(column::micros(time)),
            None => Column::PauseUntil.is_null(),
        };
        let done = Entity::update_many()
            .col_expr(Column::PauseUntil, Expr::value(breaker.until.map(column::micros)))
            .col_expr(Column::Pauses, Expr::value(breaker.pauses))
            .col_expr(Column::Probing, Expr::value(breaker.probing))
            .col_expr(Column::PauseOfClient, Expr::value(breaker.of_client))
            .col_expr(Column::FailureCode, Expr::value(failure.map(|failure| failure.code.clone())))
            .col_expr(Column::FailureTime, Expr::value(failure.map(|it| column::micros(it.since))))
            .filter(Column::Id.eq(integration.row_id))
            .filter(Column::ProjectId.eq(integration.project_id.as_str()))
            .filter(Column::UpdateTime.eq(column::micros(integration.update_time)))
            .filter(seen)
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Deletes an integration that has no connections; its flows go with it. Tells whether it did.
    pub async fn delete_integration(&self, project: &ProjectId, id: &IntegrationId) -> Result<bool> {
        let connections = Query::select()
            .expr(Expr::value(1))
            .from(connection::Entity)
            .and_where(
                Expr::col((connection::Entity, connection::Column::IntegrationRowId))
                    .equals((Entity, Column::Id)),
            )
            .to_owned();
        let done = Entity::delete_many()
            .filter(Column::ProjectId.eq(project.as_str()))
            .filter(Column::IntegrationId.eq(id.as_str()))
            .filter(Expr::exists(connections).not())
            .exec(&self.db)
            .await;
        match done {
            Ok(done) => Ok(done.rows_affected == 1),
            // A connection that came between the look and the deed.
            Err(error) if is_orphan(&error) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    fn seal_of(
        &self,
        integration: &Integration,
        column: &'static str,
        secret: Option<&SecretString>,
    ) -> Result<Option<Vec<u8>>> {
        let row = row_name(integration.row_id);
        let place = Place::new(TABLE, column, &row, integration.project_id.as_str());
        secret.map(|secret| self.keys.seal_text(&*self.random, place, secret)).transpose()
    }

    /// The further secrets as one sealed JSON list; none are no column.
    fn seal_further(&self, integration: &Integration) -> Result<Option<Vec<u8>>> {
        let further: Vec<_> =
            integration.further_client_secrets.iter().map(ExposeSecret::expose_secret).collect();
        if further.is_empty() {
            return Ok(None);
        }
        let json = SecretString::from(column::json(&further)?);
        self.seal_of(integration, FURTHER_CLIENT_SECRETS, Some(&json))
    }

    fn integration(&self, row: Model) -> Result<Integration> {
        let name = row_name(row.id);
        let open = |column, sealed: Option<&[u8]>| {
            let place = Place::new(TABLE, column, &name, &row.project_id);
            sealed.map(|sealed| self.keys.open_text(place, sealed)).transpose()
        };
        let client_secret = open(CLIENT_SECRET, row.client_secret.as_deref())?;
        let private_key = open(PRIVATE_KEY, row.private_key.as_deref())?;
        let further = open(FURTHER_CLIENT_SECRETS, row.further_client_secrets.as_deref())?;
        let further: Vec<Zeroizing<String>> =
            further.map_or_else(|| Ok(Vec::new()), |json| column::parse(json.expose_secret()))?;
        Ok(Integration {
            row_id: row.id,
            client_secret,
            further_client_secrets: further.into_iter().map(secret).collect(),
            private_key,
            private_key_id: row.private_key_id,
            certificate: row.certificate,
            allow_private_addresses: row.allow_private_addresses,
            project_id: ProjectId::stored(row.project_id),
            id: IntegrationId::stored(row.integration_id),
            provider_id: ProviderId::stored(row.provider_id),
            client_id: row.client_id,
            scopes: column::parse(&row.scopes)?,
            user_scopes: column::parse(&row.user_scopes)?,
            failure: row
                .failure_code
                .zip(row.failure_time)
                .map(|(code, since)| Ok::<_, Error>(ClientFailure { code, since: column::time(since)? }))
                .transpose()?,
            breaker: Breaker {
                until: row.pause_until.map(column::time).transpose()?,
                pauses: row.pauses,
                probing: row.probing,
                of_client: row.pause_of_client,
            },
            create_time: column::time(row.create_time)?,
            update_time: column::time(row.update_time)?,
        })
    }
}
