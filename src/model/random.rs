//! Where randomness comes from.

use std::fmt::Debug;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng as _, rngs::SysRng};
use secrecy::SecretString;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Result};

/// A source of random bytes. Tests put their own in its place.
pub trait Random: Debug + Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]) -> Result<()>;
}

/// The operating system's cryptographically secure generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        SysRng.try_fill_bytes(buffer).map_err(Error::internal)
    }
}

/// 32 random bytes as 43 base64url characters: states, PKCE verifiers (RFC 7636, section 4.1), keys.
pub fn token(random: &dyn Random) -> Result<SecretString> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    random.fill(bytes.as_mut())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes.as_slice()).into())
}

/// A number from 0 to 1, evenly spread: for jitter.
pub fn fraction(random: &dyn Random) -> Result<f64> {
    let mut bytes = [0_u8; 4];
    random.fill(&mut bytes)?;
    Ok(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

/// A UUIDv7 (RFC 9562): sorts by time, so that new rows lie together.
pub fn uuid_v7(random: &dyn Random, now: OffsetDateTime) -> Result<Uuid> {
    let mut bytes = [0_u8; 10];
    random.fill(&mut bytes)?;
    let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
}
