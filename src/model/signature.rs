//! Signatures: how an app's backend proves that it approved a Begin.
//!
//! Scheme v1 is the lower-case hex of HMAC-SHA256(key, `integration_id:connection_id`).
//!
//! Scheme v2 is `t=<unix expiry>,v2=<hex>`, where the MAC covers netstrings (`<length in bytes>:<bytes>,`), so that no byte
//! can move from one field to its neighbour:
//!
//! ```text
//! mac     = HMAC-SHA256(key, ns("tokenwell-begin-v2") ns(project_id) ns(integration_id) ns(connection_id)
//!                            ns(expiry in decimal) ns(lower-case hex of SHA-256(content)))
//! content = ns("connection_config")    ns(count) { ns(key) ns(value) }   keys sorted by their bytes
//!           ns("authorization_params") ns(count) { ns(key) ns(value) }   keys sorted by their bytes
//!           ns("scopes")               ns(count) { ns(scope) }           in the request's order
//!           ns("user_scopes")          ns(count) { ns(scope) }           in the request's order
//!           ns("return_url")           ns(return_url or nothing)
//! ```

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

use super::{HmacKey, StringMap};

/// How far in the future a v2 signature may expire.
pub const MAX_SIGNATURE_LIFETIME: Duration = Duration::hours(1);

/// What a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The project.
    pub project_id: &'a str,
    /// The integration.
    pub integration_id: &'a str,
    /// The connection, as the Begin names it: empty if it lets the server choose.
    pub connection_id: &'a str,
    /// The connection config of the Begin.
    pub connection_config: &'a StringMap,
    /// Its authorization parameters.
    pub authorization_params: &'a StringMap,
    /// Its scopes.
    pub scopes: &'a [String],
    /// Its user scopes.
    pub user_scopes: &'a [String],
    /// Its return URL, or nothing.
    pub return_url: &'a str,
}

/// A signature as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// Covers the two ids, for ever.
    V1([u8; 32]),
    /// Covers everything, and expires.
    V2 {
        /// When it expires, in Unix seconds.
        expiry: i64,
        /// The MAC.
        mac: [u8; 32],
    },
}

// === impl Signed ===

impl Signed<'_> {
    /// Makes a v1 signature.
    #[must_use]
    pub fn sign_v1(&self, key: &HmacKey) -> String {
        hex::encode(self.mac_v1(key).finalize().into_bytes())
    }

    /// Makes a v2 signature that expires at the given Unix second.
    #[must_use]
    pub fn sign_v2(&self, key: &HmacKey, expiry: i64) -> String {
        let mac = self.mac_v2(key, expiry).finalize().into_bytes();
        format!("t={expiry},v2={}", hex::encode(mac))
    }

    fn mac_v1(&self, key: &HmacKey) -> Hmac<Sha256> {
        let mut mac = mac(key);
        mac.update(self.integration_id.as_bytes());
        mac.update(b":");
        mac.update(self.connection_id.as_bytes());
        mac
    }

    fn mac_v2(&self, key: &HmacKey, expiry: i64) -> Hmac<Sha256> {
        let mut mac = mac(key);
        let expiry = expiry.to_string();
        let content = hex::encode(self.content());
        for field in [
            "tokenwell-begin-v2",
            self.project_id,
            self.integration_id,
            self.connection_id,
            &expiry,
            &content,
        ] {
            netstring(field, |bytes| mac.update(bytes));
        }
        mac
    }

    fn content(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut put = |field: &str| netstring(field, |bytes| hash.update(bytes));
        for (name, map) in [
            ("connection_config", self.connection_config),
            ("authorization_params", self.authorization_params),
        ] {
            put(name);
            put(&map.len().to_string());
            for (key, value) in map {
                put(key);
                put(value);
            }
        }
        for (name, list) in [("scopes", self.scopes), ("user_scopes", self.user_scopes)] {
            put(name);
            put(&list.len().to_string());
            for item in list {
                put(item);
            }
        }
        put("return_url");
        put(self.return_url);
        hash.finalize().into()
    }
}

// === impl Signature ===

impl Signature {
    /// Reads a signature. `None` if it is of neither scheme.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some(rest) = text.strip_prefix("t=") else {
            return Some(Self::V1(parse_hex(text)?));
        };
        let (expiry, mac) = rest.split_once(",v2=")?;
        let canonical =
            !expiry.is_empty() && expiry.len() <= 12 && expiry.bytes().all(|b| b.is_ascii_digit());
        canonical.then_some(())?;
        Some(Self::V2 { expiry: expiry.parse().ok()?, mac: parse_hex(mac)? })
    }

    /// Whether one of the keys made this signature for this content, and it counts now. All keys are tried, so that the
    /// time taken does not tell which one it was; the comparison is the MAC's own, in constant time.
    #[must_use]
    pub fn verify(&self, signed: &Signed<'_>, keys: &[HmacKey], now: OffsetDateTime) -> bool {
        let matches = keys.iter().fold(false, |found, key| found | self.made_by(key, signed));
        let fresh = match self {
            Self::V1(_) => true,
            Self::V2 { expiry, .. } => {
                let left = expiry.saturating_sub(now.unix_timestamp());
                (0..=MAX_SIGNATURE_LIFETIME.whole_seconds()).contains(&left)
            }
        };
        matches && fresh
    }

    fn made_by(&self, key: &HmacKey, signed: &Signed<'_>) -> bool {
        match self {
            Self::V1(mac) => signed.mac_v1(key).verify_slice(mac).is_ok(),
            Self::V2 { expiry, mac } => signed.mac_v2(key, *expiry).verify_slice(mac).is_ok(),
        }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104, section 2)")]
fn mac(key: &HmacKey) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.expose_secret()).expect("HMAC takes keys of every length")
}

fn netstring(field: &str, mut put: impl FnMut(&[u8])) {
    put(field.len().to_string().as_bytes());
    put(b":");
    put(field.as_bytes());
    put(b",");
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mut bytes = [0; 32];
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> HmacKey {
        vec![byte; 32].into()
    }

    /// RFC 4231, test case 2, through the same function that signatures use.
    #[test]
    fn the_mac_is_hmac_sha256() {
        let mut mac = mac(&b"Jefe".to_vec().into());
        mac.update(b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(mac.finalize().into_bytes()), expected);
    }

    /// `printf 'zendesk:user-1' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`.
    #[test]
    fn v1_is_what_apps_compute_today() {
        let empty = StringMap::new();
        let signed = signed("zendesk", "user-1", &empty, &empty, &[], "");
        let key = b"0123456789abcdef0123456789abcdef".to_vec().into();
        assert_eq!(signed.sign_v1(&key), "ac857734670383bda3935e2b14466a1ecdf5303762d58c9c2449f8a954682b80");
    }

    #[test]
    fn malformed_signatures_are_none() {
        let hex = "0".repeat(64);
        for bad in [
            String::new(),
            "0".repeat(63),
            "A".repeat(64),
            format!("t=1;v2={hex}"),
            format!("t=,v2={hex}"),
            format!("t=-1,v2={hex}"),
            format!("t=1,v2={hex}0"),
            format!("t=1,v2={hex},v2={hex}"),
            format!("t=9999999999999,v2={hex}"),
        ] {
            assert_eq!(Signature::parse(&bad), None, "{bad}");
        }
        assert!(Signature::parse(&format!("t=1,v2={hex}")).is_some());
    }

    #[test]
    fn v2_expires_and_may_not_outlive_an_hour() {
        let empty = StringMap::new();
        let signed = signed("a", "b", &empty, &empty, &[], "");
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let verify = |left: i64| {
            let text = signed.sign_v2(&key(1), now.unix_timestamp() + left);
            Signature::parse(&text).is_some_and(|it| it.verify(&signed, &[key(2), key(1)], now))
        };
        assert!(verify(0) && verify(1) && verify(3600));
        assert!(!verify(-1) && !verify(3601));
    }

    fn signed<'a>(
        integration_id: &'a str,
        connection_id: &'a str,
        connection_config: &'a StringMap,
        authorization_params: &'a StringMap,
        scopes: &'a [String],
        return_url: &'a str,
    ) -> Signed<'a> {
        Signed {
            project_id: "default",
            integration_id,
            connection_id,
            connection_config,
            authorization_params,
            scopes,
            user_scopes: &[],
            return_url,
        }
    }

    prop_compose! {
        fn request()(
            ids in ("[a-c]{0,3}", "[a-c:]{0,3}"),
            maps in (proptest::collection::btree_map("[a-b]{0,2}", "[a-b:,0-9]{0,3}", 0..3),
                     proptest::collection::btree_map("[a-b]{0,2}", "[a-b:,0-9]{0,3}", 0..3)),
            scopes in proptest::collection::vec("[a-b:,]{0,2}", 0..3),
            return_url in "[a-b:,]{0,2}",
        ) -> (String, String, StringMap, StringMap, Vec<String>, String) {
            (ids.0, ids.1, maps.0, maps.1, scopes, return_url)
        }
    }

    proptest! {
        /// Whatever differs between two requests, even a byte moved over a field's boundary, their v2 signatures differ.
        #[test]
        fn v2_covers_everything(a in request(), b in request()) {
            let left = signed(&a.0, &a.1, &a.2, &a.3, &a.4, &a.5);
            let right = signed(&b.0, &b.1, &b.2, &b.3, &b.4, &b.5);
            prop_assert_eq!(left.sign_v2(&key(1), 7) == right.sign_v2(&key(1), 7), a == b);
        }
    }
}
