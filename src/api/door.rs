//! The gateway's door to the services: the same stack, in process.
//!
//! The gateway names itself by a [`GatewayCaller`] in the request's extensions, which cannot arrive over the wire.

use std::collections::HashMap;

use tonic::{Code, Request, Status, metadata::MetadataValue};
use tonic_types::StatusExt as _;

use super::{
    Stack,
    pb::auth::v1::{
        BeginRequest, Callback, CompleteRequest, auth_service_client::AuthServiceClient,
        complete_request::End, complete_response,
    },
};
use crate::{
    flow::{BrowserToken, CallbackRoute, Completer},
    model::{SecretString, StringMap},
};

/// Says that a call comes from the gateway, and what its request was.
#[derive(Debug, Clone)]
pub struct GatewayCaller {
    route: Option<CallbackRoute>,
    browser: Option<BrowserToken>,
}

/// The services, as the gateway calls them.
#[derive(Debug, Clone)]
pub struct Door {
    stack: Stack,
}

/// What a frontend asks for.
#[derive(Debug, Clone)]
pub struct FrontendBegin {
    /// A publishable key.
    pub public_key: SecretString,
    /// The integration.
    pub integration_id: String,
    /// The connection, or nothing.
    pub connection_id: String,
    /// Config.
    pub connection_config: StringMap,
    /// Further parameters of the authorization URL.
    pub authorization_params: StringMap,
    /// User scopes.
    pub user_scopes: Vec<String>,
    /// The signature, or nothing.
    pub signature: String,
    /// Where the browser goes afterwards, or nothing.
    pub return_url: String,
}

/// How a flow ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The flow.
    pub flow_id: String,
    /// Its integration.
    pub integration_id: String,
    /// Its connection.
    pub connection_id: String,
    /// Where the browser goes, or nothing.
    pub return_url: String,
    /// The confirmation that the browser brings there, if the flow waits for one.
    pub confirmation: Option<SecretString>,
}

/// A call that failed, with what the browser may know of it.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The reason, as in `ErrorInfo`.
    pub reason: String,
    /// What to do, for people.
    pub message: String,
    /// Whose fault it is.
    pub kind: FailedKind,
    /// The metadata of `ErrorInfo`.
    pub metadata: HashMap<String, String>,
}

/// Whose fault a failed call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedKind {
    /// The request's.
    Request,
    /// The caller's identity.
    Unauthenticated,
    /// Something is not allowed.
    Denied,
    /// Something is not there.
    NotFound,
    /// Somebody else's, for the moment.
    Unavailable,
    /// Ours.
    Internal,
}

// === impl GatewayCaller ===

impl GatewayCaller {
    /// The gateway, at a callback.
    #[must_use]
    pub fn new(route: Option<CallbackRoute>, browser: Option<BrowserToken>) -> Self {
        Self { route, browser }
    }

    pub(super) fn completer(&self) -> Completer {
        Completer::Gateway { route: self.route.clone(), browser: self.browser.clone() }
    }
}

// === impl Door ===

impl Door {
    /// A door to this stack.
    #[must_use]
    pub fn new(stack: Stack) -> Self {
        Self { stack }
    }

    /// Begins a flow for a frontend. Gives the connect URL.
    pub async fn begin(&self, begin: FrontendBegin) -> Result<SecretString, Failed> {
        use crate::model::ExposeSecret as _;

        let mut request = Request::new(BeginRequest {
            integration_id: begin.integration_id,
            connection_id: begin.connection_id,
            connection_config: begin.connection_config.into_iter().collect(),
            authorization_params: begin.authorization_params.into_iter().collect(),
            scopes: Vec::new(),
            user_scopes: begin.user_scopes,
            metadata: None,
            return_url: begin.return_url,
            signature: begin.signature,
        });
        if !begin.public_key.expose_secret().is_empty() {
            let header = format!("Bearer {}", begin.public_key.expose_secret());
            if let Ok(header) = MetadataValue::try_from(header) {
                request.metadata_mut().insert("authorization", header);
            }
        }
        let response = self.client().begin(request).await.map_err(|status| Failed::new(&status))?;
        Ok(response.into_inner().connect_url.into())
    }

    /// Ends a flow with a callback.
    pub async fn complete(&self, query: &str, gateway: GatewayCaller) -> Result<Ended, Failed> {
        let end = Some(End::Callback(Callback { query: query.to_owned(), ..Callback::default() }));
        let mut request = Request::new(CompleteRequest { end });
        request.extensions_mut().insert(gateway);
        let response = self.client().complete(request).await.map_err(|status| Failed::new(&status))?;
        let response = response.into_inner();
        let waits = response.outcome() == complete_response::Outcome::AwaitingConfirmation;
        Ok(Ended {
            flow_id: response.flow_id,
            integration_id: response.integration_id,
            connection_id: response.connection_id,
            return_url: response.return_url,
            confirmation: waits.then(|| response.confirmation.into()),
        })
    }

    fn client(&self) -> AuthServiceClient<Stack> {
        AuthServiceClient::new(self.stack.clone())
    }
}

// === impl Failed ===

impl Failed {
    /// What a status says.
    #[must_use]
    pub fn new(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        Self {
            reason: info.map_or_else(|| "INTERNAL".to_owned(), |info| info.reason.clone()),
            message: status.message().to_owned(),
            kind: kind(status.code()),
            metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
        }
    }
}

fn kind(code: Code) -> FailedKind {
    match code {
        Code::Unauthenticated => FailedKind::Unauthenticated,
        Code::PermissionDenied => FailedKind::Denied,
        Code::NotFound => FailedKind::NotFound,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => FailedKind::Unavailable,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::AlreadyExists
        | Code::Aborted => FailedKind::Request,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => FailedKind::Internal,
    }
}
