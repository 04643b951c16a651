//! Secrets are nowhere that they need not be: not in the database in clear, not in the log, not in an error.
//!
//! Every secret of a run is a canary: it is searched for, as it is and encoded, wherever it may not be.

mod database;
mod drive;
mod echo;
mod log;

use std::collections::BTreeSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE},
};
use tokenwell::api::pb::auth::v1::BeginResponse;
use tonic::Status;
use url::Url;

use crate::support::{TestProvider, provider::CLIENT_SECRET};

/// What is searched for, and the places that were reached on the way.
struct Canaries {
    /// What each is, and how it may be spelled.
    needles: BTreeSet<(&'static str, String)>,
    statuses: Vec<Status>,
    pages: Vec<String>,
}

impl Canaries {
    /// What all secrets of the sandbox begin with, and the client's secret.
    fn new() -> Self {
        let mut canaries = Self { needles: BTreeSet::new(), statuses: Vec::new(), pages: Vec::new() };
        for prefix in ["sandbox_at_", "sandbox_rt_", "sandbox_ac_"] {
            canaries.needles.insert(("a secret of the sandbox", prefix.to_owned()));
        }
        canaries.add("the client secret", CLIENT_SECRET);
        // However its special characters are written.
        canaries.add("the client secret", "canary-client-secret");
        canaries
    }

    fn add(&mut self, name: &'static str, secret: &str) {
        assert!(secret.len() >= 20, "{name} is too short to be searched for");
        let form = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
        // Without the end, which depends on what follows.
        let [standard, url_safe] = [&STANDARD, &URL_SAFE].map(|engine| engine.encode(secret));
        let whole = STANDARD_NO_PAD.encode(&secret.as_bytes()[..secret.len() / 3 * 3]).len();
        let spellings =
            [secret, &form, &standard[..whole], &url_safe[..whole], &hex::encode(secret)].map(str::to_owned);
        self.needles.extend(spellings.map(|spelling| (name, spelling)));
    }

    /// What a Begin gave.
    fn add_begun(&mut self, begun: &BeginResponse) {
        let url = Url::parse(&begun.authorization_url).unwrap();
        let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
        self.add("a state", &state);
        self.add("a connect token", begun.connect_url.rsplit('/').next().unwrap());
    }

    /// What the token endpoint was sent.
    fn add_requests(&mut self, provider: &TestProvider) {
        for request in provider.sandbox.book().token_requests {
            for (field, name) in [
                ("code_verifier", "a code verifier"),
                ("code", "a code"),
                ("refresh_token", "a refresh token"),
            ] {
                if let Some(secret) = request.form.get(field) {
                    self.add(name, secret);
                }
            }
            if let Some(header) = &request.authorization {
                self.add("the client's credentials", header.strip_prefix("Basic ").unwrap());
            }
        }
    }

    /// Remembers an error, to be searched once all canaries are known.
    fn refused<T: std::fmt::Debug>(&mut self, result: Result<T, Status>) {
        self.statuses.push(result.expect_err("the call was not refused"));
    }

    /// What of a text should not be there.
    fn found(&self, text: &[u8]) -> BTreeSet<&'static str> {
        let text = String::from_utf8_lossy(text);
        let found = self.needles.iter().filter(|(_, needle)| text.contains(needle.as_str()));
        found.map(|(name, _)| *name).collect()
    }

    #[track_caller]
    fn assert_absent(&self, place: &str, text: &[u8]) {
        let found = self.found(text);
        assert!(found.is_empty(), "{place} holds {found:?}");
    }

    /// Searches the errors and the pages that were seen on the way.
    #[track_caller]
    fn assert_absent_on_the_way(&self) {
        for status in &self.statuses {
            self.assert_absent("an error's message", status.message().as_bytes());
            self.assert_absent("an error's details", status.details());
            self.assert_absent("an error's metadata", format!("{:?}", status.metadata()).as_bytes());
        }
        for page in &self.pages {
            self.assert_absent("a page", page.as_bytes());
        }
    }
}

/// The search itself: it finds a secret however it is spelled.
#[test]
fn the_search_finds_a_secret_in_every_spelling() {
    let mut canaries = Canaries::new();
    let secret = "canary-of/the search:1+2";
    canaries.add("it", secret);
    for text in [
        secret.to_owned(),
        "canary-of%2Fthe+search%3A1%2B2".to_owned(),
        hex::encode(secret),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(format!("{secret}, and more")),
        URL_SAFE.encode(secret),
    ] {
        let text = [b"\xff\0before ", text.as_bytes(), b" behind\xff"].concat();
        assert_eq!(canaries.found(&text), BTreeSet::from(["it"]), "{}", String::from_utf8_lossy(&text));
    }
    assert_eq!(canaries.found(b"sandbox_rt_x"), BTreeSet::from(["a secret of the sandbox"]));
    assert!(canaries.found(b"canary-of the search").is_empty());
}
