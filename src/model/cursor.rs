//! Cursors: how far a caller has read the feed of events.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{Error, Result};

/// What a cursor is of: the digest of a method, a project and everything that selects events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorScope([u8; 8]);

/// A place in the feed, as callers keep it: opaque, and of use for the same project and filter only, so that one of another
/// list is refused and not followed past events that it never covered. It holds no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    position: i64,
    scope: CursorScope,
}

impl CursorScope {
    /// The scope that this text names in full.
    #[must_use]
    pub fn new(scope: &str) -> Self {
        let mut digest = [0_u8; 8];
        digest.copy_from_slice(&Sha256::digest(scope)[..8]);
        Self(digest)
    }
}

impl Cursor {
    /// The cursor of whoever has read up to this place.
    #[must_use]
    pub fn new(position: i64, scope: CursorScope) -> Self {
        Self { position, scope }
    }

    /// Reads a caller's cursor. Empty: none.
    pub fn parse(text: &str, scope: CursorScope) -> Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::CursorInvalid)?;
        let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return Err(Error::CursorInvalid) };
        let position = <[u8; 8]>::try_from(rest).map(i64::from_be_bytes).map_err(|_| Error::CursorInvalid)?;
        if *head != scope.0 || position < 0 {
            return Err(Error::CursorInvalid);
        }
        Ok(Some(Self { position, scope }))
    }

    /// The last place that was read.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The cursor as callers see it.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = self.scope.0.to_vec();
        bytes.extend_from_slice(&self.position.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_on_in_the_same_list_only() {
        let scope = CursorScope::new("a");
        let text = Cursor::new(7, scope).encode();
        let read = Cursor::parse(&text, scope).ok().flatten();
        assert_eq!(read.map(|cursor| cursor.position()), Some(7));
        assert!(matches!(Cursor::parse("", scope), Ok(None)));
        let forged = Cursor::new(-1, scope).encode();
        for bad in ["?", "AAAA", &text[..20], &format!("{text}AA"), &forged] {
            assert!(matches!(Cursor::parse(bad, scope), Err(Error::CursorInvalid)), "{bad}");
        }
        assert!(matches!(Cursor::parse(&text, CursorScope::new("b")), Err(Error::CursorInvalid)));
    }
}
