//! Which addresses the server calls: those of the public internet, unless somebody has allowed more.
//!
//! The ranges are those of IANA's special-purpose address registries (RFC 6890) that are not globally reachable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use super::is_loopback;

/// Addresses that may be called although they are not public.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// Those of private networks.
    pub private: bool,
    /// This machine's own.
    pub loopback: bool,
}

const LOOPBACK: [IpNet; 2] = [v4([127, 0, 0, 0], 8), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)];

/// RFC 1918, RFC 6598, RFC 4193.
const PRIVATE: [IpNet; 5] = [
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
];

/// Where clouds tell a machine its own secrets. Nobody may ask there, not even who may call private networks.
const METADATA: [IpNet; 9] = [
    v4([169, 254, 0, 0], 16),                              // nearly all of them
    v4([100, 100, 100, 200], 32),                          // Alibaba Cloud
    v4([168, 63, 129, 16], 32),                            // Azure's host, at an address that looks public
    v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0], 32),            // Amazon
    v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128),       // Google
    v6([0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x42], 128),        // Scaleway
    v6([0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128), // Oracle
    v6([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1], 128),      // Akamai
    v6([0xfd00, 0x0100, 0, 0, 0, 0, 0x0100, 0x0200], 128), // Alibaba Cloud
];

/// Beside the private ones, what is not public.
const SPECIAL: [IpNet; 13] = [
    v4([0, 0, 0, 0], 8),                        // this network
    v4([192, 0, 0, 0], 24),                     // IETF protocol assignments
    v4([192, 0, 2, 0], 24),                     // documentation
    v4([192, 88, 99, 0], 24),                   // 6to4 relays
    v4([198, 18, 0, 0], 15),                    // benchmarks
    v4([198, 51, 100, 0], 24),                  // documentation
    v4([203, 0, 113, 0], 24),                   // documentation
    v4([224, 0, 0, 0], 4),                      // multicast
    v4([240, 0, 0, 0], 4),                      // reserved, broadcast
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),      // IETF protocol assignments: Teredo, benchmarks, ORCHID
    v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), // documentation
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),      // 6to4: it may lead to any IPv4 address, and nobody needs it
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),      // documentation
];

/// The only part of IPv6 where public addresses are (RFC 4291, section 2.4).
const GLOBAL_UNICAST: [IpNet; 1] = [v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3)];

/// RFC 6052: the last four bytes are an IPv4 address.
const NAT64: [IpNet; 1] = [v6([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96)];

// === impl Reach ===

impl Reach {
    /// Whether this address may be called.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        let address = behind(address);
        if within(&METADATA, address) {
            return false;
        }
        if within(&LOOPBACK, address) {
            return self.loopback;
        }
        if within(&PRIVATE, address) {
            return self.private;
        }
        let unicast = address.is_ipv4() || within(&GLOBAL_UNICAST, address);
        unicast && !within(&SPECIAL, address)
    }

    /// Whether this URL may be called, as far as it says itself where it leads: a name has yet to be resolved.
    #[must_use]
    pub fn allows_host_of(self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(address)) => self.allows(address.into()),
            Some(Host::Ipv6(address)) => self.allows(address.into()),
            Some(Host::Domain(_)) => self.loopback || !is_loopback(url),
            None => false,
        }
    }
}

/// The IPv4 address that is reached by way of an IPv6 one, or the address itself.
fn behind(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if within(&NAT64, address) => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address.to_canonical(),
    }
}

fn within(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

const fn v4(octets: [u8; 4], length: u8) -> IpNet {
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::from_octets(octets)), length)
}

const fn v6(segments: [u16; 8], length: u8) -> IpNet {
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::from_segments(segments)), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: Reach = Reach { private: false, loopback: false };
    const WITH_PRIVATE: Reach = Reach { private: true, loopback: false };
    const WITH_LOOPBACK: Reach = Reach { private: false, loopback: true };
    const ALL: Reach = Reach { private: true, loopback: true };

    #[track_caller]
    fn assert_allowed(addresses: &[&str], [public, private, loopback]: [bool; 3]) {
        for text in addresses {
            let address = text.parse().unwrap();
            let allowed = [PUBLIC, WITH_PRIVATE, WITH_LOOPBACK].map(|reach| reach.allows(address));
            assert_eq!(allowed, [public, private, loopback], "{text}");
            assert_eq!(ALL.allows(address), public || private || loopback, "{text}");
        }
    }

    #[test]
    fn what_is_public_is_called() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:81b::200e",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ];
        assert_allowed(&public, [true, true, true]);
    }

    #[test]
    fn private_networks_are_called_by_who_may() {
        let private = [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "fc00::1",
            "fdff:ffff::1",
            "::ffff:10.0.0.1",
            "64:ff9b::192.168.0.1",
        ];
        assert_allowed(&private, [false, true, false]);
    }

    #[test]
    fn this_machine_is_called_in_development() {
        let own = ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"];
        assert_allowed(&own, [false, false, true]);
    }

    #[test]
    fn nobody_calls_what_is_no_host() {
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:c1::a9fe:a9fe",
            "fd00:a9fe:a9fe::1",
            "fd00:100::100:200",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::127.0.0.1",
            "::10.0.0.1",
            "::8.8.8.8",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "fe80::1",
            "fe80::a9fe:a9fe",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ];
        assert_allowed(&never, [false, false, false]);
    }

    #[test]
    fn a_url_that_says_where_it_leads_is_judged_by_that() {
        for (url, [public, private, loopback]) in [
            ("https://hooks.example.com/", [true, true, true]),
            ("https://1.1.1.1/", [true, true, true]),
            ("https://10.0.0.1/", [false, true, false]),
            ("https://0x0a.1/", [false, true, false]),
            ("https://167772161/", [false, true, false]),
            ("https://[::ffff:10.0.0.1]/", [false, true, false]),
            ("https://localhost/", [false, false, true]),
            ("https://127.1/", [false, false, true]),
            ("https://[::1]/", [false, false, true]),
            ("https://2852039166/", [false, false, false]),
            ("https://[fd00:ec2::254]/", [false, false, false]),
        ] {
            let parsed = Url::parse(url).unwrap();
            let allowed = [PUBLIC, WITH_PRIVATE, WITH_LOOPBACK].map(|reach| reach.allows_host_of(&parsed));
            assert_eq!(allowed, [public, private, loopback], "{url}");
        }
    }
}
