//! The callers: each gets a token, tries it at the provider at once, rests, and begins again.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::StatusCode;
use tokenwell::{
    api::pb::connection::v1::{OAuth2Credentials, credentials},
    model::{Clock as _, OffsetDateTime, SystemClock},
};
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::{
    fleet::Fleet,
    world::{INTEGRATION, Kind, World},
};
use crate::support::server::get;

/// The rotating provider counts in whole seconds, so that a token of its may end that much before the time that it said.
const WHOLE_SECOND: time::Duration = time::Duration::SECOND;

/// How often a call is made whose server goes away, or that the provider has no room for.
const TRIES: u32 = 4;

/// One caller.
pub struct Caller {
    fleet: Fleet,
    connections: Arc<Vec<String>>,
    userinfo: String,
    kind: Kind,
    rest: Duration,
    patience: Duration,
    number: usize,
    random: StdRng,
    http: reqwest::Client,
    seen: Seen,
}

/// What callers saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Tokens that were handed out.
    pub tokens: u64,
    /// How long each of them took, in microseconds.
    pub latencies: Vec<u64>,
    /// Tokens that the provider refused though they had time left.
    pub refused: Vec<Refused>,
    /// Tokens that ended between their handing out and their trying out.
    pub expired: u64,
    /// Tokens that the provider would not look at.
    pub untried: u64,
    /// Tokens that somebody's refresh had replaced meanwhile, at a provider that ends them then.
    pub replaced: u64,
    /// Calls that failed, by their reason.
    pub errors: BTreeMap<String, u64>,
    /// Servers that were killed meanwhile.
    pub kills: u64,
    /// Servers that were stopped in order meanwhile.
    pub stops: u64,
}

/// A token that should have worked.
#[derive(Debug)]
pub struct Refused {
    pub connection: String,
    pub token: String,
    /// How long it should have lived beyond the refusal.
    pub left: time::Duration,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token of `{}`, which had {} left", self.connection, self.left)
    }
}

/// What callers speak to the provider with.
#[expect(clippy::disallowed_methods, reason = "a caller is not Tokenwell's client")]
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Caller {
    /// One that waits this long for a token.
    pub fn new(world: &World, number: usize, patience: Duration) -> Self {
        Self {
            fleet: world.fleet.clone(),
            connections: world.connections.clone(),
            userinfo: format!("{}/me", world.provider.origin),
            kind: world.kind,
            rest: world.size.rest,
            patience,
            number,
            random: StdRng::seed_from_u64(number as u64),
            http: world.http.clone(),
            seen: Seen::default(),
        }
    }

    /// Calls until then.
    pub async fn call_until(mut self, end: Instant) -> Seen {
        while Instant::now() < end {
            let connection = self.connections[self.random.random_range(0..self.connections.len())].clone();
            let asked = Instant::now();
            match self.token(&connection).await {
                Ok(token) => {
                    self.seen.tokens += 1;
                    self.seen.latencies.push(u64::try_from(asked.elapsed().as_micros()).unwrap());
                    self.try_out(connection, token).await;
                }
                Err(status) => *self.seen.errors.entry(reason(&status)).or_default() += 1,
            }
            let rest = self.rest.mul_f64(self.random.random::<f64>());
            sleep_until(Instant::now() + rest).await;
        }
        self.seen
    }

    /// A token, from one of the servers. One that is on its way out says so, and the call is made again, as clients do.
    async fn token(&mut self, connection: &str) -> Result<OAuth2Credentials, Status> {
        let mut answer = self.try_token(connection).await;
        for _ in 1..TRIES {
            match &answer {
                Err(status) if reason(status) == "SERVER_STOPPING" || went_away(status) => {
                    answer = self.try_token(connection).await;
                }
                _ => break,
            }
        }
        answer
    }

    async fn try_token(&mut self, connection: &str) -> Result<OAuth2Credentials, Status> {
        let replica = self.number + self.random.random_range(0..2);
        let mut request = Request::new(get(INTEGRATION, connection));
        request.set_timeout(self.patience);
        let response = self.fleet.client(replica).get(request).await?.into_inner();
        match response.connection.unwrap().credentials.unwrap().kind {
            Some(credentials::Kind::Oauth2(token)) => Ok(token),
            other => panic!("no OAuth 2.0 credentials: {other:?}"),
        }
    }

    async fn try_out(&mut self, connection: String, token: OAuth2Credentials) {
        let Some(status) = self.provider_says(&token).await else {
            self.seen.untried += 1;
            return;
        };
        if status == StatusCode::OK {
            return;
        }
        assert!([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status), "{status}");
        // The provider has looked before now, so that a token that has time left now had some then.
        let left = expire_time(&token) - SystemClock.now();
        let margin = if self.kind == Kind::Rotating { WHOLE_SECOND } else { time::Duration::ZERO };
        if left <= margin {
            self.seen.expired += 1;
        } else if self.kind == Kind::Forgiving && self.was_replaced(&connection, &token).await {
            self.seen.replaced += 1;
        } else {
            self.seen.refused.push(Refused { connection, token: token.access_token, left });
        }
    }

    /// What the provider says to a token, if it says anything: it has no room for more sometimes.
    async fn provider_says(&self, token: &OAuth2Credentials) -> Option<StatusCode> {
        for _ in 0..TRIES {
            let answer = self.http.get(&self.userinfo).bearer_auth(&token.access_token).send().await;
            if let Ok(answer) = answer {
                return Some(answer.status());
            }
        }
        None
    }

    /// Whether there is another token by now.
    async fn was_replaced(&mut self, connection: &str, token: &OAuth2Credentials) -> bool {
        self.token(connection).await.is_ok_and(|now| now.access_token != token.access_token)
    }
}

impl Seen {
    /// Adds what another saw.
    pub fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.latencies.extend(other.latencies);
        self.refused.extend(other.refused);
        self.expired += other.expired;
        self.replaced += other.replaced;
        self.untried += other.untried;
        self.kills += other.kills;
        self.stops += other.stops;
        for (reason, count) in other.errors {
            *self.errors.entry(reason).or_default() += count;
        }
    }
}

/// Why a call failed: Tokenwell's reason, or what the way to it says.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().map_or_else(|| format!("{:?}", status.code()), |info| info.reason.clone())
}

/// Whether the connection to the server has ended, and not the call.
fn went_away(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.get_error_details().error_info().is_none()
}

fn expire_time(token: &OAuth2Credentials) -> OffsetDateTime {
    let time = token.expire_time.expect("a token that can be renewed has an end");
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap()
}
