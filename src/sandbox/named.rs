//! The quirks of the providers in the catalog, by their ids there.
//!
//! Their sources are named in the catalog's files. What a source does not settle is as the RFCs have it. None of them is
//! known to demand PKCE of a client with a secret, so none does here. `/userinfo` is ours: their APIs are not played.

use serde_json::{Map, Value};

use super::quirks::{AuthMethod, ErrorQuirks, ExpiresIn, IssuesRefreshToken, Quirks};

// === impl Quirks ===

impl Quirks {
    /// The quirks of a provider in the catalog, by its id there.
    #[must_use]
    pub fn named(provider_id: &str) -> Option<Self> {
        match provider_id {
            "gorgias" => Some(gorgias()),
            "qualtrics" => Some(qualtrics()),
            "salesforce" => Some(salesforce()),
            "shopify" => Some(shopify()),
            "zendesk" => Some(zendesk()),
            "zoho" => Some(zoho()),
            _ => None,
        }
    }
}

/// Basic only; a refresh token only with `offline`, and it stays the same; `expires_in` is 0 although tokens live.
fn gorgias() -> Quirks {
    Quirks {
        revoke_path: Some("/oauth/revoke".to_owned()),
        expires_in: ExpiresIn::Stated(0),
        issues_refresh_token: IssuesRefreshToken::WithScope(vec!["offline".to_owned()]),
        rotate: false,
        ..provider("/oauth/authorize", "/oauth/token", AuthMethod::Basic)
    }
}

/// Basic only.
fn qualtrics() -> Quirks {
    provider("/oauth2/auth", "/oauth2/token", AuthMethod::Basic)
}

/// No `expires_in`; `instance_url` and `id` beside the token; a refresh token that stays the same.
fn salesforce() -> Quirks {
    Quirks {
        revoke_path: Some("/services/oauth2/revoke".to_owned()),
        revoke_needs_client: false,
        expires_in: ExpiresIn::Never,
        issues_refresh_token: IssuesRefreshToken::WithScope(vec![
            "refresh_token".to_owned(),
            "offline_access".to_owned(),
        ]),
        rotate: false,
        extra_token_members: members(&[
            ("instance_url", "https://acme.my.salesforce.com"),
            ("id", "https://{host}/id/00D/005"),
            ("issued_at", "{issued_at}"),
            ("signature", "{signature}"),
        ]),
        ..provider("/services/oauth2/authorize", "/services/oauth2/token", AuthMethod::Post)
    }
}

/// Signed callbacks; comma-separated scopes; no `token_type`; tokens that expire only on demand; a lost answer to a refresh
/// does no harm.
fn shopify() -> Quirks {
    Quirks {
        scope_separator: ",".to_owned(),
        sign_callback: true,
        token_type: None,
        expires_in: ExpiresIn::WhenFlagged {
            name: "expiring".to_owned(),
            value: "1".to_owned(),
            seconds: 3600,
        },
        issues_refresh_token: IssuesRefreshToken::WithTokenParam {
            name: "expiring".to_owned(),
            value: "1".to_owned(),
        },
        refresh_token_expires_in: Some(90 * 24 * 3600),
        rotation_grace: true,
        dead_code_error: "invalid_request".to_owned(),
        ..provider("/admin/oauth/authorize", "/admin/oauth/access_token", AuthMethod::Post)
    }
}

/// `expires_in` only when asked, at the exchange and at each refresh; a refresh ends both tokens before it.
fn zendesk() -> Quirks {
    Quirks {
        token_type: Some("bearer".to_owned()),
        expires_in: ExpiresIn::WhenAsked { parameter: "expires_in".to_owned() },
        refresh_token_expires_in: Some(30 * 24 * 3600),
        refresh_ends_access_tokens: true,
        ..provider("/oauth/authorizations/new", "/oauth/tokens", AuthMethod::Post)
    }
}

/// Data centers in the callback; comma-separated scopes; errors with status 200; a refresh token that stays the same and
/// comes only with `access_type=offline` and `prompt=consent`.
fn zoho() -> Quirks {
    Quirks {
        revoke_path: Some("/oauth/v2/token/revoke".to_owned()),
        revoke_needs_client: false,
        scope_separator: ",".to_owned(),
        extra_callback_params: vec![
            ("location".to_owned(), "us".to_owned()),
            ("accounts-server".to_owned(), "https://accounts.zoho.com".to_owned()),
        ],
        issues_refresh_token: IssuesRefreshToken::WithParams(vec![
            ("access_type".to_owned(), "offline".to_owned()),
            ("prompt".to_owned(), "consent".to_owned()),
        ]),
        rotate: false,
        extra_token_members: members(&[("api_domain", "https://www.zohoapis.com")]),
        token_error: ErrorQuirks { status_200: true, description: None, ..ErrorQuirks::default() },
        dead_code_error: "invalid_code".to_owned(),
        dead_refresh_token_error: "invalid_code".to_owned(),
        ..provider("/oauth/v2/auth", "/oauth/v2/token", AuthMethod::Post)
    }
}

/// What they have in common: one way to authenticate, PKCE at will, and no revocation endpoint unless one is known.
fn provider(authorize_path: &str, token_path: &str, auth_method: AuthMethod) -> Quirks {
    Quirks {
        authorize_path: authorize_path.to_owned(),
        token_path: token_path.to_owned(),
        revoke_path: None,
        introspect_path: None,
        auth_methods: vec![auth_method],
        pkce_required: false,
        ..Quirks::default()
    }
}

fn members(members: &[(&str, &str)]) -> Map<String, Value> {
    members.iter().map(|(name, value)| ((*name).to_owned(), Value::String((*value).to_owned()))).collect()
}
