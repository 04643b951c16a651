//! Client authentication (RFC 6749, section 2.3).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::{Client, Sandbox, answer::Refusal, call::Call, params::Params, quirks::AuthMethod};
use crate::model::{ExposeSecret as _, SecretString};

/// How a request says which client makes it.
enum Credentials<'a> {
    Basic(&'a str),
    Secret(&'a str),
    Assertion(&'a str),
    Id,
}

// === impl Sandbox ===

impl Sandbox {
    /// Gives a client another secret. The one before is refused from then on.
    pub fn replace_secret(&self, client_id: &str, secret: SecretString) {
        self.memory().secrets.insert(client_id.to_owned(), secret);
    }

    /// A client's secret as it is now.
    pub(super) fn secret_of(&self, client: &Client) -> Option<SecretString> {
        let replaced = self.memory().secrets.get(&client.client_id).cloned();
        replaced.or_else(|| client.client_secret.clone())
    }

    /// The client that makes a request.
    pub(super) fn authenticate(&self, call: &Call, params: &Params) -> Result<&Client, Refusal> {
        let id = params.get("client_id");
        let client = match Credentials::of(call, params)? {
            Credentials::Basic(credentials) => {
                let (client_id, secret) = decode(credentials).ok_or_else(|| Refusal::invalid_client(true))?;
                if id.is_some_and(|id| id != client_id) {
                    return Err(Refusal::invalid_request("the header and the form name different clients"));
                }
                self.check_secret(AuthMethod::Basic, &client_id, &secret)
            }
            Credentials::Secret(secret) => {
                self.check_secret(AuthMethod::Post, id.unwrap_or_default(), secret)
            }
            Credentials::Assertion(assertion) => {
                if !self.quirks().auth_methods.contains(&AuthMethod::PrivateKeyJwt) {
                    return Err(Refusal::invalid_client(false));
                }
                self.check_assertion(assertion, id, call)
            }
            Credentials::Id => self.check_id(id.unwrap_or_default(), call),
        }?;
        if self.quirks().certificate_required && !client.presents_certificate(call) {
            return Err(Refusal::new("invalid_client", "the client's certificate was not presented"));
        }
        Ok(client)
    }

    fn check_secret(&self, method: AuthMethod, client_id: &str, secret: &str) -> Result<&Client, Refusal> {
        let allowed = self.quirks().auth_methods.contains(&method);
        let client = self.client(client_id).filter(|client| {
            allowed && self.secret_of(client).is_some_and(|expected| same(&expected, secret))
        });
        client.ok_or_else(|| Refusal::invalid_client(method == AuthMethod::Basic))
    }

    /// A client that is public, or known by its certificate (RFC 8705, section 2.1).
    fn check_id(&self, client_id: &str, call: &Call) -> Result<&Client, Refusal> {
        let methods = &self.quirks().auth_methods;
        let client = self.client(client_id).filter(|client| {
            client.is_public()
                || *methods == [AuthMethod::None]
                || methods.contains(&AuthMethod::TlsClientAuth) && client.presents_certificate(call)
        });
        client.ok_or_else(|| Refusal::invalid_client(false))
    }
}

// === impl Client ===

impl Client {
    /// Whether it has nothing to authenticate with.
    pub(super) fn is_public(&self) -> bool {
        self.client_secret.is_none() && self.public_key.is_none() && self.certificate.is_none()
    }

    fn presents_certificate(&self, call: &Call) -> bool {
        self.certificate.is_some() && self.certificate == call.certificate
    }
}

// === impl Credentials ===

impl<'a> Credentials<'a> {
    /// RFC 6749, section 2.3: no more than one in each request.
    fn of(call: &'a Call, params: &'a Params) -> Result<Self, Refusal> {
        let basic = call.credentials("Basic").map(Self::Basic);
        let secret = params.get("client_secret").map(Self::Secret);
        let assertion = params.get("client_assertion").map(Self::Assertion);
        let mut found = [basic, secret, assertion].into_iter().flatten();
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Refusal::invalid_request("the client authenticates in two ways at once")),
            (Some(Self::Assertion(_)), None)
                if !params.has("client_assertion_type", super::assertion::ASSERTION_TYPE) =>
            {
                Err(Refusal::invalid_request("client_assertion_type is not that of a JWT"))
            }
            (Some(credentials), None) => Ok(credentials),
            (None, None) => Ok(Self::Id),
        }
    }
}

fn same(expected: &SecretString, given: &str) -> bool {
    expected.expose_secret().as_bytes().ct_eq(given.as_bytes()).into()
}

/// Id and secret, each form-urlencoded before they were joined.
fn decode(credentials: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (client_id, client_secret) = text.split_once(':')?;
    Some((form_decode(client_id), form_decode(client_secret)))
}

fn form_decode(text: &str) -> String {
    let pair = format!("={}", text.replace('&', "%26"));
    form_urlencoded::parse(pair.as_bytes()).map(|(_, value)| value.into_owned()).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_urlencoded() {
        let header = STANDARD.encode("a%3Ab+c:s%25&=%2B");
        assert_eq!(decode(&header), Some(("a:b c".to_owned(), "s%&=+".to_owned())));
        assert_eq!(decode(&STANDARD.encode("a:")), Some(("a".to_owned(), String::new())));
        assert_eq!(decode(&STANDARD.encode("no colon")), None);
        assert_eq!(decode("no base64"), None);
    }
}
