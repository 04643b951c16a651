//! What a flow has asked for, to be compared with what was granted.

use crate::{
    model::{Flow, TokenSet},
    oauth::Grant,
    provider::Provider,
};

/// Asks for a refresh token, and is granted by one (OpenID Connect Core, section 11).
const OFFLINE_ACCESS: &str = "offline_access";
/// Asks for an `id_token`, and is granted by one (section 3.1.2.1).
const OPENID: &str = "openid";

/// The scopes that a flow has asked for, in the spelling of the provider's answers, but for those that were granted in another
/// way than by their names.
pub(super) fn requested(
    provider: &Provider,
    flow: &Flow,
    grant: Option<&Grant>,
    tokens: &TokenSet,
) -> Vec<String> {
    // An answer that names none has granted what was asked for (RFC 6749, section 5.1).
    let Some(grant) = grant.filter(|grant| grant.scopes.is_some()) else { return flow.scopes.clone() };
    let mut requested = provider.answered_scopes(&flow.scopes);
    requested.retain(|scope| match scope.as_str() {
        OFFLINE_ACCESS => tokens.refresh_token.is_none(),
        OPENID => grant.id_token().is_none(),
        _ => true,
    });
    requested
}
