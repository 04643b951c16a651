//! Reading, changing and deleting connections.

use serde_json::{Map, Value};
use tokio::time::sleep;

use super::{Flows, refresh::POLL};
use crate::model::{
    Connection, ConnectionId, Error, IntegrationId, Metadata, Page, PageRequest, ProjectId, Result,
    Revocation,
};

impl Flows {
    /// Gets a connection without credentials.
    pub async fn get_connection(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<Connection> {
        let found = self.store().get_connection(project, integration, id).await?;
        found.ok_or_else(|| not_found(integration, id))
    }

    /// Lists connections without credentials.
    pub async fn list_connections(
        &self,
        project: &ProjectId,
        integration: Option<&IntegrationId>,
        page: &PageRequest,
    ) -> Result<Page<Connection>> {
        self.store().list_connections(project, integration, page).await
    }

    /// Deletes a connection and its credentials, and has the provider revoke them.
    pub async fn delete_connection(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<()> {
        // A try fails only if a refresh has brought other tokens, which are then those to revoke.
        loop {
            let (connection, generation) = self.unopened(project, integration, id).await?;
            let revocation = self.revocation_of_all(&connection, generation).await?;
            let deleted =
                self.store().delete_connection(&connection, generation, revocation.as_ref(), self.now());
            if deleted.await? {
                self.revoke_behind(revocation.is_some());
                return Ok(());
            }
        }
    }

    /// Deletes a connection and its credentials, and leaves the grant at the provider as it is. Waits for a refresh that is under
    /// way: tokens that came for a connection which is gone would be revoked, and the grant with them.
    pub async fn forget_connection(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<()> {
        loop {
            let (connection, generation) = self.unopened(project, integration, id).await?;
            if self.store().forget_connection(&connection, generation, self.now()).await? {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    async fn unopened(
        &self,
        project: &ProjectId,
        integration: &IntegrationId,
        id: &ConnectionId,
    ) -> Result<(Connection, i64)> {
        let found = self.store().get_unopened(project, integration, id).await?;
        found.ok_or_else(|| not_found(integration, id))
    }

    /// What is to be revoked when this connection goes. Nothing of credentials that do not open: they must not stay for that.
    async fn revocation_of_all(
        &self,
        connection: &Connection,
        generation: i64,
    ) -> Result<Option<Revocation>> {
        match self.credentials_of(&connection.project_id, (&connection.integration_id, &connection.id)).await
        {
            Ok((found, credentials))
                if found.row_id == connection.row_id && credentials.generation == generation =>
            {
                self.revocation_of(connection, &credentials).await
            }
            // They have changed since: they are not deleted with this.
            Ok(_) | Err(Error::ConnectionNotFound { .. }) => Ok(None),
            Err(Error::Internal(error)) => {
                let row = connection.row_id;
                tracing::error!(connection = %row, %error, "credentials do not open, and are deleted unrevoked");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the metadata. Gives its new version.
    pub async fn set_metadata(
        &self,
        project: &ProjectId,
        (integration, id): (&IntegrationId, &ConnectionId),
        metadata: Metadata,
        etag: &str,
    ) -> Result<(Metadata, i64)> {
        self.change_metadata(project, (integration, id), etag, |_| Ok(metadata.clone())).await
    }

    /// Changes the metadata by a JSON merge patch (RFC 7396). Gives it with its new version.
    pub async fn update_metadata(
        &self,
        project: &ProjectId,
        (integration, id): (&IntegrationId, &ConnectionId),
        patch: Map<String, Value>,
        etag: &str,
    ) -> Result<(Metadata, i64)> {
        self.change_metadata(project, (integration, id), etag, |old| old.merged(patch.clone())).await
    }

    async fn change_metadata(
        &self,
        project: &ProjectId,
        (integration, id): (&IntegrationId, &ConnectionId),
        etag: &str,
        change: impl Fn(&Metadata) -> Result<Metadata>,
    ) -> Result<(Metadata, i64)> {
        // A try fails only if somebody else's has succeeded, and the call's deadline ends them all.
        loop {
            let connection = self.get_connection(project, integration, id).await?;
            if !etag.is_empty() && etag != connection.etag() {
                return Err(Error::EtagMismatch);
            }
            let metadata = change(&connection.metadata)?;
            if let Some(version) = self.store().put_metadata(&connection, &metadata, self.now()).await? {
                return Ok((metadata, version));
            }
        }
    }
}

/// The project has no such connection.
pub(super) fn not_found(integration: &IntegrationId, connection: &ConnectionId) -> Error {
    Error::ConnectionNotFound { integration: integration.clone(), connection: connection.clone() }
}
