//! Flows: found by digests, taken once.

use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    QueryTrait as _, sea_query::Expr,
};

use super::{
    Store, column,
    entity::flow::{ActiveModel, Column, Entity, Model},
    failed, is_duplicate, is_orphan,
    seal::{Place, row_name},
    secrets::SecretsColumn,
};
use crate::model::{
    Completion, Config, ConnectionId, Error, ExposeSecret as _, Flow, GrantType, IntegrationId, Metadata,
    OffsetDateTime, ProjectId, ProviderId, Result, SecretString, SignatureUse, Uuid, digest,
};

pub(super) const TABLE: &str = "flows";
const CODE_VERIFIER: &str = "code_verifier";
const AUTHORIZATION_URL: &str = "authorization_url";
const PARKED_QUERY: &str = "parked_query";
const SECRETS: &str = "secrets";
pub(super) const PENDING: &str = "pending";
pub(super) const PARKED: &str = "parked";
pub(super) const TAKEN: &str = "taken";

/// A flow to begin, with the tokens that find it. Only their digests are stored.
#[derive(Debug)]
pub struct NewFlow<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// The `state`.
    pub state: &'a SecretString,
    /// The token in the connect URL.
    pub connect_token: &'a SecretString,
    /// Whether its callback must come from the browser that opened it.
    pub browser_binding: bool,
    /// The signature that it was begun with, if it is good for one flow only.
    pub signature: Option<&'a SignatureUse>,
}

impl Store {
    /// Inserts a flow, unless another one was begun with its signature. It takes no further statement, and it is all or nothing.
    pub async fn insert_flow(&self, new: &NewFlow<'_>) -> Result<()> {
        let flow = new.flow;
        let row = row_name(flow.id);
        let seal = |name, secret: &SecretString| {
            self.keys.seal_text(
                &*self.random,
                Place::new(TABLE, name, &row, flow.project_id.as_str()),
                secret,
            )
        };
        let secrets = Place::new(TABLE, SECRETS, &row, flow.project_id.as_str());
        let secrets = self.seal_secrets(secrets, &SecretsColumn::of_flow(flow))?;
        let row = ActiveModel {
            id: Set(flow.id),
            project_id: Set(flow.project_id.to_string()),
            integration_row_id: Set(flow.integration_row_id),
            integration_id: Set(flow.integration_id.to_string()),
            provider_id: Set(flow.provider_id.to_string()),
            connection_id: Set(flow.connection_id.to_string()),
            grant_type: Set(flow.grant_type.as_str().to_owned()),
            status: Set(PENDING.to_owned()),
            signature_digest: Set(new.signature.map(|once| once.as_str().to_owned())),
            state_digest: Set(digest(new.state.expose_secret())),
            connect_digest: Set(digest(new.connect_token.expose_secret())),
            confirmation_digest: Set(None),
            browser_digest: Set(flow.browser_digest.clone()),
            browser_binding: Set(new.browser_binding),
            may_replace: Set(flow.may_replace),
            completion: Set(completion_name(flow.completion).to_owned()),
            redirect_uri: Set(flow.redirect_uri.clone()),
            code_verifier: Set(flow.code_verifier.as_ref().map(|it| seal(CODE_VERIFIER, it)).transpose()?),
            config: Set(column::json(&flow.config.values)?),
            secrets: Set(secrets),
            scopes: Set(column::json(&flow.scopes)?),
            metadata: Set(flow.metadata.as_ref().map(|it| column::json(it.as_map())).transpose()?),
            return_url: Set(flow.return_url.clone()),
            authorization_url: Set(seal(AUTHORIZATION_URL, &flow.authorization_url)?),
            parked_query: Set(None),
            outcome: Set(None),
            outcome_reason: Set(None),
            outcome_time: Set(None),
            taken_time: Set(None),
            create_time: Set(column::micros(flow.create_time)),
            expire_time: Set(column::micros(flow.expire_time)),
        };
        match Entity::insert(row).exec_without_returning(&self.db).await {
            Ok(_) => Ok(()),
            // The integration was deleted in this moment.
            Err(error) if is_orphan(&error) => Err(Error::IntegrationNotFound(flow.integration_id.clone())),
            // All else that is unique is random.
            Err(error) if new.signature.is_some() && is_duplicate(&error) => Err(Error::SignatureReplayed),
            Err(error) => Err(failed(error)),
        }
    }

    /// Gets the pending flow of this state, whatever its project: the state is what decides that.
    pub async fn get_flow_by_state(&self, state: &str) -> Result<Option<Flow>> {
        self.find_flow(Column::StateDigest.eq(digest(state)), PENDING).await
    }

    /// Gets the pending flow of this connect token.
    pub async fn get_flow_by_connect_token(&self, token: &str) -> Result<Option<Flow>> {
        self.find_flow(Column::ConnectDigest.eq(digest(token)), PENDING).await
    }

    /// Gets the pending flow that was begun with this signature and opened by the browser with this digest, whether it is bound
    /// to it or not.
    pub async fn get_flow_by_signature(
        &self,
        signature: &SignatureUse,
        browser_digest: &str,
    ) -> Result<Option<Flow>> {
        let signed_and_opened = Condition::all()
            .add(Column::SignatureDigest.eq(signature.as_str()))
            .add(Column::BrowserDigest.eq(browser_digest));
        self.find_flow(signed_and_opened, PENDING).await
    }

    /// Whether a flow was begun with this signature, whatever has become of it.
    pub async fn has_flow_of(&self, signature: &SignatureUse) -> Result<bool> {
        let query = Entity::find().filter(Column::SignatureDigest.eq(signature.as_str()));
        Ok(query.one(&self.db).await.map_err(failed)?.is_some())
    }

    /// Gets the project of a flow, whatever its status.
    pub async fn get_flow_project(&self, id: Uuid) -> Result<Option<ProjectId>> {
        let row = Entity::find_by_id(id).one(&self.db).await.map_err(failed)?;
        Ok(row.map(|row| ProjectId::stored(row.project_id)))
    }

    /// Binds a pending flow to a browser, if it is bound to none or to this one. Flows that are not to be bound count as
    /// bound.
    pub async fn bind_browser(&self, flow: &Flow, browser_digest: &str) -> Result<bool> {
        let mine = Condition::any()
            .add(Column::BrowserDigest.is_null())
            .add(Column::BrowserDigest.eq(browser_digest));
        let done = Entity::update_many()
            .col_expr(Column::BrowserDigest, Expr::value(browser_digest))
            .filter(Column::Id.eq(flow.id))
            .filter(Column::Status.eq(PENDING))
            .filter(Condition::any().add(Column::BrowserBinding.eq(false)).add(mine))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Takes a pending flow: whoever gets `true` is the only one, on all replicas.
    pub async fn take_flow(&self, flow: &Flow) -> Result<bool> {
        let done = Entity::update_many()
            .col_expr(Column::Status, Expr::value(TAKEN))
            .col_expr(Column::TakenTime, self.database_now())
            .col_expr(Column::CodeVerifier, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::Secrets, Expr::value(None::<Vec<u8>>))
            .filter(Column::Id.eq(flow.id))
            .filter(Column::Status.eq(PENDING))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Parks a pending flow with its callback, sealed, until somebody brings the confirmation. Tells whether it was pending.
    pub async fn park_flow(
        &self,
        flow: &Flow,
        query: &SecretString,
        confirmation: &SecretString,
        expire_time: OffsetDateTime,
    ) -> Result<bool> {
        let row = row_name(flow.id);
        let place = Place::new(TABLE, PARKED_QUERY, &row, flow.project_id.as_str());
        let sealed = self.keys.seal_text(&*self.random, place, query)?;
        let done = Entity::update_many()
            .col_expr(Column::Status, Expr::value(PARKED))
            .col_expr(Column::ParkedQuery, Expr::value(sealed))
            .col_expr(Column::ConfirmationDigest, Expr::value(digest(confirmation.expose_secret())))
            .col_expr(Column::ExpireTime, Expr::value(column::micros(expire_time)))
            .filter(Column::Id.eq(flow.id))
            .filter(Column::Status.eq(PENDING))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Gets a parked flow of the project with its confirmation.
    pub async fn get_parked_flow(
        &self,
        project: &ProjectId,
        id: Uuid,
        confirmation: &str,
    ) -> Result<Option<Flow>> {
        self.find_flow(confirmed(project, id, confirmation), PARKED).await
    }

    /// Takes a parked flow with its confirmation: whoever gets `true` is the only one. The parked code is wiped from the row
    /// at once.
    pub async fn take_parked_flow(&self, flow: &Flow, confirmation: &str) -> Result<bool> {
        let done = Entity::update_many()
            .col_expr(Column::Status, Expr::value(TAKEN))
            .col_expr(Column::TakenTime, self.database_now())
            .col_expr(Column::ParkedQuery, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::CodeVerifier, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::Secrets, Expr::value(None::<Vec<u8>>))
            .filter(confirmed(&flow.project_id, flow.id, confirmation))
            .filter(Column::Status.eq(PARKED))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    /// Wipes what flows kept to be ended with, and were not in time: parked codes, verifiers, nonces. Tells of how many.
    pub async fn wipe_expired(&self, now: OffsetDateTime) -> Result<u64> {
        let kept = [Column::ParkedQuery, Column::CodeVerifier, Column::Secrets];
        let kept = kept.into_iter().fold(Condition::any(), |any, column| any.add(column.is_not_null()));
        let done = Entity::update_many()
            .col_expr(Column::ParkedQuery, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::CodeVerifier, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::Secrets, Expr::value(None::<Vec<u8>>))
            .filter(Column::ExpireTime.lte(column::micros(now)))
            .filter(kept)
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected)
    }

    /// Deletes flows that expired before the given time, at most so many. Tells how many.
    pub async fn purge_flows(&self, before: OffsetDateTime, limit: u64) -> Result<u64> {
        let old = Column::ExpireTime.lt(column::micros(before));
        let some = Entity::find().select_only().column(Column::Id).filter(old).limit(limit).into_query();
        let done = Entity::delete_many()
            .filter(Column::Id.in_subquery(some))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected)
    }

    async fn find_flow(
        &self,
        filter: impl sea_orm::sea_query::IntoCondition,
        status: &str,
    ) -> Result<Option<Flow>> {
        let query = Entity::find().filter(filter.into_condition()).filter(Column::Status.eq(status));
        query.one(&self.db).await.map_err(failed)?.map(|row| self.flow(row)).transpose()
    }

    fn flow(&self, row: Model) -> Result<Flow> {
        let name = row_name(row.id);
        let open = |column, sealed: &[u8]| {
            self.keys.open_text(Place::new(TABLE, column, &name, &row.project_id), sealed)
        };
        let completion = match row.completion.as_str() {
            "automatic" => Completion::Automatic,
            "confirm" => Completion::Confirm,
            _ => return Err(column::inconsistent(TABLE, row.id, "completion")),
        };
        let grant_type = GrantType::parse(&row.grant_type);
        let grant_type = grant_type.ok_or_else(|| column::inconsistent(TABLE, row.id, "grant_type"))?;
        let secrets = Place::new(TABLE, SECRETS, &name, &row.project_id);
        let mut secrets = self.open_secrets(secrets, row.secrets.as_deref())?;
        Ok(Flow {
            id: row.id,
            code_verifier: row.code_verifier.as_deref().map(|it| open(CODE_VERIFIER, it)).transpose()?,
            authorization_url: open(AUTHORIZATION_URL, &row.authorization_url)?,
            parked_query: row.parked_query.as_deref().map(|it| open(PARKED_QUERY, it)).transpose()?,
            project_id: ProjectId::stored(row.project_id.clone()),
            integration_row_id: row.integration_row_id,
            integration_id: IntegrationId::stored(row.integration_id),
            connection_id: ConnectionId::stored(row.connection_id),
            provider_id: ProviderId::stored(row.provider_id),
            redirect_uri: row.redirect_uri,
            grant_type,
            request_token_secret: secrets.token_secret(),
            nonce: secrets.nonce(),
            config: Config { values: column::parse(&row.config)?, secrets: secrets.config() },
            scopes: column::parse(&row.scopes)?,
            metadata: row
                .metadata
                .as_deref()
                .map(|text| column::parse(text).map(Metadata::stored))
                .transpose()?,
            return_url: row.return_url,
            completion,
            may_replace: row.may_replace,
            browser_digest: row.browser_digest.filter(|_| row.browser_binding),
            create_time: column::time(row.create_time)?,
            expire_time: column::time(row.expire_time)?,
        })
    }
}

fn confirmed(project: &ProjectId, id: Uuid, confirmation: &str) -> Condition {
    Condition::all()
        .add(Column::Id.eq(id))
        .add(Column::ProjectId.eq(project.as_str()))
        .add(Column::ConfirmationDigest.eq(digest(confirmation)))
}

fn completion_name(completion: Completion) -> &'static str {
    match completion {
        Completion::Automatic => "automatic",
        Completion::Confirm => "confirm",
    }
}
