//! The token requests of OAuth 2.0 (RFC 6749, sections 4.1.3, 4.4.2 and 6).

use std::borrow::Cow;

use oauth2::{
    AuthType, AuthorizationCode, Client, ClientId, ClientSecret, EndpointNotSet, EndpointSet,
    PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope, StandardRevocableToken,
    StandardTokenResponse, TokenResponse as _, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
    },
    http::StatusCode,
};
use url::Url;

use super::{Code, Endpoints, Failure, Grant, OAuthClient, Registration, dialect::Line, response::Members};
use crate::{
    model::{Duration, ExposeSecret as _, SecretString, StringMap},
    provider::{AuthMethod, Provider},
};

/// The crate's client with our token response, once it is told the token endpoint.
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

impl OAuthClient {
    /// Redeems an authorization code (RFC 6749, section 4.1.3).
    pub async fn exchange(&self, registration: Registration<'_>, code: Code<'_>) -> Result<Grant, Failure> {
        let endpoints = self.endpoints(registration).await?;
        let (endpoint, redirect) = (endpoints.token()?, redirect_url(code.redirect_uri)?);
        let params = registration.provider.token_params(registration.config);
        let (endpoints, redirect, params) = (&endpoints, &redirect, &params);
        let request = |secret| async move {
            let client = configured(registration, endpoint, secret);
            let mut request = client
                .exchange_code(AuthorizationCode::new(code.code.expose_secret().to_owned()))
                .set_redirect_uri(Cow::Borrowed(redirect));
            if let Some(verifier) = code.code_verifier {
                let verifier = PkceCodeVerifier::new(verifier.expose_secret().to_owned());
                request = request.set_pkce_verifier(verifier);
            }
            granted(
                registration.provider,
                request.request_async(&self.line(registration, (endpoints, endpoint), params)?).await,
            )
        };
        self.with_secrets(registration, request).await
    }

    /// Renews tokens (RFC 6749, section 6).
    pub async fn refresh(
        &self,
        registration: Registration<'_>,
        refresh_token: &SecretString,
    ) -> Result<Grant, Failure> {
        let endpoints = self.endpoints(registration).await?;
        let endpoint = endpoints.refresh()?;
        let refresh_token = RefreshToken::new(refresh_token.expose_secret().to_owned());
        let params = registration.provider.refresh_params(registration.config);
        let (endpoints, refresh_token, params) = (&endpoints, &refresh_token, &params);
        let request = |secret| async move {
            let client = configured(registration, endpoint, secret);
            let request = client.exchange_refresh_token(refresh_token);
            granted(
                registration.provider,
                request.request_async(&self.line(registration, (endpoints, endpoint), params)?).await,
            )
        };
        self.with_secrets(registration, request).await
    }

    /// Gets a token for the client itself (RFC 6749, section 4.4.2).
    pub async fn client_credentials(
        &self,
        registration: Registration<'_>,
        scopes: &[String],
    ) -> Result<Grant, Failure> {
        let endpoints = self.endpoints(registration).await?;
        let endpoint = endpoints.token()?;
        let params = registration.provider.client_credentials_params(registration.config);
        let (endpoints, params) = (&endpoints, &params);
        let request = |secret| async move {
            let client = configured(registration, endpoint, secret);
            let mut request = client.exchange_client_credentials();
            if !scopes.is_empty() {
                // One scope as far as the crate knows: it always joins with a space.
                request = request.add_scope(Scope::new(scopes.join(registration.provider.scope_separator())));
            }
            granted(
                registration.provider,
                request.request_async(&self.line(registration, (endpoints, endpoint), params)?).await,
            )
        };
        self.with_secrets(registration, request).await
    }

    fn line<'a>(
        &self,
        registration: Registration<'a>,
        (endpoints, endpoint): (&Endpoints, &Url),
        params: &StringMap,
    ) -> Result<Line<'a>, Failure> {
        let mut params = params.clone();
        if registration.provider.auth_method() == AuthMethod::PrivateKeyJwt {
            params.extend(self.assertion(registration, endpoints, endpoint)?);
        }
        let http = self.http_for(registration)?;
        Ok(Line { http, registration, params, now: self.clock.now() })
    }
}

fn configured(
    registration: Registration<'_>,
    endpoint: &Url,
    secret: Option<&SecretString>,
) -> TokenClient<EndpointSet> {
    let Registration { provider, integration, .. } = registration;
    let client = <TokenClient>::new(ClientId::new(integration.client_id.clone()))
        .set_token_uri(TokenUrl::from_url(endpoint.clone()));
    let client = client.set_auth_type(match provider.auth_method() {
        AuthMethod::ClientSecretBasic => AuthType::BasicAuth,
        _ => AuthType::RequestBody,
    });
    match secret {
        Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
        None => client,
    }
}

pub(super) fn granted(
    provider: &Provider,
    result: Result<
        StandardTokenResponse<Members, BasicTokenType>,
        RequestTokenError<Failure, BasicErrorResponse>,
    >,
) -> Result<Grant, Failure> {
    let response = result.map_err(|error| match error {
        RequestTokenError::Request(failure) => failure,
        // The crate's parse error holds the raw answer, and so tokens: it ends here.
        RequestTokenError::Parse(..) | RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_) => {
            Failure::invalid("its members have the wrong types").with_status(StatusCode::OK)
        }
    })?;
    let seconds = |seconds: std::time::Duration| Duration::try_from(seconds).ok();
    let members = response.extra_fields();
    // The crate keeps types in lower case: what the entry declares is handed out as it is written.
    let declared = provider.token_response().token_type.clone();
    let token_type = declared.unwrap_or_else(|| match response.token_type() {
        BasicTokenType::Bearer => "Bearer".to_owned(),
        other => other.as_ref().to_owned(),
    });
    Ok(Grant {
        access_token: response.access_token().secret().to_owned().into(),
        token_type,
        expires_in: response.expires_in().and_then(seconds),
        refresh_token: response.refresh_token().map(|token| token.secret().to_owned().into()),
        refresh_token_expires_in: members.refresh_token_expires_in(),
        scopes: response
            .scopes()
            .map(|scopes| scopes.iter().map(|scope| scope.as_str().to_owned()).collect()),
        members: members.clone(),
    })
}

pub(super) fn redirect_url(text: &str) -> Result<RedirectUrl, Failure> {
    RedirectUrl::new(text.to_owned()).map_err(|_| Failure::invalid("its redirect_uri is no URL"))
}
