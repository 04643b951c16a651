//! The keys that an issuer signs with (RFC 7517): fetched when they are needed, and kept for a while.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration as StdDuration,
};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use moka::future::Cache;
use oauth2::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Failure, HttpClient, OAuthClient, Registration, http::MAX_METADATA_BYTES, json};
use crate::model::{Clock, Duration, OffsetDateTime};

/// How long keys are used before they are fetched anew, so that one that its issuer has withdrawn does not last.
const FRESH: Duration = Duration::minutes(5);
/// How long they are used if they cannot be.
const LAST_GOOD: Duration = Duration::HOUR;
/// How often an issuer is asked at the most whose keys are known, whatever its tokens say.
const PAUSE: Duration = Duration::seconds(10);
/// How often an issuer is asked for once that is not available, and how long the first pause is: the code that brought the
/// token is spent.
const TRIES: u32 = 3;
const TRY_PAUSE: StdDuration = StdDuration::from_millis(200);
/// More keys than this nobody has.
const MAX_KEYS: usize = 100;
const MAX_ISSUERS: u64 = 1_000;
/// RFC 7518, section 3.3.
const MIN_RSA_BYTES: usize = 256;

/// Keys that verify signatures.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    /// The algorithms that it is for.
    fits: Vec<Algorithm>,
    public: DecodingKey,
}

/// The key sets of issuers, by where they are, and whether that may be in a private network.
#[derive(Clone)]
pub(super) struct KeySets(Cache<(String, bool), Arc<KeySet>>);

/// One key set: what is known of it, and the way to it.
#[derive(Debug)]
struct KeySet {
    address: String,
    http: HttpClient,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// One asks, and the others wait for what comes of it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<(Arc<Keys>, OffsetDateTime)>,
    asked: Option<OffsetDateTime>,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

// === impl OAuthClient ===

impl OAuthClient {
    /// The keys that are at this address, among which there is one that serves, if there is such a one.
    pub(super) async fn keys(
        &self,
        registration: Registration<'_>,
        address: &Url,
        serves: impl Fn(&Keys) -> bool,
    ) -> Result<Arc<Keys>, Failure> {
        let http = self.http_to(registration)?;
        let place = (address.as_str().to_owned(), registration.integration.allow_private_addresses);
        let set = self.key_sets.0.get_with(place, async {
            let (address, clock) = (address.as_str().to_owned(), self.clock.clone());
            Arc::new(KeySet {
                address,
                http,
                clock,
                state: Mutex::default(),
                turn: tokio::sync::Mutex::default(),
            })
        });
        set.await.keys(serves).await
    }
}

// === impl KeySet ===

impl KeySet {
    async fn keys(self: &Arc<Self>, serves: impl Fn(&Keys) -> bool) -> Result<Arc<Keys>, Failure> {
        if let Some((keys, fetched)) = self.good()
            && serves(&keys)
        {
            if fetched + FRESH <= self.clock.now() && self.may_ask() {
                // Nobody waits for it.
                self.spawn();
            }
            return Ok(keys);
        }
        if self.may_ask() {
            // It goes on though this caller goes away, or nobody would ever get an answer.
            self.spawn().await.map_err(|_| Failure::invalid("its keys could not be read"))?;
        }
        let failed = || self.state().failure.clone().unwrap_or_else(|| Failure::invalid("it has no keys"));
        self.good().map(|(keys, _)| keys).ok_or_else(failed)
    }

    fn spawn(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let set = self.clone();
        tokio::spawn(async move { set.ask().await })
    }

    async fn ask(&self) {
        let _turn = self.turn.lock().await;
        if !self.may_ask() {
            return;
        }
        let now = self.clock.now();
        self.state().asked = Some(now);
        let mut fetched = self.fetch().await;
        for tries in 1..TRIES {
            if !matches!(fetched, Err(Failure::Unavailable { .. })) {
                break;
            }
            tokio::time::sleep(TRY_PAUSE * tries).await;
            fetched = self.fetch().await;
        }
        let mut state = self.state();
        match fetched {
            Ok(keys) => state.keys = Some((Arc::new(keys), now)),
            Err(failure) => {
                tracing::warn!(address = %self.address, problem = %failure, "an issuer's keys could not be fetched");
                state.failure = Some(failure);
            }
        }
    }

    async fn fetch(&self) -> Result<Keys, Failure> {
        let answer = self.http.get(&self.address, MAX_METADATA_BYTES).await?;
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            let problem = format!("its keys answered with status {}", answer.status.as_u16());
            return Err(Failure::Unavailable { problem, retry_after: None, unclear: false });
        }
        if answer.status != StatusCode::OK {
            let status = answer.status.as_u16();
            return Err(Failure::invalid(format!("its keys answered with status {status}")));
        }
        Keys::read(&answer.body)
    }

    /// The keys that may still be used, and since when they are known.
    fn good(&self) -> Option<(Arc<Keys>, OffsetDateTime)> {
        let now = self.clock.now();
        self.state().keys.clone().filter(|(_, fetched)| *fetched + LAST_GOOD > now)
    }

    /// Whether nothing is known, or it was not asked for a while. Whoever is asked just now has not answered yet, and may be
    /// waited for.
    fn may_ask(&self) -> bool {
        let (unknown, now) = (self.good().is_none(), self.clock.now());
        unknown || self.state().asked.is_none_or(|asked| asked + PAUSE <= now || asked > now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Keys ===

impl Keys {
    /// The keys that a token may be signed with. One that names no key has to be of an issuer who has but one.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let fits = self.0.iter().filter(|key| key.fits.contains(&algorithm));
        let named = fits.filter(|key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)));
        let found: Vec<_> = named.map(|key| &key.public).collect();
        let known = kid.is_some() || found.len() == 1;
        found.into_iter().filter(move |_| known)
    }

    fn read(body: &[u8]) -> Result<Self, Failure> {
        let document: Document =
            json::parse(body).map_err(|problem| Failure::invalid(format!("its key set {problem}")))?;
        if document.keys.len() > MAX_KEYS {
            return Err(Failure::invalid(format!("it has more than {MAX_KEYS} keys")));
        }
        let keys: Vec<_> = document.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err(Failure::invalid("it has no key that can be used")) } else { Ok(Self(keys)) }
    }
}

impl Key {
    /// A key of a set. Those for other uses, and those of kinds that we do not know, are none of ours; symmetric ones are
    /// nobody's, as everybody can read them.
    fn read(member: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(member).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let public = DecodingKey::from_jwk(&jwk).ok()?;
        let mut fits = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) if is_long(&public) => AlgorithmFamily::Rsa.algorithms().to_vec(),
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        if let Some(only) = jwk.common.key_algorithm {
            let only: Algorithm = only.try_into().ok()?;
            fits.retain(|algorithm| *algorithm == only);
        }
        Some(Self { kid: jwk.common.key_id, fits, public })
    }
}

fn is_long(key: &DecodingKey) -> bool {
    use jsonwebtoken::DecodingKeyKind::RsaModulusExponent;

    let RsaModulusExponent { n, .. } = key.kind() else { return false };
    n.iter().skip_while(|byte| **byte == 0).count() >= MIN_RSA_BYTES
}

/// Whether the last part of a JWT is its signature under this key.
pub(super) fn holds(token: &str, key: &DecodingKey, algorithm: Algorithm) -> bool {
    let Some((message, signature)) = token.rsplit_once('.') else { return false };
    crypto::verify(signature, message.as_bytes(), key, algorithm).unwrap_or(false)
}

// === impl KeySets ===

impl Default for KeySets {
    fn default() -> Self {
        Self(Cache::new(MAX_ISSUERS))
    }
}

impl std::fmt::Debug for KeySets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeySets").field(&self.0.entry_count()).finish()
    }
}
