//! What a provider's failure means for the caller, by what was asked of it.

use crate::{model::Error, oauth::Failure, provider::Provider};

/// A code was to be redeemed.
pub(super) fn exchange_failed(failure: Failure, provider: &Provider) -> Error {
    match failure {
        Failure::Refused { code, description } if !is_of_client(&code) => {
            Error::ProviderRejectedCode { provider: provider.id().clone(), code, description }
        }
        failure => client_failed(failure, provider),
    }
}

/// The integration spoke for itself: nothing of an end user was at stake.
pub(super) fn client_failed(failure: Failure, provider: &Provider) -> Error {
    let provider = provider.id().clone();
    match failure {
        Failure::Unavailable { problem, retry_after } => {
            Error::ProviderUnavailable { provider, problem, retry_after }
        }
        Failure::Invalid { problem } => Error::ProviderResponseInvalid { provider, problem },
        failure @ Failure::Unauthorized => {
            Error::ProviderResponseInvalid { provider, problem: failure.to_string() }
        }
        Failure::Unusable { problem } => {
            Error::ClientRejected { provider, code: "invalid_client".to_owned(), description: Some(problem) }
        }
        Failure::Refused { code, description } => Error::ClientRejected { provider, code, description },
    }
}

/// Credentials of the end user's own were tried.
pub(super) fn credentials_failed(failure: Failure, provider: &Provider) -> Error {
    match failure {
        Failure::Refused { code, description } => {
            let description =
                description.map_or(code.clone(), |description| format!("{code} ({description})"));
            Error::CredentialsRejected { provider: provider.id().clone(), description: Some(description) }
        }
        failure => client_failed(failure, provider),
    }
}

/// The provider's entry does not offer this way to connect.
pub(super) fn unsupported(provider: &Provider, asked: &'static str) -> Error {
    let known: Vec<_> = provider.grant_types().iter().map(|grant_type| grant_type.as_str()).collect();
    Error::GrantTypeUnsupported { provider: provider.id().clone(), asked, known: known.join(", ") }
}

/// Whether an error is about the client and not about the grant (RFC 6749, section 5.2).
pub(super) fn is_of_client(code: &str) -> bool {
    matches!(code, "invalid_client" | "unauthorized_client")
}
