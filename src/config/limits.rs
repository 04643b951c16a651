//! What a server bears, and of whom it believes whom they speak for.

use std::{net::IpAddr, str::FromStr, time::Duration};

use clap::Args;
use ipnet::IpNet;

use super::seconds;

/// What the server bears before it refuses more.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// The most calls that may be in progress at once, those that come through the gateway among them. Further ones are refused
    /// at once with `UNAVAILABLE`, reason `OVERLOADED`. Health checks are answered all the same. A stream counts until it has
    /// begun.
    #[arg(long, env = "TOKENWELL_MAX_CALLS", default_value_t = 2_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_calls: u32,

    /// The most connections of each of the three listeners. Further ones are closed at once. Together they should be fewer than
    /// the files that the process may have open: 1,024, where nobody has said otherwise.
    #[arg(long, env = "TOKENWELL_MAX_CONNECTIONS", default_value_t = 300, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_connections: u32,

    /// How long a client may take to say what it wants, in seconds: its first words on a connection, the head of a request, and
    /// its answer to whether it is still there. At the gateway a request may take this long and the deadline besides.
    #[arg(long, env = "TOKENWELL_REQUEST_TIMEOUT", default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub request_timeout: Duration,

    /// How often an HTTP/2 connection is asked whether its client is still there, in seconds: less than the time after which
    /// something between clients and the server forgets a silent connection.
    #[arg(long, env = "TOKENWELL_KEEPALIVE", default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub keepalive: Duration,

    /// The most requests per minute that one client address may make to the gateway, on average: links, connect URLs and
    /// callbacks. To connect takes three or four. An IPv6 client is its /64. Further ones are answered with 429. 0 is no
    /// limit.
    #[arg(long, env = "TOKENWELL_RATE_LIMIT", default_value_t = 120, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub rate_limit: u32,

    /// How many of them may come at once.
    #[arg(long, env = "TOKENWELL_RATE_BURST", default_value_t = 60, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate_burst: u32,

    /// The addresses of your proxies, such as `10.0.0.0/8,2001:db8::7`: only from them is `X-Forwarded-For` believed, which they
    /// must set. A request from one of them that names no client has no rate limit. Empty: there are none, and the client is
    /// whoever connects.
    #[arg(long, env = "TOKENWELL_TRUSTED_PROXIES", default_value = LOOPBACK, value_name = "NETWORKS")]
    pub trusted_proxies: Networks,
}

/// Networks and addresses, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(pub Vec<IpNet>);

const LOOPBACK: &str = "127.0.0.0/8,::1";

impl Default for LimitArgs {
    fn default() -> Self {
        Self {
            max_calls: 2_000,
            max_connections: 300,
            request_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(30),
            rate_limit: 120,
            rate_burst: 60,
            trusted_proxies: LOOPBACK.parse().unwrap_or_default(),
        }
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = |text: &str| text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse().or_else(|_| address(text));
    let network = network.map_err(|_| format!("`{text}` is no network: expected one such as 10.0.0.0/8"))?;
    // Bits beside the network's own are a slip that would trust more than was meant.
    if network == network.trunc() {
        Ok(network)
    } else {
        Err(format!("`{text}` is no network: its own is {}", network.trunc()))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        limits: LimitArgs,
    }

    fn parse(args: &[&str]) -> Option<LimitArgs> {
        let matches = Command::command().try_get_matches_from([&["serve"], args].concat()).ok()?;
        Command::from_arg_matches(&matches).ok().map(|command| command.limits)
    }

    #[test]
    fn the_defaults_of_flags_are_the_defaults() {
        let parsed = parse(&[]).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", LimitArgs::default()));
        assert_eq!(parsed.trusted_proxies.0.len(), 2);
    }

    #[test]
    fn proxies_are_networks_and_addresses() {
        let proxies = |text: &str| parse(&["--trusted-proxies", text]).map(|it| it.trusted_proxies.0);
        assert_eq!(proxies(""), Some(Vec::new()));
        let some = proxies("10.0.0.0/8, 192.0.2.7,2001:db8::/32").unwrap();
        let shown: Vec<_> = some.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        for bad in ["example.com", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8;::1", "*"] {
            assert_eq!(proxies(bad), None, "{bad}");
        }
    }
}
