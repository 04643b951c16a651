//! Who calls, and by what that was shown.

use std::{collections::HashMap, fmt};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, KeyKind, Permission, ProjectId, Result};

/// What somebody has shown to be theirs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// An API key, by its id.
    Key(Uuid),
    /// A certificate's SPIFFE ID: `spiffe://trust-domain/path`.
    Spiffe(String),
    /// A certificate's DNS name, in lower case.
    Dns(String),
    /// A token's issuer and subject.
    Token {
        /// Its `iss`.
        issuer: String,
        /// Its `sub`.
        subject: String,
    },
}

/// Who calls: proof that an API key, a certificate or a token was verified.
#[derive(Debug, Clone)]
pub struct Caller {
    project_id: ProjectId,
    permissions: Vec<Permission>,
    kind: KeyKind,
    identity: Identity,
    expire_time: Option<OffsetDateTime>,
}

/// A backend that the operator has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCaller {
    /// Its name for people.
    pub display_name: String,
    /// What it has to show.
    pub identity: Identity,
    /// The project that it selects.
    pub project_id: ProjectId,
    /// What it may do.
    pub permissions: Vec<Permission>,
}

/// How an issuer may sign. Nothing symmetric: who verifies must not be able to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSA (PSS) with SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// Whose tokens are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its name: the `iss` of its tokens, to the letter.
    pub issuer: String,
    /// What the `aud` of its tokens must name.
    pub audience: String,
    /// Where its keys are, if its metadata is not to say that.
    pub jwks_uri: Option<String>,
    /// How it may sign.
    pub algorithms: Vec<TokenAlgorithm>,
    /// Further certificate authorities for the way to it, PEM.
    pub authorities: Option<Vec<u8>>,
    /// Whether it may be in a private network.
    pub allow_private_addresses: bool,
}

/// The callers that the operator has named, by what they show.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    named: HashMap<Identity, NamedCaller>,
    issuers: Vec<Issuer>,
}

// === impl Identity ===

impl Identity {
    /// A certificate's DNS name.
    #[must_use]
    pub fn dns(name: &str) -> Self {
        Self::Dns(name.to_ascii_lowercase())
    }

    /// A SPIFFE ID, if this is one (SPIFFE-ID, section 2).
    #[must_use]
    pub fn spiffe(id: &str) -> Option<Self> {
        const MAX_BYTES: usize = 2048;
        const MAX_DOMAIN_BYTES: usize = 255;
        let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        let any = |byte: u8| byte.is_ascii_uppercase() || lower(byte);
        let fits = |segment: &str| !["", ".", ".."].contains(&segment) && segment.bytes().all(any);
        let valid = (1..=MAX_DOMAIN_BYTES).contains(&domain.len())
            && domain.bytes().all(lower)
            && path.split('/').all(fits)
            && id.len() <= MAX_BYTES;
        valid.then(|| Self::Spiffe(id.to_owned()))
    }
}

/// As an audit log shows it: `key:<uuid>`, `spiffe://...`, `dns:<name>` or `jwt:<issuer>#<subject>`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Spiffe(id) => f.write_str(id),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Token { issuer, subject } => write!(f, "jwt:{issuer}#{subject}"),
        }
    }
}

// === impl Caller ===

impl Caller {
    pub(super) fn new(
        (project_id, permissions): (ProjectId, Vec<Permission>),
        kind: KeyKind,
        identity: Identity,
        expire_time: Option<OffsetDateTime>,
    ) -> Self {
        Self { project_id, permissions, kind, identity, expire_time }
    }

    /// The project that the call is about.
    #[must_use]
    pub fn project_id(&self) -> &ProjectId {
        &self.project_id
    }

    /// What it has shown.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Backend or frontend.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// When what it has shown ends, if that is known.
    #[must_use]
    pub fn expire_time(&self) -> Option<OffsetDateTime> {
        self.expire_time
    }

    /// Refuses a call that the caller may not make.
    pub fn require(&self, permission: Permission) -> Result<()> {
        if self.permissions.contains(&permission) {
            Ok(())
        } else {
            Err(Error::PermissionMissing(permission))
        }
    }
}

// === impl NamedCaller ===

impl NamedCaller {
    /// Says that it calls: its certificate or token was verified, and counts until then.
    #[must_use]
    pub fn caller(&self, expire_time: Option<OffsetDateTime>) -> Caller {
        let may = (self.project_id.clone(), self.permissions.clone());
        Caller::new(may, KeyKind::Secret, self.identity.clone(), expire_time)
    }
}

// === impl TokenAlgorithm ===

impl TokenAlgorithm {
    /// All that there are.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// What an issuer may use if nothing is said.
    pub const DEFAULT: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// Its name (RFC 7518, section 3.1; RFC 8037, section 3.1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

// === impl Callers ===

impl Callers {
    /// These, of whom no two show the same.
    #[must_use]
    pub fn new(callers: Vec<NamedCaller>, issuers: Vec<Issuer>) -> Self {
        let named = callers.into_iter().map(|caller| (caller.identity.clone(), caller)).collect();
        Self { named, issuers }
    }

    /// Who shows this.
    #[must_use]
    pub fn find(&self, identity: &Identity) -> Option<&NamedCaller> {
        self.named.get(identity)
    }

    /// Who shows these names, which are of one certificate. If they are those of several, nobody knows which it is.
    #[must_use]
    pub fn find_one(&self, names: &[Identity]) -> Option<&NamedCaller> {
        let mut found = names.iter().filter_map(|name| self.find(name));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// Whose tokens are believed.
    #[must_use]
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.named.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_is_one_to_the_letter() {
        for good in ["spiffe://td/a", "spiffe://acme.example/ns/prod/sa/billing", "spiffe://t-d_1/A.b-c_d"] {
            assert_eq!(Identity::spiffe(good).unwrap().to_string(), good);
        }
        let long = format!("spiffe://td/{}", "a".repeat(2048));
        let long_domain = format!("spiffe://{}/a", "a".repeat(256));
        for bad in [
            "",
            "spiffe://",
            "spiffe:///a",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://td/a/",
            "spiffe://td//a",
            "spiffe://td/./a",
            "spiffe://td/a/..",
            "spiffe://td/a?b",
            "spiffe://td/a#b",
            "spiffe://td/a%62",
            "spiffe://td/*",
            "spiffe://td/ä",
            "spiffe://td/a b",
            "spiffe://TD/a",
            "spiffe://td:1/a",
            "spiffe://u@td/a",
            "SPIFFE://td/a",
            "https://td/a",
            &long,
            &long_domain,
        ] {
            assert_eq!(Identity::spiffe(bad), None, "{bad}");
        }
    }

    #[test]
    fn identities_are_shown_by_their_kind() {
        let key = Identity::Key(Uuid::nil());
        assert_eq!(key.to_string(), "key:00000000-0000-0000-0000-000000000000");
        assert_eq!(Identity::dns("Billing.Example").to_string(), "dns:billing.example");
        let token = Identity::Token { issuer: "https://id.example".to_owned(), subject: "ada".to_owned() };
        assert_eq!(token.to_string(), "jwt:https://id.example#ada");
    }

    #[test]
    fn a_certificate_of_two_callers_is_nobodys() {
        let named = |identity: Identity, name: &str| NamedCaller {
            display_name: name.to_owned(),
            identity,
            project_id: ProjectId::stored("default".to_owned()),
            permissions: vec![Permission::Read],
        };
        let (spiffe, dns) = (Identity::spiffe("spiffe://td/a").unwrap(), Identity::dns("a.example"));
        let callers = Callers::new(vec![named(spiffe.clone(), "one"), named(dns.clone(), "two")], Vec::new());
        let found = |names: &[Identity]| callers.find_one(names).map(|it| it.display_name.as_str());
        let other = Identity::dns("other.example");
        assert_eq!(found(&[spiffe.clone(), other.clone()]), Some("one"));
        assert_eq!(found(&[other.clone(), dns.clone(), dns.clone()]), Some("two"));
        assert_eq!(found(&[spiffe, dns]), None);
        assert_eq!((found(&[other]), found(&[])), (None, None));
    }
}
