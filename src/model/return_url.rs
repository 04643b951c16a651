//! Where a browser may be sent: the allow-list of return URLs, parsed as a browser parses them (WHATWG).

use url::{Host, Url};

/// Reads an allow-list entry: an absolute http(s) URL without user, query and fragment; http on loopback only. A `*` would look as
/// if it stood for something.
pub fn parse_allowed(entry: &str) -> Result<Url, String> {
    let url = parse_plain(entry).ok_or("is malformed: expected an absolute https URL without user")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("is malformed: it may have no query and no fragment".to_owned());
    }
    if entry.contains('*') {
        return Err("is malformed: it stands for itself, and may hold no `*`".to_owned());
    }
    Ok(url)
}

/// Whether a return URL lies under one of the entries: scheme, host and port are equal, and the path is the entry's or
/// continues it at a segment boundary.
#[must_use]
pub fn return_url_allowed(return_url: &str, allowed: &[String]) -> bool {
    let Some(url) = parse_plain(return_url) else { return false };
    if url.fragment().is_some() {
        return false;
    }
    allowed.iter().filter_map(|entry| parse_allowed(entry).ok()).any(|entry| {
        let same_place = origin_of(&entry).is_some() && origin_of(&entry) == origin_of(&url);
        let prefix = entry.path().trim_end_matches('/');
        let rest = url.path().strip_prefix(prefix);
        same_place && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Whether a return URL is one of the entries, and not only under one.
#[must_use]
pub fn return_url_listed(return_url: &str, allowed: &[String]) -> bool {
    let url = parse_plain(return_url);
    url.is_some_and(|url| allowed.iter().filter_map(|entry| parse_allowed(entry).ok()).any(|it| it == url))
}

/// The URL's origin as a browser writes it, if it has one.
#[must_use]
pub fn origin_of(url: &Url) -> Option<String> {
    let origin = url.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// Whether the URL's host is this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether what is sent there is protected on its way: https, or http that does not leave this machine.
#[must_use]
pub fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// Parses a URL and refuses what a parser would mend silently, since two parsers may mend it differently.
fn parse_plain(value: &str) -> Option<Url> {
    let clean = value.len() <= 2048
        && value.is_ascii()
        && !value.contains(|c: char| c.is_ascii_control() || c == ' ' || c == '\\');
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    if !clean || rest.is_none_or(|rest| rest.starts_with('/')) {
        return None;
    }
    let url = Url::parse(value).ok()?;
    let secure = is_secure(&url);
    let anonymous = url.username().is_empty() && url.password().is_none();
    let encoded = url.path().to_ascii_lowercase();
    let tricky = encoded.contains("%2f") || encoded.contains("%5c") || encoded.contains("//");
    (secure && anonymous && !tricky && !value.contains('@')).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_under_an_entry_are_allowed() {
        let allowed = ["https://good.com/app".to_owned(), "http://127.0.0.1:3000".to_owned()];
        for good in [
            "https://good.com/app",
            "https://good.com/app/",
            "https://good.com/app/done?x=1",
            "https://good.com:443/app",
            "http://127.0.0.1:3000/any",
        ] {
            assert!(return_url_allowed(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "//evil.com/app",
            "https:evil.com",
            "https:/good.com/app",
            "https:///good.com/app",
            "https://good.com@evil.com/app",
            "https://evil@good.com/app",
            "https://good.com\\@evil.com/app",
            "https://good.com.evil.com/app",
            "https://evil.com/good.com/app",
            "https://good.com/application",
            "https://good.com/app/../other",
            "https://good.com/app/%2e%2e/other",
            "https://good.com/app%2f%2fevil.com",
            "https://good.com//evil.com",
            "https://good.com:8443/app",
            "http://good.com/app",
            "http://127.0.0.1:3001/any",
            "https://good.com/app#x",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://good.com/app\r\nx: y",
            "https://good.com/\tapp",
            "https://g\u{43e}\u{43e}d.com/app",
            "https://good.com\u{3002}evil.com/app",
            " https://good.com/app",
        ] {
            assert!(!return_url_allowed(bad, &allowed), "{bad}");
        }
        assert!(!return_url_allowed("https://good.com/", &[]));
    }
}
