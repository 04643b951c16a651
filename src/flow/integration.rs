//! Managing integrations.

use super::Flows;
use crate::{
    model::{
        Breaker, Error, ExposeSecret as _, Integration, IntegrationId, IntegrationUpdate, Page, PageRequest,
        ProjectId, ProviderId, Result, SecretString, uuid_v7,
    },
    oauth::thumbprint,
    provider::AuthMethod,
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
        self.check_key(&integration).await?;
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
            let key = |it: &Integration| it.private_key.as_ref().map(|key| key.expose_secret().to_owned());
            if key(&old) != key(&new) {
                self.check_key(&new).await?;
            }
            if self.store().put_integration(&old, &new).await? {
                return Ok(new);
            }
        }
    }

    /// Refuses a key that signs for another provider's client, too: an assertion that one server gets must be worth nothing at
    /// another, whoever has told us what its audience is.
    async fn check_key(&self, integration: &Integration) -> Result<()> {
        let catalog = self.catalog();
        let signs = |provider: &ProviderId| {
            catalog.get(provider).is_ok_and(|provider| provider.auth_method() == AuthMethod::PrivateKeyJwt)
        };
        let own = integration.private_key.as_ref().filter(|_| signs(&integration.provider_id));
        // One that cannot sign is nobody else's either, and is told of when it is needed.
        let Some(own) = own.and_then(thumbprint) else { return Ok(()) };
        for other in self.store().integrations_with_keys(&integration.project_id).await? {
            let elsewhere = other.provider_id != integration.provider_id && signs(&other.provider_id);
            if elsewhere && other.private_key.as_ref().and_then(thumbprint).as_ref() == Some(&own) {
                let problem = format!("is that of `{}`, at another provider: make one for each", other.id);
                return Err(Error::field("client_private_key", problem));
            }
        }
        Ok(())
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
