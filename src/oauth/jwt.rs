//! What a JWT says of itself (RFC 7519), unverified: enough where it came over TLS from whom it is about, or where it is
//! but a hint.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::json;
use crate::model::{Duration, ExposeSecret as _, OffsetDateTime, SecretString};

/// The claims of a signed JWT.
pub(super) fn claims(token: &str) -> Option<Map<String, Value>> {
    parts(token).map(|(_, claims)| claims)
}

/// The header and the claims of a signed JWT in its compact form (RFC 7515, section 7.1): three parts, of which two are JSON
/// objects.
pub(super) fn parts(token: &str) -> Option<(Map<String, Value>, Map<String, Value>)> {
    let mut parts = token.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    decoded(signature)?;
    let object = |part: &str| json::parse::<Map<String, Value>>(&decoded(part)?).ok();
    Some((object(header)?, object(claims)?))
}

/// The time that an access token which happens to be a JWT names as its end (RFC 7519, section 4.1.4).
///
/// Nothing is verified, so it is no more than a hint: to whoever takes the token, it may be dead already.
#[must_use]
pub fn jwt_expiry(token: &SecretString) -> Option<OffsetDateTime> {
    expiry(token.expose_secret())
}

/// The same of its text.
pub(super) fn expiry(token: &str) -> Option<OffsetDateTime> {
    numeric_date(claims(token)?.get("exp")?)
}

/// A `NumericDate` (RFC 7519, section 2): seconds since 1970, maybe with a fraction. One before 1970 or beyond the year 9999
/// says nothing.
pub(super) fn numeric_date(value: &Value) -> Option<OffsetDateTime> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    OffsetDateTime::UNIX_EPOCH.checked_add(Duration::checked_seconds_f64(seconds)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn expiry(claims: &str) -> Option<i128> {
        let token = format!("{}.{}.{}", part("{\"alg\":\"RS256\"}"), part(claims), part("signed"));
        jwt_expiry(&token.into()).map(OffsetDateTime::unix_timestamp_nanos)
    }

    #[test]
    fn a_jwt_names_its_end() {
        const SECOND: i128 = 1_000_000_000;
        assert_eq!(expiry(r#"{"exp":1790000000}"#), Some(1_790_000_000 * SECOND));
        assert_eq!(expiry(r#"{"sub":"ada","exp":1790000000.5}"#), Some(1_790_000_000 * SECOND + SECOND / 2));
        assert_eq!(expiry(r#"{"exp":1.79e9}"#), Some(1_790_000_000 * SECOND));
        assert_eq!(expiry(r#"{"exp":0}"#), Some(0));
    }

    #[test]
    fn an_absurd_end_says_nothing() {
        for exp in ["-1", "1e300", "1e18", "253402300800", "\"1790000000\"", "null", "[1790000000]", "true"] {
            assert_eq!(expiry(&format!("{{\"exp\":{exp}}}")), None, "{exp}");
        }
        for claims in ["{}", "[]", "1790000000", "", "{\"exp\":1790000000"] {
            assert_eq!(expiry(claims), None, "{claims}");
        }
    }

    #[test]
    fn what_is_no_jwt_says_nothing() {
        let (header, claims) = (part("{\"alg\":\"RS256\"}"), part(r#"{"exp":1790000000}"#));
        assert!(jwt_expiry(&format!("{header}.{claims}.").into()).is_some(), "an empty signature is one");
        for token in [
            String::new(),
            "..".to_owned(),
            "opaque".to_owned(),
            claims.clone(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}.c2ln.more"),
            format!("{header}.{claims}.c2ln.more.most"),
            format!("{header}.{claims}.no base64"),
            format!("{header}.{claims}=.c2ln"),
            format!("no-header.{claims}.c2ln"),
            format!("{}.{claims}.c2ln", part("[]")),
            format!("ya29.{claims}.c2ln"),
        ] {
            assert_eq!(jwt_expiry(&token.as_str().into()), None, "{token}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(token in "\\PC{0,200}", claims in "\\PC{0,100}", exp in proptest::num::f64::ANY) {
            let _ = jwt_expiry(&token.into());
            let _ = expiry(&claims);
            let _ = expiry(&json!({ "exp": exp }).to_string());
        }
    }
}
