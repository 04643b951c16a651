//! JSON of providers: refused before it is parsed if it is nested more deeply than anything that says something.

use serde::de::DeserializeOwned;

/// How many arrays and objects may lie in each other.
const MAX_DEPTH: usize = 32;

/// What the bytes say, or what they are instead, in words that follow those for where they came from.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, &'static str> {
    if is_deep(bytes) {
        return Err("is nested too deeply");
    }
    serde_json::from_slice(bytes).map_err(|_| "is not JSON")
}

/// Whether JSON is nested more deeply than it may be. Of what is no JSON, the parser says so.
fn is_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn nested(open: &str, close: &str, depth: usize) -> String {
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    }

    fn depth_of(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or_default(),
            Value::Object(members) => 1 + members.values().map(depth_of).max().unwrap_or_default(),
            _ => 0,
        }
    }

    #[test]
    fn json_is_as_deep_as_it_may_be() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\\\"\": ", "}]")] {
            let each = open.matches(['[', '{']).count();
            let most = nested(open, close, MAX_DEPTH / each);
            assert!(parse::<Value>(most.as_bytes()).is_ok(), "{most}");
            let more = nested(open, close, MAX_DEPTH / each + 1);
            assert_eq!(parse::<Value>(more.as_bytes()), Err("is nested too deeply"), "{more}");
        }
    }

    #[test]
    fn what_is_in_a_text_nests_nothing() {
        for text in ["[".repeat(100), "\\\"[{".repeat(50), "\\\\".repeat(7) + &"{".repeat(50)] {
            let json = format!("{{\"a\": \"{text}\"}}");
            assert!(parse::<Value>(json.as_bytes()).is_ok(), "{json}");
        }
    }

    #[test]
    fn what_never_closes_is_refused_all_the_same() {
        assert_eq!(parse::<Value>("[".repeat(60_000).as_bytes()), Err("is nested too deeply"));
        assert_eq!(parse::<Value>(b"[[[[[["), Err("is not JSON"));
        assert_eq!(parse::<Value>(&[b']'; 100]), Err("is not JSON"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), ".*".prop_map(Value::from)];
        leaf.prop_recursive(48, 96, 2, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
                (".*", inner).prop_map(|(name, value)| serde_json::json!({ name: value })),
            ]
        })
    }

    proptest! {
        /// The look from outside sees as deep as the parser.
        #[test]
        fn depth_is_told_from_the_text(value in any_json()) {
            prop_assert_eq!(is_deep(value.to_string().as_bytes()), depth_of(&value) > MAX_DEPTH);
        }
    }
}
