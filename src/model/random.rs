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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use secrecy::ExposeSecret as _;

    use super::*;

    /// Bounds of chi-square with 255 degrees of freedom, each of which chance passes once in a thousand million runs.
    const LEAST: f64 = 142.0;
    const MOST: f64 = 420.0;

    #[test]
    fn tokens_are_all_different_and_every_byte_is_as_likely_as_any() -> Result<()> {
        const TOKENS: u32 = 100_000;
        let mut seen = HashSet::new();
        let mut counts = [0_u32; 256];
        for _ in 0..TOKENS {
            let token = token(&OsRandom)?;
            let bytes = URL_SAFE_NO_PAD.decode(token.expose_secret()).unwrap_or_default();
            assert_eq!((token.expose_secret().len(), bytes.len()), (43, 32));
            for byte in &bytes {
                counts[usize::from(*byte)] += 1;
            }
            assert!(seen.insert(bytes), "one was there before");
        }
        let expected = f64::from(TOKENS * 32) / 256.0;
        let chi_square: f64 =
            counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!((LEAST..MOST).contains(&chi_square), "chi-square is {chi_square}");
        Ok(())
    }
}
