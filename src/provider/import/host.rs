//! Host pins from what an address's host must end in.

use std::collections::BTreeSet;

use psl::Type;

use crate::provider::HostPin;

/// More pins than this are no pin of one provider.
const MAX_PINS: usize = 64;

/// A part of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// As it is.
    Text(String),
    /// One of these, for a field.
    Tails(Vec<Tail>),
    /// Anything, for the field of this name.
    Any(String),
}

/// The end of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tail {
    /// The text.
    pub(super) text: String,
    /// Whether the value is nothing but this text.
    pub(super) whole: bool,
}

/// The pins of a host, or why there are none that would hold.
pub(super) fn pins(parts: &[Part]) -> Result<BTreeSet<String>, String> {
    let mut tails = vec![Tail { text: String::new(), whole: true }];
    let mut any = None;
    // From the right: what stands before something open does not matter any more.
    for part in parts.iter().rev() {
        let mut longer = Vec::new();
        for tail in tails {
            match part {
                _ if !tail.whole => longer.push(tail),
                Part::Text(text) => longer.push(Tail { text: text.to_owned() + &tail.text, whole: true }),
                Part::Tails(found) => longer.extend(
                    found
                        .iter()
                        .map(|before| Tail { text: before.text.clone() + &tail.text, whole: before.whole }),
                ),
                Part::Any(name) => {
                    any = any.or(tail.text.is_empty().then_some(name));
                    longer.push(Tail { text: tail.text, whole: false });
                }
            }
        }
        tails = longer;
        if tails.len() > MAX_PINS {
            return Err("its host has too many spellings to pin them".to_owned());
        }
    }
    if let Some(name) = any {
        return Err(format!("its host ends in `{name}`, which may be anything: there is nothing to pin"));
    }
    tails.iter().map(pin).collect()
}

fn pin(tail: &Tail) -> Result<String, String> {
    let text = tail.text.to_ascii_lowercase();
    if text.contains(':') {
        return Err(format!("`{text}` names a port"));
    }
    let pin = if tail.whole { Some(text.as_str()) } else { text.find('.').map(|dot| &text[dot..]) };
    let pin = pin.ok_or_else(|| format!("`{text}` is no end of a host that can be pinned"))?;
    HostPin::parse(pin, true).map(|_| pin.to_owned())
}

/// Whether a pin is a suffix under which a company lets others have hosts of their own.
pub(super) fn shared(pin: &str) -> bool {
    let under = pin.strip_prefix('.');
    under.is_some_and(|name| psl::suffix_str(name) == Some(name) && typ(name) == Some(Type::Private))
}

fn typ(name: &str) -> Option<Type> {
    psl::suffix(name.as_bytes()).and_then(|suffix| suffix.typ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    fn any() -> Part {
        Part::Any("field".to_owned())
    }

    fn tails(tails: &[(&str, bool)]) -> Part {
        let tail = |(text, whole): &(&str, bool)| Tail { text: (*text).to_owned(), whole: *whole };
        Part::Tails(tails.iter().map(tail).collect())
    }

    fn found(parts: &[Part]) -> Vec<String> {
        pins(parts).unwrap().into_iter().collect()
    }

    #[test]
    fn a_pin_is_the_literal_end_of_a_host() {
        assert_eq!(found(&[text("login.Acme.com")]), ["login.acme.com"]);
        assert_eq!(found(&[any(), text(".acme.com")]), [".acme.com"]);
        assert_eq!(found(&[any(), text("-api.acme.com")]), [".acme.com"]);
        assert_eq!(found(&[any(), text(".eu."), any(), text(".acme.com")]), [".acme.com"]);
        let regions = tails(&[("eu", true), ("us", true)]);
        assert_eq!(found(&[text("login."), regions.clone(), text(".acme.com")]).len(), 2);
        assert_eq!(found(&[any(), text("."), regions, text(".acme.com")]), [".eu.acme.com", ".us.acme.com"]);
        let domains = tails(&[("acme.com", true), (".acme.eu", false)]);
        assert_eq!(found(std::slice::from_ref(&domains)), [".acme.eu", "acme.com"]);
        assert_eq!(found(&[text("login."), domains]), [".acme.eu", "login.acme.com"]);
    }

    #[test]
    fn what_anybody_can_have_is_no_pin() {
        for parts in [
            vec![any()],
            vec![text("login.acme."), any()],
            vec![any(), text(".com")],
            vec![any(), text(".co.uk")],
            vec![any(), text("acme")],
            vec![text("acme.com:8443")],
            vec![text("login.acme."), tails(&[("com", true), ("", true)])],
            vec![tails(&[(".com", false)])],
            vec![text("")],
            vec![],
            vec![text("a b.com")],
        ] {
            assert!(pins(&parts).is_err(), "{parts:?}");
        }
    }

    #[test]
    fn a_suffix_under_which_others_live_is_known() {
        assert!(shared(".herokuapp.com"));
        assert!(!shared(".zendesk.com") && !shared("acme.herokuapp.com"));
    }
}
