//! How long a token lives whose answer does not say so: what its server says when it is asked (RFC 7662).

use super::Flows;
use crate::{
    model::{ConnectionId, ExposeSecret as _, IntegrationId, OffsetDateTime, ProjectId, Result, TokenSet},
    oauth::{Grant, Registration},
};

impl Flows {
    /// From when on what an answer says counts: from when it was asked for. If the clock was put back meanwhile, what it showed
    /// then lies ahead, and tokens would be handed out for so much longer than they live.
    pub(super) fn since(&self, asked: OffsetDateTime) -> OffsetDateTime {
        asked.min(self.now())
    }

    /// Asks, where the entry declares how, and corrects what was guessed. Only for tokens that are stored: an answer that is
    /// waited for must not cost them.
    pub(super) async fn settle_lifetime(
        &self,
        registration: Registration<'_>,
        name: (&ProjectId, &IntegrationId, &ConnectionId),
        grant: &Grant,
        asked: OffsetDateTime,
    ) {
        if grant.lifetime(asked).is_some() {
            return;
        }
        let said = self.oauth().introspected_lifetime(registration, &grant.access_token, asked).await;
        let Some(lifetime) = said else { return };
        if let Err(error) = self.put_expiry(registration, name, grant, asked + lifetime).await {
            let provider = registration.provider.id();
            tracing::warn!(%provider, %error, "a token's lifetime could not be stored");
        }
    }

    async fn put_expiry(
        &self,
        registration: Registration<'_>,
        (project, integration, id): (&ProjectId, &IntegrationId, &ConnectionId),
        grant: &Grant,
        expire_time: OffsetDateTime,
    ) -> Result<()> {
        let (connection, credentials) = self.credentials_of(project, (integration, id)).await?;
        // Somebody else's token has another life.
        if credentials.tokens.access_token.expose_secret() != grant.access_token.expose_secret() {
            return Ok(());
        }
        let tokens = TokenSet { expire_time: Some(expire_time), ..credentials.tokens.clone() };
        let due_time = self.due_time(registration.provider, connection.grant_type, &tokens)?;
        self.store().put_expiry(&connection, &credentials, expire_time, due_time).await
    }
}
