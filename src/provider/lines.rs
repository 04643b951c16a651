//! Where in a file a key stands, so that a fault can name its line.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The line of each key, by its path: `config.subdomain.capture[0].callback`.
#[derive(Debug, Default)]
pub struct Lines {
    by_path: BTreeMap<String, usize>,
}

impl Lines {
    /// Reads the file once more, for its keys' places. A file that is no TOML has none.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut lines = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            lines.add_table(text, "", table.get_ref());
        }
        lines
    }

    /// The line of a key, or of the nearest one around it.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.by_path.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn add_table(&mut self, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            self.by_path.insert(path.clone(), line_at(text, key.span().start));
            self.add_value(text, &path, value);
        }
    }

    fn add_value(&mut self, text: &str, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(text, path, table),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.by_path.insert(path.clone(), line_at(text, item.span().start));
                    self.add_value(text, &path, item);
                }
            }
            _ => {}
        }
    }
}

/// The number of the line that holds this byte.
#[must_use]
pub fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_paths() {
        let text = "a = 1\n[config.x]\ntitle = \"t\"\ncapture = [\n  { callback = \"y\" },\n]\n";
        let lines = Lines::of(text);
        for (path, line) in [
            ("a", Some(1)),
            ("config.x", Some(2)),
            ("config.x.title", Some(3)),
            ("config.x.capture[0].callback", Some(5)),
            ("config.x.missing", Some(2)),
            ("nothing", None),
        ] {
            assert_eq!(lines.find(path), line, "{path}");
        }
    }
}
