//! The authorization request (RFC 6749, section 4.1.1).

use std::borrow::Cow;

use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, basic::BasicClient};
use url::Url;

use super::{Authorization, Endpoints, Failure, OAuthClient, Registration, token::redirect_url};
use crate::model::{ExposeSecret as _, SecretString};

impl OAuthClient {
    /// The provider's page for this flow.
    pub fn authorization_url(
        registration: Registration<'_>,
        endpoints: &Endpoints,
        authorization: &Authorization<'_>,
    ) -> Result<SecretString, Failure> {
        let endpoint = endpoints.authorization()?.clone();
        let client = BasicClient::new(ClientId::new(registration.integration.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoint.clone()));
        let redirect = redirect_url(authorization.redirect_uri)?;
        let state = authorization.state.expose_secret().to_owned();
        let mut request =
            client.authorize_url(|| CsrfToken::new(state)).set_redirect_uri(Cow::Owned(redirect));
        if let Some(verifier) = authorization.code_verifier {
            let verifier = PkceCodeVerifier::new(verifier.expose_secret().to_owned());
            request = request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        }
        let standard = request.url().0;
        Ok(String::from(translated(&endpoint, &standard, registration, authorization)).into())
    }
}

/// The request with the provider's names for its parameters, and with further ones.
fn translated(
    endpoint: &Url,
    standard: &Url,
    registration: Registration<'_>,
    authorization: &Authorization<'_>,
) -> Url {
    let Registration { provider, config, .. } = registration;
    let own: Vec<_> = endpoint.query_pairs().collect();
    let mut url = endpoint.clone();
    let mut put = |name: &str, value: &str| {
        url.query_pairs_mut().append_pair(name, value);
    };
    // What the endpoint has in its own query is there already.
    for (name, value) in standard.query_pairs().skip(own.len()) {
        if let Some(name) = provider.param_name(&name) {
            put(name, &value);
        }
    }
    let separator = provider.scope_separator();
    if let (Some(name), false) = (provider.param_name("scope"), authorization.scopes.is_empty()) {
        put(name, &authorization.scopes.join(separator));
    }
    if let (Some(name), false) = (provider.user_scope_param(), authorization.user_scopes.is_empty()) {
        put(name, &authorization.user_scopes.join(separator));
    }
    if let Some(nonce) = authorization.nonce {
        put("nonce", nonce.expose_secret());
    }
    let mut params = provider.authorization_params(config);
    params.extend(authorization.params.clone());
    for (name, value) in &params {
        put(name, value);
    }
    url
}
