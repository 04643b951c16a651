//! Integrations: OAuth apps registered at providers.

use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, FieldViolation, IntegrationId, ProjectId, ProviderId, Result};

/// One OAuth app registered at a provider.
#[derive(Debug, Clone)]
pub struct Integration {
    /// The row.
    pub row_id: Uuid,
    /// The project that it belongs to.
    pub project_id: ProjectId,
    /// Its id in the project.
    pub id: IntegrationId,
    /// The provider.
    pub provider_id: ProviderId,
    /// The `client_id` (RFC 6749, section 2.2).
    pub client_id: String,
    /// The `client_secret` (RFC 6749, section 2.3.1). None for a public client.
    pub client_secret: Option<SecretString>,
    /// The scopes asked for by default.
    pub scopes: Vec<String>,
    /// The user scopes asked for by default.
    pub user_scopes: Vec<String>,
    /// When it was created.
    pub create_time: OffsetDateTime,
    /// When it last changed.
    pub update_time: OffsetDateTime,
}

/// A change of an integration: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct IntegrationUpdate {
    /// A new client id.
    pub client_id: Option<String>,
    /// A new client secret, or none.
    pub client_secret: Option<Option<SecretString>>,
    /// New default scopes.
    pub scopes: Option<Vec<String>>,
    /// New default user scopes.
    pub user_scopes: Option<Vec<String>>,
}

impl Integration {
    /// Checks what a caller may write.
    pub fn validate(&self) -> Result<()> {
        let mut bad = Vec::new();
        let printable = |value: &str| value.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if self.client_id.is_empty() || self.client_id.len() > 1024 || !printable(&self.client_id) {
            bad.push(FieldViolation::new(
                "client_id",
                "is malformed: expected 1 to 1,024 printable ASCII characters",
            ));
        }
        if self.client_secret.as_ref().is_some_and(|secret| secret.expose_secret().len() > 8192) {
            bad.push(FieldViolation::new("client_secret", "is too long: expected at most 8,192 bytes"));
        }
        for (field, scopes) in [("scopes", &self.scopes), ("user_scopes", &self.user_scopes)] {
            if let Err(problem) = check_scopes(scopes) {
                bad.push(FieldViolation::new(field, problem));
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(Error::FieldInvalid(bad)) }
    }

    /// The integration after a change.
    #[must_use]
    pub fn updated(mut self, update: IntegrationUpdate, now: OffsetDateTime) -> Self {
        self.client_id = update.client_id.unwrap_or(self.client_id);
        self.client_secret = update.client_secret.unwrap_or(self.client_secret);
        self.scopes = update.scopes.unwrap_or(self.scopes);
        self.user_scopes = update.user_scopes.unwrap_or(self.user_scopes);
        self.update_time = now;
        self
    }
}

/// A scope token is printable ASCII without space, quote and backslash (RFC 6749, section 3.3).
pub fn check_scopes(scopes: &[String]) -> Result<(), &'static str> {
    let token = |scope: &String| {
        !scope.is_empty()
            && scope.len() <= 512
            && scope.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\')
    };
    if scopes.len() > 200 {
        return Err("are too many: expected at most 200");
    }
    if !scopes.iter().all(token) {
        return Err(
            "are malformed: expected printable ASCII without spaces, `\"` and `\\` (RFC 6749, section 3.3)",
        );
    }
    Ok(())
}
