//! A provider that is down for an hour.

use std::time::Duration as StdDuration;

use tokenwell::{
    api::pb::connection::v1::State,
    model::{Defence, Duration, Failpoints},
};
use tonic::Code;

use crate::support::{
    Database, Fault, FaultProxy, ManualClock, Options, TestProvider, TestServer, assert_refused,
    steps::{basic, works},
};

/// The longest that a connection, or a provider, is left alone without the provider's asking for it.
const STEP: Duration = Duration::minutes(5);
const CONNECTIONS: [&str; 5] = ["u1", "u2", "u3", "u4", "u5"];

/// A server, its provider, and a proxy between them.
struct House {
    clock: ManualClock,
    server: TestServer,
    provider: TestProvider,
    proxy: FaultProxy,
    _database: Database,
}

impl House {
    /// With connections whose tokens have just expired.
    async fn without(off: &[Defence]) -> Self {
        let (clock, database) = (ManualClock::new(), Database::sqlite());
        let mut provider = TestProvider::plain(&clock).await;
        let proxy = FaultProxy::before(provider.address, 1).await;
        let (name, entry) = provider.entry.take().unwrap();
        let token_endpoint = |address| format!("token_endpoint = \"http://{address}/token\"");
        let entry = entry.replace(&token_endpoint(provider.address), &token_endpoint(proxy.address));
        provider.entry = Some((name, entry));
        let failpoints = Failpoints::default();
        for defence in off {
            failpoints.disable(*defence);
        }
        let options = Options { failpoints, ..Options::with(&clock, &provider) };
        let server = TestServer::start(&database, options).await;
        server.create_integration("sandbox", "sandbox").await;
        for connection in CONNECTIONS {
            server.connect("sandbox", connection).await;
        }
        clock.advance(Duration::hours(1));
        Self { clock, server, provider, proxy, _database: database }
    }

    /// An hour in which every caller asks every minute, and nobody gets anything. Gives how often the provider was asked.
    async fn an_hour_of(&self, fault: &Fault) -> u64 {
        self.proxy.always(Some(fault.clone()));
        for minute in 0..60 {
            self.clock.advance(Duration::minutes(1));
            for connection in CONNECTIONS {
                let refused = self.server.token("sandbox", connection).await;
                let refusal = assert_refused(refused, Code::Unavailable, "PROVIDER_UNAVAILABLE");
                assert!(refusal.retry.is_some_and(|retry| retry <= StdDuration::from_mins(5)), "{refusal:?}");
                let state = basic(&self.server, "sandbox", connection).await.unwrap().state();
                assert_eq!(state, State::Active, "{connection} in minute {minute} of {fault:?}");
            }
        }
        self.proxy.always(None);
        self.proxy.counts()[fault.name()]
    }

    /// Everything works again within one step of the back-off, at the first try.
    async fn assert_recovered(&self) {
        self.clock.advance(STEP);
        for connection in CONNECTIONS {
            let (got, token) = self.server.token("sandbox", connection).await.unwrap();
            assert_eq!(got.state(), State::Active);
            assert!(works(&self.provider, &token.access_token).await);
        }
        let book = self.provider.sandbox.book();
        let each_once = book.redemptions.values().all(|count| *count == 1);
        assert!(each_once && book.redemptions.len() == CONNECTIONS.len(), "{:?}", book.redemptions);
        assert_eq!(book.reuse_detected, 0);
    }
}

async fn an_hour_changes_nothing(fault: Fault) {
    let house = House::without(&[]).await;
    let asked = house.an_hour_of(&fault).await;
    // Five callers have asked sixty times each.
    assert!((10..150).contains(&asked), "the provider was asked {asked} times");
    house.assert_recovered().await;
}

#[tokio::test]
async fn a_provider_that_is_busy_for_an_hour_costs_no_connection() {
    an_hour_changes_nothing(Fault::Status(503)).await;
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_for_an_hour_costs_no_connection() {
    an_hour_changes_nothing(Fault::Reset).await;
}

/// The twin of the others: without the back-off every caller's call comes to the provider.
#[tokio::test]
async fn without_the_back_off_the_provider_gets_no_rest() {
    let house = House::without(&[Defence::Backoff]).await;
    let asked = house.an_hour_of(&Fault::Status(503)).await;
    assert_eq!(asked, 60 * CONNECTIONS.len() as u64);
    house.assert_recovered().await;
}
