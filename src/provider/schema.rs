//! The JSON schema of catalog files, for editors.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::definition::Definition;

/// The JSON schema (2020-12) of a catalog file.
#[must_use]
pub fn schema() -> Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Definition>().to_value();
    if let Some(object) = schema.as_object_mut() {
        // What an entry must have, another one that it extends may give.
        let required = object.remove("required").unwrap_or_else(|| json!([]));
        // So may keys of its tables.
        for table in ["FieldDefinition", "RequestDefinition"] {
            let definition = object.get_mut("$defs").and_then(|it| it.get_mut(table)?.as_object_mut());
            definition.and_then(|definition| definition.remove("required"));
        }
        object.insert("anyOf".to_owned(), json!([{ "required": ["extends"] }, { "required": required }]));
    }
    schema
}
