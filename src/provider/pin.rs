//! Host pins: the hosts that a provider's URLs may name, whatever its config says.

use url::{Host, Url};

/// An exact host, or a suffix that begins at a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPin(String);

impl HostPin {
    /// Reads a pin. A suffix has a leading dot and at least two labels, so that nothing pins a whole top-level domain.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix('.').unwrap_or(text);
        let clean =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        let labels = name.split('.').all(|label| !label.is_empty() && label.len() <= 63);
        let enough = name.contains('.') || (text == name && name == "localhost");
        if !(clean && labels && enough) {
            return Err(format!("`{text}` is no host pin: expected `host.example.com` or `.example.com`"));
        }
        if text != name && is_public(name) {
            return Err(format!("`{text}` is a public suffix: anybody can have a host there"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether the host is the pinned one, or ends in the pinned suffix at a label's boundary.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        if self.0.starts_with('.') {
            host.len() > self.0.len() && host.ends_with(&self.0)
        } else {
            host == self.0
        }
    }
}

/// Whether everybody can have a host under this name.
fn is_public(name: &str) -> bool {
    let suffix = psl::suffix(name.as_bytes());
    suffix
        .is_some_and(|suffix| suffix.as_bytes() == name.as_bytes() && suffix.typ() == Some(psl::Type::Icann))
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
        let pin = HostPin::parse(".zendesk.com").unwrap_or(HostPin(String::new()));
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
            assert!(HostPin::parse(bad).is_err(), "{bad}");
        }
    }
}
