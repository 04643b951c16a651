//! An HTTP request as the handlers want it.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{Method, header},
    response::{IntoResponse, Response},
};

use super::{PeerCertificate, answer::Refusal, book::TokenRequest, params::Params, quirks::RequestFormat};

/// A request, read to its end.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) host: String,
    pub(super) query: Params,
    pub(super) raw_query: String,
    /// What the body holds. Nothing, if it is neither a form nor a JSON object.
    pub(super) form: Params,
    pub(super) body: Bytes,
    /// The certificate under the connection.
    pub(super) certificate: Option<Vec<u8>>,
    format: Option<RequestFormat>,
    headers: BTreeMap<String, String>,
}

// === impl Call ===

impl Call {
    /// The request as the book keeps it.
    pub(super) fn to_token_request(&self) -> TokenRequest {
        let params = if self.method == Method::GET { &self.query } else { &self.form };
        TokenRequest {
            method: self.method.to_string(),
            path: self.path.clone(),
            host: self.host.clone(),
            form: params.as_map().clone(),
            authorization: self.header("authorization").map(str::to_owned),
            content_type: self.header("content-type").map(str::to_owned),
            headers: self.headers.clone(),
        }
    }

    /// The parameters, which have to come in this way and each of them once.
    pub(super) fn params(&self, format: RequestFormat) -> Result<&Params, Refusal> {
        let params = match format {
            RequestFormat::Query => &self.query,
            _ if self.format == Some(format) => &self.form,
            RequestFormat::Form => {
                return Err(Refusal::invalid_request("the body is not application/x-www-form-urlencoded"));
            }
            RequestFormat::Json => {
                return Err(Refusal::invalid_request("the body is not a JSON object of plain values"));
            }
        };
        params.check_unique()?;
        Ok(params)
    }

    /// Whether the body is a form.
    pub(super) fn is_form(&self) -> bool {
        self.format == Some(RequestFormat::Form)
    }

    /// A header, by its name in lower case. Of one that came twice, the last.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// What follows the given scheme in the `Authorization` header.
    pub(super) fn credentials(&self, scheme: &str) -> Option<&str> {
        let (found, credentials) = self.header("authorization")?.split_once(' ')?;
        found.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
    }

    fn read(&mut self, body: &[u8]) {
        let content_type = self.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/x-www-form-urlencoded" => {
                self.form = Params::parse(body);
                self.format = Some(RequestFormat::Form);
            }
            "application/json" => {
                if let Some(params) = Params::parse_json(body) {
                    self.form = params;
                    self.format = Some(RequestFormat::Json);
                }
            }
            _ => {}
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let uri = request.uri();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        // HTTP/2 has an authority in place of a Host.
        let host = request.headers().get(header::HOST).map(|value| text(value.as_bytes()));
        let host = host.or_else(|| uri.authority().map(ToString::to_string));
        let headers = request.headers().iter();
        let mut call = Self {
            method: request.method().clone(),
            path: uri.path().to_owned(),
            host: host.unwrap_or_default(),
            raw_query: uri.query().unwrap_or_default().to_owned(),
            query: Params::parse(uri.query().unwrap_or_default().as_bytes()),
            form: Params::default(),
            body: Bytes::new(),
            certificate: request.extensions().get::<PeerCertificate>().map(|found| found.0.clone()),
            format: None,
            headers: headers
                .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
                .collect(),
        };
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        call.read(&body);
        call.body = body;
        Ok(call)
    }
}
