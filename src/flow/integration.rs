//! Managing integrations.

use super::Flows;
use crate::model::{
    Breaker, Error, Integration, IntegrationId, IntegrationUpdate, Page, PageRequest, ProjectId, ProviderId,
    Result, SecretString, uuid_v7,
};

/// A new integration, as a caller writes it.
#[derive(Debug, Clone)]
pub struct NewIntegration {
    /// Its id.
    pub id: IntegrationId,
    /// Its provider.
    pub provider_id: ProviderId,
    /// Its `client_id`.
    pub client_id: String,
    /// Its `client_secret`.
    pub client_secret: Option<SecretString>,
    /// Secrets that are tried after it.
    pub further_client_secrets: Vec<SecretString>,
    /// Its private key.
    pub private_key: Option<SecretString>,
    /// The id of the key.
    pub private_key_id: Option<String>,
    /// Its certificate.
    pub certificate: Option<String>,
    /// Whether its provider may be in a private network.
    pub allow_private_addresses: bool,
    /// Its default scopes.
    pub scopes: Vec<String>,
    /// Its default user scopes.
    pub user_scopes: Vec<String>,
}

impl Flows {
    /// Creates an integration.
    pub async fn create_integration(&self, project: &ProjectId, new: NewIntegration) -> Result<Integration> {
        self.catalog().get(&new.provider_id)?;
        let now = self.now();
        let integration = Integration {
            row_id: uuid_v7(self.random(), now)?,
            project_id: project.clone(),
            id: new.id,
            provider_id: new.provider_id,
            client_id: new.client_id,
            client_secret: new.client_secret,
            further_client_secrets: new.further_client_secrets,
            private_key: new.private_key,
            private_key_id: new.private_key_id,
            certificate: new.certificate,
            allow_private_addresses: new.allow_private_addresses,
            scopes: new.scopes,
            user_scopes: new.user_scopes,
            failure: None,
            breaker: Breaker::default(),
            create_time: now,
            update_time: now,
        };
        integration.validate()?;
        self.store().insert_integration(&integration).await?;
        Ok(integration)
    }

    /// Gets an integration.
    pub async fn get_integration(&self, project: &ProjectId, id: &IntegrationId) -> Result<Integration> {
        self.integration_of(project, id).await
    }

    /// Lists integrations.
    pub async fn list_integrations(
        &self,
        project: &ProjectId,
        page: &PageRequest,
    ) -> Result<Page<Integration>> {
        self.store().list_integrations(project, page).await
    }

    /// Changes an integration.
    pub async fn update_integration(
        &self,
        project: &ProjectId,
        id: &IntegrationId,
        update: IntegrationUpdate,
    ) -> Result<Integration> {
        // A try fails only if somebody else's has succeeded, and the call's deadline ends them all.
        loop {
            let old = self.integration_of(project, id).await?;
            // Later than the last change even if the clock has not moved: the time is what tells versions apart.
            let now = self.now().max(old.update_time + crate::model::Duration::MICROSECOND);
            let new = old.clone().updated(update.clone(), now);
            new.validate()?;
            if self.store().put_integration(&old, &new).await? {
                return Ok(new);
            }
        }
    }

    /// Deletes an integration that has no connections.
    pub async fn delete_integration(&self, project: &ProjectId, id: &IntegrationId) -> Result<()> {
        if self.store().delete_integration(project, id).await? {
            return Ok(());
        }
        self.integration_of(project, id).await?;
        Err(Error::IntegrationInUse(id.clone()))
    }
}
