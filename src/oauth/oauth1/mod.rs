//! OAuth 1.0a (RFC 5849): the three steps of its redirection-based authorization.

mod signature;

use oauth2::http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use self::signature::Signer;
use super::{
    Failure, OAuthClient, Registration,
    http::Answer,
    response::{seconds_until, unavailable},
};
use crate::model::{
    Duration, Error, ExposeSecret as _, OffsetDateTime, Result, SecretString, StringMap, token,
};

/// Temporary credentials (RFC 5849, section 2.1).
#[derive(Debug, Clone)]
pub struct RequestToken {
    /// Their identifier: it names the flow in the callback.
    pub token: SecretString,
    /// Their shared secret.
    pub secret: SecretString,
}

/// Token credentials (RFC 5849, section 2.3).
#[derive(Clone)]
pub struct TokenCredentials {
    /// Their identifier.
    pub token: SecretString,
    /// Their shared secret.
    pub secret: SecretString,
    /// Their lifetime, if the provider said so where its entry says.
    pub expires_in: Option<Duration>,
    /// All that the answer said beside them, to capture config from.
    pub answer: Value,
}

impl OAuthClient {
    /// Gets temporary credentials for a flow whose callback is this one.
    pub async fn request_token(
        &self,
        registration: Registration<'_>,
        callback: &str,
    ) -> Result<RequestToken, Failure> {
        let endpoint = registration.provider.request_token_endpoint(registration.config);
        let endpoint = endpoint.map_err(|error| Failure::own_fault(&error))?;
        let endpoint = endpoint.ok_or_else(|| Failure::invalid("its entry has no request token endpoint"))?;
        let params = [("oauth_callback", callback)];
        let answer = self.signed(registration, &endpoint, &params, None).await;
        let answer = answer.map_err(|failure| match failure {
            // Nobody but the client has signed (RFC 5849, section 3.2).
            Failure::Unauthorized => refused("invalid_client", StatusCode::UNAUTHORIZED),
            failure => failure,
        })?;
        // Without this a provider speaks OAuth 1.0, in which anybody can finish anybody's flow (RFC 5849, section 2.1).
        if answer.get("oauth_callback_confirmed").and_then(Value::as_str) != Some("true") {
            return Err(Failure::invalid("it did not confirm the callback"));
        }
        let (token, secret) = credentials(&answer)?;
        Ok(RequestToken { token, secret })
    }

    /// The provider's page for this flow (RFC 5849, section 2.2).
    pub fn oauth1_authorization_url(
        registration: Registration<'_>,
        request_token: &RequestToken,
        scopes: &[String],
        params: &StringMap,
    ) -> Result<SecretString> {
        let Registration { provider, config, .. } = registration;
        let endpoint = provider.authorization_endpoint(config)?;
        let mut url =
            endpoint.ok_or_else(|| Error::internal("an entry without its authorization endpoint"))?;
        let mut all = provider.authorization_params(config);
        all.extend(params.clone());
        if !scopes.is_empty() {
            all.insert("scope".to_owned(), scopes.join(provider.scope_separator()));
        }
        url.query_pairs_mut()
            .append_pair("oauth_token", request_token.token.expose_secret())
            .extend_pairs(&all);
        Ok(String::from(url).into())
    }

    /// Turns temporary credentials into token credentials.
    pub async fn access_token(
        &self,
        registration: Registration<'_>,
        request_token: &RequestToken,
        verifier: &SecretString,
    ) -> Result<TokenCredentials, Failure> {
        let endpoint = registration.provider.token_endpoint(registration.config);
        let endpoint = endpoint.map_err(|error| Failure::own_fault(&error))?;
        let endpoint = endpoint.ok_or_else(|| Failure::invalid("its entry has no token endpoint"))?;
        let params = [
            ("oauth_token", request_token.token.expose_secret()),
            ("oauth_verifier", verifier.expose_secret()),
        ];
        let answer = self.signed(registration, &endpoint, &params, Some(&request_token.secret)).await;
        let mut answer = answer.map_err(|failure| match failure {
            Failure::Unauthorized => refused("access_denied", StatusCode::UNAUTHORIZED),
            failure => failure,
        })?;
        let (token, secret) = credentials(&answer)?;
        answer.remove("oauth_token");
        answer.remove("oauth_token_secret");
        let answer = Value::Object(answer);
        let expires_at = registration.provider.token_response().expires_at.as_ref();
        let expires_in = expires_at.and_then(|path| seconds_until(path.find(&answer)?, self.clock.now()));
        let expires_in = expires_in.and_then(|seconds| i64::try_from(seconds).ok()).map(Duration::seconds);
        Ok(TokenCredentials { token, secret, expires_in, answer })
    }

    async fn signed(
        &self,
        registration: Registration<'_>,
        endpoint: &Url,
        params: &[(&str, &str)],
        token_secret: Option<&SecretString>,
    ) -> Result<Map<String, Value>, Failure> {
        let request = |secret| self.signed_with(secret, registration, endpoint, params, token_secret);
        self.with_secrets(registration, request).await
    }

    async fn signed_with(
        &self,
        consumer_secret: Option<&SecretString>,
        registration: Registration<'_>,
        endpoint: &Url,
        params: &[(&str, &str)],
        token_secret: Option<&SecretString>,
    ) -> Result<Map<String, Value>, Failure> {
        let nonce = token(&*self.random).map_err(|error| Failure::own_fault(&error))?;
        let integration = registration.integration;
        let signer = Signer {
            method: registration.provider.signature_method(),
            consumer_key: &integration.client_id,
            consumer_secret,
            token_secret,
            timestamp: self.clock.now().unix_timestamp(),
            nonce: nonce.expose_secret(),
        };
        let mut authorization = HeaderValue::from_str(&signer.header("POST", endpoint, params))
            .map_err(|_| Failure::unsent("no request could be made of it"))?;
        authorization.set_sensitive(true);
        let mut request = oauth2::HttpRequest::new(Vec::new());
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            endpoint.as_str().parse().map_err(|_| Failure::unsent("no request could be made of it"))?;
        request.headers_mut().insert(header::AUTHORIZATION, authorization);
        let answer = self.http_to(registration)?.send(request).await?;
        judged(&answer, self.clock.now())?;
        let pairs = form_urlencoded::parse(&answer.body);
        Ok(pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect())
    }
}

/// What a status says.
fn judged(answer: &Answer, now: OffsetDateTime) -> Result<(), Failure> {
    let number = answer.status.as_u16();
    if let Some(failure) = unavailable(answer, now) {
        return Err(failure);
    }
    match answer.status {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED => Err(Failure::Unauthorized),
        StatusCode::FORBIDDEN => Err(refused("access_denied", answer.status)),
        _ => Err(Failure::invalid(format!("its status is {number}"))),
    }
}

/// There are no error codes: what a status means is said in the words of OAuth 2.0.
fn refused(code: &str, status: StatusCode) -> Failure {
    let description = Some(format!("it answered with status {}", status.as_u16()));
    Failure::Refused { code: code.to_owned(), description }
}

fn credentials(answer: &Map<String, Value>) -> Result<(SecretString, SecretString), Failure> {
    let member = |name: &str| answer.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());
    let both = member("oauth_token").zip(member("oauth_token_secret"));
    let (token, secret) = both.ok_or_else(|| Failure::invalid("it holds no token with its secret"))?;
    Ok((token.into(), secret.into()))
}

impl std::fmt::Debug for TokenCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCredentials").finish_non_exhaustive()
    }
}
