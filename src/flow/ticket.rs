//! What a result page shows, on its way through the browser: sealed, so that nobody can make one up, and for one browser, so
//! that nobody can show it to somebody else. A browser that has brought no cookie has one minute.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::{BrowserToken, Flows};
use crate::model::{Duration, Error, ExposeSecret as _, FLOW_TTL, Result};

/// How long a page is for whoever has its address.
const UNBOUND_TTL: Duration = Duration::minutes(1);

#[derive(Serialize, Deserialize)]
struct Ticket {
    content: String,
    /// The digest of the browser's cookie, if it has one.
    browser: Option<String>,
    /// In Unix seconds.
    expire_time: i64,
}

impl Flows {
    /// Seals what a result page shows to this browser, as a segment of its address.
    pub fn seal_result(&self, content: String, browser: Option<&BrowserToken>) -> Result<String> {
        let expire_time =
            (self.now() + if browser.is_some() { FLOW_TTL } else { UNBOUND_TTL }).unix_timestamp();
        let ticket = Ticket { content, browser: browser.map(BrowserToken::digest), expire_time };
        let ticket = serde_json::to_string(&ticket).map_err(Error::internal)?;
        self.store().seal_ticket(&ticket.into())
    }

    /// Opens it, if it is ours, not too old, and for this browser.
    #[must_use]
    pub fn open_result(&self, ticket: &str, browser: Option<&BrowserToken>) -> Option<String> {
        let ticket = self.store().open_ticket(ticket)?;
        let ticket: Ticket = serde_json::from_str(ticket.expose_secret()).ok()?;
        let own = ticket.browser.as_ref().is_none_or(|bound| {
            browser.is_some_and(|browser| browser.digest().as_bytes().ct_eq(bound.as_bytes()).into())
        });
        (own && self.now().unix_timestamp() < ticket.expire_time).then_some(ticket.content)
    }
}
