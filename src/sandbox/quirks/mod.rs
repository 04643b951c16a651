//! How real providers differ from the RFCs, as data.

mod exchange;
mod further;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use exchange::{AnswerFormat, AnswerQuirks, ErrorQuirks, Lifetime, RequestFormat, RequestQuirks};
pub use further::{OAuth1Quirks, OpenIdQuirks, ResourceQuirks, SignatureMethod};

/// Where the sandbox differs from the RFCs. The default is a strict server that does not.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a quirk of its own")]
pub struct Quirks {
    /// Where the consent page is. The paths begin with a slash. No two are the same, but that the token endpoint may be where
    /// the consent page is, or where request tokens are given.
    pub authorize_path: String,
    /// Where the token endpoint is.
    pub token_path: String,
    /// Where refresh tokens go, if not to the token endpoint. Neither then takes what is the other's.
    pub refresh_path: Option<String>,
    /// Where the revocation endpoint is, if there is one.
    pub revoke_path: Option<String>,
    /// Where the introspection endpoint is, if there is one.
    pub introspect_path: Option<String>,
    /// Where an access token can be tried.
    pub userinfo_path: String,

    /// Whether it is an https server, which its URLs then say. It is the front that speaks TLS, if one does.
    pub https: bool,

    /// How a client that is not public may authenticate.
    pub auth_methods: Vec<AuthMethod>,
    /// Whether a client presents its certificate besides.
    pub certificate_required: bool,
    /// Whether revocation demands that the client authenticates, as RFC 7009 has it.
    pub revoke_needs_client: bool,
    /// Whether refresh tokens can be revoked.
    pub revokes_refresh_tokens: bool,
    /// Whether access tokens can be revoked.
    pub revokes_access_tokens: bool,

    /// Whether an authorization request without a PKCE challenge is refused. One that is there is always checked.
    pub pkce_required: bool,
    /// Parameters without which an authorization request is refused.
    pub required_authorization_params: Vec<(String, String)>,
    /// What stands between two scopes.
    pub scope_separator: String,
    /// Other names of RFC 6749's parameters, in authorization and token requests, by their names there. A parameter with an
    /// empty name must not come.
    pub param_names: BTreeMap<String, String>,

    /// What callbacks call the code.
    pub code_param: String,
    /// Whether callbacks come by `POST`: as a page with a form that the browser sends.
    pub form_post: bool,
    /// The issuer that callbacks name (RFC 9207). `{host}` stands for the request's `Host`.
    pub iss: Option<String>,
    /// Further parameters of callbacks. `{host}` stands for the request's `Host`.
    pub extra_callback_params: Vec<(String, String)>,
    /// Whether callbacks name the shop and are signed, as Shopify's are.
    pub sign_callback: bool,
    /// The parameter that holds this signature.
    pub hmac_param: String,

    /// What token requests are like.
    pub token_request: RequestQuirks,
    /// Whether there is a client credentials grant (RFC 6749, section 4.4).
    pub client_credentials: bool,
    /// What token answers are like.
    pub token_answer: AnswerQuirks,
    /// The `token_type` in answers.
    pub token_type: Option<String>,
    /// When answers say how long an access token lives.
    pub expires_in: ExpiresIn,
    /// When a refresh token comes with the first access token.
    pub issues_refresh_token: IssuesRefreshToken,
    /// How many seconds a refresh token lives, which answers then say. `None`: for ever. Where the access token's lifetime
    /// is asked for ([`ExpiresIn::WhenAsked`]), a request may ask for this one as well, and gets it only then.
    pub refresh_token_expires_in: Option<i64>,
    /// Whether a refresh gives a new refresh token. If not, its answer names none, and the old one lives on.
    pub rotate: bool,
    /// Whether a refresh token lives on until its replacement is first used.
    pub rotation_grace: bool,
    /// Whether a refresh ends the access tokens before it.
    pub refresh_ends_access_tokens: bool,
    /// Further members of token answers, by their paths in the whole answer. `{host}` stands for the request's `Host`, `{issued_at}` for the present time in
    /// milliseconds, `{signature}` for the base64 of HMAC-SHA256(client secret, `id` + `issued_at`), which is Salesforce's.
    pub extra_token_members: Map<String, Value>,

    /// OpenID Connect, if there is any.
    pub openid: Option<OpenIdQuirks>,
    /// OAuth 1.0a, if it is that and not OAuth 2.0.
    pub oauth1: Option<OAuth1Quirks>,
    /// The provider's API.
    pub resources: Vec<ResourceQuirks>,

    /// What errors are like.
    pub token_error: ErrorQuirks,
    /// The error of a code that is unknown, used, too old, or another client's.
    pub dead_code_error: String,
    /// The error of a refresh token that is unknown, used, too old, withdrawn, or another client's.
    pub dead_refresh_token_error: String,
}

/// How a client authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// HTTP Basic.
    Basic,
    /// `client_id` and `client_secret` in the form.
    Post,
    /// Not at all: clients are public, and PKCE is demanded. As the only method it makes all clients public.
    None,
    /// With a JWT that its key has signed (RFC 7523).
    PrivateKeyJwt,
    /// With a certificate under the connection (RFC 8705).
    TlsClientAuth,
}

/// When answers say how long an access token lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpiresIn {
    /// Always, and truly.
    Always,
    /// Never, although it expires.
    Never,
    /// Always, but with this number, whatever the truth is.
    Stated(i64),
    /// When the token request says in this parameter how many seconds it wants. Else the token expires all the same.
    WhenAsked {
        /// The parameter's name.
        parameter: String,
    },
    /// When the code's exchange had this parameter, for that exchange and all refreshes. Else the token lives for ever.
    WhenFlagged {
        /// The parameter's name.
        name: String,
        /// Its value.
        value: String,
        /// How many seconds a token then lives.
        seconds: i64,
    },
}

/// When a refresh token comes with the first access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuesRefreshToken {
    /// Always.
    Always,
    /// Never.
    Never,
    /// With any of these scopes.
    WithScope(Vec<String>),
    /// With all of these parameters of the authorization request.
    WithParams(Vec<(String, String)>),
    /// With this parameter of the token request.
    WithTokenParam {
        /// The parameter's name.
        name: String,
        /// Its value.
        value: String,
    },
}

// === impl Quirks ===

impl Quirks {
    /// Whether a parameter of RFC 6749 must not come.
    pub(super) fn omits(&self, name: &str) -> bool {
        self.param_names.get(name).is_some_and(String::is_empty)
    }

    /// The URL of a path under the host that a request named.
    pub(super) fn url(&self, host: &str, path: &str) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{host}{path}")
    }

    /// The scopes in a parameter.
    pub(super) fn scopes(&self, text: &str) -> Vec<String> {
        let scopes = text.split(&self.scope_separator).map(str::trim);
        scopes.filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
    }
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            authorize_path: "/authorize".to_owned(),
            token_path: "/token".to_owned(),
            refresh_path: None,
            revoke_path: Some("/revoke".to_owned()),
            introspect_path: Some("/introspect".to_owned()),
            userinfo_path: "/userinfo".to_owned(),
            https: true,
            auth_methods: vec![AuthMethod::Basic, AuthMethod::Post],
            certificate_required: false,
            revoke_needs_client: true,
            revokes_refresh_tokens: true,
            revokes_access_tokens: true,
            pkce_required: true,
            required_authorization_params: Vec::new(),
            scope_separator: " ".to_owned(),
            param_names: BTreeMap::new(),
            code_param: "code".to_owned(),
            form_post: false,
            iss: None,
            extra_callback_params: Vec::new(),
            sign_callback: false,
            hmac_param: "hmac".to_owned(),
            token_request: RequestQuirks::default(),
            client_credentials: false,
            token_answer: AnswerQuirks::default(),
            token_type: Some("Bearer".to_owned()),
            expires_in: ExpiresIn::Always,
            issues_refresh_token: IssuesRefreshToken::Always,
            refresh_token_expires_in: None,
            rotate: true,
            rotation_grace: false,
            refresh_ends_access_tokens: false,
            extra_token_members: Map::new(),
            openid: None,
            oauth1: None,
            resources: Vec::new(),
            token_error: ErrorQuirks::default(),
            dead_code_error: "invalid_grant".to_owned(),
            dead_refresh_token_error: "invalid_grant".to_owned(),
        }
    }
}

// === impl AuthMethod ===

impl AuthMethod {
    /// Its name (RFC 7591, section 2, and RFC 8705, section 2.1.1).
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::None => "none",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
        }
    }
}
