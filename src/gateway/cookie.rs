//! The cookie that binds a browser to its flows.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::{
    flow::BrowserToken,
    model::{Error, ExposeSecret as _, FLOW_TTL, Result},
};

/// The cookie's name and attributes, which depend on whether the gateway is reached by https.
#[derive(Debug, Clone, Copy)]
pub(super) struct BrowserCookie {
    secure: bool,
}

impl BrowserCookie {
    /// The cookie of a gateway.
    pub(super) fn new(secure: bool) -> Self {
        Self { secure }
    }

    /// What the browser sent, if it is one of ours.
    pub(super) fn read(self, headers: &HeaderMap) -> Option<BrowserToken> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == self.name())?;
        BrowserToken::parse(value)
    }

    /// The header that sets it. It outlives a flow a little, so that a late callback is told so rather than that it came
    /// from another browser.
    pub(super) fn set(self, browser: &BrowserToken) -> Result<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let age = 2 * FLOW_TTL.whole_seconds();
        let value = browser.secret().expose_secret();
        let cookie =
            format!("{}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}", self.name());
        let mut header = HeaderValue::try_from(cookie).map_err(Error::internal)?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// With `__Host-` no other host of the site can set it (RFC 6265bis, section 4.1.3.2); browsers take that over https
    /// only.
    fn name(self) -> &'static str {
        if self.secure { "__Host-tokenwell_browser" } else { "tokenwell_browser" }
    }
}
