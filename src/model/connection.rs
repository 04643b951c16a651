//! Connections: end users' grants.

use secrecy::SecretString;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    ConnectionId, GrantType, IntegrationId, Metadata, Notice, ProjectId, ProviderId, RefreshFailure,
    SecretMap, StringMap,
};

/// How long an access token must still be valid if the caller does not say.
pub const DEFAULT_MIN_TTL: Duration = Duration::seconds(60);
/// The longest validity that a caller may ask for.
pub const MAX_MIN_TTL: Duration = Duration::hours(1);

/// Whether a connection's credentials are usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// They work, as far as we know.
    Active,
    /// They work as long as they last: what the provider answers to a refresh has made no sense for so long that somebody should
    /// look.
    NeedsAttention,
    /// The grant is gone.
    NeedsReauthorization,
}

/// Why a grant is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReauthorizationReason {
    /// The provider refused the refresh token: it was revoked, or has expired.
    GrantRefused,
    /// The provider refused the refresh token, and an earlier refresh with it had no clear answer: it may have been replaced
    /// by one that never arrived.
    RotationLost,
    /// The provider wants to see the end user: to sign in, to consent, to choose.
    InteractionRequired,
    /// The provider refused the client of the end user's own.
    ClientRefused,
    /// The credentials have expired, and nothing can renew them.
    CredentialsExpired,
}

/// One end user's grant through one integration, without credentials.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// The row.
    pub row_id: Uuid,
    /// The project that it belongs to.
    pub project_id: ProjectId,
    /// The row of its integration.
    pub integration_row_id: Uuid,
    /// Its integration.
    pub integration_id: IntegrationId,
    /// Its id in the integration.
    pub id: ConnectionId,
    /// The provider.
    pub provider_id: ProviderId,
    /// How it was made, and so what its credentials are.
    pub grant_type: GrantType,
    /// Whether its credentials are usable.
    pub state: ConnectionState,
    /// Why they are not.
    pub reason: Option<ReauthorizationReason>,
    /// The refreshes that have failed since the last one that did not.
    pub failure: Option<RefreshFailure>,
    /// Config, given and captured, but for its secrets.
    pub config: StringMap,
    /// The version of the config.
    pub config_version: i64,
    /// The caller's own object.
    pub metadata: Metadata,
    /// The version of the metadata.
    pub metadata_version: i64,
    /// The scopes granted, or asked for if the provider did not say.
    pub granted_scopes: Vec<String>,
    /// The scopes that its flow asked for, in the spelling of the provider's answers. Empty: nobody knows.
    pub requested_scopes: Vec<String>,
    /// When its refresh token expires, if that is known.
    pub refresh_token_expire_time: Option<OffsetDateTime>,
    /// When it is told that what can be renewed ends.
    pub notice: Option<Notice>,
    /// When it was first made.
    pub create_time: OffsetDateTime,
    /// When config, metadata, state or grant last changed.
    pub update_time: OffsetDateTime,
    /// When its credentials were last obtained.
    pub refresh_time: OffsetDateTime,
}

/// A connection's credentials as stored, and where its refreshes stand.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The tokens.
    pub tokens: TokenSet,
    /// What else is secret.
    pub secrets: Secrets,
    /// Counts grants, leases and refreshes: whoever ends a lease names the one that it began with.
    pub epoch: i64,
    /// Counts the token sets: whoever writes one names the one that it replaces.
    pub generation: i64,
}

/// Tokens as a provider issued them.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// The access token (RFC 6749, section 1.4).
    pub access_token: SecretString,
    /// How to use it (RFC 6749, section 7.1).
    pub token_type: String,
    /// When it expires.
    pub expire_time: Option<OffsetDateTime>,
    /// The refresh token (RFC 6749, section 1.5).
    pub refresh_token: Option<SecretString>,
    /// When the refresh token expires, if the provider said so.
    pub refresh_token_expire_time: Option<OffsetDateTime>,
}

/// What a connection holds beside its tokens.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// Config that the provider's entry calls secret.
    pub config: SecretMap,
    /// The client of a client credentials grant, if it is not the integration's.
    pub client: Option<OwnClient>,
    /// Client credentials: the scopes that are asked for. What is granted may be named otherwise.
    pub asked_scopes: Vec<String>,
    /// OAuth 1.0a: the shared secret of the token.
    pub token_secret: Option<SecretString>,
    /// HTTP Basic: the user name. The password is the access token.
    pub username: Option<SecretString>,
}

/// An OAuth client of the end user's own.
#[derive(Debug, Clone)]
pub struct OwnClient {
    /// The `client_id`.
    pub client_id: String,
    /// The `client_secret`.
    pub client_secret: SecretString,
}

impl ReauthorizationReason {
    const ALL: [Self; 5] = [
        Self::GrantRefused,
        Self::RotationLost,
        Self::InteractionRequired,
        Self::ClientRefused,
        Self::CredentialsExpired,
    ];

    /// Its name, as in events and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GrantRefused => "GRANT_REFUSED",
            Self::RotationLost => "ROTATION_LOST",
            Self::InteractionRequired => "INTERACTION_REQUIRED",
            Self::ClientRefused => "CLIENT_REFUSED",
            Self::CredentialsExpired => "CREDENTIALS_EXPIRED",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// The same in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::GrantRefused => "the provider refused to renew it",
            Self::RotationLost => "its refresh token was replaced by one that never arrived",
            Self::InteractionRequired => "the provider wants to see the end user",
            Self::ClientRefused => "the provider refused the connection's own client",
            Self::CredentialsExpired => {
                "its credentials have expired or were refused, and nothing can renew them"
            }
        }
    }
}

impl Credentials {
    /// Whether a new token can be had without the end user.
    #[must_use]
    pub fn renewable(&self, grant_type: GrantType) -> bool {
        grant_type == GrantType::ClientCredentials || self.tokens.refresh_token.is_some()
    }
}

impl Connection {
    /// What finds it.
    #[must_use]
    pub fn name(&self) -> (&ProjectId, &IntegrationId, &ConnectionId) {
        (&self.project_id, &self.integration_id, &self.id)
    }

    /// The scopes that were asked for and are not among those granted.
    #[must_use]
    pub fn missing_scopes(&self) -> Vec<String> {
        let granted =
            |asked: &&String| self.granted_scopes.iter().any(|granted| is_same_scope(asked, granted));
        self.requested_scopes.iter().filter(|asked| !granted(asked)).cloned().collect()
    }

    /// The version of the metadata, as callers see it.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.metadata_version)
    }
}

/// Whether two names are of one scope: some providers put the address of the API in front of one of the two, and some do not
/// keep to the case.
fn is_same_scope(asked: &str, granted: &str) -> bool {
    let (asked, granted) = (asked.to_ascii_lowercase(), granted.to_ascii_lowercase());
    let with_address = |long: &str, short: &str| {
        long.starts_with("https://") && long.strip_suffix(short).is_some_and(|rest| rest.ends_with('/'))
    };
    asked == granted || with_address(&asked, &granted) || with_address(&granted, &asked)
}

/// A version of metadata, as callers see it.
#[must_use]
pub fn etag(version: i64) -> String {
    format!("m{version}")
}

impl TokenSet {
    /// Whether the access token may be handed out to somebody who needs it for `min_ttl`.
    ///
    /// A token of a provider that issues shorter ones than that counts while a tenth of its life, as far as `refreshed`
    /// tells it, is left; otherwise every Get would refresh.
    #[must_use]
    pub fn valid_for(&self, min_ttl: Duration, refreshed: OffsetDateTime, now: OffsetDateTime) -> bool {
        let Some(expire_time) = self.expire_time else { return true };
        let life = expire_time - refreshed;
        let needed = if life <= min_ttl { life / 10 } else { min_ttl };
        expire_time - now > needed
    }

    /// Whether the last fifth of the access token's life, as far as `refreshed` tells it, has begun: still good to hand out,
    /// but time to get the next one.
    #[must_use]
    pub fn in_last_stretch(&self, refreshed: OffsetDateTime, now: OffsetDateTime) -> bool {
        self.expire_time.is_some_and(|expire_time| expire_time - now <= (expire_time - refreshed) / 5)
    }

    /// Whether the access token has any time left.
    #[must_use]
    pub fn valid(&self, now: OffsetDateTime) -> bool {
        self.expire_time.is_none_or(|expire_time| expire_time > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lived_tokens_are_not_refreshed_by_every_get() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let tokens = |life: i64| TokenSet {
            access_token: "a".into(),
            token_type: "Bearer".to_owned(),
            expire_time: Some(start + Duration::seconds(life)),
            refresh_token: None,
            refresh_token_expire_time: None,
        };
        let at = |seconds: i64| start + Duration::seconds(seconds);
        let valid = |life, now| tokens(life).valid_for(DEFAULT_MIN_TTL, start, at(now));
        assert!(valid(3600, 3539));
        assert!(!valid(3600, 3540));
        assert!(valid(30, 0));
        assert!(valid(30, 26));
        assert!(!valid(30, 27));
        assert!(!valid(30, 30));
    }

    #[test]
    fn a_scope_is_the_same_with_its_address_and_in_any_case() {
        for (asked, granted, same) in [
            ("Mail.Read", "https://graph.microsoft.com/Mail.Read", true),
            ("https://graph.microsoft.com/Mail.Read", "mail.read", true),
            ("read", "READ", true),
            ("read", "write", false),
            ("read", "https://acme.com/thread", false),
            ("read", "spread", false),
            ("read", "crm/read", false),
            ("read", "", false),
        ] {
            assert_eq!(is_same_scope(asked, granted), same, "{asked} {granted}");
        }
    }
}
