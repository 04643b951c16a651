//! API keys.

use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, sea_query::Expr,
};

use super::{
    Store, column,
    entity::api_key::{ActiveModel, Column, Entity, Model},
    failed,
};
use crate::model::{
    ApiKey, Error, ExposeSecret as _, KeyKind, OffsetDateTime, Page, PageRequest, Permission, ProjectId,
    Result, SecretString, Uuid, digest,
};

const TABLE: &str = "api_keys";

impl Store {
    /// Inserts a key under the digest of its secret.
    pub async fn insert_api_key(&self, key: &ApiKey, secret: &SecretString) -> Result<()> {
        let permissions: Vec<_> = key.permissions.iter().map(|permission| permission.as_str()).collect();
        let row = ActiveModel {
            id: Set(key.id),
            project_id: Set(key.project_id.to_string()),
            digest: Set(digest(secret.expose_secret())),
            display_name: Set(key.display_name.clone()),
            kind: Set(kind_name(key.kind).to_owned()),
            permissions: Set(column::json(&permissions)?),
            prefix: Set(key.prefix.clone()),
            create_time: Set(column::micros(key.create_time)),
            expire_time: Set(key.expire_time.map(column::micros)),
            revoke_time: Set(key.revoke_time.map(column::micros)),
        };
        Entity::insert(row).exec_without_returning(&self.db).await.map_err(failed)?;
        Ok(())
    }

    /// Finds the key of this secret, whatever its project: the key is what decides that.
    pub async fn find_api_key(&self, secret: &str) -> Result<Option<ApiKey>> {
        let query = Entity::find().filter(Column::Digest.eq(digest(secret)));
        query.one(&self.db).await.map_err(failed)?.map(api_key).transpose()
    }

    /// Gets a key of the project.
    pub async fn get_api_key(&self, project: &ProjectId, id: Uuid) -> Result<Option<ApiKey>> {
        let query = Entity::find_by_id(id).filter(Column::ProjectId.eq(project.as_str()));
        query.one(&self.db).await.map_err(failed)?.map(api_key).transpose()
    }

    /// Lists a project's keys, oldest first.
    pub async fn list_api_keys(&self, project: &ProjectId, page: &PageRequest) -> Result<Page<ApiKey>> {
        let mut query = Entity::find()
            .filter(Column::ProjectId.eq(project.as_str()))
            .order_by_asc(Column::Id)
            .limit(u64::from(page.size) + 1);
        if let Some(after) = &page.after {
            let after: Uuid = after.parse().map_err(|_| Error::PageTokenInvalid)?;
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.all(&self.db).await.map_err(failed)?;
        let keys = rows.into_iter().map(api_key).collect::<Result<Vec<_>>>()?;
        Ok(page.page(keys, |key| key.id.to_string()))
    }

    /// Whether any key exists at all: a new instance has none.
    pub async fn has_api_keys(&self) -> Result<bool> {
        Ok(Entity::find().limit(1).count(&self.db).await.map_err(failed)? > 0)
    }

    /// Revokes a key, if the project has it and it is not revoked already. Gives the key as it is then.
    pub async fn revoke_api_key(
        &self,
        project: &ProjectId,
        id: Uuid,
        now: OffsetDateTime,
    ) -> Result<Option<ApiKey>> {
        Entity::update_many()
            .col_expr(Column::RevokeTime, Expr::value(column::micros(now)))
            .filter(Column::Id.eq(id))
            .filter(Column::ProjectId.eq(project.as_str()))
            .filter(Column::RevokeTime.is_null())
            .exec(&self.db)
            .await
            .map_err(failed)?;
        self.get_api_key(project, id).await
    }
}

fn kind_name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Secret => "secret",
        KeyKind::Publishable => "publishable",
    }
}

fn api_key(row: Model) -> Result<ApiKey> {
    let kind = match row.kind.as_str() {
        "secret" => KeyKind::Secret,
        "publishable" => KeyKind::Publishable,
        _ => return Err(column::inconsistent(TABLE, row.id, "kind")),
    };
    let names: Vec<String> = column::parse(&row.permissions)?;
    // A permission of a later release is one that this one cannot give.
    let permissions = names.iter().filter_map(|name| Permission::from_name(name)).collect();
    Ok(ApiKey {
        id: row.id,
        project_id: ProjectId::stored(row.project_id),
        display_name: row.display_name,
        kind,
        permissions,
        prefix: row.prefix,
        create_time: column::time(row.create_time)?,
        expire_time: row.expire_time.map(column::time).transpose()?,
        revoke_time: row.revoke_time.map(column::time).transpose()?,
    })
}
