//! Sending webhooks: the one request that does not go to a provider, over the same way out of the house.

use std::time::Duration;

use oauth2::http::{HeaderName, HeaderValue, Method, header};

use super::{Failure, OAuthClient, response::retry_after};

/// What an endpoint answered, but for its body, which is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its status.
    pub status: u16,
    /// How long it wants to be left alone, if it said so.
    pub retry_after: Option<Duration>,
}

impl OAuthClient {
    /// Posts JSON to an endpoint that has nothing to say but whether it took it.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<Receipt, Failure> {
        let unfit = || Failure::unsent("no request could be made of it");
        let mut request = oauth2::HttpRequest::new(body.into_bytes());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().map_err(|_| unfit())?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| unfit())?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let (status, headers) = self.http.to_webhooks()?.send_unread(request).await?;
        Ok(Receipt { status: status.as_u16(), retry_after: retry_after(&headers, self.clock.now()) })
    }
}
