//! Paging: a size, and a token that remembers where the last page ended and what was asked.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{Error, Result};

const DEFAULT_SIZE: u16 = 100;
const MAX_SIZE: u16 = 500;

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many rows at the most.
    pub size: u16,
    /// The key of the last row of the page before.
    pub after: Option<String>,
    filter: [u8; 8],
}

/// One page, and the token of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The token of the next page, if there is one.
    pub next: Option<PageToken>,
}

/// An opaque token. It holds no secret, only a row's key and a digest of the filters that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(String);

// === impl PageRequest ===

impl PageRequest {
    /// Checks a request's `page_size` and `page_token`. `filter` names the method and everything that selects rows.
    pub fn parse(size: i32, token: &str, filter: &str) -> Result<Self> {
        let size = match u16::try_from(size) {
            Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.min(MAX_SIZE),
            Err(_) if size > 0 => MAX_SIZE,
            Err(_) => {
                return Err(Error::field("page_size", "is negative: expected 1 to 500, or 0 for 100"));
            }
        };
        let mut digest = [0_u8; 8];
        digest.copy_from_slice(&Sha256::digest(filter)[..8]);
        let after = match token {
            "" => None,
            token => Some(PageToken::open(token, digest)?),
        };
        Ok(Self { size, after, filter: digest })
    }

    /// Makes a page of at most `size` rows of up to `size + 1` that were read, where `key` is what the rows are sorted by.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let more = rows.len() > usize::from(self.size);
        rows.truncate(usize::from(self.size));
        let next = rows.last().filter(|_| more).map(|last| PageToken::seal(&key(last), self.filter));
        Page { items: rows, next }
    }
}

// === impl Page ===

impl<T> Page<T> {
    /// The page with its rows changed into something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

// === impl PageToken ===

impl PageToken {
    fn seal(key: &str, filter: [u8; 8]) -> Self {
        let mut bytes = filter.to_vec();
        bytes.extend_from_slice(key.as_bytes());
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn open(token: &str, filter: [u8; 8]) -> Result<String> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::PageTokenInvalid)?;
        match bytes.split_first_chunk::<8>() {
            Some((head, key)) if *head == filter => {
                let key = String::from_utf8(key.to_vec()).ok();
                key.filter(|key| !key.chars().any(char::is_control)).ok_or(Error::PageTokenInvalid)
            }
            _ => Err(Error::PageTokenInvalid),
        }
    }

    /// The token as callers see it.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_of_the_same_list_only() {
        let first = PageRequest::parse(2, "", "a").ok();
        let page = first.map(|request| request.page(vec!["x", "y", "z"], |row| (*row).to_owned()));
        let token = page.and_then(|page| page.next).map(PageToken::into_string).unwrap_or_default();
        let after = PageRequest::parse(2, &token, "a").ok().and_then(|request| request.after);
        assert_eq!(after.as_deref(), Some("y"));
        assert!(matches!(PageRequest::parse(2, &token, "b"), Err(Error::PageTokenInvalid)));
        assert!(matches!(PageRequest::parse(2, "?", "a"), Err(Error::PageTokenInvalid)));
        // PostgreSQL takes no NUL in text.
        let forged =
            PageToken::seal("a\0", PageRequest::parse(2, "", "a").map(|it| it.filter).unwrap_or_default());
        assert!(matches!(PageRequest::parse(2, &forged.into_string(), "a"), Err(Error::PageTokenInvalid)));
        assert!(matches!(PageRequest::parse(-1, "", "a"), Err(Error::FieldInvalid(_))));
    }

    #[test]
    fn the_last_page_has_no_token() {
        let request = PageRequest::parse(2, "", "a").ok();
        let page = request.map(|request| request.page(vec!["x", "y"], |row| (*row).to_owned()));
        assert_eq!(page, Some(Page { items: vec!["x", "y"], next: None }));
    }
}
