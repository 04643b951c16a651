//! Dotted paths into JSON: `data.user.id`, `data.0.id`.

use serde::Deserialize;
use serde_json::Value;

/// A path: names of members, or places in lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Path(Vec<String>);

impl Path {
    /// What is there, if anything is.
    #[must_use]
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, step| match value {
            Value::Object(object) => object.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let steps: Vec<_> = text.split('.').map(str::to_owned).collect();
        if steps.iter().any(String::is_empty) {
            return Err(format!(
                "`{text}` is no path: expected names joined by dots, such as `data.user.id`"
            ));
        }
        Ok(Self(steps))
    }
}

/// A string, number or boolean as text.
#[must_use]
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_go_through_objects_and_lists() {
        let value = json!({"data": {"items": [{"id": 7}], "ok": true, "none": null}, "a": "b"});
        let found = |text: &str| {
            Path::try_from(text.to_owned()).ok().and_then(|path| path.find(&value).and_then(text_of))
        };
        assert_eq!(found("a").as_deref(), Some("b"));
        assert_eq!(found("data.items.0.id").as_deref(), Some("7"));
        assert_eq!(found("data.ok").as_deref(), Some("true"));
        for missing in ["data", "data.none", "data.items.1.id", "data.items.x", "a.b", "data.items.-1"] {
            assert_eq!(found(missing), None, "{missing}");
        }
        for bad in ["", ".", "a.", ".a", "a..b"] {
            assert!(Path::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
