//! Calls to a provider's API that its entry declares: lookups, verifications, revocations.

use oauth2::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use super::{
    Failure, OAuthClient, Registration,
    http::{Answer, MAX_METADATA_BYTES},
    json,
    response::unavailable,
};
use crate::{
    model::ExposeSecret as _,
    provider::{ApiMethod, ApiRequest, BodyFormat},
};

impl OAuthClient {
    /// Makes a lookup. Its answer is JSON.
    pub async fn look_up(
        &self,
        registration: Registration<'_>,
        request: ApiRequest,
    ) -> Result<Value, Failure> {
        let answer = self.call(registration, request).await?;
        match answer.status {
            status if status.is_success() => json::parse(&answer.body)
                .map_err(|problem| Failure::invalid(format!("its answer to the lookup {problem}"))),
            status => {
                Err(Failure::invalid(format!("its answer to the lookup has status {}", status.as_u16())))
            }
        }
    }

    /// Proves static credentials. `false`: the provider refuses them.
    pub async fn verify(&self, registration: Registration<'_>, request: ApiRequest) -> Result<bool, Failure> {
        let answer = self.call(registration, request).await?;
        match answer.status {
            status if status.is_success() => Ok(true),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(false),
            status => Err(Failure::invalid(format!(
                "its answer to the verification has status {}",
                status.as_u16()
            ))),
        }
    }

    pub(super) async fn call(
        &self,
        registration: Registration<'_>,
        request: ApiRequest,
    ) -> Result<Answer, Failure> {
        let unfit = || Failure::unsent("no request could be made of it");
        let body = request.body.as_ref().map_or("", |(_, body)| body.expose_secret());
        let mut http_request = oauth2::HttpRequest::new(body.to_owned().into_bytes());
        *http_request.uri_mut() = request.url.as_str().parse().map_err(|_| unfit())?;
        let headers = http_request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let content_type = match &request.body {
            Some((BodyFormat::Form, _)) => Some("application/x-www-form-urlencoded"),
            Some((BodyFormat::Json, _)) => Some("application/json"),
            None => (request.method == ApiMethod::Post).then_some("application/json"),
        };
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in request.headers {
            let name: HeaderName = name.parse().map_err(|_| unfit())?;
            let mut value = HeaderValue::from_bytes(value.expose_secret().as_bytes()).map_err(|_| unfit())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        *http_request.method_mut() = match request.method {
            ApiMethod::Get => Method::GET,
            ApiMethod::Post => Method::POST,
            ApiMethod::Delete => Method::DELETE,
        };
        let answer = self.http_for(registration)?.send_up_to(http_request, MAX_METADATA_BYTES).await?;
        match unavailable(&answer, self.clock.now()) {
            Some(failure) => Err(failure),
            None => Ok(answer),
        }
    }
}
