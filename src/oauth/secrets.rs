//! Several client secrets: one after the other until the provider knows the client, so that a secret can be replaced
//! without an outage.

use moka::future::Cache;

use super::{Failure, OAuthClient, Registration};
use crate::{
    model::{OffsetDateTime, SecretString, Uuid},
    provider::AuthMethod,
};

/// Of how many integrations it is remembered which secret worked.
const MAX_INTEGRATIONS: u64 = 10_000;

/// An integration as it was at its last change: another secret may work after the next one.
type Version = (Uuid, OffsetDateTime);

/// Which secret of an integration worked last, if not its first.
#[derive(Clone)]
pub(super) struct Working(Cache<Version, usize>);

// === impl OAuthClient ===

impl OAuthClient {
    /// Makes a request with one client secret after the other, until the provider does not refuse the client. It begins with
    /// the secret that worked last. Each request has all the time of a request: a
    /// lease lasts as long as the work under it.
    pub(super) async fn with_secrets<'a, T, F>(
        &self,
        registration: Registration<'a>,
        request: impl Fn(Option<&'a SecretString>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let secrets = secrets(registration);
        if secrets.len() < 2 {
            return request(secrets.first().copied()).await;
        }
        let integration = registration.integration;
        let version = (integration.row_id, integration.update_time);
        let last = self.working.0.get(&version).await.unwrap_or_default();
        let mut refused = None;
        for tried in 0..secrets.len() {
            let index = (last + tried) % secrets.len();
            match request(secrets.get(index).copied()).await {
                Err(failure) if failure.may_be_of_client() => refused = refused.or(Some(failure)),
                done => {
                    if tried > 0 && proves_client(&done) {
                        tracing::info!(integration = %integration.id, "another client secret works than the one before");
                        self.working.0.insert(version, index).await;
                    }
                    return done;
                }
            }
        }
        // What it said to the secret that should have worked.
        Err(refused.unwrap_or(Failure::Unauthorized))
    }
}

/// The secrets that a request may use, each once.
fn secrets(registration: Registration<'_>) -> Vec<&SecretString> {
    use crate::model::ExposeSecret as _;
    let mut secrets: Vec<&SecretString> = Vec::new();
    if matches!(
        registration.provider.auth_method(),
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost
    ) {
        for secret in registration.integration.client_secrets() {
            if !secrets.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
                secrets.push(secret);
            }
        }
    }
    secrets
}

/// Whether the answer shows that the provider knew the client.
fn proves_client<T>(done: &Result<T, Failure>) -> bool {
    matches!(done, Ok(_) | Err(Failure::Refused { .. }))
}

// === impl Working ===

impl Default for Working {
    fn default() -> Self {
        Self(Cache::new(MAX_INTEGRATIONS))
    }
}

impl std::fmt::Debug for Working {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Working").field(&self.0.entry_count()).finish()
    }
}
