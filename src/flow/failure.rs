//! What a provider's failure means for the caller, by what was asked of it.

use crate::{
    model::{Duration, Error, FailureKind, ReauthorizationReason},
    oauth::Failure,
    provider::{Provider, RefreshError},
};

/// What a failed refresh says about the grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it may succeed another time.
    Transient(FailureKind),
    /// The grant is gone.
    Final(ReauthorizationReason),
    /// Nothing: the provider refused the integration's client, with this code.
    Client(String),
    /// Nothing that we know of.
    Unknown,
}

// === impl Verdict ===

impl Verdict {
    /// The kind of a failure that is not final.
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Transient(kind) => *kind,
            Self::Final(_) | Self::Client(_) | Self::Unknown => FailureKind::ClientRejected,
        }
    }

    /// Whether it is none: the provider has answered, or could not be asked, and nobody knows what that means.
    pub(super) fn is_unknown(&self) -> bool {
        let dark = [FailureKind::ProviderResponseInvalid, FailureKind::ProviderAddressRefused];
        match self {
            Self::Unknown => true,
            Self::Transient(kind) => dark.contains(kind),
            Self::Final(_) | Self::Client(_) => false,
        }
    }
}

/// Judges a failed refresh. A client of the connection's own is the connection's fault.
pub(super) fn judge(failure: &Failure, provider: &Provider, own_client: bool) -> Verdict {
    match failure.unnamed_status().and_then(|status| provider.refresh_status(status)) {
        Some(RefreshError::Final) => return Verdict::Final(ReauthorizationReason::GrantRefused),
        Some(RefreshError::Transient) => return Verdict::Transient(FailureKind::ProviderUnavailable),
        None => {}
    }
    let code = match failure {
        Failure::Unavailable { .. } => return Verdict::Transient(FailureKind::ProviderUnavailable),
        // RFC 6749 knows no such answer: it may be about the client, the grant, or nothing of both.
        Failure::Invalid { .. } | Failure::Unsent { .. } | Failure::Unauthorized => {
            return Verdict::Transient(FailureKind::ProviderResponseInvalid);
        }
        Failure::Barred => return Verdict::Transient(FailureKind::ProviderAddressRefused),
        Failure::Unusable { .. } => "invalid_client",
        Failure::Refused { code, .. } => code.as_str(),
    };
    match provider.refresh_error(code) {
        Some(RefreshError::Final) => return Verdict::Final(ReauthorizationReason::GrantRefused),
        Some(RefreshError::Transient) => return Verdict::Transient(FailureKind::ProviderUnavailable),
        None => {}
    }
    match code {
        "invalid_grant" => Verdict::Final(ReauthorizationReason::GrantRefused),
        // OpenID Connect Core, section 3.1.2.6: some say it here, too.
        "interaction_required" | "login_required" | "consent_required" | "account_selection_required" => {
            Verdict::Final(ReauthorizationReason::InteractionRequired)
        }
        // RFC 6749, section 4.1.2.1, and RFC 8628, section 3.5: defined elsewhere, and said here, too.
        "temporarily_unavailable" | "server_error" | "slow_down" => {
            Verdict::Transient(FailureKind::ProviderUnavailable)
        }
        code if is_of_client(code) && own_client => Verdict::Final(ReauthorizationReason::ClientRefused),
        code if is_of_client(code) => Verdict::Client(code.to_owned()),
        _ => Verdict::Unknown,
    }
}

/// What a failed refresh is to the caller who waits for it, and how long the provider is left alone.
pub(super) fn refresh_failed(
    failure: Failure,
    verdict: &Verdict,
    provider: &Provider,
    wait: Duration,
) -> Error {
    let wait = std::time::Duration::try_from(wait).ok();
    match (verdict, failure) {
        (Verdict::Transient(FailureKind::ProviderUnavailable), failure) => Error::ProviderUnavailable {
            provider: provider.id().clone(),
            problem: match failure {
                Failure::Refused { code, .. } => format!("it answered with the error {code}"),
                failure => failure.to_string(),
            },
            retry_after: wait,
        },
        (_, failure) => client_failed(failure, provider),
    }
}

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
        Failure::Unavailable { problem, retry_after, .. } => {
            Error::ProviderUnavailable { provider, problem, retry_after }
        }
        Failure::Invalid { problem, .. } | Failure::Unsent { problem } => {
            Error::ProviderResponseInvalid { provider, problem }
        }
        Failure::Barred => Error::ProviderAddressRefused { provider },
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
