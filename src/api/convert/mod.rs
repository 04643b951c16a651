//! Between wire types and domain types: the only place where both are named.

mod credentials;
mod event;

use std::collections::HashMap;

use prost_types::{ListValue, Struct, Timestamp, Value as PbValue, value::Kind};
use serde_json::{Map, Number, Value};

pub(super) use self::{
    credentials::{imported, pb_grant_type, pb_granted},
    event::{event_types, pb_feed_news, pb_flow_news},
};
use super::pb;
use crate::model::{
    Duration, Error, FieldViolation, Metadata, OffsetDateTime, Page, PageToken, Result, StringMap,
};

/// The largest whole number that a double holds exactly.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A point in time on the wire.
pub(super) fn timestamp(time: OffsetDateTime) -> Timestamp {
    let nanos = i32::try_from(time.nanosecond()).unwrap_or_default();
    Timestamp { seconds: time.unix_timestamp(), nanos }
}

/// A point in time from the wire.
pub(super) fn time(field: &str, timestamp: Timestamp) -> Result<OffsetDateTime> {
    let bad = || Error::field(field, "is out of range");
    let time = OffsetDateTime::from_unix_timestamp(timestamp.seconds).map_err(|_| bad())?;
    let nanos = u32::try_from(timestamp.nanos).map_err(|_| bad())?;
    // Whole microseconds, which is what the database keeps.
    time.replace_nanosecond(nanos / 1_000 * 1_000).map_err(|_| bad())
}

/// A length of time from the wire.
pub(super) fn duration(duration: prost_types::Duration) -> Duration {
    // Whatever a caller writes: `Duration::new` panics where the two together overflow.
    Duration::seconds(duration.seconds).saturating_add(Duration::nanoseconds(duration.nanos.into()))
}

/// A map from the wire, sorted.
pub(super) fn string_map(map: HashMap<String, String>) -> StringMap {
    map.into_iter().collect()
}

/// Text of a caller's as an error may repeat it.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// What is not empty.
pub(super) fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A page's token on the wire: empty on the last one.
pub(super) fn page_token<T>(page: &Page<T>) -> String {
    page.next.clone().map(PageToken::into_string).unwrap_or_default()
}

/// Metadata from the wire.
pub(super) fn metadata(object: Option<Struct>) -> Result<Metadata> {
    Metadata::new(json_object("metadata", object.unwrap_or_default())?)
}

/// A JSON object from the wire.
pub(super) fn json_object(field: &str, object: Struct) -> Result<Map<String, Value>> {
    let members = object.fields.into_iter();
    members.map(|(name, value)| Ok((name, json(field, value)?))).collect()
}

/// A JSON object on the wire.
pub(super) fn pb_struct(object: &Map<String, Value>) -> Struct {
    Struct { fields: object.iter().map(|(name, value)| (name.clone(), pb_value(value))).collect() }
}

fn json(field: &str, value: PbValue) -> Result<Value> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => Value::Number(json_number(field, number)?),
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(|value| json(field, value)).collect::<Result<_>>()?)
        }
        Some(Kind::StructValue(object)) => Value::Object(json_object(field, object)?),
    })
}

/// A double as JSON: whole numbers as such, so that 1 does not come back as 1.0.
#[expect(clippy::cast_possible_truncation, reason = "the value is whole and in range")]
fn json_number(field: &str, number: f64) -> Result<Number> {
    if number.fract() == 0.0 && number.abs() <= MAX_EXACT && (number != 0.0 || number.is_sign_positive()) {
        return Ok(Number::from(number as i64));
    }
    Number::from_f64(number).ok_or_else(|| {
        Error::FieldInvalid(vec![FieldViolation::new(field, "holds a number that JSON has not")])
    })
}

fn pb_value(value: &Value) -> PbValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(pb_value).collect() }),
        Value::Object(object) => Kind::StructValue(pb_struct(object)),
    };
    PbValue { kind: Some(kind) }
}

// === connections ===

/// A connection on the wire, without credentials.
pub(super) fn pb_connection(connection: &crate::model::Connection) -> pb::connection::v1::Connection {
    use crate::model::ConnectionState;
    use pb::connection::v1::{Connection, State};

    let state = match connection.state {
        ConnectionState::Active => State::Active,
        ConnectionState::NeedsAttention => State::NeedsAttention,
        ConnectionState::NeedsReauthorization => State::NeedsReauthorization,
    };
    let reauthorization_reason = connection.reason.map(event::pb_reauthorization_reason);
    Connection {
        integration_id: connection.integration_id.to_string(),
        connection_id: connection.id.to_string(),
        provider_id: connection.provider_id.to_string(),
        state: state.into(),
        credentials: None,
        connection_config: connection.config.clone().into_iter().collect(),
        metadata: Some(pb_struct(connection.metadata.as_map())),
        granted_scopes: connection.granted_scopes.clone(),
        missing_scopes: connection.missing_scopes(),
        create_time: Some(timestamp(connection.create_time)),
        update_time: Some(timestamp(connection.update_time)),
        refresh_time: Some(timestamp(connection.refresh_time)),
        etag: connection.etag(),
        grant_type: pb_grant_type(connection.grant_type).into(),
        secret_config: HashMap::new(),
        reauthorization_reason: reauthorization_reason.unwrap_or_default().into(),
        refresh_failure: connection.failure.as_ref().map(event::pb_refresh_failure),
        refresh_token_expire_time: connection.refresh_token_expire_time.map(timestamp),
    }
}

// === API keys ===

/// A permission on the wire.
pub(super) fn pb_permission(permission: crate::model::Permission) -> pb::project::v1::Permission {
    use crate::model::Permission as P;
    use pb::project::v1::Permission as W;

    match permission {
        P::Begin => W::Begin,
        P::Complete => W::Complete,
        P::Read => W::Read,
        P::ReadCredentials => W::ReadCredentials,
        P::Write => W::Write,
        P::Integrations => W::Integrations,
        P::ProjectAdmin => W::ProjectAdmin,
        P::InstanceAdmin => W::InstanceAdmin,
    }
}

/// A permission from the wire.
pub(super) fn permission(value: i32) -> Result<crate::model::Permission> {
    let known = crate::model::Permission::ALL.into_iter();
    let mut known = known.filter(|permission| pb_permission(*permission) as i32 == value);
    known.next().ok_or_else(|| Error::field("permissions", format!("hold `{value}`, which is no permission")))
}

/// An API key on the wire.
pub(super) fn pb_api_key(key: &crate::model::ApiKey) -> pb::project::v1::ApiKey {
    use crate::model::KeyKind;
    use pb::project::v1::{ApiKey, ApiKeyKind};

    ApiKey {
        api_key_id: key.id.to_string(),
        display_name: key.display_name.clone(),
        kind: match key.kind {
            KeyKind::Secret => ApiKeyKind::Secret,
            KeyKind::Publishable => ApiKeyKind::Publishable,
        }
        .into(),
        permissions: key.permissions.iter().map(|permission| pb_permission(*permission).into()).collect(),
        prefix: key.prefix.clone(),
        create_time: Some(timestamp(key.create_time)),
        expire_time: key.expire_time.map(timestamp),
        revoke_time: key.revoke_time.map(timestamp),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_comes_back_as_it_went() {
        let object = json!({"a": [1, 1.5, -7, true, null, "x", {"b": {}}], "c": 9_007_199_254_740_992_i64});
        let object = object.as_object().cloned().unwrap_or_default();
        assert_eq!(json_object("metadata", pb_struct(&object)).ok(), Some(object));
    }

    #[test]
    fn numbers_that_json_has_not_are_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(json_number("metadata", number).is_err());
        }
    }
}
