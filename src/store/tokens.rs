//! How the credentials of a connection lie in its row: sealed, and written all at once.

use sea_orm::{
    EntityTrait as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    Store, column,
    connection::{TABLE, state_name},
    entity::connection::{Column, Entity, Model},
    notice::due,
    seal::{Place, row_name},
    secrets::SecretsColumn,
};
use crate::model::{
    ConnectionState, Credentials, Notice, OffsetDateTime, ProjectId, Result, SecretString, Secrets, TokenSet,
    Uuid,
};

const ACCESS_TOKEN: &str = "access_token";
const REFRESH_TOKEN: &str = "refresh_token";
const SECRETS: &str = "secrets";

/// What a refresh brings.
#[derive(Debug)]
pub struct RefreshedTokens<'a> {
    /// The tokens.
    pub tokens: &'a TokenSet,
    /// The scopes, if the provider named them.
    pub granted_scopes: Option<&'a [String]>,
    /// When a server looks after them unasked.
    pub due_time: Option<OffsetDateTime>,
    /// From when on their lifetimes count: when they were asked for.
    pub refresh_time: OffsetDateTime,
}

pub(super) struct SealedTokens {
    pub(super) access: Vec<u8>,
    pub(super) refresh: Option<Vec<u8>>,
}

// === impl Store ===

impl Store {
    /// Writes new tokens, which end every lease, failure and back-off. Their notice is written apart.
    pub(super) fn token_update(
        &self,
        id: Uuid,
        project: &ProjectId,
        refreshed: &RefreshedTokens<'_>,
        notice: Option<Notice>,
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
            .col_expr(Column::Generation, Expr::col(Column::Generation).add(1))
            .col_expr(Column::Reason, Expr::value(None::<String>))
            .col_expr(Column::Failures, Expr::value(0_i64))
            .col_expr(Column::FailureTime, Expr::value(None::<i64>))
            .col_expr(Column::FailureCode, Expr::value(None::<String>))
            .col_expr(Column::FailureError, Expr::value(None::<String>))
            .col_expr(Column::UnknownFailures, Expr::value(0_i64))
            .col_expr(Column::UnknownTime, Expr::value(None::<i64>))
            .col_expr(Column::AttentionTime, Expr::value(None::<i64>))
            .col_expr(Column::RetryTime, Expr::value(None::<i64>))
            .col_expr(Column::DueTime, Expr::value(due(refreshed.due_time, notice, now)))
            .col_expr(Column::RefreshTime, Expr::value(column::micros(refreshed.refresh_time)));
        if let Some(scopes) = refreshed.granted_scopes {
            update = update.col_expr(Column::GrantedScopes, Expr::value(column::json(scopes)?));
        }
        Ok(update)
    }

    pub(super) fn seal_tokens(
        &self,
        id: Uuid,
        project: &ProjectId,
        tokens: &TokenSet,
    ) -> Result<SealedTokens> {
        let row = row_name(id);
        let seal = |column, token: &SecretString| {
            self.keys.seal_text(&*self.random, Place::new(TABLE, column, &row, project.as_str()), token)
        };
        Ok(SealedTokens {
            access: seal(ACCESS_TOKEN, &tokens.access_token)?,
            refresh: tokens.refresh_token.as_ref().map(|token| seal(REFRESH_TOKEN, token)).transpose()?,
        })
    }

    pub(super) fn seal_secrets_of(
        &self,
        id: Uuid,
        project: &ProjectId,
        secrets: &Secrets,
    ) -> Result<Option<Vec<u8>>> {
        let row = row_name(id);
        let place = Place::new(TABLE, SECRETS, &row, project.as_str());
        self.seal_secrets(place, &SecretsColumn::of_connection(secrets))
    }

    pub(super) fn credentials(&self, row: &Model) -> Result<Credentials> {
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
        let place = Place::new(TABLE, SECRETS, &name, &row.project_id);
        let secrets = self.open_secrets(place, row.secrets.as_deref())?.into_connection();
        Ok(Credentials { tokens, secrets, epoch: row.epoch, generation: row.generation })
    }
}
