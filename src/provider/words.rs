//! A provider's own words, as far as they may be shown: in errors, on pages and in logs.
//!
//! Providers put tokens into their error texts. What may be one is taken out before the text is cut, since what a cut
//! leaves of a token is too short to be known as one.

use super::Provider;

const MAX_CODE_CHARS: usize = 64;
const MAX_TEXT_CHARS: usize = 200;
/// Words this long are no words.
const TOKEN_CHARS: usize = 20;
/// What stands for a code that cannot be shown.
pub const UNKNOWN: &str = "unknown_error";

impl Provider {
    /// The error code (RFC 6749, sections 4.1.2.1 and 5.2) for a code as the provider writes it.
    #[must_use]
    pub fn error_code(&self, code: &str) -> String {
        let code = printable(code);
        let code = self.definition.error_codes.get(&code).unwrap_or(&code);
        if code.is_empty() || code.split(' ').any(may_be_token) {
            return UNKNOWN.to_owned();
        }
        code.chars().take(MAX_CODE_CHARS).collect()
    }
}

/// An error description.
#[must_use]
pub fn description(text: &str) -> String {
    let text = printable(text);
    let words = text.split(' ').map(|word| if word.len() >= TOKEN_CHARS { "[redacted]" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(MAX_TEXT_CHARS).collect()
}

/// A token type, or another short name.
#[must_use]
pub fn name(text: &str) -> String {
    printable(text).chars().take(MAX_CODE_CHARS).collect()
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect()
}

/// Whether a word of an error code may be a token: it is long, and no words of one case.
fn may_be_token(word: &str) -> bool {
    let of_case = |case: fn(&u8) -> bool| word.bytes().all(|b| case(&b) || b"_-.".contains(&b));
    word.len() >= TOKEN_CHARS && !of_case(u8::is_ascii_lowercase) && !of_case(u8::is_ascii_uppercase)
}
