//! Speaks OAuth 2.0 to providers: builds authorization URLs, exchanges codes, refreshes tokens.
//!
//! Knows the RFCs and a provider's entry, not rows. The `oauth2` crate builds the requests; [`http`] is the only way out of
//! the house; [`response`] turns what providers answer into what RFC 6749 says they should.

mod http;
mod response;

use std::borrow::Cow;

use futures::future::BoxFuture;
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, AuthorizationRequest, Client, ClientId, ClientSecret,
    CsrfToken, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RefreshToken, RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse,
    TokenResponse as _,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
    },
};
use serde_json::{Map, Value};

pub use self::http::{HttpClient, HttpOptions, REQUEST_TIMEOUT};
use self::response::{Members, canonical};
use crate::{
    model::{Duration, Error, ExposeSecret as _, Integration, Result, SecretString, StringMap},
    provider::{AuthMethod, Provider},
};

/// The crate's client with our token response, before and after it is told the token endpoint.
type TokenClient<HasTokenUrl = EndpointNotSet> = Client<
    BasicErrorResponse,
    StandardTokenResponse<Members, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    HasTokenUrl,
>;

/// Speaks to providers.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    http: HttpClient,
}

/// One app at one provider, for one end user's config.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The provider's entry.
    pub provider: &'a Provider,
    /// The app.
    pub integration: &'a Integration,
    /// The connection config.
    pub config: &'a StringMap,
}

/// What goes into an authorization URL.
#[derive(Debug, Clone, Copy)]
pub struct Authorization<'a> {
    /// RFC 6749, section 3.1.2.
    pub redirect_uri: &'a str,
    /// RFC 6749, section 10.12.
    pub state: &'a SecretString,
    /// RFC 7636, section 4.1, if PKCE is on.
    pub code_verifier: Option<&'a SecretString>,
    /// OpenID Connect Core, section 3.1.2.1, if the entry wants one.
    pub nonce: Option<&'a SecretString>,
    /// RFC 6749, section 3.3.
    pub scopes: &'a [String],
    /// Scopes of the user, where the provider tells them from the app's.
    pub user_scopes: &'a [String],
    /// Further parameters of the Begin.
    pub params: &'a StringMap,
}

/// What a provider granted (RFC 6749, section 5.1).
#[derive(Debug, Clone)]
pub struct Grant {
    /// The access token.
    pub access_token: SecretString,
    /// Its type: `Bearer` unless the provider said otherwise.
    pub token_type: String,
    /// Its lifetime, if the provider said so.
    pub expires_in: Option<Duration>,
    /// The refresh token, if there is one, or a new one.
    pub refresh_token: Option<SecretString>,
    /// The refresh token's lifetime, if the provider said so.
    pub refresh_token_expires_in: Option<Duration>,
    /// The scopes granted, if the provider said so.
    pub scopes: Option<Vec<String>>,
    /// All other members of the answer.
    pub members: Members,
}

/// Why a provider granted nothing. It never holds anything that the provider said but an OAuth error, cleaned and capped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The network, a time-out, a server error, a rate limit: nothing is known about the grant.
    #[error("{problem}")]
    Unavailable {
        /// What happened.
        problem: String,
        /// When to try again, if the provider said so.
        retry_after: Option<std::time::Duration>,
    },
    /// An answer that is no token response.
    #[error("{problem}")]
    Invalid {
        /// What is wrong with it.
        problem: String,
    },
    /// An OAuth error (RFC 6749, section 5.2).
    #[error("{code}")]
    Refused {
        /// The code, as the RFC names it.
        code: String,
        /// The provider's words.
        description: Option<String>,
    },
}

/// The line to one provider, in the form that the `oauth2` crate speaks through.
struct Line<'a> {
    http: &'a HttpClient,
    provider: &'a Provider,
}

// === impl OAuthClient ===

impl OAuthClient {
    /// A client over this way out of the house.
    #[must_use]
    pub fn new(http: HttpClient) -> Self {
        Self { http }
    }

    /// The provider's page for this flow (RFC 6749, section 4.1.1).
    pub fn authorization_url(
        registration: Registration<'_>,
        authorization: &Authorization<'_>,
    ) -> Result<SecretString> {
        let Registration { provider, integration, config } = registration;
        let endpoint = provider.authorization_endpoint(config)?;
        let client = <TokenClient>::new(ClientId::new(integration.client_id.clone()))
            .set_auth_uri(oauth2::AuthUrl::from_url(endpoint));
        let redirect = redirect_url(authorization.redirect_uri)?;
        let state = authorization.state.expose_secret().to_owned();
        let mut request =
            client.authorize_url(|| CsrfToken::new(state)).set_redirect_uri(Cow::Owned(redirect));
        if let Some(verifier) = authorization.code_verifier {
            let verifier = PkceCodeVerifier::new(verifier.expose_secret().to_owned());
            request = request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        }
        Ok(String::from(with_params(request, provider, authorization).url().0).into())
    }

    /// Redeems an authorization code (RFC 6749, section 4.1.3).
    pub async fn exchange(
        &self,
        registration: Registration<'_>,
        code: &str,
        redirect_uri: &str,
        code_verifier: Option<&SecretString>,
    ) -> Result<Grant, Failure> {
        let client = configured(registration)?;
        let redirect = redirect_url(redirect_uri).map_err(|error| own_fault(&error))?;
        let mut request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_redirect_uri(Cow::Owned(redirect));
        if let Some(verifier) = code_verifier {
            request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()));
        }
        for (name, value) in registration.provider.token_params() {
            request = request.add_extra_param(name, value);
        }
        let http = Line { http: &self.http, provider: registration.provider };
        granted(request.request_async(&http).await)
    }

    /// Renews tokens (RFC 6749, section 6).
    pub async fn refresh(
        &self,
        registration: Registration<'_>,
        refresh_token: &SecretString,
    ) -> Result<Grant, Failure> {
        let client = configured(registration)?;
        let refresh_token = RefreshToken::new(refresh_token.expose_secret().to_owned());
        let mut request = client.exchange_refresh_token(&refresh_token);
        for (name, value) in registration.provider.refresh_params() {
            request = request.add_extra_param(name, value);
        }
        let http = Line { http: &self.http, provider: registration.provider };
        granted(request.request_async(&http).await)
    }
}

// === impl Line ===

impl<'c> AsyncHttpClient<'c> for Line<'_> {
    type Error = Failure;
    type Future = BoxFuture<'c, Result<HttpResponse, Failure>>;

    /// Sends a request and gives back a token response as RFC 6749 writes it, or the failure.
    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.http.send(request).await?;
            let mut response = HttpResponse::new(canonical(&answer, self.provider)?);
            let json = oauth2::http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(oauth2::http::header::CONTENT_TYPE, json);
            Ok(response)
        })
    }
}

// === impl Grant ===

impl Grant {
    /// The members that the RFC does not name, to capture config from.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        self.members.as_map()
    }
}

fn configured(registration: Registration<'_>) -> Result<TokenClient<EndpointSet>, Failure> {
    let Registration { provider, integration, config } = registration;
    let token = provider.token_endpoint(config).map_err(|error| own_fault(&error))?;
    let client = <TokenClient>::new(ClientId::new(integration.client_id.clone()))
        .set_token_uri(oauth2::TokenUrl::from_url(token))
        .set_auth_type(match provider.auth_method() {
            AuthMethod::ClientSecretBasic => AuthType::BasicAuth,
            AuthMethod::ClientSecretPost => AuthType::RequestBody,
        });
    Ok(match &integration.client_secret {
        Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
        None => client,
    })
}

fn with_params<'a>(
    mut request: AuthorizationRequest<'a>,
    provider: &'a Provider,
    authorization: &'a Authorization<'_>,
) -> AuthorizationRequest<'a> {
    let separator = provider.scope_separator();
    if !authorization.scopes.is_empty() {
        // One scope as far as the crate knows: it always joins with a space.
        request = request.add_scope(Scope::new(authorization.scopes.join(separator)));
    }
    if let (Some(name), false) = (provider.user_scope_param(), authorization.user_scopes.is_empty()) {
        request = request.add_extra_param(name, authorization.user_scopes.join(separator));
    }
    if let Some(nonce) = authorization.nonce {
        request = request.add_extra_param("nonce", nonce.expose_secret());
    }
    let own = provider.authorization_params().iter();
    for (name, value) in own.filter(|(name, _)| !authorization.params.contains_key(*name)) {
        request = request.add_extra_param(name, value);
    }
    for (name, value) in authorization.params {
        request = request.add_extra_param(name, value);
    }
    request
}

fn granted(
    result: Result<
        StandardTokenResponse<Members, BasicTokenType>,
        RequestTokenError<Failure, BasicErrorResponse>,
    >,
) -> Result<Grant, Failure> {
    let response = result.map_err(|error| match error {
        RequestTokenError::Request(failure) => failure,
        // The crate's parse error holds the raw answer, and so tokens: it ends here.
        RequestTokenError::Parse(..) | RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_) => {
            Failure::Invalid { problem: "its members have the wrong types".to_owned() }
        }
    })?;
    let seconds = |seconds: std::time::Duration| Duration::try_from(seconds).ok();
    let members = response.extra_fields();
    Ok(Grant {
        access_token: response.access_token().secret().to_owned().into(),
        token_type: match response.token_type() {
            BasicTokenType::Bearer => "Bearer".to_owned(),
            other => other.as_ref().to_owned(),
        },
        expires_in: response.expires_in().and_then(seconds),
        refresh_token: response.refresh_token().map(|token| token.secret().to_owned().into()),
        refresh_token_expires_in: members.refresh_token_expires_in(),
        scopes: response
            .scopes()
            .map(|scopes| scopes.iter().map(|scope| scope.as_str().to_owned()).collect()),
        members: members.clone(),
    })
}

fn redirect_url(text: &str) -> Result<RedirectUrl> {
    RedirectUrl::new(text.to_owned()).map_err(Error::internal)
}

/// A stored value that no longer makes a request: the entry has changed under a connection.
fn own_fault(error: &Error) -> Failure {
    Failure::Invalid { problem: format!("no request could be made: {error}") }
}
