//! Sealing: AES-256-GCM with a ring of keys, bound to the place where the ciphertext lies.
//!
//! An envelope is `version (1) || length of key id (1) || key id || nonce (12) || ciphertext and tag`. The associated data
//! is the envelope's header and the place, each field with its length before it, so that a ciphertext that is moved to
//! another column, row or project does not open.

use std::{fmt, io, path::Path};

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::model::{Error, ExposeSecret as _, Random, Result, SecretSlice, SecretString, Uuid};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const KEY_BYTES: usize = 32;

/// The keys: the first seals, all open.
pub struct KeyRing {
    keys: Vec<(String, Aes256Gcm)>,
}

/// Where a ciphertext lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    pub(super) row: &'a str,
    pub(super) project: &'a str,
}

/// Why keys are no key ring.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// There is none.
    #[error("there is no sealing key: make one with `tokenwell keys generate-sealing-key`")]
    Empty,
    /// A line is not a key. The line itself may be one and is not shown.
    #[error(
        "sealing key {0} is malformed: expected `<id>:<base64 of 32 bytes>`, the id being 1 to 32 letters, digits, `-` and `_`"
    )]
    Malformed(usize),
    /// A key that nobody made by chance.
    #[error("sealing key {0} is all of one byte: make one with `tokenwell keys generate-sealing-key`")]
    Weak(usize),
    /// Two keys of one id.
    #[error("sealing key {0} has the id of another one")]
    Duplicate(usize),
    /// The file could not be read or written.
    #[error("the sealing key file: {0}")]
    File(#[from] io::Error),
    /// There is no randomness to make a key of.
    #[error("no sealing key could be made: {0}")]
    Random(Error),
}

// === impl KeyRing ===

impl KeyRing {
    /// Reads keys, one per line or separated by commas: `<id>:<base64 of 32 bytes>`. Lines that begin with `#` are comments.
    pub fn parse(text: &SecretString) -> Result<Self, KeyRingError> {
        let lines = text.expose_secret().lines().filter(|line| !line.trim_start().starts_with('#'));
        let lines = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|line| !line.is_empty());
        let mut keys: Vec<(String, Aes256Gcm)> = Vec::new();
        for (index, line) in lines.enumerate() {
            let number = index + 1;
            let (id, bytes) = parse_key(line).ok_or(KeyRingError::Malformed(number))?;
            if bytes.iter().all(|byte| *byte == bytes[0]) {
                return Err(KeyRingError::Weak(number));
            }
            if keys.iter().any(|(other, _)| *other == id) {
                return Err(KeyRingError::Duplicate(number));
            }
            let cipher = Aes256Gcm::new_from_slice(&bytes).map_err(|_| KeyRingError::Malformed(number))?;
            keys.push((id, cipher));
        }
        if keys.is_empty() { Err(KeyRingError::Empty) } else { Ok(Self { keys }) }
    }

    /// Reads a key file.
    pub fn read(path: &Path) -> Result<Self, KeyRingError> {
        let text: SecretString = std::fs::read_to_string(path)?.into();
        Self::parse(&text)
    }

    /// Reads a key file, or makes one with a new key that only its owner may read.
    pub fn read_or_create(path: &Path, random: &dyn Random) -> Result<Self, KeyRingError> {
        match create(path, random) {
            Err(KeyRingError::File(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::read(path)
            }
            Err(error) => Err(error),
            Ok(()) => Self::read(path),
        }
    }

    /// A new key, as a line of a key file.
    pub fn generate(random: &dyn Random) -> Result<SecretString> {
        let mut id = [0_u8; 4];
        let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
        random.fill(&mut id)?;
        random.fill(key.as_mut())?;
        let key = Zeroizing::new(STANDARD.encode(key.as_slice()));
        Ok(format!("k{}:{}", hex::encode(id), key.as_str()).into())
    }

    /// Seals bytes for a place.
    pub(super) fn seal(&self, random: &dyn Random, place: Place<'_>, plaintext: &[u8]) -> Result<Vec<u8>> {
        let (id, cipher) = self.keys.first().ok_or_else(|| Error::internal(KeyRingError::Empty))?;
        let mut nonce = [0_u8; NONCE_BYTES];
        random.fill(&mut nonce)?;
        let mut envelope = header(id);
        let aad = place.associated_data(&envelope);
        let payload = Payload { msg: plaintext, aad: &aad };
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| place.fault("did not seal"))?;
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// Opens an envelope that was sealed for this place.
    pub(super) fn open(&self, place: Place<'_>, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let (id, nonce, sealed) = split(envelope).ok_or_else(|| place.fault("is no envelope"))?;
        let key = self.keys.iter().find(|(other, _)| other.as_bytes() == id);
        let (id, cipher) = key.ok_or_else(|| place.fault("was sealed with a key that is not in the ring"))?;
        let aad = place.associated_data(&header(id));
        let payload = Payload { msg: sealed, aad: &aad };
        let opened = cipher.decrypt(&Nonce::from(nonce), payload);
        opened.map(Zeroizing::new).map_err(|_| place.fault("does not open: it was altered or moved"))
    }

    /// Seals text for a place.
    pub(super) fn seal_text(
        &self,
        random: &dyn Random,
        place: Place<'_>,
        text: &SecretString,
    ) -> Result<Vec<u8>> {
        self.seal(random, place, text.expose_secret().as_bytes())
    }

    /// Opens text that was sealed for this place.
    pub(super) fn open_text(&self, place: Place<'_>, envelope: &[u8]) -> Result<SecretString> {
        let opened = self.open(place, envelope)?;
        let text = std::str::from_utf8(&opened).map_err(|_| place.fault("is not text"))?;
        Ok(text.into())
    }

    /// Opens bytes that were sealed for this place.
    pub(super) fn open_bytes(&self, place: Place<'_>, envelope: &[u8]) -> Result<SecretSlice<u8>> {
        Ok(self.open(place, envelope)?.to_vec().into())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    /// A column of a table, in a row of a project.
    pub(super) fn new(table: &'static str, column: &'static str, row: &'a str, project: &'a str) -> Self {
        Self { table, column, row, project }
    }

    fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        let mut data = Vec::with_capacity(128);
        let fields = [self.table, self.column, self.row, self.project];
        for field in std::iter::once(header).chain(fields.into_iter().map(str::as_bytes)) {
            data.extend_from_slice(&(field.len() as u64).to_be_bytes());
            data.extend_from_slice(field);
        }
        data
    }

    fn fault(&self, problem: &str) -> Error {
        Error::internal(format!("{}.{} of row {} {problem}", self.table, self.column, self.row))
    }
}

/// The row as associated data names it.
pub(super) fn row_name(row: Uuid) -> String {
    row.to_string()
}

fn header(id: &str) -> Vec<u8> {
    // An id has at most 32 bytes: `parse_key` sees to it.
    let length = u8::try_from(id.len()).unwrap_or(u8::MAX);
    let mut header = vec![VERSION, length];
    header.extend_from_slice(id.as_bytes());
    header
}

fn split(envelope: &[u8]) -> Option<(&[u8], [u8; NONCE_BYTES], &[u8])> {
    let [version, length, rest @ ..] = envelope else { return None };
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
    (*version == VERSION).then_some((id, *nonce, sealed))
}

fn parse_key(line: &str) -> Option<(String, Zeroizing<Vec<u8>>)> {
    let (id, key) = line.split_once(':')?;
    let clean = (1..=32).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let bytes = Zeroizing::new(STANDARD.decode(key.trim()).ok()?);
    (clean && bytes.len() == KEY_BYTES).then(|| (id.to_owned(), bytes))
}

fn create(path: &Path, random: &dyn Random) -> Result<(), KeyRingError> {
    use std::io::Write as _;

    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let key = KeyRing::generate(random).map_err(KeyRingError::Random)?;
    writeln!(file, "# Opens every token in the database beside it. Back it up, apart from the database.")?;
    writeln!(file, "{}", key.expose_secret())?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsRandom;

    const PLACE: Place<'static> = Place { table: "t", column: "c", row: "r", project: "p" };

    fn ring(text: &str) -> KeyRing {
        KeyRing::parse(&text.into()).unwrap_or(KeyRing { keys: Vec::new() })
    }

    fn key(id: &str, byte: u8) -> String {
        let mut bytes = [byte; KEY_BYTES];
        bytes[0] ^= 1;
        format!("{id}:{}", STANDARD.encode(bytes))
    }

    #[test]
    fn an_envelope_opens_in_its_place_only() {
        let ring = ring(&key("a", 1));
        let sealed = ring.seal(&OsRandom, PLACE, b"secret").unwrap_or_default();
        assert_eq!(ring.open(PLACE, &sealed).map(|it| it.to_vec()).ok(), Some(b"secret".to_vec()));
        for place in [
            Place { table: "x", ..PLACE },
            Place { column: "x", ..PLACE },
            Place { row: "x", ..PLACE },
            Place { project: "x", ..PLACE },
            // A byte moved over a field's boundary.
            Place { table: "tc", column: "", ..PLACE },
        ] {
            assert!(ring.open(place, &sealed).is_err(), "{place:?}");
        }
    }

    #[test]
    fn altered_and_short_envelopes_do_not_open_and_do_not_panic() {
        let ring = ring(&key("a", 1));
        let sealed = ring.seal(&OsRandom, PLACE, b"secret").unwrap_or_default();
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(ring.open(PLACE, &altered).is_err(), "byte {index}");
            assert!(ring.open(PLACE, &sealed[..index]).is_err(), "length {index}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = ring(&key("old", 1));
        let sealed = old.seal(&OsRandom, PLACE, b"secret").unwrap_or_default();
        let both = ring(&format!("{}\n# comment\n{}", key("new", 2), key("old", 1)));
        assert!(both.open(PLACE, &sealed).is_ok());
        let resealed = both.seal(&OsRandom, PLACE, b"secret").unwrap_or_default();
        assert!(old.open(PLACE, &resealed).is_err());
    }

    #[test]
    fn bad_keys_are_refused() {
        let good = key("a", 1);
        let zeros = format!("a:{}", STANDARD.encode([0; KEY_BYTES]));
        let short = format!("a:{}", STANDARD.encode([1; 16]));
        let long_id = key(&"a".repeat(33), 1);
        let twice = format!("{good},{good}");
        for bad in ["", "# only", "a", "a:", ":", "a:!", &zeros, &short, &long_id, &twice] {
            assert!(KeyRing::parse(&bad.into()).is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}", ring(&good)), "[\"a\"]");
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_only() -> Result<(), Box<dyn std::error::Error>> {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir()?;
        let path = directory.path().join("sealing.key");
        let made = KeyRing::read_or_create(&path, &OsRandom)?;
        assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        let sealed = made.seal(&OsRandom, PLACE, b"secret")?;
        assert!(KeyRing::read_or_create(&path, &OsRandom)?.open(PLACE, &sealed).is_ok());
        Ok(())
    }

    #[test]
    fn no_two_seals_are_alike() {
        let ring = ring(&key("a", 1));
        let seal = || ring.seal(&OsRandom, PLACE, b"secret").unwrap_or_default();
        assert_ne!(seal(), seal());
    }
}
