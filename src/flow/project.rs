//! Managing projects, their settings and their API keys; and telling who calls.

use super::Flows;
use crate::model::{
    ApiKey, Caller, Error, KeyKind, OffsetDateTime, Page, PageRequest, Permission, Project, ProjectId,
    Result, SecretString, Settings, Uuid, check_display_name,
};

const DEFAULT_PROJECT: &str = "default";

/// The key that a new instance begins with.
#[derive(Debug)]
pub struct FirstKey {
    /// The project that it selects.
    pub project_id: ProjectId,
    /// Its secret, which is nowhere else.
    pub secret: SecretString,
}

/// A new API key, as a caller writes it.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its name for people.
    pub display_name: String,
    /// Its kind.
    pub kind: KeyKind,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// When it expires.
    pub expire_time: Option<OffsetDateTime>,
}

impl Flows {
    /// Makes the project `default` and a key with every permission, if the instance has no key at all.
    pub async fn bootstrap(&self) -> Result<Option<FirstKey>> {
        if self.store().has_api_keys().await? {
            return Ok(None);
        }
        let project_id = ProjectId::parse(DEFAULT_PROJECT)?;
        let project =
            Project { id: project_id.clone(), display_name: "Default".to_owned(), create_time: self.now() };
        match self.store().insert_project(&project).await {
            // Another replica starts at the same time: whoever inserts the project makes the key.
            Err(Error::ProjectAlreadyExists(_)) => return Ok(None),
            other => other?,
        }
        let key = NewApiKey {
            display_name: "first key".to_owned(),
            kind: KeyKind::Secret,
            permissions: Permission::ALL.to_vec(),
            expire_time: None,
        };
        let (_, secret) = self.make_api_key(&project_id, key).await?;
        Ok(Some(FirstKey { project_id, secret }))
    }

    /// Creates a project and its first key, which may do everything in it.
    pub async fn create_project(
        &self,
        id: ProjectId,
        display_name: String,
    ) -> Result<(Project, ApiKey, SecretString)> {
        check_display_name(&display_name)?;
        let display_name = if display_name.is_empty() { id.to_string() } else { display_name };
        let project = Project { id, display_name, create_time: self.now() };
        self.store().insert_project(&project).await?;
        let key = NewApiKey {
            display_name: "first key".to_owned(),
            kind: KeyKind::Secret,
            permissions: Permission::PROJECT.to_vec(),
            expire_time: None,
        };
        let (key, secret) = self.make_api_key(&project.id, key).await?;
        Ok((project, key, secret))
    }

    /// Lists projects.
    pub async fn list_projects(&self, page: &PageRequest) -> Result<Page<Project>> {
        self.store().list_projects(page).await
    }

    /// Gets a project's settings.
    pub async fn get_settings(&self, project: &ProjectId) -> Result<Settings> {
        self.settings_of(project).await
    }

    /// Changes a project's settings.
    pub async fn update_settings(
        &self,
        project: &ProjectId,
        change: impl Fn(&mut Settings),
    ) -> Result<Settings> {
        // A try fails only if somebody else's has succeeded, and the call's deadline ends them all.
        loop {
            let old = self.settings_of(project).await?;
            let mut new = old.clone();
            change(&mut new);
            new.validate()?;
            if self.store().put_settings(project, &old, &new).await? {
                return Ok(new);
            }
        }
    }

    /// Creates an API key. Nobody can give what they do not have.
    pub async fn create_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<(ApiKey, SecretString)> {
        new.permissions.iter().try_for_each(|permission| caller.require(*permission))?;
        self.make_api_key(caller.project_id(), new).await
    }

    /// Creates an API key for an operator, who may do everything.
    pub async fn make_api_key(&self, project: &ProjectId, new: NewApiKey) -> Result<(ApiKey, SecretString)> {
        let NewApiKey { display_name, kind, permissions, expire_time } = new;
        let (random, now) = (self.random(), self.now());
        let (key, secret) =
            ApiKey::generate(random, now, project.clone(), display_name, kind, permissions, expire_time)?;
        self.store().insert_api_key(&key, &secret).await?;
        Ok((key, secret))
    }

    /// Lists API keys.
    pub async fn list_api_keys(&self, project: &ProjectId, page: &PageRequest) -> Result<Page<ApiKey>> {
        self.store().list_api_keys(project, page).await
    }

    /// Revokes an API key.
    pub async fn revoke_api_key(&self, project: &ProjectId, id: Uuid) -> Result<ApiKey> {
        let key = self.store().revoke_api_key(project, id, self.now()).await?;
        key.ok_or(Error::ApiKeyNotFound(id))
    }
}
