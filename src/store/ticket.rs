//! What is sealed to be kept elsewhere: by a browser, in an address.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Store, seal::Place};
use crate::model::{Result, SecretString};

impl Store {
    /// Seals text of a kind. Gives it as base64url.
    pub fn seal_ticket(&self, kind: &'static str, text: &SecretString) -> Result<String> {
        Ok(URL_SAFE_NO_PAD.encode(self.keys.seal_text(&*self.random, place(kind), text)?))
    }

    /// Opens it. What anybody can write in an address is no fault of ours.
    #[must_use]
    pub fn open_ticket(&self, kind: &'static str, ticket: &str) -> Option<SecretString> {
        let sealed = URL_SAFE_NO_PAD.decode(ticket).ok()?;
        self.keys.open_text(place(kind), &sealed).ok()
    }
}

/// In no table, so that nothing that lies in one opens here.
fn place(kind: &'static str) -> Place<'static> {
    Place::new("tickets", kind, "", "")
}
