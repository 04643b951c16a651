//! Refreshes that failed, and may succeed later.

use time::{Duration, OffsetDateTime};

/// How often a connection that needs attention is refreshed unasked, at the most.
pub const ATTENTION_PAUSE: Duration = Duration::days(1);
/// So many answers that nobody understands, over so long a time, are no accident.
const MANY: i64 = 20;
const LONG: Duration = Duration::hours(24);

/// Why a refresh failed that may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The network, a time-out, a server error, a rate limit.
    ProviderUnavailable,
    /// An answer that is no token response.
    ProviderResponseInvalid,
    /// Its host has no address that may be called.
    ProviderAddressRefused,
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
    /// Those among them whose answer nobody understands.
    pub unknown: Option<UnknownAnswers>,
}

/// Answers that say neither that the grant is gone nor that it is not: since the last refresh that succeeded. Those that are
/// understood, and providers that cannot be reached, neither count nor end the count: one that is away for a moment each day
/// would else never come to the end of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownAnswers {
    /// How many.
    pub count: i64,
    /// When the first came.
    pub since: OffsetDateTime,
}

impl UnknownAnswers {
    /// One more than those before.
    #[must_use]
    pub fn one_more(before: Option<Self>, now: OffsetDateTime) -> Self {
        let Self { count, since } = before.unwrap_or(Self { count: 0, since: now });
        Self { count: count + 1, since }
    }

    /// Whether they are so many, and have come for so long, that somebody should look.
    #[must_use]
    pub fn need_attention(self, now: OffsetDateTime) -> bool {
        self.count >= MANY && now - self.since >= LONG
    }
}

impl FailureKind {
    const ALL: [Self; 4] = [
        Self::ProviderUnavailable,
        Self::ProviderResponseInvalid,
        Self::ProviderAddressRefused,
        Self::ClientRejected,
    ];

    /// Its name: that of the `ErrorReason` that callers get.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Self::ProviderResponseInvalid => "PROVIDER_RESPONSE_INVALID",
            Self::ProviderAddressRefused => "PROVIDER_ADDRESS_REFUSED",
            Self::ClientRejected => "CLIENT_REJECTED",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}
