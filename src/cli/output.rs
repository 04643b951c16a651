//! How commands print rows: a table where a terminal is, tab-separated text where none is, or JSON.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::{Map, Value};

use super::Failure;

/// How rows are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// A table on a terminal, else tab-separated lines.
    #[default]
    Text,
    /// A JSON array of objects.
    Json,
}

/// Prints rows under their names.
pub(super) fn print(output: Output, names: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    match output {
        Output::Json => {
            let object = |row: Vec<String>| -> Map<String, Value> {
                names.iter().map(|name| (*name).to_owned()).zip(row.into_iter().map(Value::String)).collect()
            };
            let objects: Vec<_> = rows.into_iter().map(object).collect();
            anstream::println!("{}", serde_json::to_string_pretty(&objects)?);
        }
        Output::Text if std::io::stdout().is_terminal() => {
            let mut table = Table::new();
            table.load_preset(UTF8_FULL_CONDENSED).set_header(names).add_rows(rows);
            // Long texts break inside their column, not across the table.
            table.set_content_arrangement(ContentArrangement::Dynamic);
            anstream::println!("{table}");
        }
        Output::Text => {
            for row in rows {
                anstream::println!("{}", row.join("\t"));
            }
        }
    }
    Ok(())
}
