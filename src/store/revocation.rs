//! The outbox of revocations: tokens that nobody needs any more, until their provider knows.

use std::collections::BTreeMap;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Store, column,
    entity::revocation::{ActiveModel, Column, Entity, Model},
    failed,
    seal::{Place, row_name},
    secrets::{exposed, secret, text},
};
use crate::model::{
    Breaker, Config, ConnectionId, ExposeSecret as _, Integration, IntegrationId, OffsetDateTime, ProjectId,
    ProviderId, Result, Revocation, SecretString, StringMap, Uuid,
};

const TABLE: &str = "revocations";
const PAYLOAD: &str = "payload";

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Payload {
    access_token: Zeroizing<String>,
    refresh_token: Option<Zeroizing<String>>,
    config: StringMap,
    secrets: BTreeMap<String, Zeroizing<String>>,
    client_id: String,
    client_secret: Option<Zeroizing<String>>,
    further_client_secrets: Vec<Zeroizing<String>>,
    private_key: Option<Zeroizing<String>>,
    private_key_id: Option<String>,
    certificate: Option<String>,
    #[serde(default)]
    allow_private_addresses: bool,
}

impl Store {
    /// Notes tokens to be revoked, in the transaction of what makes them useless, or alone.
    pub(super) async fn insert_revocation(
        &self,
        db: &impl ConnectionTrait,
        revocation: &Revocation,
        now: OffsetDateTime,
    ) -> Result<()> {
        let row = ActiveModel {
            id: Set(revocation.id),
            project_id: Set(revocation.project_id.to_string()),
            integration_row_id: Set(revocation.integration_row_id),
            integration_id: Set(revocation.integration_id.to_string()),
            provider_id: Set(revocation.provider_id.to_string()),
            connection_id: Set(revocation.connection_id.to_string()),
            payload: Set(self.seal_payload(revocation)?),
            attempts: Set(0),
            next_time: Set(column::micros(now)),
            create_time: Set(column::micros(now)),
        };
        Entity::insert(row).exec_without_returning(db).await.map_err(failed)?;
        Ok(())
    }

    /// Notes tokens to be revoked.
    pub async fn put_revocation(&self, revocation: &Revocation, now: OffsetDateTime) -> Result<()> {
        self.insert_revocation(&self.db, revocation, now).await
    }

    /// Claims revocations that are due, at most so many: until then nobody else does.
    pub async fn claim_revocations(
        &self,
        limit: u64,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<Vec<(Revocation, OffsetDateTime)>> {
        let due = Entity::find()
            .filter(Column::NextTime.lte(column::micros(now)))
            .order_by_asc(Column::NextTime)
            .limit(limit);
        let mut claimed = Vec::new();
        for row in due.all(&self.db).await.map_err(failed)? {
            let done = Entity::update_many()
                .col_expr(Column::NextTime, Expr::value(column::micros(until)))
                .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
                .filter(Column::Id.eq(row.id))
                .filter(Column::NextTime.eq(row.next_time))
                .exec(&self.db)
                .await
                .map_err(failed)?;
            if done.rows_affected == 1 {
                let id = row.id;
                let opened = column::time(row.create_time).and_then(|time| Ok((self.revocation(row)?, time)));
                // One that makes no sense holds up nobody but itself: it comes again when its claim runs out.
                match opened {
                    Ok(opened) => claimed.push(opened),
                    Err(error) => tracing::error!(revocation = %id, %error, "tokens cannot be revoked"),
                }
            }
        }
        Ok(claimed)
    }

    /// Puts the tokens of this revocation in the place of those that they have replaced.
    pub async fn put_revocation_tokens(&self, revocation: &Revocation) -> Result<()> {
        Entity::update_many()
            .col_expr(Column::Payload, Expr::value(self.seal_payload(revocation)?))
            .filter(Column::Id.eq(revocation.id))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Tries a revocation again at this time.
    pub async fn postpone_revocation(&self, id: Uuid, until: OffsetDateTime) -> Result<()> {
        Entity::update_many()
            .col_expr(Column::NextTime, Expr::value(column::micros(until)))
            .filter(Column::Id.eq(id))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Forgets a revocation: the provider knows, or never will.
    pub async fn delete_revocation(&self, id: Uuid) -> Result<()> {
        Entity::delete_by_id(id).exec(&self.db).await.map_err(failed)?;
        Ok(())
    }

    fn seal_payload(&self, revocation: &Revocation) -> Result<Vec<u8>> {
        let client = &revocation.client;
        let payload = Payload {
            access_token: exposed_one(&revocation.access_token),
            refresh_token: text(revocation.refresh_token.as_ref()),
            config: revocation.config.values.clone(),
            secrets: exposed(&revocation.config.secrets),
            client_id: client.client_id.clone(),
            client_secret: text(client.client_secret.as_ref()),
            further_client_secrets: client.further_client_secrets.iter().map(exposed_one).collect(),
            private_key: text(client.private_key.as_ref()),
            private_key_id: client.private_key_id.clone(),
            certificate: client.certificate.clone(),
            allow_private_addresses: client.allow_private_addresses,
        };
        let row = row_name(revocation.id);
        let place = Place::new(TABLE, PAYLOAD, &row, revocation.project_id.as_str());
        let json = SecretString::from(column::json(&payload)?);
        self.keys.seal_text(&*self.random, place, &json)
    }

    fn revocation(&self, row: Model) -> Result<Revocation> {
        let name = row_name(row.id);
        let opened = self.keys.open_text(Place::new(TABLE, PAYLOAD, &name, &row.project_id), &row.payload)?;
        let payload: Payload = column::parse(opened.expose_secret())?;
        let create_time = column::time(row.create_time)?;
        let (project_id, integration_id) =
            (ProjectId::stored(row.project_id), IntegrationId::stored(row.integration_id));
        let provider_id = ProviderId::stored(row.provider_id);
        Ok(Revocation {
            id: row.id,
            integration_row_id: row.integration_row_id,
            connection_id: ConnectionId::stored(row.connection_id),
            access_token: secret(payload.access_token),
            refresh_token: payload.refresh_token.map(secret),
            config: Config {
                values: payload.config,
                secrets: payload.secrets.into_iter().map(|(name, value)| (name, secret(value))).collect(),
            },
            client: Integration {
                row_id: row.integration_row_id,
                project_id: project_id.clone(),
                id: integration_id.clone(),
                provider_id: provider_id.clone(),
                client_id: payload.client_id,
                client_secret: payload.client_secret.map(secret),
                further_client_secrets: payload.further_client_secrets.into_iter().map(secret).collect(),
                private_key: payload.private_key.map(secret),
                private_key_id: payload.private_key_id,
                certificate: payload.certificate,
                allow_private_addresses: payload.allow_private_addresses,
                scopes: Vec::new(),
                user_scopes: Vec::new(),
                failure: None,
                breaker: Breaker::default(),
                create_time,
                update_time: create_time,
            },
            project_id,
            integration_id,
            provider_id,
            attempts: row.attempts + 1,
        })
    }
}

fn exposed_one(secret: &SecretString) -> Zeroizing<String> {
    Zeroizing::new(secret.expose_secret().to_owned())
}
