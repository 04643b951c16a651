//! How token requests have to look, and how their answers do.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a token request has to be like. Whatever it lacks of this, it is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestQuirks {
    /// How the parameters come. In another form they are refused.
    pub format: RequestFormat,
    /// Further parameters with an authorization code. A `grant_type` replaces the usual one, as it does in the lists below.
    pub code_params: Vec<(String, String)>,
    /// Further parameters with a refresh token.
    pub refresh_params: Vec<(String, String)>,
    /// Further parameters with client credentials.
    pub client_credentials_params: Vec<(String, String)>,
    /// Further headers of all of them. The names are lower case.
    pub headers: Vec<(String, String)>,
}

/// How the parameters of a token request come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestFormat {
    /// By `POST`, as a form (RFC 6749, appendix B).
    #[default]
    Form,
    /// By `POST`, as members of a JSON object.
    Json,
    /// By `GET`, in the query.
    Query,
}

/// Where the members of a token answer are. A path is names joined by dots; a number is an item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerQuirks {
    /// The status of a success.
    pub status: u16,
    /// What the body is.
    pub format: AnswerFormat,
    /// The object that holds the members below. Empty: the answer itself.
    pub path: String,
    /// Members that stay in the answer itself all the same, by their names in RFC 6749.
    pub outside: Vec<String>,
    /// Where the access token is.
    pub access_token: String,
    /// Where the refresh token is.
    pub refresh_token: String,
    /// Where the scopes are.
    pub scope: String,
    /// Whether the scopes are a list.
    pub scope_list: bool,
    /// How lifetimes are said.
    pub lifetime: Lifetime,
    /// Where the access token's lifetime is, if it is said as a lifetime.
    pub expires_in: String,
    /// Where the access token's last moment is, if it is said as a time.
    pub expires_at: String,
    /// Where the refresh token's lifetime is, if it is said as a lifetime.
    pub refresh_token_expires_in: String,
    /// Where the refresh token's last moment is, if it is said as a time.
    pub refresh_token_expires_at: String,
}

/// What the body of a token answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerFormat {
    /// A JSON object.
    #[default]
    Json,
    /// A form. What lies deeper than its names is JSON in a value.
    Form,
}

/// How token answers say how long a token lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// In seconds.
    #[default]
    Seconds,
    /// In seconds, as text.
    SecondsText,
    /// In milliseconds.
    Milliseconds,
    /// As the last moment, in seconds since 1970.
    UntilSeconds,
    /// As the last moment, in milliseconds since 1970.
    UntilMilliseconds,
    /// As the last moment, as RFC 3339 writes it.
    UntilRfc3339,
}

/// How errors of the token and revocation endpoints look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorQuirks {
    /// Whether they arrive with status 200.
    pub status_200: bool,
    /// The path of the code.
    pub code: String,
    /// The path of the words for people, if there are any.
    pub description: Option<String>,
    /// What stands at the path of the code in the answer to a success.
    pub success: Option<Value>,
    /// The server's own codes, text or numbers, by those of RFC 6749 in whose place they stand.
    pub codes: BTreeMap<String, Value>,
}

// === impl AnswerQuirks ===

impl Default for AnswerQuirks {
    fn default() -> Self {
        Self {
            status: 200,
            format: AnswerFormat::Json,
            path: String::new(),
            outside: Vec::new(),
            access_token: "access_token".to_owned(),
            refresh_token: "refresh_token".to_owned(),
            scope: "scope".to_owned(),
            scope_list: false,
            lifetime: Lifetime::Seconds,
            expires_in: "expires_in".to_owned(),
            expires_at: "expires_at".to_owned(),
            refresh_token_expires_in: "refresh_token_expires_in".to_owned(),
            refresh_token_expires_at: "refresh_token_expires_at".to_owned(),
        }
    }
}

// === impl ErrorQuirks ===

impl Default for ErrorQuirks {
    fn default() -> Self {
        Self {
            status_200: false,
            code: "error".to_owned(),
            description: Some("error_description".to_owned()),
            success: None,
            codes: BTreeMap::new(),
        }
    }
}
