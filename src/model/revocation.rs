//! Tokens that are to be revoked at their provider.

use secrecy::SecretString;
use uuid::Uuid;

use super::{Config, ConnectionId, Integration, IntegrationId, ProjectId, ProviderId};

/// Tokens that nobody needs any more, until their provider knows.
#[derive(Debug, Clone)]
pub struct Revocation {
    /// The row.
    pub id: Uuid,
    /// The project.
    pub project_id: ProjectId,
    /// The row of the integration.
    pub integration_row_id: Uuid,
    /// The integration.
    pub integration_id: IntegrationId,
    /// The provider.
    pub provider_id: ProviderId,
    /// The connection that they were of.
    pub connection_id: ConnectionId,
    /// The access token.
    pub access_token: SecretString,
    /// The refresh token.
    pub refresh_token: Option<SecretString>,
    /// The connection's config.
    pub config: Config,
    /// The client that they were issued to, as it was then: the integration may be gone when they are revoked.
    pub client: Integration,
    /// How often it was tried.
    pub attempts: i64,
}
