//! The door for fuzz targets, which lie outside of the house.

use super::seal::{KeyRing, Place};
use crate::model::{OsRandom, Result};

fn place() -> Place<'static> {
    Place::new("connections", "access_token", "row", "project")
}

/// Seals bytes for some place.
pub fn seal(keys: &KeyRing, plaintext: &[u8]) -> Result<Vec<u8>> {
    keys.seal(&OsRandom, place(), plaintext)
}

/// Opens what was sealed for that place, and nothing else.
#[must_use]
pub fn open(keys: &KeyRing, envelope: &[u8]) -> Option<Vec<u8>> {
    keys.open(place(), envelope).ok().map(|opened| opened.to_vec())
}
