//! Calls to a provider's API that its entry declares: lookups and verifications.

use oauth2::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use super::{
    Failure, OAuthClient, Registration,
    http::{Answer, MAX_METADATA_BYTES},
    response::retry_after,
};
use crate::provider::{ApiRequest, RequestMethod};

impl OAuthClient {
    /// Makes a lookup. Its answer is JSON.
    pub async fn look_up(
        &self,
        registration: Registration<'_>,
        request: ApiRequest,
    ) -> Result<Value, Failure> {
        let answer = self.call(registration, request).await?;
        match answer.status {
            status if status.is_success() => serde_json::from_slice(&answer.body)
                .map_err(|_| Failure::invalid("its answer to the lookup is not JSON")),
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

    async fn call(&self, registration: Registration<'_>, request: ApiRequest) -> Result<Answer, Failure> {
        let unfit = || Failure::invalid("no request could be made of it");
        let mut http_request = oauth2::HttpRequest::new(request.body.unwrap_or_default().into_bytes());
        *http_request.uri_mut() = request.url.as_str().parse().map_err(|_| unfit())?;
        let headers = http_request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if request.method == RequestMethod::Post {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in request.headers {
            use crate::model::ExposeSecret as _;
            let name: HeaderName = name.parse().map_err(|_| unfit())?;
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| unfit())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        *http_request.method_mut() = match request.method {
            RequestMethod::Get => Method::GET,
            RequestMethod::Post => Method::POST,
        };
        let answer = self.http_for(registration)?.send_up_to(http_request, MAX_METADATA_BYTES).await?;
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::Unavailable {
                problem: format!("it answered with status {}", answer.status.as_u16()),
                retry_after: retry_after(&answer.headers),
                unclear: answer.status.is_server_error(),
            });
        }
        Ok(answer)
    }
}
