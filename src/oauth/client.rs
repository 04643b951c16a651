//! Requests of a client to the endpoints beside the token endpoint: it proves itself as it does there (RFC 7009, section
//! 2.1; RFC 7662, section 2.1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use oauth2::http::{HeaderValue, Method, header};
use url::{Url, form_urlencoded};

use super::{
    Endpoints, Failure, OAuthClient, Registration,
    dialect::add_headers,
    http::{Answer, MAX_METADATA_BYTES},
    response::unavailable,
};
use crate::{
    model::{ExposeSecret as _, SecretString},
    provider::AuthMethod,
};

impl OAuthClient {
    /// Posts a form about a token. An answer that says nothing about it is a failure.
    pub(super) async fn post_about(
        &self,
        registration: Registration<'_>,
        endpoints: &Endpoints,
        endpoint: &Url,
        (token, hint): (&SecretString, &str),
        secret: Option<&SecretString>,
    ) -> Result<Answer, Failure> {
        let Registration { provider, integration, config } = registration;
        let client_id = integration.client_id.as_str();
        let mut proof = Vec::new();
        let mut authorization = None;
        match secret {
            Some(secret) if provider.auth_method() == AuthMethod::ClientSecretBasic => {
                authorization = Some(basic(client_id, secret)?);
            }
            secret => {
                proof.push(("client_id".to_owned(), client_id.to_owned()));
                let secret = secret.map(|secret| secret.expose_secret().to_owned());
                proof.extend(secret.map(|secret| ("client_secret".to_owned(), secret)));
            }
        }
        if provider.auth_method() == AuthMethod::PrivateKeyJwt {
            proof.extend(self.assertion(registration, endpoints, endpoint)?);
        }
        let proof = proof.iter().filter_map(|(name, value)| Some((provider.param_name(name)?, value)));
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose_secret())
            .append_pair("token_type_hint", hint)
            .extend_pairs(proof)
            .finish();
        let unfit = || Failure::unsent("no request could be made of it");
        let mut request = oauth2::HttpRequest::new(form.into_bytes());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = endpoint.as_str().parse().map_err(|_| unfit())?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        add_headers(headers, provider.token_headers(config))?;
        headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
        let answer = self.http_for(registration)?.send_up_to(request, MAX_METADATA_BYTES).await?;
        match unavailable(&answer, self.clock.now()) {
            Some(failure) => Err(failure),
            None => Ok(answer),
        }
    }
}

/// HTTP Basic, with both parts form-encoded first (RFC 6749, section 2.3.1).
fn basic(client_id: &str, secret: &SecretString) -> Result<HeaderValue, Failure> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let both = format!("{}:{}", encoded(client_id), encoded(secret.expose_secret()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(both)))
        .map_err(|_| Failure::unsent("no request could be made of it"))?;
    value.set_sensitive(true);
    Ok(value)
}
