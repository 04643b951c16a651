//! How token requests and responses differ from RFC 6749, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::provider::path::Path;

/// How a client authenticates at the token endpoint (names of RFC 8414 and of the IANA registry that it names).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// In the request's body (RFC 6749, section 2.3.1).
    #[default]
    ClientSecretPost,
    /// By HTTP Basic (RFC 6749, section 2.3.1).
    ClientSecretBasic,
    /// Not at all: a public client.
    None,
    /// By an assertion that the integration's key signs (RFC 7523, section 2.2).
    PrivateKeyJwt,
    /// By the integration's certificate (RFC 8705, section 2.1).
    TlsClientAuth,
}

/// How an `id_token` is signed (RFC 7518, section 3.1; RFC 8037, section 3.1). `none` is no signature, and so not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// RSA (PKCS #1 v1.5) with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// The same with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// The same with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSA (PSS) with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// The same with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// The same with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// HMAC with SHA-256 under the client secret.
    #[serde(rename = "HS256")]
    Hs256,
}

/// The body of token requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded`.
    #[default]
    Form,
    /// `application/json`: one object of texts.
    Json,
}

/// How OAuth 1.0a requests are signed (RFC 5849, section 3.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SignatureMethod {
    /// RFC 5849, section 3.4.2.
    #[default]
    #[serde(rename = "HMAC-SHA1")]
    HmacSha1,
    /// The same with SHA-256.
    #[serde(rename = "HMAC-SHA256")]
    HmacSha256,
    /// RFC 5849, section 3.4.4.
    #[serde(rename = "PLAINTEXT")]
    Plaintext,
}

/// The unit of lifetimes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExpiresInUnit {
    /// As RFC 6749 has it.
    #[default]
    Seconds,
    /// A thousandth of it.
    Milliseconds,
}

/// Where things are in token responses. What is left out is where RFC 6749 has it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenResponse {
    /// The object that holds the members.
    #[schemars(with = "Option<String>")]
    pub path: Option<Path>,
    /// Where the access token is.
    #[schemars(with = "Option<String>")]
    pub access_token: Option<Path>,
    /// Where the refresh token is.
    #[schemars(with = "Option<String>")]
    pub refresh_token: Option<Path>,
    /// Where the lifetime is.
    #[schemars(with = "Option<String>")]
    pub expires_in: Option<Path>,
    /// The unit of lifetimes.
    pub expires_in_unit: ExpiresInUnit,
    /// An absolute time of expiry: Unix seconds or milliseconds, or RFC 3339.
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Path>,
    /// Where the refresh token's lifetime is.
    #[schemars(with = "Option<String>")]
    pub refresh_token_expires_in: Option<Path>,
    /// An absolute time of the refresh token's expiry.
    #[schemars(with = "Option<String>")]
    pub refresh_token_expires_at: Option<Path>,
    /// Where the scopes are.
    #[schemars(with = "Option<String>")]
    pub scope: Option<Path>,
    /// The type to hand out, whatever the answer says.
    pub token_type: Option<String>,
}

/// Where errors are in token responses.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenError {
    /// Where the error's code is, if not at `error`.
    #[schemars(with = "Option<String>")]
    pub code: Option<Path>,
    /// Values at that path that mean success.
    pub success: Vec<String>,
    /// Where the words for people are.
    #[schemars(with = "Option<String>")]
    pub description: Option<Path>,
}

/// The names of grant types, for the schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum GrantTypeName {
    AuthorizationCode,
    ClientCredentials,
    Oauth1,
    ApiKey,
    Basic,
}

// === impl SigningAlgorithm ===

impl SigningAlgorithm {
    /// Those of key pairs: what an entry allows that names none.
    pub(in crate::provider) const OF_KEY_PAIRS: [Self; 9] = [
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

    /// Its name, as in the header of a JWT.
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
            Self::Hs256 => "HS256",
        }
    }
}
