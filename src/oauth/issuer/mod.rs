//! Tokens by which workloads say who they are: JWTs of an issuer that the operator trusts, verified with its keys
//! (RFC 7515, RFC 7519) as RFC 8725 asks for.

mod keys;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jsonwebtoken::{Algorithm, crypto};
use keys::{Keys, fetch};
use serde_json::{Map, Value};

use super::{HttpClient, OAuthClient, jwt};
use crate::model::{Clock, Duration, Error, Issuer, OffsetDateTime, Result};

/// How far the clocks of both sides may differ.
const SKEW: Duration = Duration::seconds(60);
/// The longest life of a token: one that is stolen is not to last.
const MAX_LIFETIME: Duration = Duration::DAY;
/// How long keys are used before they are fetched anew, so that one that its issuer has withdrawn does not last.
const FRESH: Duration = Duration::minutes(5);
/// How long they are used if they cannot be.
const LAST_GOOD: Duration = Duration::HOUR;
/// How often an issuer is asked at the most, whatever its tokens say: anybody can name a key that is not there.
const PAUSE: Duration = Duration::seconds(10);
const MAX_SUBJECT_BYTES: usize = 1024;

/// Those whose tokens are believed, with their keys.
#[derive(Debug, Default)]
pub struct TrustedIssuers {
    by_name: HashMap<String, Arc<Trusted>>,
}

/// What a token has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its `iss`.
    pub issuer: String,
    /// Its `sub`.
    pub subject: String,
    /// When it ends, with what clocks may differ by.
    pub expire_time: OffsetDateTime,
}

#[derive(Debug)]
struct Trusted {
    issuer: Issuer,
    algorithms: Vec<Algorithm>,
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
}

// === impl OAuthClient ===

impl OAuthClient {
    /// Prepares to verify tokens of these issuers. Keys that are known already stay so.
    pub fn trusted_issuers(&self, issuers: &[Issuer], before: &TrustedIssuers) -> Result<TrustedIssuers> {
        let trusted = issuers.iter().map(|issuer| {
            let known = before.by_name.get(&issuer.issuer).filter(|known| known.issuer == *issuer);
            let trusted = known.map_or_else(|| self.trusted(issuer).map(Arc::new), |it| Ok(it.clone()));
            Ok((issuer.issuer.clone(), trusted?))
        });
        Ok(TrustedIssuers { by_name: trusted.collect::<Result<_>>()? })
    }

    fn trusted(&self, issuer: &Issuer) -> Result<Trusted> {
        let names = issuer.algorithms.iter().map(|algorithm| algorithm.as_str().parse());
        let further = issuer.authorities.iter().cloned();
        Ok(Trusted {
            issuer: issuer.clone(),
            algorithms: names.collect::<Result<_, _>>().map_err(Error::internal)?,
            http: self.http.to_issuer(issuer.allow_private_addresses, further)?,
            clock: self.clock.clone(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }
}

// === impl TrustedIssuers ===

impl TrustedIssuers {
    /// Says what a token shows, if it is one of these issuers' and holds.
    pub async fn verify(&self, token: &str) -> Result<Token> {
        let (header, claims) = jwt::parts(token).ok_or(Error::TokenInvalid("it is no JWT"))?;
        let issuer = claims.get("iss").and_then(Value::as_str).and_then(|name| self.by_name.get(name));
        let issuer = issuer.ok_or(Error::TokenInvalid("its issuer is not one that is trusted"))?;
        // Before anybody is asked for keys. What is said here counts only if the signature holds.
        let shown = issuer.check(&claims).map_err(Error::TokenInvalid)?;
        issuer.verify(token, &header).await?;
        Ok(shown)
    }
}

// === impl Trusted ===

impl Trusted {
    fn check(&self, claims: &Map<String, Value>) -> Result<Token, &'static str> {
        let now = self.clock.now();
        let audience = self.issuer.audience.as_str();
        let for_us = match claims.get("aud") {
            Some(Value::String(named)) => named == audience,
            Some(Value::Array(named)) => named.iter().any(|it| it.as_str() == Some(audience)),
            _ => false,
        };
        if !for_us {
            return Err("it is for another audience");
        }
        let date = |name| match claims.get(name) {
            None => Ok(None),
            Some(value) => jwt::numeric_date(value).map(Some).ok_or("one of its times is none"),
        };
        let (expiry, not_before, issued) = (date("exp")?, date("nbf")?, date("iat")?);
        let expiry = expiry.ok_or("it does not say when it expires")?;
        let expire_time = expiry.checked_add(SKEW).ok_or("it lives longer than a day")?;
        if expire_time <= now {
            return Err("it has expired");
        }
        if [not_before, issued].into_iter().flatten().any(|time| time > now + SKEW) {
            return Err("it is not valid yet");
        }
        if expiry - issued.or(not_before).unwrap_or(now) > MAX_LIFETIME {
            return Err("it lives longer than a day");
        }
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err("it does not say whose it is");
        }
        Ok(Token { issuer: self.issuer.issuer.clone(), subject: subject.to_owned(), expire_time })
    }

    async fn verify(self: &Arc<Self>, token: &str, header: &Map<String, Value>) -> Result<()> {
        let refused = |problem| Err(Error::TokenInvalid(problem));
        let text = |name| header.get(name).and_then(Value::as_str);
        let algorithm = text("alg").and_then(|name| name.parse().ok());
        let Some(algorithm) = algorithm.filter(|it| self.algorithms.contains(it)) else {
            return refused("its algorithm is not one that its issuer may use");
        };
        if !header.get("typ").is_none_or(|typ| typ.as_str().is_some_and(is_type)) {
            return refused("it is of another type");
        }
        // Extensions that must be understood (RFC 7515, section 4.1.11): we understand none.
        if header.contains_key("crit") {
            return refused("it asks for more than is understood");
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.as_str()),
            Some(_) => return refused("its key is none of its issuer's"),
        };
        let Some((message, signature)) = token.rsplit_once('.') else { return refused("it is no JWT") };
        let keys = self.keys(|keys| keys.find(kid, algorithm).next().is_some()).await?;
        let mut found = keys.find(kid, algorithm).peekable();
        if found.peek().is_none() {
            return refused("its key is none of its issuer's");
        }
        let holds = |key| crypto::verify(signature, message.as_bytes(), key, algorithm).unwrap_or(false);
        if found.any(holds) { Ok(()) } else { refused("its signature does not hold") }
    }

    /// The issuer's keys, among which there is one that serves, if the issuer has such a one.
    async fn keys(self: &Arc<Self>, serves: impl Fn(&Keys) -> bool) -> Result<Arc<Keys>> {
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
            self.spawn().await.map_err(Error::internal)?;
        }
        self.good().map(|(keys, _)| keys).ok_or_else(|| Error::IssuerUnavailable(self.issuer.issuer.clone()))
    }

    fn spawn(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let trusted = self.clone();
        tokio::spawn(async move { trusted.ask().await })
    }

    async fn ask(&self) {
        let _turn = self.turn.lock().await;
        if !self.may_ask() {
            return;
        }
        let now = self.clock.now();
        self.state().asked = Some(now);
        match fetch(&self.http, &self.issuer).await {
            Ok(keys) => self.state().keys = Some((Arc::new(keys), now)),
            Err(failure) => {
                let issuer = &self.issuer.issuer;
                tracing::warn!(issuer, problem = %failure, "an issuer's keys could not be fetched");
            }
        }
    }

    /// The keys that may still be used, and since when they are known.
    fn good(&self) -> Option<(Arc<Keys>, OffsetDateTime)> {
        let now = self.clock.now();
        self.state().keys.clone().filter(|(_, fetched)| *fetched + LAST_GOOD > now)
    }

    /// Whoever is asked just now has not answered yet, and may be waited for.
    fn may_ask(&self) -> bool {
        let now = self.clock.now();
        self.state().asked.is_none_or(|asked| asked + PAUSE <= now || asked > now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a token for callers may say that it is: nothing, or a plain JWT (RFC 7519, section 5.1), or an access token
/// (RFC 9068, section 2.1). Not what was signed for another use (RFC 8725, section 3.11).
fn is_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    ["jwt", "at+jwt"].contains(&typ.strip_prefix("application/").unwrap_or(&typ))
}
