//! Patterns of JavaScript as patterns of this catalog, which match the whole value; what their values end in; and a value.

use regex_syntax::hir::{
    Class, Hir, HirKind,
    literal::{ExtractKind, Extractor},
};

use super::host::Tail;

/// A pattern of this catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Its text.
    pub(super) text: String,
    /// Whether it was one for a part of the value only.
    pub(super) partial: bool,
}

/// Repetitions that an invented value writes out at most.
const MAX_REPETITIONS: u32 = 64;
/// No config is longer.
const MAX_VALUE_BYTES: usize = 2048;

impl Pattern {
    /// Reads a pattern as JavaScript has it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let converted = convert(text);
        let alternatives = top_level_alternatives(&converted);
        let starts = converted.starts_with('^');
        let ends = converted.ends_with('$') && !converted.ends_with("\\$");
        // Anchors that enclose all of it say what is meant here anyway.
        let text = match converted.strip_prefix('^').and_then(|text| text.strip_suffix('$')) {
            Some(inner) if ends && !alternatives => inner.to_owned(),
            _ => converted,
        };
        // Compiled as the loader does, whose limits hold here, too.
        regex::Regex::new(&format!("^(?:{text})$")).map_err(|error| match error {
            regex::Error::Syntax(_) => {
                "it has something that patterns here do not have, such as a look-ahead".to_owned()
            }
            other => other.to_string(),
        })?;
        Ok(Self { text, partial: !(alternatives || starts && ends) })
    }

    /// Whether a value matches.
    pub(super) fn matches(&self, value: &str) -> bool {
        regex::Regex::new(&format!("^(?:{})$", self.text)).is_ok_and(|regex| regex.is_match(value))
    }

    /// The texts that every value ends in, if there are a few of them.
    pub(super) fn tails(&self) -> Option<Vec<Tail>> {
        let hir = regex_syntax::parse(&self.text).ok()?;
        let found = Extractor::new().kind(ExtractKind::Suffix).extract(&hir);
        let tails = found.literals()?.iter().map(|literal| {
            let text = String::from_utf8(literal.as_bytes().to_vec()).ok()?;
            Some(Tail { text, whole: literal.is_exact() })
        });
        tails.collect()
    }

    /// A value that matches, as plain as can be.
    pub(super) fn value(&self) -> Option<String> {
        let hir = regex_syntax::parse(&self.text).ok()?;
        let mut value = String::new();
        write_value(&hir, &mut value);
        self.matches(&value).then_some(value)
    }
}

/// What JavaScript writes otherwise: `\d` and `\w` are ASCII, and a `[` in a class is no class in a class.
fn convert(text: &str) -> String {
    let mut converted = String::new();
    let mut class = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match (chars.next(), class) {
                (Some('d'), true) => converted.push_str("0-9"),
                (Some('d'), false) => converted.push_str("[0-9]"),
                (Some('w'), true) => converted.push_str("A-Za-z0-9_"),
                (Some('w'), false) => converted.push_str("[A-Za-z0-9_]"),
                (Some('/'), _) => converted.push('/'),
                (Some(next), _) => converted.extend(['\\', next]),
                (None, _) => converted.push('\\'),
            },
            '[' if class => converted.push_str("\\["),
            '&' | '~' if class => converted.extend(['\\', c]),
            '[' => {
                class = true;
                converted.push(c);
            }
            ']' => {
                class = false;
                converted.push(c);
            }
            _ => converted.push(c),
        }
    }
    converted
}

fn top_level_alternatives(text: &str) -> bool {
    let (mut depth, mut class, mut escaped) = (0_i32, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth -= 1,
            '|' if !class && depth == 0 => return true,
            _ => {}
        }
    }
    false
}

fn write_value(hir: &Hir, value: &mut String) {
    if value.len() > MAX_VALUE_BYTES || hir.properties().maximum_len() == Some(0) {
        return;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => value.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => value.extend(letter(class)),
        HirKind::Repetition(repetition) => {
            // Optional parts stay away; what may be long is not.
            let count =
                if repetition.min == 0 && repetition.max == Some(1) { 0 } else { repetition.min.max(1) };
            for _ in 0..count.min(MAX_REPETITIONS) {
                write_value(&repetition.sub, value);
            }
        }
        HirKind::Capture(capture) => write_value(&capture.sub, value),
        HirKind::Concat(parts) => parts.iter().for_each(|part| write_value(part, value)),
        HirKind::Alternation(parts) => parts.iter().take(1).for_each(|part| write_value(part, value)),
    }
}

/// A letter of the class: a plain one if it has one.
fn letter(class: &Class) -> Option<char> {
    let ranges: Vec<_> = match class {
        Class::Unicode(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) => {
            class.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
    };
    let holds = |letter: &char| ranges.iter().any(|(start, end)| (start..=end).contains(&letter));
    let plain = ['a', '1', 'A', 'x'].into_iter().find(holds);
    plain.or_else(|| ranges.first().map(|(start, _)| *start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Pattern {
        Pattern::read(text).unwrap()
    }

    #[test]
    fn javascript_becomes_a_whole_match() {
        for (from, to, partial) in [
            (r"^[a-z]+$", "[a-z]+", false),
            (r"^\d{3}$", "[0-9]{3}", false),
            (r"^[\w-]+\/x$", "[A-Za-z0-9_-]+/x", false),
            (r"^https?:", "^https?:", true),
            (r"[a-z]+", "[a-z]+", true),
            (r"^a$|^b$", "^a$|^b$", false),
            (r"^(a|b)$", "(a|b)", false),
            (r"^a[[&]$", r"a[\[\&]", false),
            (r"a\$", r"a\$", true),
        ] {
            assert_eq!(read(from), Pattern { text: to.to_owned(), partial }, "{from}");
        }
    }

    #[test]
    fn what_the_catalog_cannot_match_is_refused() {
        for bad in ["^(?!x)a$", "(", r"(a)\1", "a{2000000000}"] {
            assert!(Pattern::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tails_are_what_every_value_ends_in() {
        let tails = |text: &str| -> Option<Vec<(String, bool)>> {
            let tails = read(text).tails()?;
            Some(tails.into_iter().map(|tail| (tail.text, tail.whole)).collect())
        };
        let two = [(".acme.com".to_owned(), false), (".acme.eu".to_owned(), false)];
        assert_eq!(tails(r"^[a-z]+\.acme\.(com|eu)$"), Some(two.to_vec()));
        assert_eq!(tails("^(a|b)$"), Some(vec![("a".to_owned(), true), ("b".to_owned(), true)]));
        assert_eq!(tails("^[a-z.]+$"), None);
        assert_eq!(tails("^x[a-z]+$"), None);
    }

    proptest! {
        #[test]
        fn any_pattern_is_read_or_refused(text in "[\\^$a-z0-9\\\\\\[\\](){}|?+*.&~-]{0,24}") {
            if let Ok(pattern) = Pattern::read(&text)
                && let Some(value) = pattern.value()
            {
                prop_assert!(pattern.matches(&value), "{} of {}", value, pattern.text);
                let tails = pattern.tails();
                let ends = |tails: Vec<Tail>| tails.iter().any(|tail| value.ends_with(&tail.text));
                prop_assert!(tails.is_none_or(ends), "{}", value);
            }
        }
    }
}
