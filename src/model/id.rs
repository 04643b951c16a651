//! Identifiers that callers choose. Each is checked once, when it comes in, and carried as its own type from then on.

use std::{fmt, sync::Arc};

use super::{Error, FieldViolation, Result};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the characters and the length.
            pub fn parse(value: &str) -> Result<Self> {
                let check: fn(&str) -> bool = $check;
                if check(value) {
                    return Ok(Self(value.into()));
                }
                let problem = if value.is_empty() { "is empty" } else { "is malformed" };
                Err(Error::FieldInvalid(vec![FieldViolation::new(
                    $field,
                    format!(concat!("{problem}: expected ", $expected), problem = problem),
                )]))
            }

            /// Takes a value that was checked when it was stored.
            pub(crate) fn stored(value: String) -> Self {
                Self(value.into())
            }

            /// The identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// A tenant's id: a slug.
    ProjectId,
    "project_id",
    |value| is_slug(value, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
    "1 to 63 lower-case letters, digits and `-`, beginning with a letter or a digit"
);
identifier!(
    /// An integration's id in its project. It never holds a `:`, which scheme v1 of the signature relies on.
    IntegrationId,
    "integration_id",
    |value| is_slug(value, |c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
    "1 to 63 letters, digits, `-`, `_` and `.`, beginning with a letter or a digit"
);
identifier!(
    /// A provider's id in the catalog.
    ProviderId,
    "provider_id",
    |value| is_slug(value, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c)),
    "1 to 63 lower-case letters, digits, `-` and `_`, beginning with a letter or a digit"
);
identifier!(
    /// A connection's id in its integration: the caller's own, or a UUIDv7.
    ConnectionId,
    "connection_id",
    |value| {
        !value.is_empty() && value.chars().count() <= 255 && !value.chars().any(char::is_control) && value.trim() == value
    },
    "1 to 255 characters, none of them a control character, and no spaces around"
);

fn is_slug(value: &str, allowed: impl Fn(char) -> bool) -> bool {
    value.len() <= 63 && value.starts_with(|c: char| c.is_ascii_alphanumeric()) && value.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_refuse_what_their_type_forbids() {
        for bad in ["", "a:b", "-a", "a b", "ä", &"a".repeat(64), "a\0"] {
            assert!(IntegrationId::parse(bad).is_err(), "{bad:?}");
            assert!(ProjectId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(IntegrationId::parse("Zendesk_eu-1.x").is_ok());
        assert!(ProjectId::parse("UPPER").is_err());
        for bad in ["", " a", "a\n", "a\0", &"a".repeat(256)] {
            assert!(ConnectionId::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["user:1", "ä b", "https://x/1"] {
            assert!(ConnectionId::parse(good).is_ok(), "{good:?}");
        }
    }
}
