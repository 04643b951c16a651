//! Keys that are not carried over, and entries that are not, each with its reason.

use super::Kind;

/// Why there is no catalog entry for a mode, or None if there can be one.
pub(super) fn no_entry(mode: &str) -> Option<String> {
    let why = match mode {
        "OAUTH2" | "OAUTH2_CC" | "OAUTH1" | "API_KEY" | "BASIC" => return None,
        "TWO_STEP" => "its token comes from requests of the provider's own making, which are no OAuth",
        "JWT" | "SIGNATURE" => {
            "each request carries a token that the caller signs: there is nothing to connect"
        }
        "APP" | "CUSTOM" => {
            "it signs in as an installed app with a key of its own, which is no flow of a user"
        }
        "MCP_OAUTH2" | "MCP_OAUTH2_GENERIC" => {
            "its client is registered or found anew for each server (RFC 7591), where an integration has a fixed one"
        }
        "TBA" => "its tokens are made by hand, and each request is signed with them",
        "AWS_SIGV4" => "each request is signed with keys of AWS",
        "BILL" => "its session comes from a request of the provider's own making, which is no OAuth",
        "INSTALL_PLUGIN" => "it is connected by installing a plugin, not by a flow",
        "NONE" => "it needs no credentials: there is nothing to connect",
        "" => "it has no `auth_mode`",
        other => return Some(format!("its `auth_mode` `{other}` is not known")),
    };
    Some(why.to_owned())
}

const FLOWS: [&str; 5] = [
    "disable_pkce",
    "refresh_params",
    "auth",
    "redirect_uri_metadata",
    "alternate_access_token_response_path",
];
const REQUESTS: [&str; 5] =
    ["refresh_url", "default_scopes", "scope_separator", "body_format", "expires_in_unit"];

/// What a key that nothing read means, and why it was not carried over.
pub(super) fn left_over(key: &str, grant_types: &[&str]) -> (Kind, &'static str) {
    const PROXY: &str = "describes API calls, which your backends make themselves";
    const PAGES: &str = "is a page of Nango's own interface";
    let browser = !["client_credentials", "api_key", "basic"].iter().any(|it| grant_types.contains(it));
    let requests = browser || grant_types.contains(&"client_credentials");
    match key {
        _ if !browser && (key.starts_with("authorization_") || FLOWS.contains(&key)) => {
            (Kind::Outside, "is about flows in a browser, and there are none")
        }
        _ if !requests && (key.starts_with("token_") || REQUESTS.contains(&key)) => {
            (Kind::Outside, "is about token requests, and there are none")
        }
        "proxy" | "retry" | "paginate" => (Kind::Outside, PROXY),
        "docs_connect" | "setup_guide_url" | "logo" | "popular" => (Kind::Outside, PAGES),
        "available_scopes" => {
            (Kind::Outside, "is a list for Nango's own interface: scopes are asked for by name")
        }
        "token_expiration_buffer" => (Kind::Outside, "is what `min_ttl` of a Get says"),
        "credentials" => {
            (Kind::Outside, "describes the form for credentials: a verification proves them here")
        }
        _ if key.starts_with("webhook_") => (Kind::Outside, "is about webhooks, which go to your backends"),
        "post_connection_script" => {
            (Kind::Lost, "runs code that is not in the file: if it fetches ids, `[lookup]` can do that")
        }
        "credentials_verification_script" => {
            (Kind::Lost, "runs code that is not in the file: `[verification]` can do that with one request")
        }
        "pre_connection_deletion_script" => {
            (Kind::Lost, "runs code that is not in the file: `revocation_endpoint` may do that")
        }
        "connection_configuration" => {
            (Kind::Lost, "names what a script finds, and the script is not in the file")
        }
        "integration_config" => {
            (Kind::Lost, "is configured with each integration, which has no such fields here")
        }
        "alternate_access_token_response_path" => {
            (Kind::Lost, "a token is looked for in one place: give `token_response.path` if it is this one")
        }
        "authorization_url_skip_encode" | "token_url_skip_encode" | "decode_url" => {
            (Kind::Lost, "parameters are always encoded as a URL wants it")
        }
        "request_params" => (Kind::Lost, "the request for a request token carries no further parameters"),
        "request_http_method" | "token_http_method" => (Kind::Lost, "OAuth 1.0a requests are always `POST`"),
        "refresh_token_response_metadata" => {
            (Kind::Changed, "what is captured from token responses is captured after a refresh as well")
        }
        "refresh_token_params"
        | "refresh_token_headers"
        | "token_response"
        | "additional_steps"
        | "token_response_headers"
        | "signature"
        | "token"
        | "assertion"
        | "assertion_option" => (Kind::Lost, "belongs to token requests of the provider's own making"),
        _ => (Kind::Lost, "is a key that this import does not know"),
    }
}
