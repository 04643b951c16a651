//! The texts of a `providers.yaml`: `${...}` for what is put in, `||` between alternatives.

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// As it is.
    Text(&'a str),
    /// `${connectionConfig.NAME}`.
    Config(&'a str),
    /// What else stands in `${}`.
    Other(&'a str),
}

const CONFIG: &str = "connectionConfig.";

/// The alternatives of a text, of which the first that can be filled in is meant.
pub(super) fn alternatives(text: &str) -> Vec<&str> {
    text.split("||").map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The parts of a text. An opened `${` that is not closed is one that nothing can fill.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let (inner, behind) = close(after).unwrap_or((after, ""));
        pieces.push(match inner.strip_prefix(CONFIG) {
            Some(name) if plain(name) => Piece::Config(name),
            _ => Piece::Other(inner),
        });
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The template of this catalog for a text, where `put` says what stands for a piece that is no text.
pub(super) fn template(
    pieces: &[Piece<'_>],
    mut put: impl FnMut(&Piece<'_>) -> Result<String, String>,
) -> Result<String, String> {
    let mut template = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) if text.contains(['{', '}']) => {
                return Err("it holds a brace, which here begins or ends a field".to_owned());
            }
            Piece::Text(text) => template.push_str(text),
            Piece::Config(_) | Piece::Other(_) => template.push_str(&put(piece)?),
        }
    }
    Ok(template)
}

/// Why nothing stands for what is in `${}`.
pub(super) fn unknown(inner: &str) -> String {
    let client = ["clientId", "clientSecret", "credentials.", "apiKey", "accessToken", "refresh_token"];
    if client.iter().any(|start| inner.starts_with(start)) {
        format!("`${{{inner}}}` would put a credential where the catalog does not put one")
    } else {
        format!("`${{{inner}}}` is computed by Nango")
    }
}

fn plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// What stands before the brace that closes, and what behind it.
fn close(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (index, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some((&text[..index], &text[index + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::template::Template;

    #[test]
    fn a_text_falls_into_pieces() {
        assert_eq!(
            pieces("https://${connectionConfig.sub}.x.com/${now}"),
            [Piece::Text("https://"), Piece::Config("sub"), Piece::Text(".x.com/"), Piece::Other("now")]
        );
        assert_eq!(pieces("${base64(${apiKey}:)}"), [Piece::Other("base64(${apiKey}:)")]);
        assert_eq!(pieces("a${open"), [Piece::Text("a"), Piece::Other("open")]);
        assert_eq!(pieces("${connectionConfig.}"), [Piece::Other("connectionConfig.")]);
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn alternatives_are_trimmed() {
        assert_eq!(alternatives("a || b||c"), ["a", "b", "c"]);
        assert_eq!(alternatives(" || "), Vec::<&str>::new());
    }

    proptest! {
        #[test]
        fn any_text_gives_a_template_that_loads_or_a_reason(text in "[a-z./:${}|]{0,40}|\\PC{0,40}") {
            for alternative in alternatives(&text) {
                let made = template(&pieces(alternative), |_| Ok("{field}".to_owned()));
                if let Ok(made) = made {
                    prop_assert!(Template::parse(&made).is_ok(), "{}", made);
                }
            }
        }
    }
}
