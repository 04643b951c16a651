//! How domain values lie in columns.

use serde::{Serialize, de::DeserializeOwned};

use crate::model::{Error, OffsetDateTime, Result};

/// A point in time as microseconds since the Unix epoch.
pub(super) fn micros(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

/// The point in time of a column.
pub(super) fn time(micros: i64) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).map_err(Error::internal)
}

/// A value as JSON text.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

/// The value of JSON text.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

/// A row that no code of ours wrote.
pub(super) fn inconsistent(table: &str, row: impl std::fmt::Display, column: &str) -> Error {
    Error::internal(format!("{table}.{column} of row {row} holds a value that nothing writes"))
}
