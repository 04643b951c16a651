//! Refreshes that failed, and may succeed later.

use time::OffsetDateTime;

/// Why a refresh failed that may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The network, a time-out, a server error, a rate limit.
    ProviderUnavailable,
    /// An answer that is no token response.
    ProviderResponseInvalid,
    /// The client was refused, or the request was, but not the grant.
    ClientRejected,
}

/// Refreshes that have failed since the last one that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshFailure {
    /// Why, the last time.
    pub kind: FailureKind,
    /// The provider's error then (RFC 6749, section 5.2), if that was why.
    pub oauth_error: Option<String>,
    /// How many.
    pub count: i64,
    /// Since when.
    pub since: OffsetDateTime,
    /// The provider is not asked again before.
    pub retry_time: OffsetDateTime,
}

impl FailureKind {
    const ALL: [Self; 3] = [Self::ProviderUnavailable, Self::ProviderResponseInvalid, Self::ClientRejected];

    /// Its name: that of the `ErrorReason` that callers get.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Self::ProviderResponseInvalid => "PROVIDER_RESPONSE_INVALID",
            Self::ClientRejected => "CLIENT_REJECTED",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}
