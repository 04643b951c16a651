//! Host pins: the hosts that a provider's URLs may name, whatever its config says.

use url::{Host, Url};

/// An exact host, or a suffix that begins at a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPin(String);

impl HostPin {
    /// Reads a pin. A suffix has a leading dot and at least two labels, so that nothing pins a whole top-level domain. It is
    /// none at which anybody can have a host, unless those are said to be the provider's own `tenants`.
    pub fn parse(text: &str, tenants: bool) -> Result<Self, String> {
        let name = text.strip_prefix('.').unwrap_or(text);
        let clean =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        let labels = name.split('.').all(|label| !label.is_empty() && label.len() <= 63);
        let enough = name.contains('.') || (text == name && name == "localhost");
        if !(clean && labels && enough) {
            return Err(format!("`{text}` is no host pin: expected `host.example.com` or `.example.com`"));
        }
        if text != name {
            match public(name) {
                Some(psl::Type::Icann) => {
                    return Err(format!("`{text}` is a public suffix: anybody can have a host there"));
                }
                Some(psl::Type::Private) if !tenants => {
                    return Err(format!(
                        "`{text}` is a suffix at which anybody can have a host: if they are all the provider's own \
                         customers, say so by `hosts_are_tenants`"
                    ));
                }
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it is a suffix at which anybody can have a host.
    pub(super) fn is_for_anybody(text: &str) -> bool {
        text.strip_prefix('.').is_some_and(|name| public(name).is_some())
    }

    /// Whether it is a suffix, at which each customer of the provider may have a host.
    #[must_use]
    pub fn is_suffix(&self) -> bool {
        self.0.starts_with('.')
    }

    /// Whether this host is of the same organization, as far as names tell: pinned, or under the same registrable domain.
    pub(super) fn is_akin(&self, host: &str) -> bool {
        let own = self.0.trim_start_matches('.');
        let domain = |name| psl::domain_str(name);
        self.matches(host) || domain(own).is_some_and(|own| domain(host) == Some(own))
    }

    /// Whether the host is the pinned one, or ends in the pinned suffix at a label's boundary.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        if self.is_suffix() { host.len() > self.0.len() && host.ends_with(&self.0) } else { host == self.0 }
    }
}

/// Whose suffix it is, if everybody can have a host under this name: a registry's, or a provider's for its customers.
fn public(name: &str) -> Option<psl::Type> {
    psl::suffix(name.as_bytes()).filter(|suffix| suffix.as_bytes() == name.as_bytes())?.typ()
}

/// Parses a URL that will be called or opened, and refuses everything that a pin does not cover.
pub(super) fn parse_pinned(text: &str, pins: &[HostPin], http_loopback: bool) -> Result<Url, String> {
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("it holds a space, a control character or a backslash".to_owned());
    }
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let loopback = crate::model::is_loopback(&url);
    let development = http_loopback && loopback && url.scheme() == "http";
    if url.scheme() != "https" && !development {
        return Err("it is not https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user".to_owned());
    }
    if url.port().is_some() && !development {
        return Err("it names a port".to_owned());
    }
    if url.fragment().is_some() {
        return Err("it has a fragment".to_owned());
    }
    let pinned = match url.host() {
        Some(Host::Domain(host)) => pins.iter().any(|pin| pin.matches(host)),
        Some(Host::Ipv4(address)) => development && pins.iter().any(|pin| pin.matches(&address.to_string())),
        Some(Host::Ipv6(_)) | None => false,
    };
    if pinned { Ok(url) } else { Err("its host is not one of the provider's".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_matches_at_a_label_boundary() {
        let pin = HostPin::parse(".zendesk.com", false).unwrap_or(HostPin(String::new()));
        assert!(pin.matches("acme.zendesk.com"));
        for bad in
            ["zendesk.com", ".zendesk.com", "evilzendesk.com", "acme.zendesk.com.evil.com", "zendesk.com."]
        {
            assert!(!pin.matches(bad), "{bad}");
        }
    }

    #[test]
    fn a_pin_is_never_a_whole_top_level_domain() {
        for bad in ["", ".", "com", ".com", "a..b", "A.com", "*.a.com", "a.com/", "https://a.com"] {
            assert!(HostPin::parse(bad, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_suffix_of_anybodys_hosts_is_one_of_tenants_or_none() {
        for suffix in [".herokuapp.com", ".azurewebsites.net", ".cloudfront.net", ".myshopify.com"] {
            assert!(HostPin::parse(suffix, false).is_err(), "{suffix}");
            assert!(HostPin::parse(suffix, true).is_ok(), "{suffix}");
            assert!(
                HostPin::parse(&format!("acme{suffix}"), false).is_ok(),
                "one host of it is a pin like any other"
            );
        }
        assert!(HostPin::parse(".co.uk", true).is_err(), "nobody's tenants");
    }

    #[test]
    fn hosts_under_one_registrable_domain_are_akin() {
        for (pin, host, akin) in [
            ("api.acme.com", "login.acme.com", true),
            ("api.acme.com", "acme.com", true),
            (".acme.com", "a.b.acme.com", true),
            ("api.acme.com", "api.acme.com.evil.com", false),
            ("api.acme.co.uk", "evil.co.uk", false),
            ("a.myshopify.com", "b.myshopify.com", false),
            ("localhost", "evil.com", false),
        ] {
            assert_eq!(HostPin::parse(pin, false).map(|pin| pin.is_akin(host)), Ok(akin), "{pin} {host}");
        }
    }
}
