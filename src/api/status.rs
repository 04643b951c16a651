//! The one map from the domain's error to a gRPC status.

use std::{collections::HashMap, error::Error as _, sync::Arc, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation as PbFieldViolation, StatusExt as _};

use super::pb::error::v1::ErrorReason;
use crate::model::{Error, FieldViolation, FlowRef};

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "tokenwell.dev";
/// When to try again if nobody says.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const PREFIX: &str = "ERROR_REASON_";

/// What the status of an error is made of.
struct Mapped {
    code: Code,
    reason: ErrorReason,
    metadata: HashMap<String, String>,
    fields: Vec<FieldViolation>,
    retry: Option<Duration>,
}

/// An error whose cause the trace layer logs: it travels as the status's source.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

/// The status of an error, with its details.
#[must_use]
pub fn status(error: &Error) -> Status {
    let (error, flow) = match error {
        Error::InFlow { flow, source } => (&**source, Some(&**flow)),
        error => (error, None),
    };
    let mut mapped = map(error);
    if let Some(flow) = flow {
        add_flow(&mut mapped.metadata, flow);
    }
    let mut details = ErrorDetails::new();
    details.set_error_info(reason_name(mapped.reason), DOMAIN, mapped.metadata);
    if !mapped.fields.is_empty() {
        let fields = mapped.fields.into_iter();
        details.set_bad_request(
            fields.map(|it| PbFieldViolation::new(it.field, it.description)).collect::<Vec<_>>(),
        );
    }
    if let Some(delay) = mapped.retry {
        details.set_retry_info(Some(delay));
    }
    let mut status = Status::with_error_details(mapped.code, error.to_string(), details);
    if let Some(cause) = cause(error) {
        status.set_source(Arc::new(cause));
    }
    status
}

/// The reason as it stands in `ErrorInfo`.
#[must_use]
pub fn reason_name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches(PREFIX)
}

/// The chain of causes, for the log. Only faults have one: everything else says what it is in its message.
fn cause(error: &Error) -> Option<Cause> {
    let mut text = match error {
        Error::Internal(source) | Error::StoreUnavailable(source) => source.to_string(),
        _ => return None,
    };
    let mut next = error.source().and_then(std::error::Error::source);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    Some(Cause(text))
}

fn plain(code: Code, reason: ErrorReason) -> Mapped {
    Mapped { code, reason, metadata: HashMap::new(), fields: Vec::new(), retry: None }
}

fn with(code: Code, reason: ErrorReason, pairs: &[(&str, &str)]) -> Mapped {
    let metadata = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Mapped { metadata, ..plain(code, reason) }
}

fn fields(mapped: Mapped, fields: &[FieldViolation]) -> Mapped {
    Mapped { fields: fields.to_vec(), ..mapped }
}

fn retry(mapped: Mapped, delay: Option<Duration>) -> Mapped {
    Mapped { retry: delay.or(Some(RETRY_DELAY)), ..mapped }
}

fn map(error: &Error) -> Mapped {
    use Code::{
        Aborted, AlreadyExists, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument, NotFound,
        PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable,
    };
    use ErrorReason as R;

    match error {
        Error::FieldInvalid(bad) => fields(plain(InvalidArgument, R::FieldInvalid), bad),
        Error::ConnectionConfigInvalid { provider, fields: bad } => fields(
            with(InvalidArgument, R::ConnectionConfigInvalid, &[("provider_id", provider.as_str())]),
            bad,
        ),
        Error::AuthorizationParamReserved(name) => fields(
            plain(InvalidArgument, R::AuthorizationParamReserved),
            &[FieldViolation::new(format!("authorization_params.{name}"), "is set by tokenwell itself")],
        ),
        Error::ReturnUrlNotAllowed => fields(
            plain(InvalidArgument, R::ReturnUrlNotAllowed),
            &[FieldViolation::new("return_url", "is not under one of the project's allowed_return_urls")],
        ),
        Error::GrantTypeUnsupported { provider, known, .. } => with(
            FailedPrecondition,
            R::GrantTypeUnsupported,
            &[("provider_id", provider.as_str()), ("grant_types", known)],
        ),
        Error::PageTokenInvalid => fields(
            plain(InvalidArgument, R::PageTokenInvalid),
            &[FieldViolation::new("page_token", "is not one of this method with these filters")],
        ),
        Error::ApiKeyMissing => plain(Unauthenticated, R::ApiKeyMissing),
        Error::ApiKeyInvalid => plain(Unauthenticated, R::ApiKeyInvalid),
        Error::PermissionMissing(it) => {
            with(PermissionDenied, R::PermissionMissing, &[("permission", it.as_str())])
        }
        Error::SignatureMissing => plain(Unauthenticated, R::SignatureMissing),
        Error::SignatureInvalid => plain(Unauthenticated, R::SignatureInvalid),
        Error::ConnectionNotFound { integration, connection } => with(
            NotFound,
            R::ConnectionNotFound,
            &[("integration_id", integration.as_str()), ("connection_id", connection.as_str())],
        ),
        Error::IntegrationNotFound(id) => {
            with(NotFound, R::IntegrationNotFound, &[("integration_id", id.as_str())])
        }
        Error::ProviderNotFound(id) => with(NotFound, R::ProviderNotFound, &[("provider_id", id.as_str())]),
        Error::ApiKeyNotFound(id) => with(NotFound, R::ApiKeyNotFound, &[("api_key_id", &id.to_string())]),
        Error::WebhookNotFound(id) => with(NotFound, R::WebhookNotFound, &[("webhook_id", &id.to_string())]),
        Error::DeliveryNotFound(id) => {
            with(NotFound, R::DeliveryNotFound, &[("delivery_id", &id.to_string())])
        }
        Error::WebhookLimitReached(_) => plain(ResourceExhausted, R::WebhookLimitReached),
        Error::FlowNotFound => plain(NotFound, R::FlowNotFound),
        Error::IntegrationAlreadyExists(id) => {
            with(AlreadyExists, R::IntegrationAlreadyExists, &[("integration_id", id.as_str())])
        }
        Error::ProjectAlreadyExists(id) => {
            with(AlreadyExists, R::ProjectAlreadyExists, &[("project_id", id.as_str())])
        }
        Error::FlowExpired => plain(FailedPrecondition, R::FlowExpired),
        Error::BrowserMismatch => plain(PermissionDenied, R::BrowserMismatch),
        Error::CallbackInvalid(_) => plain(InvalidArgument, R::CallbackInvalid),
        Error::AuthorizationDenied { code, .. } => {
            with(FailedPrecondition, R::AuthorizationDenied, &[("oauth_error", code)])
        }
        Error::EtagMismatch => plain(Aborted, R::EtagMismatch),
        Error::SettingsConflict(bad) => fields(plain(FailedPrecondition, R::SettingsConflict), bad),
        Error::IntegrationInUse(id) => {
            with(FailedPrecondition, R::IntegrationInUse, &[("integration_id", id.as_str())])
        }
        Error::Internal(_) => plain(Internal, R::Internal),
        Error::StoreUnavailable(_) => retry(plain(Unavailable, R::StoreUnavailable), None),
        Error::DeadlineExceeded => plain(DeadlineExceeded, R::DeadlineExceeded),
        Error::InFlow { source, .. } => map(source),
        Error::ProviderUnavailable { provider, .. }
        | Error::ProviderResponseInvalid { provider, .. }
        | Error::ProviderRejectedCode { provider, .. }
        | Error::ClientRejected { provider, .. }
        | Error::CredentialsRejected { provider, .. } => of_provider(error, provider.as_str()),
        Error::NeedsReauthorization { integration, connection, .. } => with(
            FailedPrecondition,
            R::NeedsReauthorization,
            &[("integration_id", integration.as_str()), ("connection_id", connection.as_str())],
        ),
    }
}

/// What a provider did not do.
fn of_provider(error: &Error, provider: &str) -> Mapped {
    use ErrorReason as R;

    let refused = |reason, code: &str| {
        with(Code::FailedPrecondition, reason, &[("provider_id", provider), ("oauth_error", code)])
    };
    let provider = [("provider_id", provider)];
    match error {
        Error::ProviderUnavailable { retry_after, .. } => {
            retry(with(Code::Unavailable, R::ProviderUnavailable, &provider), *retry_after)
        }
        Error::ProviderRejectedCode { code, .. } => refused(R::ProviderRejectedCode, code),
        Error::ClientRejected { code, .. } => refused(R::ClientRejected, code),
        Error::CredentialsRejected { .. } => {
            with(Code::FailedPrecondition, R::CredentialsRejected, &provider)
        }
        _ => with(Code::FailedPrecondition, R::ProviderResponseInvalid, &provider),
    }
}

fn add_flow(metadata: &mut HashMap<String, String>, flow: &FlowRef) {
    metadata.insert("flow_id".to_owned(), flow.flow_id.to_string());
    metadata.insert("integration_id".to_owned(), flow.integration_id.to_string());
    metadata.insert("connection_id".to_owned(), flow.connection_id.to_string());
    if let Some(url) = &flow.return_url {
        metadata.insert("return_url".to_owned(), url.clone());
    }
}
