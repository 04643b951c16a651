//! Integrations: OAuth apps registered at providers.

use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, FieldViolation, IntegrationId, OwnClient, ProjectId, ProviderId, Result};

const MAX_PEM_BYTES: usize = 32 * 1024;
const MAX_SECRET_BYTES: usize = 8192;
/// How many secrets there may be beside the first.
const MAX_FURTHER_SECRETS: usize = 3;
const KEY_LABELS: [&str; 2] = ["PRIVATE KEY", "RSA PRIVATE KEY"];
const NO_KEY: &str = "is no private key: expected unencrypted PEM of an RSA or P-256 key in PKCS #8 (`BEGIN PRIVATE KEY`), at most 32 KiB";
const NO_CERTIFICATE: &str = "is no certificate: expected PEM, the client's first, at most 32 KiB";

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
    /// Secrets that are tried in this order where the provider refuses the client with that one, so that it can be replaced
    /// without an outage.
    pub further_client_secrets: Vec<SecretString>,
    /// The private key, PEM: for signed assertions (RFC 7523) and client certificates (RFC 8705).
    pub private_key: Option<SecretString>,
    /// The key's id (RFC 7515, section 4.1.4), as the provider knows it.
    pub private_key_id: Option<String>,
    /// The certificate of the key, and those between it and its root, PEM.
    pub certificate: Option<String>,
    /// Whether its provider may be in a private network.
    pub allow_private_addresses: bool,
    /// The scopes asked for by default.
    pub scopes: Vec<String>,
    /// The user scopes asked for by default.
    pub user_scopes: Vec<String>,
    /// Why the provider refuses the client, if it does.
    pub failure: Option<ClientFailure>,
    /// Whether its provider is left alone.
    pub breaker: Breaker,
    /// When it was created.
    pub create_time: OffsetDateTime,
    /// When it last changed.
    pub update_time: OffsetDateTime,
}

/// Whether a provider is left alone. By default it is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Until then, and after that until somebody has gone first.
    pub until: Option<OffsetDateTime>,
    /// How often in a row it had to be.
    pub pauses: i64,
    /// Somebody goes first, and has until then.
    pub probing: bool,
    /// It is left alone because it refused the client.
    pub of_client: bool,
}

/// A provider's refusal of a client: the integration's fault, not its connections'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFailure {
    /// The OAuth error (RFC 6749, section 5.2).
    pub code: String,
    /// Since when.
    pub since: OffsetDateTime,
}

/// A change of an integration: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct IntegrationUpdate {
    /// A new client id.
    pub client_id: Option<String>,
    /// A new client secret, or none.
    pub client_secret: Option<Option<SecretString>>,
    /// New further client secrets, in the place of all.
    pub further_client_secrets: Option<Vec<SecretString>>,
    /// A new private key, or none.
    pub private_key: Option<Option<SecretString>>,
    /// A new id of the key, or none.
    pub private_key_id: Option<Option<String>>,
    /// A new certificate, or none.
    pub certificate: Option<Option<String>>,
    /// Whether its provider may be in a private network.
    pub allow_private_addresses: Option<bool>,
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
        let too_long = |secret: &SecretString| secret.expose_secret().len() > MAX_SECRET_BYTES;
        if self.client_secret.as_ref().is_some_and(too_long) {
            bad.push(FieldViolation::new("client_secret", "is too long: expected at most 8,192 bytes"));
        }
        if let Some(problem) = self.further_problem() {
            bad.push(FieldViolation::new("further_client_secrets", problem));
        }
        if self.private_key.as_ref().is_some_and(|key| !is_pem(key.expose_secret(), &KEY_LABELS)) {
            bad.push(FieldViolation::new("client_private_key", NO_KEY));
        }
        if self.private_key_id.as_ref().is_some_and(|id| id.len() > 256 || !printable(id)) {
            bad.push(FieldViolation::new(
                "client_private_key_id",
                "is malformed: expected at most 256 printable ASCII characters",
            ));
        }
        if self.certificate.as_ref().is_some_and(|certificate| !is_pem(certificate, &["CERTIFICATE"])) {
            bad.push(FieldViolation::new("client_certificate", NO_CERTIFICATE));
        }
        for (field, scopes) in [("scopes", &self.scopes), ("user_scopes", &self.user_scopes)] {
            if let Err(problem) = check_scopes(scopes) {
                bad.push(FieldViolation::new(field, problem));
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(Error::FieldInvalid(bad)) }
    }

    fn further_problem(&self) -> Option<&'static str> {
        let further = &self.further_client_secrets;
        let unfit = |secret: &SecretString| {
            let secret = secret.expose_secret();
            secret.is_empty() || secret.len() > MAX_SECRET_BYTES
        };
        if further.len() > MAX_FURTHER_SECRETS {
            return Some("are too many: expected at most 3");
        }
        if further.iter().any(unfit) {
            return Some("are malformed: expected 1 to 8,192 bytes each");
        }
        let orphaned = self.client_secret.is_none() && !further.is_empty();
        orphaned.then_some("are there without a `client_secret`: set that one first, or remove these, too")
    }

    /// The client secrets, in the order in which they are tried.
    pub fn client_secrets(&self) -> impl Iterator<Item = &SecretString> {
        self.client_secret.iter().chain(&self.further_client_secrets)
    }

    /// The same app, as another client.
    #[must_use]
    pub fn with_client(mut self, client: &OwnClient) -> Self {
        self.client_id.clone_from(&client.client_id);
        self.client_secret = Some(client.client_secret.clone());
        self.further_client_secrets = Vec::new();
        self
    }

    /// The integration after a change.
    #[must_use]
    pub fn updated(mut self, update: IntegrationUpdate, now: OffsetDateTime) -> Self {
        self.client_id = update.client_id.unwrap_or(self.client_id);
        self.client_secret = update.client_secret.unwrap_or(self.client_secret);
        self.further_client_secrets = update.further_client_secrets.unwrap_or(self.further_client_secrets);
        self.private_key = update.private_key.unwrap_or(self.private_key);
        self.private_key_id = update.private_key_id.unwrap_or(self.private_key_id);
        self.certificate = update.certificate.unwrap_or(self.certificate);
        self.allow_private_addresses = update.allow_private_addresses.unwrap_or(self.allow_private_addresses);
        self.scopes = update.scopes.unwrap_or(self.scopes);
        self.user_scopes = update.user_scopes.unwrap_or(self.user_scopes);
        // What was wrong may be right now.
        (self.failure, self.breaker) = (None, Breaker::default());
        self.update_time = now;
        self
    }
}

/// Whether this is one or more PEM blocks (RFC 7468) with these labels, and no other.
fn is_pem(text: &str, kinds: &[&str]) -> bool {
    let ascii = text.bytes().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
    let labels: Vec<_> = text.lines().filter(|line| line.starts_with("-----BEGIN ")).collect();
    let of_kind = |line: &&str| kinds.iter().any(|kind| line.trim_end() == format!("-----BEGIN {kind}-----"));
    ascii && text.len() <= MAX_PEM_BYTES && !labels.is_empty() && labels.iter().all(of_kind)
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
