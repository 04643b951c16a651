//! How connections are made.

use std::fmt;

use serde::Deserialize;

/// How a connection is made, and so what its credentials are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// An end user consents in a browser (RFC 6749, section 4.1).
    AuthorizationCode,
    /// A client speaks for itself (RFC 6749, section 4.4).
    ClientCredentials,
    /// An end user consents in a browser (RFC 5849).
    #[serde(rename = "oauth1")]
    OAuth1,
    /// A key that the provider has issued to the end user.
    ApiKey,
    /// A user name and a password (RFC 7617).
    Basic,
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AuthorizationCode, Self::ClientCredentials, Self::OAuth1, Self::ApiKey, Self::Basic];

    /// Its name in the catalog and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::OAuth1 => "oauth1",
            Self::ApiKey => "api_key",
            Self::Basic => "basic",
        }
    }

    /// The grant type of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant_type| grant_type.as_str() == name)
    }

    /// Whether its credentials are tokens of OAuth 2.0.
    #[must_use]
    pub fn is_oauth(self) -> bool {
        matches!(self, Self::AuthorizationCode | Self::ClientCredentials)
    }

    /// Whether it begins in a browser.
    #[must_use]
    pub fn has_browser(self) -> bool {
        matches!(self, Self::AuthorizationCode | Self::OAuth1)
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
