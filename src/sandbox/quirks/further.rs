//! What is no OAuth 2.0: OpenID Connect, OAuth 1.0a, and APIs that a token or a key opens.

use serde_json::{Map, Value};

/// OpenID Connect, as far as a relying party sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIdQuirks {
    /// The issuer, whose path leads to its configuration. `{host}` stands for the request's `Host`. The endpoints that the
    /// configuration names are on that host, too.
    pub issuer: String,
    /// Whether an id token comes without the scope `openid`, too.
    pub always: bool,
    /// Whether an authorization request without a `nonce` is refused.
    pub nonce_required: bool,
    /// Where the key is that id tokens are signed with.
    pub keys_path: String,
    /// Whether id tokens are signed with the client's secret instead (`HS256`).
    pub signs_with_secret: bool,
    /// Further claims of id tokens. They replace those that are always there.
    pub claims: Map<String, Value>,
}

/// OAuth 1.0a in the place of OAuth 2.0. The token endpoint then turns request tokens into access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth1Quirks {
    /// Where request tokens are given.
    pub request_token_path: String,
    /// How requests are signed. Other signatures are refused.
    pub signature_method: SignatureMethod,
}

/// How a request is signed (RFC 5849, section 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureMethod {
    /// `HMAC-SHA1`.
    #[default]
    HmacSha1,
    /// `HMAC-SHA256`.
    HmacSha256,
    /// `PLAINTEXT`.
    Plaintext,
}

/// An answer of an API, and what a request for it has to hold. In a value, `{access_token}` stands for any access token that
/// is alive, and `{refresh_token}` for any refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceQuirks {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// Parameters of the query. There may be others.
    pub params: Vec<(String, String)>,
    /// Headers, by their names in lower case. There may be others.
    pub headers: Vec<(String, String)>,
    /// What the credentials of HTTP Basic decode to, such as `ada@example.com/token:{access_token}`.
    pub basic: Option<String>,
    /// The JSON body.
    pub body: Option<Value>,
    /// The members of the JSON body, if that is an object of texts: these and no others.
    pub json: Vec<(String, String)>,
    /// The fields of the body, if that is a form: these and no others.
    pub form: Vec<(String, String)>,
    /// Whether it ends the grant of the token that it holds.
    pub revokes: bool,
    /// The answer. A request that lacks something of the above is answered 401.
    pub answer: Value,
}

// === impl OpenIdQuirks ===

impl Default for OpenIdQuirks {
    fn default() -> Self {
        Self {
            issuer: "https://{host}".to_owned(),
            always: false,
            nonce_required: false,
            keys_path: "/.well-known/jwks.json".to_owned(),
            signs_with_secret: false,
            claims: Map::new(),
        }
    }
}

// === impl ResourceQuirks ===

impl Default for ResourceQuirks {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/resource".to_owned(),
            params: Vec::new(),
            headers: Vec::new(),
            basic: None,
            body: None,
            json: Vec::new(),
            form: Vec::new(),
            revokes: false,
            answer: Value::Object(Map::new()),
        }
    }
}

// === impl OAuth1Quirks ===

impl Default for OAuth1Quirks {
    fn default() -> Self {
        Self { request_token_path: "/request_token".to_owned(), signature_method: SignatureMethod::HmacSha1 }
    }
}

// === impl SignatureMethod ===

impl SignatureMethod {
    /// Its name on the wire.
    pub(in crate::sandbox) fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "HMAC-SHA1",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::Plaintext => "PLAINTEXT",
        }
    }
}
