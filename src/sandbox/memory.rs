//! What the sandbox remembers. Codes and tokens are keys by their SHA-256 only; secrets that sign are kept as they are.

use std::collections::{BTreeMap, VecDeque};

use super::{
    book::{Book, TokenRequest},
    failure::Failure,
    params::Params,
};
use crate::model::{OffsetDateTime, SecretString};

/// How many entries of each kind are kept. Beyond it, the oldest go.
pub(super) const CAPACITY: usize = 10_000;

/// Everything that changes.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) consents: Bounded<String, Consent>,
    pub(super) codes: Bounded<String, Code>,
    pub(super) access_tokens: Bounded<String, AccessToken>,
    pub(super) refresh_tokens: Bounded<String, RefreshToken>,
    /// The assertions that clients have used.
    pub(super) assertions: Bounded<String, ()>,
    pub(super) request_tokens: Bounded<String, RequestToken>,
    pub(super) token_credentials: Bounded<String, TokenCredentials>,
    /// The nonces of signed requests.
    pub(super) nonces: Bounded<String, ()>,
    pub(super) failures: VecDeque<Failure>,
    /// The secrets of clients that have another one than they came with, by their ids.
    pub(super) secrets: BTreeMap<String, SecretString>,
    /// The counters. The collections of this book stay empty: they are beside it, bounded.
    pub(super) tally: Book,
    grants: Bounded<u64, Grant>,
    last_grant: u64,
    token_requests: VecDeque<TokenRequest>,
    revocation_requests: VecDeque<TokenRequest>,
    redemptions: Bounded<String, u64>,
    requests: Bounded<String, u64>,
}

/// An authorization request that waits for its user.
#[derive(Clone)]
pub(super) struct Consent {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) code_challenge: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) params: Params,
    pub(super) expire_time: OffsetDateTime,
    /// The request token that it is about, if it is OAuth 1.0a.
    pub(super) request_token: Option<String>,
}

/// An authorization code.
#[derive(Clone)]
pub(super) struct Code {
    pub(super) consent: Consent,
    pub(super) account: String,
    pub(super) expire_time: OffsetDateTime,
    pub(super) spent: bool,
    /// What it was redeemed for.
    pub(super) grant: Option<u64>,
}

/// What a user has given to a client.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) account: String,
    pub(super) scopes: Vec<String>,
    /// Whether the exchange asked for tokens that expire ([`super::ExpiresIn::WhenFlagged`]).
    pub(super) flagged: bool,
    pub(super) ended: bool,
}

/// An access token.
pub(super) struct AccessToken {
    pub(super) grant: u64,
    /// `None`: never.
    pub(super) expire_time: Option<OffsetDateTime>,
}

/// A refresh token.
#[derive(Clone)]
pub(super) struct RefreshToken {
    pub(super) grant: u64,
    /// `None`: never.
    pub(super) expire_time: Option<OffsetDateTime>,
    /// The token that dies when this one is first used.
    pub(super) replaces: Option<String>,
    pub(super) retired: bool,
}

/// A request token of OAuth 1.0a.
#[derive(Clone)]
pub(super) struct RequestToken {
    pub(super) client_id: String,
    pub(super) secret: SecretString,
    pub(super) callback: String,
    pub(super) expire_time: OffsetDateTime,
    /// The verifier's SHA-256, the account and the scopes, once a user has approved.
    pub(super) approval: Option<(String, String, Vec<String>)>,
}

/// An access token of OAuth 1.0a.
pub(super) struct TokenCredentials {
    pub(super) grant: u64,
    pub(super) secret: SecretString,
}

/// A map that forgets its oldest entries.
pub(super) struct Bounded<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
}

// === impl Memory ===

impl Memory {
    pub(super) fn book(&self) -> Book {
        Book {
            token_requests: self.token_requests.iter().cloned().collect(),
            revocation_requests: self.revocation_requests.iter().cloned().collect(),
            redemptions: self.redemptions.iter().map(|(digest, count)| (digest.clone(), *count)).collect(),
            requests: self.requests.iter().map(|(path, count)| (path.clone(), *count)).collect(),
            ..self.tally.clone()
        }
    }

    /// Writes a request to the token endpoint down.
    pub(super) fn record(&mut self, request: TokenRequest) {
        push(&mut self.token_requests, request);
    }

    /// Writes a request for the end of a token down.
    pub(super) fn record_revocation(&mut self, request: TokenRequest) {
        push(&mut self.revocation_requests, request);
    }

    /// Counts that a refresh token was presented.
    pub(super) fn count_redemption(&mut self, digest: &str) {
        self.redemptions.count(digest);
    }

    /// Counts a request for something beside the tokens.
    pub(super) fn count(&mut self, path: &str) {
        self.requests.count(path);
    }

    pub(super) fn open_grant(&mut self, grant: Grant) -> u64 {
        self.last_grant += 1;
        self.grants.insert(self.last_grant, grant);
        self.last_grant
    }

    pub(super) fn grant(&self, id: u64) -> Option<&Grant> {
        self.grants.get(&id)
    }

    /// Ends a grant. Says whether it was alive.
    pub(super) fn end_grant(&mut self, id: u64) -> bool {
        self.grants.get_mut(&id).is_some_and(|grant| !std::mem::replace(&mut grant.ended, true))
    }

    /// Makes a refresh token one that has been replaced.
    pub(super) fn retire(&mut self, digest: &str) {
        if let Some(token) = self.refresh_tokens.get_mut(digest) {
            token.retired = true;
        }
    }

    pub(super) fn revoke_all(&mut self) {
        self.codes = Bounded::default();
        self.request_tokens = Bounded::default();
        for grant in self.grants.values_mut() {
            grant.ended = true;
        }
    }
}

fn push(requests: &mut VecDeque<TokenRequest>, request: TokenRequest) {
    if requests.len() >= CAPACITY {
        requests.pop_front();
    }
    requests.push_back(request);
}

// === impl Bounded ===

impl<K: Clone + Ord, V> Bounded<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// Puts an entry in, as the newest.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        self.order.insert(self.next, key.clone());
        self.entries.insert(key, (self.next, value));
        self.next += 1;
        if self.entries.len() > CAPACITY
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let (number, value) = self.entries.remove(key)?;
        self.order.remove(&number);
        Some(value)
    }

    /// Drops the entries that the condition does not hold for.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        let order = &mut self.order;
        self.entries.retain(|_, (number, value)| {
            let kept = keep(value);
            if !kept {
                order.remove(number);
            }
            kept
        });
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|(_, value)| value)
    }
}

impl Bounded<String, u64> {
    fn count(&mut self, key: &str) {
        match self.get_mut(key) {
            Some(count) => *count += 1,
            None => self.insert(key.to_owned(), 1),
        }
    }
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: BTreeMap::new(), next: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_is_forgotten() {
        let mut map = Bounded::default();
        for key in 0..CAPACITY {
            map.insert(key, key);
        }
        map.insert(0, 7); // now the newest
        map.insert(CAPACITY, 8);
        assert_eq!((map.get(&0), map.get(&1), map.get(&2)), (Some(&7), None, Some(&2)));
        assert_eq!(map.remove(&2), Some(2));
        map.retain(|value| *value != 3);
        assert_eq!((map.get(&3), map.entries.len(), map.order.len()), (None, CAPACITY - 2, CAPACITY - 2));
    }
}
