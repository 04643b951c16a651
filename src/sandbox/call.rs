//! An HTTP request as the handlers want it.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
};
use url::form_urlencoded;

use super::{answer::Refusal, book::TokenRequest};

const FORM: &str = "application/x-www-form-urlencoded";

/// A request, read to its end.
pub(super) struct Call {
    pub(super) path: String,
    pub(super) host: String,
    pub(super) query: Params,
    pub(super) form: Params,
    pub(super) authorization: Option<String>,
    pub(super) content_type: Option<String>,
}

/// The parameters of a query or of a form.
#[derive(Clone, Default)]
pub(super) struct Params {
    map: BTreeMap<String, String>,
    repeated: BTreeSet<String>,
}

// === impl Call ===

impl Call {
    /// The request as the book keeps it.
    pub(super) fn to_token_request(&self) -> TokenRequest {
        TokenRequest {
            path: self.path.clone(),
            host: self.host.clone(),
            form: self.form.map.clone(),
            authorization: self.authorization.clone(),
            content_type: self.content_type.clone(),
        }
    }

    /// Refuses a body that is not a form (RFC 6749, appendix B).
    pub(super) fn check_form(&self) -> Result<(), Refusal> {
        if !self.is_form() {
            return Err(Refusal::invalid_request("the body is not application/x-www-form-urlencoded"));
        }
        self.form.check_unique()
    }

    fn is_form(&self) -> bool {
        let content_type = self.content_type.as_deref().unwrap_or_default();
        content_type.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(FORM))
    }

    /// What follows the given scheme in the `Authorization` header.
    pub(super) fn credentials(&self, scheme: &str) -> Option<&str> {
        let (found, credentials) = self.authorization.as_deref()?.split_once(' ')?;
        found.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
    }
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let uri = request.uri();
        let headers = request.headers();
        // HTTP/2 has an authority in place of a Host.
        let host = text(headers, &header::HOST).or_else(|| uri.authority().map(ToString::to_string));
        let mut call = Self {
            path: uri.path().to_owned(),
            host: host.unwrap_or_default(),
            query: Params::parse(uri.query().unwrap_or_default().as_bytes()),
            form: Params::default(),
            authorization: text(headers, &header::AUTHORIZATION),
            content_type: text(headers, &header::CONTENT_TYPE),
        };
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        if call.is_form() {
            call.form = Params::parse(&body);
        }
        Ok(call)
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

// === impl Params ===

impl Params {
    fn parse(text: &[u8]) -> Self {
        let mut params = Self::default();
        for (name, value) in form_urlencoded::parse(text) {
            if params.map.contains_key(&*name) {
                params.repeated.insert(name.into_owned());
            } else {
                params.map.insert(name.into_owned(), value.into_owned());
            }
        }
        params
    }

    /// A parameter's value. An empty one counts as none (RFC 6749, section 3.1).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.map.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::invalid_request(format!("the parameter {name} is missing")))
    }

    /// A number of seconds, if the parameter is there.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        // More than a century is a mistake, and further on would overflow.
        match value.parse() {
            Ok(seconds @ 1..=3_155_760_000) => Ok(Some(seconds)),
            _ => Err(Refusal::invalid_request(format!("{name} is not a number of seconds"))),
        }
    }

    /// Whether a parameter has this value.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    /// Refuses a parameter that came twice (RFC 6749, sections 3.1 and 3.2).
    pub(super) fn check_unique(&self) -> Result<(), Refusal> {
        if !self.repeated.is_empty() {
            return Err(Refusal::invalid_request("a parameter came more than once"));
        }
        Ok(())
    }

    /// A parameter that came once.
    pub(super) fn get_unique(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|_| !self.repeated.contains(name))
    }
}
