//! How often a client may ask: a token bucket per address.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use moka::{future::Cache, policy::EvictionPolicy};

use super::{client::Clients, page, serve::Peer};

/// The most addresses that are remembered: some twenty megabytes. governor's own map of buckets has no bound.
const MAX_ADDRESSES: u64 = 50_000;
/// What one subscriber has of IPv6 is a network of this many bits, or more.
const NETWORK_BITS: u32 = 64;

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// How many requests a client may make.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// On average.
    pub per_minute: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// The buckets of all addresses.
pub(super) struct Buckets<C: Clock> {
    quota: Quota,
    clock: C,
    known: Cache<IpAddr, Arc<Bucket<C>>>,
}

/// What the middleware works with.
#[derive(Clone)]
pub(super) struct RateLimit {
    clients: Arc<Clients>,
    buckets: Arc<Buckets<MonotonicClock>>,
}

impl<C: Clock + Clone + Send + Sync + 'static> Buckets<C> {
    fn new(rate: Rate, clock: C) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        let known = Cache::builder()
            .max_capacity(MAX_ADDRESSES)
            // By how often each asks, a new address might be forgotten at once, again and again, and have no limit.
            .eviction_policy(EvictionPolicy::lru())
            // A bucket that nobody has used for so long is full, and so is a new one.
            .time_to_idle(quota.burst_size_replenished_in());
        Self { quota, clock, known: known.build() }
    }

    /// Takes one token of the address, or tells when there is one.
    async fn take(&self, address: IpAddr) -> Result<(), Duration> {
        let new = async { Arc::new(RateLimiter::direct_with_clock(self.quota, self.clock.clone())) };
        let bucket = self.known.get_with(network(address), new).await;
        bucket.check().map_err(|early| early.wait_time_from(self.clock.now()))
    }
}

impl RateLimit {
    pub(super) fn new(rate: Rate, clients: Clients) -> Self {
        Self { clients: Arc::new(clients), buckets: Arc::new(Buckets::new(rate, MonotonicClock)) }
    }
}

/// Answers clients that ask too often with 429.
pub(super) async fn limit(
    State(limit): State<RateLimit>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let client = limit.clients.find(peer, request.headers());
    if let Some(client) = client
        && let Err(wait) = limit.buckets.take(client).await
    {
        return too_many(wait);
    }
    next.run(request).await
}

fn too_many(wait: Duration) -> Response {
    let text = "Wait a little, then try again.";
    let mut response = page::problem(StatusCode::TOO_MANY_REQUESTS, "Too many requests", text);
    // Whole seconds, and not one too early.
    let seconds = HeaderValue::from(wait.as_secs() + 1);
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// What has a bucket of its own.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mask = u128::MAX << (Ipv6Addr::BITS - NETWORK_BITS);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn buckets(per_minute: u32, burst: u32) -> (Buckets<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let number = |it| NonZeroU32::new(it).unwrap();
        let rate = Rate { per_minute: number(per_minute), burst: number(burst) };
        (Buckets::new(rate, clock.clone()), clock)
    }

    async fn take(buckets: &Buckets<FakeRelativeClock>, address: &str) -> Result<(), Duration> {
        buckets.take(address.parse().unwrap()).await
    }

    #[tokio::test]
    async fn a_bucket_is_emptied_and_fills_again() {
        let (buckets, clock) = buckets(60, 3);
        for _ in 0..3 {
            assert_eq!(take(&buckets, "192.0.2.1").await, Ok(()));
        }
        assert_eq!(take(&buckets, "192.0.2.1").await, Err(Duration::from_secs(1)));
        clock.advance(Duration::from_millis(400));
        assert_eq!(take(&buckets, "192.0.2.1").await, Err(Duration::from_millis(600)));
        clock.advance(Duration::from_millis(600));
        assert_eq!(take(&buckets, "192.0.2.1").await, Ok(()));
        assert!(take(&buckets, "192.0.2.1").await.is_err());
        clock.advance(Duration::from_mins(10));
        for _ in 0..3 {
            assert_eq!(take(&buckets, "192.0.2.1").await, Ok(()));
        }
        assert!(take(&buckets, "192.0.2.1").await.is_err());
    }

    #[tokio::test]
    async fn every_address_has_its_own_and_a_network_of_ipv6_has_one() {
        let (buckets, _clock) = buckets(1, 1);
        for (address, free) in [
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
            ("2001:db8:0:1::1", true),
            ("2001:db8:0:1:ffff:ffff:ffff:ffff", false),
            ("2001:db8:0:2::1", true),
        ] {
            assert_eq!(take(&buckets, address).await.is_ok(), free, "{address}");
        }
    }

    #[tokio::test]
    async fn no_number_of_addresses_takes_all_memory() {
        let (buckets, _clock) = buckets(1, 1);
        for number in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 20_000 {
            let address = IpAddr::from(number.to_be_bytes());
            assert_eq!(buckets.take(address).await, Ok(()));
        }
        buckets.known.run_pending_tasks().await;
        assert!(buckets.known.entry_count() <= MAX_ADDRESSES, "{}", buckets.known.entry_count());
    }
}
