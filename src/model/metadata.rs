//! The caller's own JSON object on a connection.

use serde_json::{Map, Value};

use super::{Error, Result};

/// The largest metadata object, as compact JSON.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;

/// A JSON object that Tokenwell keeps and never interprets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Checks the size.
    pub fn new(object: Map<String, Value>) -> Result<Self> {
        let size = serde_json::to_vec(&object).map_err(Error::internal)?.len();
        if size > MAX_METADATA_BYTES {
            return Err(Error::field(
                "metadata",
                format!("is too large: {size} bytes as JSON, expected at most {MAX_METADATA_BYTES}"),
            ));
        }
        Ok(Self(object))
    }

    /// Takes an object that was checked when it was stored.
    pub(crate) fn stored(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// The object.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The object after a JSON merge patch (RFC 7396).
    pub fn merged(&self, patch: Map<String, Value>) -> Result<Self> {
        let mut target = Value::Object(self.0.clone());
        json_patch::merge(&mut target, &Value::Object(patch));
        match target {
            Value::Object(object) => Self::new(object),
            other => Err(Error::internal(format!("a merge patch of an object made {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_merge_patch_replaces_merges_and_removes() {
        let metadata = Metadata::stored(object(&json!({"a": {"b": 1, "c": 2}, "d": 3})));
        let patch = object(&json!({"a": {"b": null, "e": [1]}, "d": "x"}));
        let merged = metadata.merged(patch).ok();
        assert_eq!(merged, Some(Metadata::stored(object(&json!({"a": {"c": 2, "e": [1]}, "d": "x"})))));
    }

    #[test]
    fn a_patch_cannot_grow_the_object_past_the_limit() {
        let half = "x".repeat(MAX_METADATA_BYTES / 2);
        let metadata = Metadata::new(object(&json!({"a": half}))).unwrap_or_default();
        assert!(metadata.merged(object(&json!({"b": half}))).is_err());
    }
}
