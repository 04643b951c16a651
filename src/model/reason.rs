//! The reasons of errors, by name. A test of `api::status` compares them with the protos.

use super::Error;

impl Error {
    /// Why, in a word that programs can act on: the name of an `ErrorReason`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::FieldInvalid(_) => "FIELD_INVALID",
            Self::ConnectionConfigInvalid { .. } => "CONNECTION_CONFIG_INVALID",
            Self::AuthorizationParamReserved(_) => "AUTHORIZATION_PARAM_RESERVED",
            Self::ReturnUrlNotAllowed => "RETURN_URL_NOT_ALLOWED",
            Self::GrantTypeUnsupported { .. } => "GRANT_TYPE_UNSUPPORTED",
            Self::PageTokenInvalid => "PAGE_TOKEN_INVALID",
            Self::CursorInvalid => "CURSOR_INVALID",
            Self::CursorExpired => "CURSOR_EXPIRED",
            Self::ApiKeyMissing => "API_KEY_MISSING",
            Self::ApiKeyInvalid => "API_KEY_INVALID",
            Self::CallerUnknown => "CALLER_UNKNOWN",
            Self::TokenInvalid(_) => "TOKEN_INVALID",
            Self::IssuerUnavailable(_) => "ISSUER_UNAVAILABLE",
            Self::PermissionMissing(_) => "PERMISSION_MISSING",
            Self::SignatureMissing => "SIGNATURE_MISSING",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::SignatureReplayed => "SIGNATURE_REPLAYED",
            Self::ConnectionNotFound { .. } => "CONNECTION_NOT_FOUND",
            Self::IntegrationNotFound(_) => "INTEGRATION_NOT_FOUND",
            Self::ProviderNotFound(_) => "PROVIDER_NOT_FOUND",
            Self::ApiKeyNotFound(_) => "API_KEY_NOT_FOUND",
            Self::WebhookNotFound(_) => "WEBHOOK_NOT_FOUND",
            Self::DeliveryNotFound(_) => "DELIVERY_NOT_FOUND",
            Self::WebhookLimitReached(_) => "WEBHOOK_LIMIT_REACHED",
            Self::FlowNotFound => "FLOW_NOT_FOUND",
            Self::IntegrationAlreadyExists(_) => "INTEGRATION_ALREADY_EXISTS",
            Self::ProjectAlreadyExists(_) => "PROJECT_ALREADY_EXISTS",
            Self::ConnectionAlreadyExists { .. } => "CONNECTION_ALREADY_EXISTS",
            Self::FlowExpired => "FLOW_EXPIRED",
            Self::BrowserMismatch => "BROWSER_MISMATCH",
            Self::CallbackInvalid(_) => "CALLBACK_INVALID",
            Self::AuthorizationDenied { .. } => "AUTHORIZATION_DENIED",
            Self::EtagMismatch => "ETAG_MISMATCH",
            Self::SettingsConflict(_) => "SETTINGS_CONFLICT",
            Self::AccountChanged { .. } => "ACCOUNT_CHANGED",
            Self::IntegrationInUse(_) => "INTEGRATION_IN_USE",
            Self::ProviderUnavailable { .. } => "PROVIDER_UNAVAILABLE",
            Self::ProviderResponseInvalid { .. } => "PROVIDER_RESPONSE_INVALID",
            Self::ProviderAddressRefused { .. } => "PROVIDER_ADDRESS_REFUSED",
            Self::ProviderRejectedCode { .. } => "PROVIDER_REJECTED_CODE",
            Self::ClientRejected { .. } => "CLIENT_REJECTED",
            Self::CredentialsRejected { .. } => "CREDENTIALS_REJECTED",
            Self::NeedsReauthorization { .. } => "NEEDS_REAUTHORIZATION",
            Self::Internal(_) => "INTERNAL",
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
            Self::WatchLimit(_) => "WATCH_LIMIT",
            Self::ServerStopping => "SERVER_STOPPING",
            Self::Overloaded => "OVERLOADED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::InFlow { source, .. } => source.reason(),
        }
    }
}
