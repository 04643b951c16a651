//! What travels through the browser in an address: sealed, so that nobody can read it or make one up, and not for long.
//!
//! A result is for one browser, so that nobody can show it to somebody else; a browser that has brought no cookie has one minute.
//! A form is what a provider has posted: it comes across sites, and so without the cookie, which the browser brings one step later.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{BrowserToken, Flows};
use crate::model::{Duration, Error, ExposeSecret as _, FLOW_TTL, Result, SecretString};

const RESULT: &str = "result";
const FORM: &str = "form";
/// How long a page is for whoever has its address.
const UNBOUND_TTL: Duration = Duration::minutes(1);
/// How long a browser may take from a form to the next step.
const FORM_TTL: Duration = Duration::minutes(1);

#[derive(Serialize, Deserialize)]
struct Ticket {
    content: Zeroizing<String>,
    /// Whom or what it is for: the digest of a browser's cookie, or a path.
    bound_to: Option<String>,
    /// In Unix seconds.
    expire_time: i64,
}

impl Flows {
    /// Seals what a result page shows to this browser, as a segment of its address.
    pub fn seal_result(&self, content: String, browser: Option<&BrowserToken>) -> Result<String> {
        let lifetime = if browser.is_some() { FLOW_TTL } else { UNBOUND_TTL };
        self.seal(RESULT, content, browser.map(BrowserToken::digest), lifetime)
    }

    /// Opens it, if it is ours, not too old, and for this browser.
    #[must_use]
    pub fn open_result(&self, ticket: &str, browser: Option<&BrowserToken>) -> Option<String> {
        let ticket = self.open_ticket(RESULT, ticket)?;
        let own = ticket.bound_to.as_ref().is_none_or(|bound| {
            browser.is_some_and(|browser| browser.digest().as_bytes().ct_eq(bound.as_bytes()).into())
        });
        own.then(|| ticket.content.to_string())
    }

    /// Seals a form that a provider has posted to this path, as a parameter of its address.
    pub fn seal_form(&self, path: &str, form: &str) -> Result<String> {
        self.seal(FORM, form.to_owned(), Some(path.to_owned()), FORM_TTL)
    }

    /// Opens it, if it is ours, not too old, and has come to the same path.
    #[must_use]
    pub fn open_form(&self, path: &str, ticket: &str) -> Option<SecretString> {
        let ticket = self.open_ticket(FORM, ticket)?;
        (ticket.bound_to.as_deref() == Some(path)).then(|| ticket.content.as_str().into())
    }

    fn seal(
        &self,
        kind: &'static str,
        content: String,
        bound_to: Option<String>,
        lifetime: Duration,
    ) -> Result<String> {
        let expire_time = (self.now() + lifetime).unix_timestamp();
        let ticket = Ticket { content: content.into(), bound_to, expire_time };
        let ticket = serde_json::to_string(&ticket).map_err(Error::internal)?;
        self.store().seal_ticket(kind, &ticket.into())
    }

    fn open_ticket(&self, kind: &'static str, ticket: &str) -> Option<Ticket> {
        let ticket = self.store().open_ticket(kind, ticket)?;
        let ticket: Ticket = serde_json::from_str(ticket.expose_secret()).ok()?;
        (self.now().unix_timestamp() < ticket.expire_time).then_some(ticket)
    }
}
