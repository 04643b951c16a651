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
/// Streams do not end by themselves, so trying again at once is of no use.
const WATCH_RETRY_DELAY: Duration = Duration::from_secs(30);
const PREFIX: &str = "ERROR_REASON_";

/// What the status of an error is made of.
struct Mapped {
    code: Code,
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
    details.set_error_info(error.reason(), DOMAIN, mapped.metadata);
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

/// The reason of this name, as it stands in `ErrorInfo`.
pub(super) fn reason_of(name: &str) -> ErrorReason {
    ErrorReason::from_str_name(&format!("{PREFIX}{name}")).unwrap_or_default()
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

fn plain(code: Code) -> Mapped {
    Mapped { code, metadata: HashMap::new(), fields: Vec::new(), retry: None }
}

fn with(code: Code, pairs: &[(&str, &str)]) -> Mapped {
    let metadata = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Mapped { metadata, ..plain(code) }
}

fn fields(mapped: Mapped, fields: &[FieldViolation]) -> Mapped {
    Mapped { fields: fields.to_vec(), ..mapped }
}

fn field(name: impl Into<String>, description: &str) -> Mapped {
    fields(plain(Code::InvalidArgument), &[FieldViolation::new(name, description)])
}

fn retry(mapped: Mapped, delay: Option<Duration>) -> Mapped {
    Mapped { retry: delay.or(Some(RETRY_DELAY)), ..mapped }
}

fn map(error: &Error) -> Mapped {
    use Code::{
        Aborted, AlreadyExists, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument, NotFound,
        OutOfRange, PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable,
    };

    match error {
        Error::FieldInvalid(bad) => fields(plain(InvalidArgument), bad),
        Error::ConnectionConfigInvalid { provider, fields: bad } => {
            fields(with(InvalidArgument, &[("provider_id", provider.as_str())]), bad)
        }
        Error::AuthorizationParamReserved(name) => {
            field(format!("authorization_params.{name}"), "is set by tokenwell itself")
        }
        Error::ReturnUrlNotAllowed => {
            field("return_url", "is not under one of the project's allowed_return_urls")
        }
        Error::GrantTypeUnsupported { provider, known, .. } => {
            with(FailedPrecondition, &[("provider_id", provider.as_str()), ("grant_types", known)])
        }
        Error::PageTokenInvalid => field("page_token", "is not one of this method with these filters"),
        Error::CursorInvalid => field("cursor", "is not one of this project with these filters"),
        Error::CursorExpired => plain(OutOfRange),
        Error::ApiKeyMissing
        | Error::ApiKeyInvalid
        | Error::CallerUnknown
        | Error::TokenInvalid(_)
        | Error::SignatureMissing
        | Error::SignatureInvalid => plain(Unauthenticated),
        Error::IssuerUnavailable(issuer) => retry(with(Unavailable, &[("issuer", issuer)]), None),
        Error::SignatureReplayed => plain(AlreadyExists),
        Error::PermissionMissing(it) => with(PermissionDenied, &[("permission", it.as_str())]),
        Error::ConnectionNotFound { integration, connection } => with(
            NotFound,
            &[("integration_id", integration.as_str()), ("connection_id", connection.as_str())],
        ),
        Error::IntegrationNotFound(id) => with(NotFound, &[("integration_id", id.as_str())]),
        Error::ProviderNotFound(id) => with(NotFound, &[("provider_id", id.as_str())]),
        Error::ApiKeyNotFound(id) => with(NotFound, &[("api_key_id", &id.to_string())]),
        Error::WebhookNotFound(id) => with(NotFound, &[("webhook_id", &id.to_string())]),
        Error::DeliveryNotFound(id) => with(NotFound, &[("delivery_id", &id.to_string())]),
        Error::WebhookLimitReached(_) => plain(ResourceExhausted),
        Error::FlowNotFound => plain(NotFound),
        Error::IntegrationAlreadyExists(id) => with(AlreadyExists, &[("integration_id", id.as_str())]),
        Error::ProjectAlreadyExists(id) => with(AlreadyExists, &[("project_id", id.as_str())]),
        Error::ConnectionAlreadyExists { integration, connection } => with(
            AlreadyExists,
            &[("integration_id", integration.as_str()), ("connection_id", connection.as_str())],
        ),
        Error::FlowExpired => plain(FailedPrecondition),
        Error::BrowserMismatch => plain(PermissionDenied),
        Error::CallbackInvalid(_) => plain(InvalidArgument),
        Error::AuthorizationDenied { code, .. } => with(FailedPrecondition, &[("oauth_error", code)]),
        Error::AccountChanged { integration, connection } => with(
            FailedPrecondition,
            &[("integration_id", integration.as_str()), ("connection_id", connection.as_str())],
        ),
        Error::EtagMismatch => plain(Aborted),
        Error::SettingsConflict(bad) => fields(plain(FailedPrecondition), bad),
        Error::IntegrationInUse(id) => with(FailedPrecondition, &[("integration_id", id.as_str())]),
        Error::Internal(_) => plain(Internal),
        Error::StoreUnavailable(_) | Error::ServerStopping | Error::Overloaded => {
            retry(plain(Unavailable), None)
        }
        Error::WatchLimit(_) => retry(plain(ResourceExhausted), Some(WATCH_RETRY_DELAY)),
        Error::DeadlineExceeded => plain(DeadlineExceeded),
        Error::InFlow { source, .. } => map(source),
        Error::ProviderUnavailable { provider, retry_after, .. } => {
            retry(with(Unavailable, &[("provider_id", provider.as_str())]), *retry_after)
        }
        Error::ProviderRejectedCode { provider, code, .. } | Error::ClientRejected { provider, code, .. } => {
            with(FailedPrecondition, &[("provider_id", provider.as_str()), ("oauth_error", code)])
        }
        Error::ProviderResponseInvalid { provider, .. }
        | Error::ProviderAddressRefused { provider }
        | Error::CredentialsRejected { provider, .. } => {
            with(FailedPrecondition, &[("provider_id", provider.as_str())])
        }
        Error::NeedsReauthorization { integration, connection, reason } => with(
            FailedPrecondition,
            &[
                ("integration_id", integration.as_str()),
                ("connection_id", connection.as_str()),
                ("reauthorization_reason", reason.as_str()),
            ],
        ),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every variant's reason stands in `model/reason.rs` as one text, which the compiler holds to be complete.
    #[test]
    fn reasons_of_errors_are_those_of_the_protos() {
        let source = include_str!("../model/reason.rs");
        let texts = source.lines().filter_map(|line| line.split_once(" => \"")?.1.strip_suffix("\","));
        let named: BTreeSet<_> = texts.collect();
        let known = (1..1_000).filter_map(|value| ErrorReason::try_from(value).ok()).map(reason_name);
        assert_eq!(named, known.collect());
        assert_eq!(reason_of("FLOW_EXPIRED"), ErrorReason::FlowExpired);
    }
}
