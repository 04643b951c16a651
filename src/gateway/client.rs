//! Who asks: the peer of the connection, or whom a proxy of ours says it speaks for.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Once,
};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Finds out clients' addresses.
///
/// Only `X-Forwarded-For` is read, not `Forwarded` (RFC 7239): a proxy passes on what it does not set itself, so that reading both
/// would leave clients one of them to write.
#[derive(Debug)]
pub(super) struct Clients {
    proxies: Vec<IpNet>,
    told_nameless: Once,
    told_unknown: Once,
}

impl Clients {
    /// Believes these proxies.
    pub(super) fn new(proxies: Vec<IpNet>) -> Self {
        Self { proxies, told_nameless: Once::new(), told_unknown: Once::new() }
    }

    /// Who asks. Nobody knows if a proxy of ours does not say.
    pub(super) fn find(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        let named = headers.contains_key(FORWARDED_FOR);
        if !self.is_proxy(peer) {
            if named {
                self.told_unknown.call_once(|| {
                    tracing::warn!(%peer, "X-Forwarded-For comes from an address that is not among the trusted proxies, and is not believed");
                });
            }
            return Some(peer);
        }
        if !named {
            self.told_nameless.call_once(|| {
                // On the same machine it may as well be a developer's own browser.
                if peer.is_loopback() {
                    tracing::info!(%peer, "requests without X-Forwarded-For from this machine have no rate limit");
                } else {
                    tracing::warn!(%peer, "a trusted proxy sets no X-Forwarded-For: its requests have no rate limit");
                }
            });
            return None;
        }
        let mut client = peer;
        // Each proxy adds at the right whom it heard. What is left of the first that is not ours is anybody's word.
        for entry in entries(headers) {
            let Some(address) = entry else { break };
            client = address;
            if !self.is_proxy(client) {
                break;
            }
        }
        Some(client)
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&address))
    }
}

/// The addresses of all lines of the header, from right to left.
fn entries(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    lines.into_iter().rev().flat_map(|line| line.to_str().unwrap_or_default().rsplit(',').map(address))
}

/// An address, perhaps with a port, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    bare.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(peer: &str, lines: &[&'static str]) -> Option<String> {
        let proxies = ["127.0.0.0/8", "10.0.0.0/8", "2001:db8::7/128"];
        let clients = Clients::new(proxies.iter().map(|it| it.parse().unwrap()).collect());
        let lines = lines.iter().map(|line| (FORWARDED_FOR, line.parse().unwrap()));
        clients.find(peer.parse().unwrap(), &lines.collect()).map(|it| it.to_string())
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        for (peer, lines, client) in [
            ("192.0.2.1", &[][..], Some("192.0.2.1")),
            ("192.0.2.1", &["198.51.100.9"], Some("192.0.2.1")),
            ("10.1.2.3", &["198.51.100.9"], Some("198.51.100.9")),
            ("2001:db8::7", &["198.51.100.9"], Some("198.51.100.9")),
            ("2001:db8::8", &["198.51.100.9"], Some("2001:db8::8")),
            // A dual-stack listener sees IPv4 like this.
            ("::ffff:10.1.2.3", &["::ffff:198.51.100.9"], Some("198.51.100.9")),
            ("10.1.2.3", &[], None),
        ] {
            assert_eq!(find(peer, lines).as_deref(), client, "{peer} {lines:?}");
        }
    }

    #[test]
    fn what_a_client_writes_at_the_left_is_not_believed() {
        for (lines, client) in [
            (&["203.0.113.5, 198.51.100.9"][..], "198.51.100.9"),
            (&["203.0.113.5", "198.51.100.9"], "198.51.100.9"),
            (&["203.0.113.5, 198.51.100.9, 10.9.9.9"], "198.51.100.9"),
            (&["203.0.113.5, 198.51.100.9", "10.9.9.9,127.0.0.1"], "198.51.100.9"),
            (&["nonsense, 198.51.100.9"], "198.51.100.9"),
            // All of them are ours: somebody inside asks.
            (&["10.7.7.7, 10.9.9.9"], "10.7.7.7"),
            (&["nonsense, 10.9.9.9"], "10.9.9.9"),
            (&["nonsense"], "10.1.2.3"),
            (&[""], "10.1.2.3"),
        ] {
            assert_eq!(find("10.1.2.3", lines).as_deref(), Some(client), "{lines:?}");
        }
    }

    #[test]
    fn ports_are_not_part_of_an_address() {
        for (line, client) in [
            ("198.51.100.9:4711", "198.51.100.9"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(find("10.1.2.3", &[line]).as_deref(), Some(client), "{line}");
        }
    }
}
