//! The one error of the domain. `api::status` is the only place that turns it into a gRPC status.

use std::{error::Error as StdError, fmt, time::Duration};

use super::{ConnectionId, IntegrationId, Permission, ProjectId, ProviderId, ReauthorizationReason, Uuid};

/// A result whose error is the domain's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something did not happen. Each variant but `InFlow` is the twin of a value of `tokenwell.error.v1.ErrorReason`, which documents
/// it for callers. Messages are lower-case, say what to do, and never hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Request fields are missing, malformed or too large.
    #[error("{}", violations(.0))]
    FieldInvalid(Vec<FieldViolation>),
    /// Connection config does not fit the provider's declaration.
    #[error("connection config does not fit `{provider}`: {}", violations(fields))]
    ConnectionConfigInvalid {
        /// Whose declaration.
        provider: ProviderId,
        /// What is wrong, by `connection_config.<key>`.
        fields: Vec<FieldViolation>,
    },
    /// An authorization parameter is Tokenwell's own.
    #[error("authorization parameter `{0}` is set by tokenwell itself; leave it out")]
    AuthorizationParamReserved(String),
    /// The return URL is not allowed.
    #[error("the return URL is not under one of the project's allowed_return_urls; add it to the settings")]
    ReturnUrlNotAllowed,
    /// The provider's connections are made in another way.
    #[error("connections of `{provider}` are not made by `{asked}`; its ways are {known}")]
    GrantTypeUnsupported {
        /// Whose connections.
        provider: ProviderId,
        /// What was asked for.
        asked: &'static str,
        /// The entry's grant types, joined.
        known: String,
    },
    /// A page token of something else.
    #[error("the page token is not one of this method with these filters; begin with an empty one")]
    PageTokenInvalid,
    /// A cursor of something else.
    #[error(
        "the cursor is not one of this project with these filters; begin with the last one of such a stream, or with none"
    )]
    CursorInvalid,
    /// A cursor that is older than the events that are kept, or of another database.
    #[error("events since the cursor are no longer kept; watch from now, then list again")]
    CursorExpired,

    /// No API key.
    #[error("the call has no API key; send `authorization: Bearer tw_sk_...`")]
    ApiKeyMissing,
    /// An unknown, revoked or expired API key.
    #[error("the API key is unknown, revoked or expired")]
    ApiKeyInvalid,
    /// A certificate or a token that holds, of somebody whom the callers file does not name.
    #[error(
        "the certificate or token names no caller; name it in the callers file, with a project that is there"
    )]
    CallerUnknown,
    /// A token that does not hold.
    #[error("the token is refused: {0}")]
    TokenInvalid(&'static str),
    /// An issuer whose keys are not known.
    #[error("the keys of the issuer `{0}` cannot be fetched; try again")]
    IssuerUnavailable(String),
    /// The caller may not do this.
    #[error("the caller lacks the permission `{0}`")]
    PermissionMissing(Permission),
    /// No signature where one is required.
    #[error("the project requires a signature; sign the request in the app's backend")]
    SignatureMissing,
    /// A signature that does not hold.
    #[error("the signature does not match the request, has expired, or is of a refused scheme")]
    SignatureInvalid,
    /// A signature that has begun a flow already.
    #[error("the signature has begun a flow already; sign each Begin anew")]
    SignatureReplayed,

    /// No such connection.
    #[error("there is no connection `{connection}` in integration `{integration}`")]
    ConnectionNotFound {
        /// The integration asked for.
        integration: IntegrationId,
        /// The connection asked for.
        connection: ConnectionId,
    },
    /// No such integration.
    #[error("there is no integration `{0}`; create it first")]
    IntegrationNotFound(IntegrationId),
    /// No such provider.
    #[error("the catalog has no provider `{0}`")]
    ProviderNotFound(ProviderId),
    /// No such API key.
    #[error("there is no API key `{0}`")]
    ApiKeyNotFound(Uuid),
    /// No such webhook.
    #[error("there is no webhook `{0}`")]
    WebhookNotFound(Uuid),
    /// No such delivery.
    #[error("the webhook has no delivery `{0}`")]
    DeliveryNotFound(Uuid),
    /// The project has as many webhooks as it may.
    #[error("the project has {0} webhooks, and may have no more; delete one first")]
    WebhookLimitReached(u64),
    /// No flow waits for this.
    #[error("no flow waits for this: it is unknown, was used already, or belongs elsewhere; begin a new one")]
    FlowNotFound,
    /// The integration is there already.
    #[error("there is an integration `{0}` already")]
    IntegrationAlreadyExists(IntegrationId),
    /// A connection is there already that a flow may not replace.
    #[error(
        "there is a connection `{connection}` already, and only a signed request or a backend's replaces it"
    )]
    ConnectionAlreadyExists {
        /// Its integration.
        integration: IntegrationId,
        /// The connection.
        connection: ConnectionId,
    },
    /// The project is there already.
    #[error("there is a project `{0}` already")]
    ProjectAlreadyExists(ProjectId),

    /// The flow is too old.
    #[error("the flow has expired; begin a new one")]
    FlowExpired,
    /// Another browser.
    #[error("this is not the browser that opened the flow; finish there, or begin a new one")]
    BrowserMismatch,
    /// Not an OAuth callback.
    #[error("the callback is not valid: {0}")]
    CallbackInvalid(String),
    /// The user or the provider said no.
    #[error("the authorization was refused: {}", described(code, description.as_deref()))]
    AuthorizationDenied {
        /// RFC 6749, section 4.1.2.1.
        code: String,
        /// The provider's words, cleaned and capped.
        description: Option<String>,
    },
    /// Somebody else wrote in between.
    #[error("the etag is not the current one; read again and retry")]
    EtagMismatch,
    /// Settings that contradict each other.
    #[error("{}", violations(.0))]
    SettingsConflict(Vec<FieldViolation>),
    /// Another account than before.
    #[error(
        "this is another account than the one that connection `{connection}` leads to; choose that one, or allow the change at Begin"
    )]
    AccountChanged {
        /// Its integration.
        integration: IntegrationId,
        /// The connection.
        connection: ConnectionId,
    },
    /// The integration has connections.
    #[error("integration `{0}` still has connections; delete them first")]
    IntegrationInUse(IntegrationId),

    /// The provider is not there for the moment.
    #[error("`{provider}` is not available: {problem}; try again")]
    ProviderUnavailable {
        /// Which provider.
        provider: ProviderId,
        /// What happened, without anything that the provider said.
        problem: String,
        /// When to try again, if the provider said so.
        retry_after: Option<Duration>,
    },
    /// The provider's answer is not one.
    #[error("`{provider}` gave an answer that is not a token response: {problem}")]
    ProviderResponseInvalid {
        /// Which provider.
        provider: ProviderId,
        /// What is wrong with it.
        problem: String,
    },
    /// The provider is where nobody may call.
    #[error(
        "`{provider}` has no address that may be called; if it is meant to be in a private network, set `allow_private_addresses` of the integration (metadata services and this machine are never called)"
    )]
    ProviderAddressRefused {
        /// Which provider.
        provider: ProviderId,
    },
    /// The provider refused the code.
    #[error("`{provider}` refused the authorization code: {}; begin a new flow", described(code, description.as_deref()))]
    ProviderRejectedCode {
        /// Which provider.
        provider: ProviderId,
        /// RFC 6749, section 5.2.
        code: String,
        /// The provider's words, cleaned and capped.
        description: Option<String>,
    },
    /// The provider refused the client.
    #[error("`{provider}` refused the client of the integration: {}; correct its client id and secret", described(code, description.as_deref()))]
    ClientRejected {
        /// Which provider.
        provider: ProviderId,
        /// RFC 6749, section 5.2.
        code: String,
        /// The provider's words, cleaned and capped.
        description: Option<String>,
    },
    /// The provider does not take the credentials.
    #[error("`{provider}` does not take these credentials{}", said(description.as_deref()))]
    CredentialsRejected {
        /// Which provider.
        provider: ProviderId,
        /// What is known of why.
        description: Option<String>,
    },
    /// The grant is gone.
    #[error("the grant is gone ({}); let the end user connect `{connection}` again", reason.words())]
    NeedsReauthorization {
        /// The integration.
        integration: IntegrationId,
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: ReauthorizationReason,
    },

    /// A fault of ours. The message says nothing outside; the source is logged once.
    #[error("internal error")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
    /// The database is not there for the moment.
    #[error("the database is not available; try again")]
    StoreUnavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// Too many streams.
    #[error("there are {0}; end some of them, or try again later")]
    WatchLimit(&'static str),
    /// The server stops.
    #[error("this server is stopping; call another one, and let a stream go on from its last cursor")]
    ServerStopping,
    /// Too much at once.
    #[error("this server has as many calls in progress as it bears; try again, or call another one")]
    Overloaded,
    /// Too slow.
    #[error("the call took longer than its deadline")]
    DeadlineExceeded,

    /// Something went wrong after its flow was known, so that the browser can be sent back.
    #[error("{source}")]
    InFlow {
        /// The flow.
        flow: Box<FlowRef>,
        /// What went wrong.
        source: Box<Error>,
    },
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path, as in the proto: `connection_config.subdomain`.
    pub field: String,
    /// What is wrong with it and what is expected, never its value if that may be a secret.
    pub description: String,
}

/// Which flow went wrong, for the caller and for the browser's way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRef {
    /// The flow.
    pub flow_id: Uuid,
    /// Its integration.
    pub integration_id: IntegrationId,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// Where its Begin asked the browser to go.
    pub return_url: Option<String>,
}

// === impl Error ===

impl Error {
    /// One field that is wrong.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::FieldInvalid(vec![FieldViolation::new(field, description)])
    }

    /// A fault of ours.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// The same error, tied to its flow.
    #[must_use]
    pub fn in_flow(self, flow: FlowRef) -> Self {
        match self {
            Self::InFlow { .. } => self,
            source => Self::InFlow { flow: Box::new(flow), source: Box::new(source) },
        }
    }
}

// === impl FieldViolation ===

impl FieldViolation {
    /// One field that is wrong.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

impl fmt::Display for FieldViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.description)
    }
}

fn violations(violations: &[FieldViolation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn said(description: Option<&str>) -> String {
    description.map(|description| format!(": {description}")).unwrap_or_default()
}

fn described(code: &str, description: Option<&str>) -> String {
    match description {
        Some(description) => format!("{code} ({description})"),
        None => code.to_owned(),
    }
}
