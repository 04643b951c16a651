//! Signatures: how an app's backend proves that it approved a Begin.
//!
//! Scheme v1 is the lower-case hex of HMAC-SHA256(key, `integration_id:connection_id`).
//!
//! Scheme v2 is `t=<unix expiry>,n=<nonce>,v2=<hex>`, where the MAC covers netstrings (`<length in bytes>:<bytes>,`), so that
//! no byte can move from one field to its neighbour:
//!
//! ```text
//! mac     = HMAC-SHA256(key, ns("tokenwell-begin-v2") ns(project_id) ns(integration_id) ns(connection_id)
//!                            ns(expiry in decimal) ns(lower-case hex of SHA-256(content)) ns(nonce))
//! content = ns("connection_config")    ns(count) { ns(key) ns(value) }   keys sorted by their bytes
//!           ns("authorization_params") ns(count) { ns(key) ns(value) }   keys sorted by their bytes
//!           ns("scopes")               ns(count) { ns(scope) }           in the request's order
//!           ns("user_scopes")          ns(count) { ns(scope) }           in the request's order
//!           ns("return_url")           ns(return_url or nothing)
//! ```
//!
//! It begins one flow. The nonce keeps two Begins apart that are the same in all else: 1 to 64 letters, digits, `-` and `_`. It
//! may be left out, with its `,n=` and its netstring. No key has an id: there are two at the most, and both are tried.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

use super::{HmacKey, StringMap, digest};

/// How far in the future a v2 signature may expire, unless the project says otherwise.
pub const SIGNATURE_LIFETIME: Duration = Duration::minutes(10);
/// The most that a project may say: a flow is kept for longer, and with it the knowledge that its signature was used.
pub const MAX_SIGNATURE_LIFETIME: Duration = Duration::hours(1);
/// How far the clock of who signs may be from ours.
pub const SIGNATURE_SKEW: Duration = Duration::minutes(1);
const MAX_NONCE_BYTES: usize = 64;

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
#[derive(Debug, Clone)]
pub enum Signature {
    /// Covers the two ids, for ever.
    V1(GivenMac),
    /// Covers everything, expires, and begins one flow.
    V2 {
        /// When it expires, in Unix seconds.
        expiry: i64,
        /// What keeps it apart from others, or nothing.
        nonce: String,
        /// The MAC.
        mac: GivenMac,
    },
}

/// A MAC that somebody gave. It has no `==`, which takes the longer the more of it is right: `verify_slice` compares it.
#[derive(Clone)]
pub struct GivenMac([u8; 32]);

/// The one use of a v2 signature, as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureUse(String);

/// What is proven of a Begin by its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proven {
    /// Nothing: it has none, or the project has no key.
    Nothing,
    /// By scheme v1: that a backend knows the connection's name.
    Ids,
    /// By scheme v2: that a backend wants all of it, once.
    Everything(SignatureUse),
}

// === impl Proven ===

impl Proven {
    /// The signature, if it is good for one flow only.
    #[must_use]
    pub fn once(&self) -> Option<&SignatureUse> {
        match self {
            Self::Nothing | Self::Ids => None,
            Self::Everything(once) => Some(once),
        }
    }
}

// === impl Signed ===

impl Signed<'_> {
    /// Makes a v1 signature.
    #[must_use]
    pub fn sign_v1(&self, key: &HmacKey) -> String {
        hex::encode(self.mac_v1(key).finalize().into_bytes())
    }

    /// Makes a v2 signature that expires at the given Unix second. An empty nonce is none.
    #[must_use]
    pub fn sign_v2(&self, key: &HmacKey, expiry: i64, nonce: &str) -> String {
        let mac = self.mac_v2(key, expiry, nonce).finalize().into_bytes();
        let nonce = if nonce.is_empty() { String::new() } else { format!(",n={nonce}") };
        format!("t={expiry}{nonce},v2={}", hex::encode(mac))
    }

    fn mac_v1(&self, key: &HmacKey) -> Hmac<Sha256> {
        let mut mac = mac(key);
        mac.update(self.integration_id.as_bytes());
        mac.update(b":");
        mac.update(self.connection_id.as_bytes());
        mac
    }

    fn mac_v2(&self, key: &HmacKey, expiry: i64, nonce: &str) -> Hmac<Sha256> {
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
        if !nonce.is_empty() {
            netstring(nonce, |bytes| mac.update(bytes));
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
        let (head, mac) = rest.split_once(",v2=")?;
        let (expiry, nonce) = match head.split_once(",n=") {
            Some((expiry, nonce)) => (expiry, Some(nonce)),
            None => (head, None),
        };
        let canonical = (1..=12).contains(&expiry.len())
            && expiry.bytes().all(|b| b.is_ascii_digit())
            && !expiry.starts_with('0');
        (canonical && nonce.is_none_or(is_nonce)).then_some(())?;
        let (expiry, nonce) = (expiry.parse().ok()?, nonce.unwrap_or_default().to_owned());
        Some(Self::V2 { expiry, nonce, mac: parse_hex(mac)? })
    }

    /// Whether one of the keys made this signature for this content, and it counts now: v2 from `lifetime` before its expiry
    /// on, and both ends for clocks that differ. All keys are tried, so that the time taken does not tell which one it was;
    /// the comparison is the MAC's own, in constant time.
    #[must_use]
    pub fn verify(
        &self,
        signed: &Signed<'_>,
        keys: &[HmacKey],
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> bool {
        let matches = keys.iter().fold(false, |found, key| found | self.made_by(key, signed));
        let fresh = match self {
            Self::V1(_) => true,
            Self::V2 { expiry, .. } => {
                let left = Duration::seconds(expiry.saturating_sub(now.unix_timestamp()));
                (-SIGNATURE_SKEW..=lifetime + SIGNATURE_SKEW).contains(&left)
            }
        };
        matches && fresh
    }

    /// What it proves, once it is verified.
    #[must_use]
    pub fn proves(&self) -> Proven {
        self.once().map_or(Proven::Ids, Proven::Everything)
    }

    /// The one use of a v2 signature. It is the MAC's, which nobody without the key can write in another way.
    #[must_use]
    pub fn once(&self) -> Option<SignatureUse> {
        match self {
            Self::V1(_) => None,
            Self::V2 { mac, .. } => Some(SignatureUse(digest(&hex::encode(mac.0)))),
        }
    }

    fn made_by(&self, key: &HmacKey, signed: &Signed<'_>) -> bool {
        match self {
            Self::V1(mac) => signed.mac_v1(key).verify_slice(&mac.0).is_ok(),
            Self::V2 { expiry, nonce, mac } => {
                signed.mac_v2(key, *expiry, nonce).verify_slice(&mac.0).is_ok()
            }
        }
    }
}

// === impl SignatureUse ===

impl SignatureUse {
    /// A digest of the signature, which opens nothing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GivenMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Whether a text may be the nonce of a signature.
#[must_use]
pub fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
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

fn parse_hex(text: &str) -> Option<GivenMac> {
    let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mut bytes = [0; 32];
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(GivenMac(bytes))
}

#[cfg(test)]
mod tests;
