//! Signatures of OAuth 1.0a requests (RFC 5849, section 3.4).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::Hmac;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::Sha256;
use url::Url;

use crate::{
    model::{ExposeSecret as _, SecretString},
    provider::SignatureMethod,
};

/// All but the unreserved characters (RFC 5849, section 3.6).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What signs one request.
pub(super) struct Signer<'a> {
    pub(super) method: SignatureMethod,
    pub(super) consumer_key: &'a str,
    pub(super) consumer_secret: Option<&'a SecretString>,
    pub(super) token_secret: Option<&'a SecretString>,
    pub(super) timestamp: i64,
    pub(super) nonce: &'a str,
}

impl Signer<'_> {
    /// The `Authorization` header of a request without a body (section 3.5.1).
    pub(super) fn header(&self, http_method: &str, url: &Url, params: &[(&str, &str)]) -> String {
        let timestamp = self.timestamp.to_string();
        let mut protocol = vec![
            ("oauth_consumer_key", self.consumer_key),
            ("oauth_nonce", self.nonce),
            ("oauth_signature_method", self.name()),
            ("oauth_timestamp", &timestamp),
            ("oauth_version", "1.0"),
        ];
        protocol.extend_from_slice(params);
        let signature = self.signature(&base_string(http_method, url, &protocol));
        protocol.push(("oauth_signature", &signature));
        let pairs: Vec<_> =
            protocol.iter().map(|(name, value)| format!("{name}=\"{}\"", encoded(value))).collect();
        format!("OAuth {}", pairs.join(", "))
    }

    fn signature(&self, base_string: &str) -> String {
        let secret = |secret: Option<&SecretString>| encoded(secret.map_or("", |it| it.expose_secret()));
        let key = format!("{}&{}", secret(self.consumer_secret), secret(self.token_secret));
        match self.method {
            SignatureMethod::HmacSha1 => STANDARD.encode(mac::<Hmac<Sha1>>(&key, base_string)),
            SignatureMethod::HmacSha256 => STANDARD.encode(mac::<Hmac<Sha256>>(&key, base_string)),
            SignatureMethod::Plaintext => key,
        }
    }

    fn name(&self) -> &'static str {
        match self.method {
            SignatureMethod::HmacSha1 => "HMAC-SHA1",
            SignatureMethod::HmacSha256 => "HMAC-SHA256",
            SignatureMethod::Plaintext => "PLAINTEXT",
        }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104, section 2)")]
fn mac<M: hmac::KeyInit + hmac::Mac>(key: &str, text: &str) -> Vec<u8> {
    let mut mac =
        <M as hmac::KeyInit>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Section 3.4.1.1.
fn base_string(http_method: &str, url: &Url, protocol: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> =
        url.query_pairs().map(|(name, value)| (encoded(&name), encoded(&value))).collect();
    pairs.extend(protocol.iter().map(|(name, value)| (encoded(name), encoded(value))));
    pairs.sort();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut base = url.clone();
    base.set_query(None);
    base.set_fragment(None);
    format!("{http_method}&{}&{}", encoded(base.as_str()), encoded(&pairs.join("&")))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5849, section 1.2: the request for temporary credentials, whose parameters are those of this client but for the
    /// version, which the example leaves out.
    #[test]
    fn the_base_string_is_that_of_the_rfc() {
        let url = Url::parse("http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b").unwrap();
        let protocol = [
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
            // The example's body.
            ("c2", ""),
            ("a3", "2 q"),
        ];
        assert_eq!(
            base_string("POST", &url, &protocol),
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        );
    }

    /// RFC 5849, section 1.2: the signature of the request for a photo, made of these secrets.
    #[test]
    fn the_signature_is_that_of_the_rfc() {
        let (consumer, token) =
            (SecretString::from("kd94hf93k423kf44"), SecretString::from("pfkkdhi9sl3r4s00"));
        let signer = Signer {
            method: SignatureMethod::HmacSha1,
            consumer_key: "dpf43f3p2l4k3l03",
            consumer_secret: Some(&consumer),
            token_secret: Some(&token),
            timestamp: 137_131_202,
            nonce: "chapoH",
        };
        let url = Url::parse("http://photos.example.net/photos?file=vacation.jpg&size=original").unwrap();
        let protocol = [
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_token", "nnch734d00sl2jdk"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131202"),
            ("oauth_nonce", "chapoH"),
        ];
        assert_eq!(signer.signature(&base_string("GET", &url, &protocol)), "MdpQcU8iPSUjWoN/UDMsK2sui9I=");
        let plain = Signer { method: SignatureMethod::Plaintext, ..signer };
        assert_eq!(plain.signature(""), "kd94hf93k423kf44&pfkkdhi9sl3r4s00");
    }
}
