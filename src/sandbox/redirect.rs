//! Sending the browser back to the client, in the provider's manner.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use url::{Url, form_urlencoded};

use super::{Client, Sandbox, page};
use crate::model::ExposeSecret as _;

// === impl Sandbox ===

impl Sandbox {
    /// Answers 303 to the redirect URI with these parameters and those that the quirks add.
    pub(super) fn send_back(
        &self,
        client: &Client,
        redirect_uri: &str,
        state: Option<&str>,
        host: &str,
        params: &[(&str, &str)],
    ) -> Response {
        let quirks = self.quirks();
        let Ok(mut url) = Url::parse(redirect_uri) else {
            return page::problem("The redirect URI is not a URL.");
        };
        let iss = quirks.iss.as_ref().map(|iss| iss.replace("{host}", host));
        let own = [("state", state), ("iss", iss.as_deref())];
        url.query_pairs_mut()
            .extend_pairs(params)
            .extend_pairs(own.iter().filter_map(|(name, value)| value.map(|value| (name, value))))
            .extend_pairs(
                quirks
                    .extra_callback_params
                    .iter()
                    .map(|(name, value)| (name, value.replace("{host}", host))),
            );
        if quirks.sign_callback {
            self.sign(&mut url, client, host);
        }
        if quirks.form_post {
            let own = Url::parse(redirect_uri).map_or(0, |url| url.query_pairs().count());
            let params: Vec<_> = url.query_pairs().into_owned().skip(own).collect();
            return page::form_post(redirect_uri, &params);
        }
        let Ok(location) = HeaderValue::from_str(url.as_str()) else {
            return page::problem("The redirect URI does not fit into a header.");
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SEE_OTHER;
        response.headers_mut().insert(header::LOCATION, location);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Names the shop and signs the whole query, as Shopify does.
    ///
    /// The text under the MAC is all parameters but `hmac`, sorted by name, joined as `name=value` with `&`. Shopify's page
    /// doesn't say how values are encoded in it. Its own libraries encode them as a form again (`URI.encode_www_form` in
    /// Ruby, `URLSearchParams` in JavaScript), so it is what we do; for what Shopify really sends it makes no difference,
    /// `host` included, whose base64 comes without padding.
    fn sign(&self, url: &mut Url, client: &Client, host: &str) {
        let store = host.split('.').next().unwrap_or_default();
        let admin = STANDARD_NO_PAD.encode(format!("admin.shopify.com/store/{store}"));
        let timestamp = self.0.clock.now().unix_timestamp().to_string();
        url.query_pairs_mut().extend_pairs([("shop", host), ("timestamp", &timestamp), ("host", &admin)]);
        let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
        pairs.sort();
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        url.query_pairs_mut().append_pair(&self.quirks().hmac_param, &hex::encode(self.mac(client, &text)));
    }
}

impl Sandbox {
    /// The HMAC-SHA256 of a text under a client's secret.
    pub(super) fn mac(&self, client: &Client, text: &str) -> [u8; 32] {
        mac(self.secret_of(client).as_ref().map_or("", |secret| secret.expose_secret()), text)
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104, section 2)")]
pub(super) fn mac(secret: &str, text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}
