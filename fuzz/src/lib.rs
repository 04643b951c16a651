//! What fuzz targets do with bytes that anybody may send: each reads them as the server would, and panics if what comes of
//! it breaks a promise.
//!
//! `make fuzz` gives them the bytes that libFuzzer makes up; an ordinary test gives them the seeds of `corpus/` and what is
//! near those, so that they keep working.

pub mod address;
pub mod callback;
pub mod catalog;
pub mod envelope;
pub mod jwt;
pub mod response;
pub mod signature;

use tokenwell::model::OffsetDateTime;
use url::{Host, Url};

/// Does something with bytes, and panics if a promise is broken.
pub type Target = fn(&[u8]);

/// Every target.
pub const TARGETS: [(&str, Target); 7] = [
    ("address", address::run),
    ("callback", callback::run),
    ("catalog", catalog::run),
    ("envelope", envelope::run),
    ("jwt", jwt::run),
    ("response", response::run),
    ("signature", signature::run),
];

/// The time of all targets: 2026-09-21T14:13:20Z.
const NOW: i64 = 1_790_000_000;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

/// The first byte, which chooses something, and the rest.
fn choice(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest))
}

/// Whether a URL is one of these hosts' and nothing else, to everybody who reads it.
fn check_pinned(url: &Url, pins: &[&str]) {
    let mut url = url.clone();
    // An authorization page may have one, which the entry fixes.
    url.set_fragment(None);
    let pinned = match url.host() {
        Some(Host::Domain(host)) => pins.iter().any(|pin| match pin.strip_prefix('.') {
            // At least one label before the suffix, and the boundary between two labels.
            Some(suffix) => {
                host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            None => host == *pin,
        }),
        _ => false,
    };
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none();
    assert!(pinned && plain, "{url} is not one of {pins:?}");
}
