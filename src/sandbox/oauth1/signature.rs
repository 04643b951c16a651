//! What an OAuth 1.0a request signs, and with what (RFC 5849, section 3.4).
//!
//! This is a reading of the RFC of its own: it shares nothing with what signs requests in this program.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::Sha256;

use crate::sandbox::quirks::SignatureMethod;

/// Everything but RFC 3986's unreserved characters (section 3.6).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The signature of a base string.
pub(super) fn signature(
    method: SignatureMethod,
    base_string: &str,
    client_secret: &str,
    token_secret: &str,
) -> String {
    let key = format!("{}&{}", encoded(client_secret), encoded(token_secret));
    match method {
        SignatureMethod::HmacSha1 => STANDARD.encode(mac::<Hmac<Sha1>>(&key, base_string)),
        SignatureMethod::HmacSha256 => STANDARD.encode(mac::<Hmac<Sha256>>(&key, base_string)),
        SignatureMethod::Plaintext => key,
    }
}

/// The signature base string (section 3.4.1) of a request to a URL without its query. The parameters are all of the request,
/// decoded; the signature and the realm do not count.
pub(super) fn base_string(method: &str, url: &str, params: &[(String, String)]) -> String {
    let mut pairs: Vec<(String, String)> = params
        .iter()
        .filter(|(name, _)| name != "oauth_signature" && name != "realm")
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let parts = [&method.to_uppercase(), url, &pairs.join("&")];
    parts.map(encoded).join("&")
}

/// The base string URI (section 3.4.1.2). The path stays as it came.
pub(super) fn base_uri(https: bool, host: &str, path: &str) -> String {
    let (scheme, default_port) = if https { ("https", ":443") } else { ("http", ":80") };
    let host = host.to_ascii_lowercase();
    format!("{scheme}://{}{path}", host.strip_suffix(default_port).unwrap_or(&host))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104, section 2)")]
fn mac<M: Mac + KeyInit>(key: &str, text: &str) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// RFC 5849, section 3.4.1.1.
    #[test]
    fn the_base_string_of_the_rfc() {
        let params = pairs(&[
            ("b5", "=%3D"),
            ("a3", "a"),
            ("c@", ""),
            ("a2", "r b"),
            ("realm", "Example"),
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
            ("oauth_signature", "bYT5CMsGcbgUdFHObYMEfcx6bsw="),
            ("c2", ""),
            ("a3", "2 q"),
        ]);
        let text = base_string("post", &base_uri(false, "EXAMPLE.COM:80", "/request"), &params);
        assert_eq!(
            text,
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D\
             %26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a\
             %26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        );
        // As the erratum has it: the RFC's own is of another text.
        let found = signature(SignatureMethod::HmacSha1, &text, "j49sk3j29djd", "dh893hdasih9");
        assert_eq!(found, "r6/TJjbCOr97/+UU0NsvSne7s5g=");
    }

    /// RFC 5849, section 1.2: the request for an access token, and the one for the photo.
    #[test]
    fn the_signatures_of_the_rfc() {
        let consumer = [("oauth_consumer_key", "dpf43f3p2l4k3l03"), ("oauth_signature_method", "HMAC-SHA1")];
        for (https, method, host, path, more, token_secret, expected) in [
            (
                true,
                "POST",
                "photos.example.net",
                "/token",
                &[
                    ("oauth_token", "hh5s93j4hdidpola"),
                    ("oauth_timestamp", "137131201"),
                    ("oauth_nonce", "walatlh"),
                    ("oauth_verifier", "hfdp7dh39dks9884"),
                ][..],
                "hdhd0244k9j7ao03",
                "gKgrFCywp7rO0OXSjdot/IHF7IU=",
            ),
            (
                false,
                "GET",
                "photos.example.net",
                "/photos",
                &[
                    ("file", "vacation.jpg"),
                    ("size", "original"),
                    ("oauth_token", "nnch734d00sl2jdk"),
                    ("oauth_timestamp", "137131202"),
                    ("oauth_nonce", "chapoH"),
                ],
                "pfkkdhi9sl3r4s00",
                "MdpQcU8iPSUjWoN/UDMsK2sui9I=",
            ),
        ] {
            let params = pairs(&[&consumer[..], more].concat());
            let text = base_string(method, &base_uri(https, host, path), &params);
            let found = signature(SignatureMethod::HmacSha1, &text, "kd94hf93k423kf44", token_secret);
            assert_eq!(found, expected, "{path}");
        }
        let plain = signature(SignatureMethod::Plaintext, "", "a&b", "c d");
        assert_eq!(plain, "a%26b&c%20d");
    }

    #[test]
    fn only_the_default_port_goes() {
        assert_eq!(base_uri(true, "Host.test:443", "/A%20b"), "https://host.test/A%20b");
        assert_eq!(base_uri(true, "host.test:80", "/"), "https://host.test:80/");
        assert_eq!(base_uri(false, "127.0.0.1:4433", "/"), "http://127.0.0.1:4433/");
    }
}
