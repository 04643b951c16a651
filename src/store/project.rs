//! Projects and their settings.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::{
    Store, column,
    entity::project::{ActiveModel, Column, Entity, Model},
    failed, is_duplicate,
    seal::Place,
};
use crate::model::{
    Error, ExposeSecret as _, HmacKey, Page, PageRequest, Project, ProjectId, Result, Settings,
};

const TABLE: &str = "projects";

impl Store {
    /// Inserts a project with default settings. Fails if there is one of this id.
    pub async fn insert_project(&self, project: &Project) -> Result<()> {
        let row = ActiveModel {
            id: Set(project.id.to_string()),
            display_name: Set(project.display_name.clone()),
            settings: Set(column::json(&Settings::default())?),
            hmac_key_1: Set(None),
            hmac_key_2: Set(None),
            create_time: Set(column::micros(project.create_time)),
        };
        match Entity::insert(row).exec_without_returning(&self.db).await {
            Ok(_) => Ok(()),
            Err(error) if is_duplicate(&error) => Err(Error::ProjectAlreadyExists(project.id.clone())),
            Err(error) => Err(failed(error)),
        }
    }

    /// Gets a project, if there is one of this id.
    pub async fn get_project(&self, id: &ProjectId) -> Result<Option<Project>> {
        let row = Entity::find_by_id(id.as_str()).one(&self.db).await.map_err(failed)?;
        row.map(project).transpose()
    }

    /// Lists projects by id.
    pub async fn list_projects(&self, page: &PageRequest) -> Result<Page<Project>> {
        let mut query = Entity::find().order_by_asc(Column::Id).limit(u64::from(page.size) + 1);
        if let Some(after) = &page.after {
            query = query.filter(Column::Id.gt(after.as_str()));
        }
        let rows = query.all(&self.db).await.map_err(failed)?;
        let projects = rows.into_iter().map(project).collect::<Result<Vec<_>>>()?;
        Ok(page.page(projects, |project| project.id.to_string()))
    }

    /// Gets a project's settings, if there is such a project.
    pub async fn get_settings(&self, id: &ProjectId) -> Result<Option<Settings>> {
        let row = Entity::find_by_id(id.as_str()).one(&self.db).await.map_err(failed)?;
        row.map(|row| self.settings(&row)).transpose()
    }

    /// Replaces a project's settings if they are still those that the new ones were made of. The row tells by its own
    /// bytes: the text as whichever release wrote it, and the sealed keys, which are never the same twice.
    pub async fn put_settings(&self, id: &ProjectId, old: &Settings, new: &Settings) -> Result<bool> {
        let row = Entity::find_by_id(id.as_str()).one(&self.db).await.map_err(failed)?;
        let Some(row) = row.filter(|row| self.settings(row).is_ok_and(|now| same(&now, old))) else {
            return Ok(false);
        };
        let unchanged = |column: Column, sealed: &Option<Vec<u8>>| match sealed {
            Some(sealed) => column.eq(sealed.clone()),
            None => column.is_null(),
        };
        let key = |index: usize, name| {
            let key = new.hmac_keys.get(index).map(HmacKey::expose_secret);
            key.map(|key| self.keys.seal(&*self.random, place(id.as_str(), name), key)).transpose()
        };
        let done = Entity::update_many()
            .col_expr(Column::Settings, Expr::value(column::json(new)?))
            .col_expr(Column::HmacKey1, Expr::value(key(0, "hmac_key_1")?))
            .col_expr(Column::HmacKey2, Expr::value(key(1, "hmac_key_2")?))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::Settings.eq(row.settings.as_str()))
            .filter(unchanged(Column::HmacKey1, &row.hmac_key_1))
            .filter(unchanged(Column::HmacKey2, &row.hmac_key_2))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    fn settings(&self, row: &Model) -> Result<Settings> {
        let mut settings: Settings = column::parse(&row.settings)?;
        for (name, sealed) in [("hmac_key_1", &row.hmac_key_1), ("hmac_key_2", &row.hmac_key_2)] {
            if let Some(sealed) = sealed {
                settings.hmac_keys.push(self.keys.open_bytes(place(&row.id, name), sealed)?);
            }
        }
        Ok(settings)
    }
}

/// Whether two settings are the same, keys included, which their JSON leaves out.
fn same(a: &Settings, b: &Settings) -> bool {
    let keys =
        |it: &Settings| it.hmac_keys.iter().map(|key| key.expose_secret().to_vec()).collect::<Vec<_>>();
    column::json(a).ok() == column::json(b).ok() && keys(a) == keys(b)
}

fn place<'a>(project: &'a str, name: &'static str) -> Place<'a> {
    Place::new(TABLE, name, project, project)
}

fn project(row: Model) -> Result<Project> {
    Ok(Project {
        id: ProjectId::stored(row.id),
        display_name: row.display_name,
        create_time: column::time(row.create_time)?,
    })
}
