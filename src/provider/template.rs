//! Templates: URLs and values with `{field}` where config goes.

use serde::Deserialize;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(String),
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (literal, tail) = rest.split_at(open);
            let inner = tail.strip_prefix('{').ok_or("has a `}` without a `{`")?;
            let (name, after) = inner.split_once('}').ok_or("has a `{` without a `}`")?;
            if name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            {
                return Err(format!("names no field in `{{{name}}}`"));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Field(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The fields that it names.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The template as it was written.
    pub(super) fn text(&self) -> String {
        let part = |part: &Part| match part {
            Part::Literal(literal) => literal.clone(),
            Part::Field(name) => format!("{{{name}}}"),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether it begins with this field.
    pub(super) fn starts_with_field(&self, name: &str) -> bool {
        matches!(self.parts.first(), Some(Part::Field(first)) if first == name)
    }

    /// The text with every field's value in place, or which one is missing.
    ///
    /// Values go in as they are: they were checked against their declaration, and whoever makes a URL of the text parses
    /// it again and checks it against the pins.
    pub(super) fn fill<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Field(name) => {
                    text.push_str(value(name).ok_or_else(|| format!("`{name}` has no value"))?);
                }
            }
        }
        Ok(text)
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|problem| format!("`{text}` {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_filled_in_or_missed() {
        let template = Template::parse("https://{a}.x.com/{b}").unwrap_or(Template { parts: vec![] });
        assert_eq!(template.fields().collect::<Vec<_>>(), ["a", "b"]);
        let full = template.fill(|name| Some(if name == "a" { "1" } else { "2" }));
        assert_eq!(full.as_deref(), Ok("https://1.x.com/2"));
        assert_eq!(template.fill(|name| (name == "a").then_some("1")), Err("`b` has no value".to_owned()));
    }

    #[test]
    fn malformed_templates_are_refused() {
        for bad in ["{", "}", "{a", "a}", "{}", "{A}", "{a b}", "{{a}}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
