//! From the token request that RFC 6749 writes to the one that the provider understands.

use futures::future::BoxFuture;
use oauth2::{
    AsyncHttpClient, HttpRequest, HttpResponse,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::{Failure, HttpClient, Registration, response::canonical};
use crate::{
    model::{OffsetDateTime, StringMap},
    provider::{BodyFormat, RequestMethod},
};

/// The line to one provider, in the form that the `oauth2` crate speaks through.
pub(super) struct Line<'a> {
    pub(super) http: HttpClient,
    pub(super) registration: Registration<'a>,
    /// Parameters under the provider's own names. They replace those of the same name.
    pub(super) params: StringMap,
    pub(super) now: OffsetDateTime,
}

// === impl Line ===

impl<'c> AsyncHttpClient<'c> for Line<'_> {
    type Error = Failure;
    type Future = BoxFuture<'c, Result<HttpResponse, Failure>>;

    /// Sends a request and gives back a token response as RFC 6749 writes it, or the failure.
    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.http.send(self.translated(request)?).await?;
            let provider = self.registration.provider;
            let mut response = HttpResponse::new(canonical(&answer, provider, self.now)?);
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            Ok(response)
        })
    }
}

/// Adds headers, none of which a log may show.
pub(super) fn add_headers(headers: &mut HeaderMap, further: StringMap) -> Result<(), Failure> {
    let unfit = || Failure::unsent("no request could be made of it");
    for (name, value) in further {
        let name: HeaderName = name.parse().map_err(|_| unfit())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| unfit())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(())
}

impl Line<'_> {
    fn translated(&self, mut request: HttpRequest) -> Result<HttpRequest, Failure> {
        let provider = self.registration.provider;
        let params = self.named(&form_urlencoded::parse(request.body()).into_owned().collect::<Vec<_>>());
        let unfit = || Failure::unsent("no request could be made of it");
        add_headers(request.headers_mut(), provider.token_headers(self.registration.config))?;
        match (provider.token_request_method(), provider.token_request_format()) {
            (RequestMethod::Get, _) => {
                let mut url = Url::parse(&request.uri().to_string()).map_err(|_| unfit())?;
                url.query_pairs_mut().extend_pairs(params);
                *request.uri_mut() = url.as_str().parse::<Uri>().map_err(|_| unfit())?;
                *request.method_mut() = Method::GET;
                request.headers_mut().remove(header::CONTENT_TYPE);
                request.body_mut().clear();
            }
            (RequestMethod::Post, BodyFormat::Form) => {
                let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
                *request.body_mut() = form.into_bytes();
            }
            (RequestMethod::Post, BodyFormat::Json) => {
                let object: Map<String, Value> =
                    params.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
                *request.body_mut() = Value::Object(object).to_string().into_bytes();
                let json = HeaderValue::from_static("application/json");
                request.headers_mut().insert(header::CONTENT_TYPE, json);
            }
        }
        Ok(request)
    }

    /// The parameters under the provider's names, and the further ones.
    fn named(&self, standard: &[(String, String)]) -> Vec<(String, String)> {
        let name = |name: &str| self.registration.provider.param_name(name).map(str::to_owned);
        let named = standard.iter().filter_map(|(standard, value)| Some((name(standard)?, value.clone())));
        let kept = named.filter(|(name, _)| !self.params.contains_key(name));
        kept.chain(self.params.clone()).collect()
    }
}
