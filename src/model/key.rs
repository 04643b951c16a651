//! API keys and what they permit.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Caller, Error, Identity, ProjectId, Random, Result, project::check_display_name, random::token};

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Begin flows.
    Begin,
    /// Complete flows.
    Complete,
    /// Read connections without credentials, and the catalog.
    Read,
    /// Read connections with credentials.
    ReadCredentials,
    /// Change and delete connections.
    Write,
    /// Manage integrations.
    Integrations,
    /// Manage the project's settings and API keys.
    ProjectAdmin,
    /// Create and list projects.
    InstanceAdmin,
}

/// Backend or frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// For backends: `tw_sk_...`.
    Secret,
    /// For frontends: `tw_pk_...`. May only Begin.
    Publishable,
}

/// An API key without its secret, of which only a digest is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key's id.
    pub id: Uuid,
    /// The project that it selects.
    pub project_id: ProjectId,
    /// Its name for people.
    pub display_name: String,
    /// Its kind.
    pub kind: KeyKind,
    /// What it may do, sorted.
    pub permissions: Vec<Permission>,
    /// The first characters of the secret.
    pub prefix: String,
    /// When it was created.
    pub create_time: OffsetDateTime,
    /// When it expires.
    pub expire_time: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoke_time: Option<OffsetDateTime>,
}

// === impl Permission ===

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 8] = [
        Self::Begin,
        Self::Complete,
        Self::Read,
        Self::ReadCredentials,
        Self::Write,
        Self::Integrations,
        Self::ProjectAdmin,
        Self::InstanceAdmin,
    ];

    /// Everything in one project.
    pub const PROJECT: [Self; 7] = [
        Self::Begin,
        Self::Complete,
        Self::Read,
        Self::ReadCredentials,
        Self::Write,
        Self::Integrations,
        Self::ProjectAdmin,
    ];

    /// The permission's name, on the command line and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Complete => "complete",
            Self::Read => "read",
            Self::ReadCredentials => "read_credentials",
            Self::Write => "write",
            Self::Integrations => "integrations",
            Self::ProjectAdmin => "project_admin",
            Self::InstanceAdmin => "instance_admin",
        }
    }

    /// The permission of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == name)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl KeyKind ===

impl KeyKind {
    /// How secrets of this kind begin.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Secret => "tw_sk_",
            Self::Publishable => "tw_pk_",
        }
    }
}

// === impl ApiKey ===

impl ApiKey {
    /// Makes a key and its secret, which is nowhere else.
    pub fn generate(
        random: &dyn Random,
        now: OffsetDateTime,
        project_id: ProjectId,
        display_name: String,
        kind: KeyKind,
        mut permissions: Vec<Permission>,
        expire_time: Option<OffsetDateTime>,
    ) -> Result<(Self, SecretString)> {
        permissions.sort_unstable();
        permissions.dedup();
        if kind == KeyKind::Publishable && permissions.iter().any(|p| *p != Permission::Begin) {
            return Err(Error::field(
                "permissions",
                "hold more than `begin`: a publishable key can have no other",
            ));
        }
        if permissions.is_empty() {
            return Err(Error::field("permissions", "are empty: name at least one"));
        }
        check_display_name(&display_name)?;
        if expire_time.is_some_and(|time| time <= now) {
            return Err(Error::field("expire_time", "is in the past"));
        }
        let secret: SecretString = format!("{}{}", kind.prefix(), token(random)?.expose_secret()).into();
        let key = Self {
            id: super::uuid_v7(random, now)?,
            project_id,
            display_name,
            kind,
            permissions,
            prefix: secret.expose_secret().chars().take(kind.prefix().len() + 4).collect(),
            create_time: now,
            expire_time,
            revoke_time: None,
        };
        Ok((key, secret))
    }

    /// Says who calls with this key, if it still counts.
    pub fn verify(self, now: OffsetDateTime) -> Result<Caller> {
        let expired = self.expire_time.is_some_and(|time| time <= now);
        if expired || self.revoke_time.is_some() {
            return Err(Error::ApiKeyInvalid);
        }
        let identity = Identity::Key(self.id);
        Ok(Caller::new((self.project_id, self.permissions), self.kind, identity, self.expire_time))
    }
}

/// SHA-256, as lower-case hex: how keys, states and other high-entropy tokens are stored and found.
#[must_use]
pub fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}
