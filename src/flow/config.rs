//! Changing the config of connections: by callers, and by what providers tell on a refresh.

use super::{Flows, refresh::Attempt};
use crate::{
    model::{
        Config, Connection, ConnectionId, Credentials, IntegrationId, ProjectId, Result, StringMap, TokenSet,
    },
    oauth::{Grant, Registration},
    provider::Source,
};

/// How often a capture meets somebody else's change before it gives up: the next refresh captures again.
const TRIES: u32 = 8;

impl Flows {
    /// Changes declared config: given keys replace those that are there, an empty value takes one away. Gives the config as
    /// it is now, but for its secrets.
    pub async fn update_config(
        &self,
        project: &ProjectId,
        (integration, id): (&IntegrationId, &ConnectionId),
        given: &StringMap,
    ) -> Result<StringMap> {
        // A try fails only if somebody else's has succeeded, and the call's deadline ends them all.
        loop {
            let (connection, credentials) = self.credentials_of(project, (integration, id)).await?;
            let provider = self.catalog().get(&connection.provider_id)?.clone();
            let config = provider.update_config(&config_of(&connection, &credentials), given)?;
            if self.store().put_config(&connection, &credentials.secrets, &config, self.now()).await? {
                return Ok(config.values);
            }
        }
    }

    /// Captures config anew from what a refresh brought. What does not fit, or does not come, stays as it was.
    pub(super) async fn recapture(&self, attempt: &Attempt, grant: &Grant, tokens: &TokenSet) -> Result<()> {
        let (registration, refreshed) = (attempt.registration(), &attempt.connection);
        let provider = registration.provider;
        let mut captured = registration.config.clone();
        if let Err(unfit) = provider.capture(Source::TokenResponse(grant.answer()), &mut captured) {
            tracing::warn!(provider = %provider.id(), fields = unfit.names(), "a token response does not fit");
        }
        let current = captured.clone();
        let told = Registration { config: &current, ..registration };
        let looked_up = self.look_up(told, &tokens.access_token, &mut captured).await;
        let begun = registration.config;
        let name = (&refreshed.integration_id, &refreshed.id);
        let told = captured.changed_since(begun);
        // A refresh is of the same account (OpenID Connect Core, section 12.2), or the answer is not to be believed.
        let account: Vec<_> = provider.account_fields().filter(|name| begun.get(name).is_some()).collect();
        let (foreign, told): (Vec<_>, Vec<_>) = told.partition(|name| account.contains(name));
        if !foreign.is_empty() {
            let (provider, connection) = (provider.id(), refreshed.row_id);
            tracing::warn!(%provider, %connection, fields = ?foreign, "a refresh was answered for another account");
        }
        for _ in 0..TRIES {
            let (connection, credentials) = self.credentials_of(&refreshed.project_id, name).await?;
            // A new grant, or a newer refresh, has config of its own.
            let same = connection.row_id == refreshed.row_id
                && credentials.generation == attempt.lease.generation + 1;
            if told.is_empty() || !same {
                break;
            }
            let mut config = config_of(&connection, &credentials);
            // What a caller has written in the meantime stays.
            let mine = |name: &&&str| config.get(name) == begun.get(name);
            let mine: Vec<_> = told.iter().filter(mine).copied().collect();
            for name in mine {
                config.take_over(name, &captured);
            }
            if self.store().put_config(&connection, &credentials.secrets, &config, self.now()).await? {
                break;
            }
        }
        looked_up
    }
}

/// A connection's config, with its secrets.
pub(super) fn config_of(connection: &Connection, credentials: &Credentials) -> Config {
    Config { values: connection.config.clone(), secrets: credentials.secrets.config.clone() }
}
