//! A signed request, and what is wrong with it (RFC 5849, sections 3.1 to 3.5).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::signature::{base_string, base_uri, signature};
use crate::{
    model::{self, ExposeSecret as _, SecretString, digest},
    sandbox::{Client, Sandbox, answer, call::Call, quirks::SignatureMethod},
};

const MAX_CLOCK_SKEW_SECONDS: u64 = 300;

/// A request whose parameters are read: of the query, of the form, and of the `Authorization` header, where those of the
/// protocol have to be.
pub(super) struct Signed<'a> {
    call: &'a Call,
    params: Vec<(String, String)>,
}

/// Why a request is refused. The word is one of the OAuth Problem Reporting extension.
#[derive(Debug)]
pub(super) struct Problem(StatusCode, &'static str);

// === impl Signed ===

impl<'a> Signed<'a> {
    pub(super) fn read(call: &'a Call) -> Result<Self, Problem> {
        let header = call.credentials("OAuth").ok_or(Problem::bad("parameter_absent"))?;
        let mut params = parse_header(header).ok_or(Problem::bad("parameter_rejected"))?;
        params.extend(form_urlencoded::parse(call.raw_query.as_bytes()).into_owned());
        if call.is_form() {
            params.extend(form_urlencoded::parse(&call.body).into_owned());
        }
        let mut own: Vec<_> = params.iter().map(|(name, _)| name).filter(|name| is_own(name)).collect();
        let count = own.len();
        own.sort();
        own.dedup();
        if own.len() < count {
            return Err(Problem::bad("parameter_rejected"));
        }
        Ok(Self { call, params })
    }

    /// A parameter of the protocol.
    pub(super) fn get(&self, name: &str) -> Result<&str, Problem> {
        let found = self.params.iter().find(|(found, value)| found == name && !value.is_empty());
        found.map(|(_, value)| value.as_str()).ok_or(Problem::bad("parameter_absent"))
    }
}

fn is_own(name: &str) -> bool {
    name.starts_with("oauth_")
}

/// `name="value"` pairs with commas between them, both parts percent-encoded (section 3.5.1).
fn parse_header(header: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let pair = |text: &str| {
        let (name, value) = text.trim().split_once('=')?;
        Some((decoded(name)?, decoded(value.strip_prefix('"')?.strip_suffix('"')?)?))
    };
    header.split(',').map(pair).collect()
}

// === impl Sandbox ===

impl Sandbox {
    /// The client that signed a request with its secret and with that of a token, if there is one. The request is a new one.
    pub(super) fn verify(
        &self,
        signed: &Signed<'_>,
        token_secret: Option<&SecretString>,
    ) -> Result<&Client, Problem> {
        let quirks = self.quirks();
        let client = self.client(signed.get("oauth_consumer_key")?);
        let client = client.ok_or(Problem::unauthorized("consumer_key_unknown"))?;
        let secret = self.secret_of(client).ok_or(Problem::unauthorized("consumer_key_rejected"))?;
        let method = quirks.oauth1.as_ref().map(|oauth1| oauth1.signature_method).unwrap_or_default();
        if signed.get("oauth_signature_method")? != method.name() {
            return Err(Problem::bad("signature_method_rejected"));
        }
        if signed.get("oauth_version").is_ok_and(|version| version != "1.0") {
            return Err(Problem::bad("version_rejected"));
        }
        let once = self.freshness(signed, method)?;
        let call = signed.call;
        let uri = base_uri(quirks.https, &call.host, &call.path);
        let text = base_string(call.method.as_str(), &uri, &signed.params);
        let token_secret = token_secret.map_or("", |secret| secret.expose_secret());
        let expected = signature(method, &text, secret.expose_secret(), token_secret);
        if !bool::from(expected.as_bytes().ct_eq(signed.get("oauth_signature")?.as_bytes())) {
            return Err(Problem::unauthorized("signature_invalid"));
        }
        let mut memory = self.memory();
        if let Some(once) = once {
            if memory.nonces.get(&once).is_some() {
                return Err(Problem::unauthorized("nonce_used"));
            }
            memory.nonces.insert(once, ());
        }
        Ok(client)
    }

    /// What no other request may have: timestamp, nonce, token and client (section 3.3). A plain secret needs none of it.
    fn freshness(&self, signed: &Signed<'_>, method: SignatureMethod) -> Result<Option<String>, Problem> {
        if method == SignatureMethod::Plaintext && signed.get("oauth_nonce").is_err() {
            return Ok(None);
        }
        let (timestamp, nonce) = (signed.get("oauth_timestamp")?, signed.get("oauth_nonce")?);
        let time: i64 = timestamp.parse().map_err(|_| Problem::bad("parameter_rejected"))?;
        if time.abs_diff(self.0.clock.now().unix_timestamp()) > MAX_CLOCK_SKEW_SECONDS {
            return Err(Problem::unauthorized("timestamp_refused"));
        }
        let token = signed.get("oauth_token").unwrap_or_default();
        Ok(Some(digest(&format!("{timestamp}&{nonce}&{token}&{}", signed.get("oauth_consumer_key")?))))
    }
}

// === impl Problem ===

impl Problem {
    /// Something is missing, twice there, or not supported.
    pub(super) const fn bad(word: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, word)
    }

    /// The client, the token or the signature is not right.
    pub(super) const fn unauthorized(word: &'static str) -> Self {
        Self(StatusCode::UNAUTHORIZED, word)
    }

    pub(super) fn into_response(self) -> Response {
        let body =
            form_urlencoded::Serializer::new(String::new()).append_pair("oauth_problem", self.1).finish();
        let mut response = answer::unstored(self.0, "application/x-www-form-urlencoded", body);
        if self.0 == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("OAuth realm=\"sandbox\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<model::Error> for Problem {
    fn from(error: model::Error) -> Self {
        tracing::error!(%error, "the sandbox failed");
        Self(StatusCode::INTERNAL_SERVER_ERROR, "internal")
    }
}
