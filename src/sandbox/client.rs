//! Client authentication (RFC 6749, section 2.3.1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::{Client, Sandbox, answer::Refusal, call::Call, params::Params, quirks::AuthMethod};
use crate::model::{ExposeSecret as _, SecretString};

// === impl Sandbox ===

impl Sandbox {
    /// The client that makes a request.
    pub(super) fn authenticate(&self, call: &Call, params: &Params) -> Result<&Client, Refusal> {
        let form_id = params.get("client_id");
        let form_secret = params.get("client_secret");
        let Some(credentials) = call.credentials("Basic") else {
            return self.check(
                AuthMethod::Post,
                form_id.unwrap_or_default(),
                form_secret.unwrap_or_default(),
            );
        };
        if form_secret.is_some() {
            return Err(Refusal::invalid_request("the client authenticates in two ways at once"));
        }
        let (client_id, client_secret) = decode(credentials).ok_or_else(|| Refusal::invalid_client(true))?;
        if form_id.is_some_and(|form_id| form_id != client_id) {
            return Err(Refusal::invalid_request("the header and the form name different clients"));
        }
        self.check(AuthMethod::Basic, &client_id, &client_secret)
    }

    fn check(&self, method: AuthMethod, client_id: &str, client_secret: &str) -> Result<&Client, Refusal> {
        let client = self.client(client_id).filter(|client| match &client.client_secret {
            Some(expected) => self.quirks().auth_methods.contains(&method) && same(expected, client_secret),
            None => client_secret.is_empty(),
        });
        client.ok_or_else(|| Refusal::invalid_client(method == AuthMethod::Basic))
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
