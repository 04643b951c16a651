//! Redirects, which nobody follows: what was meant for the provider reaches nobody else.

use std::{io::ErrorKind, net::TcpListener};

use tokenwell::{
    model::SecretString,
    oauth::{Code, Failure},
    sandbox::{OpenIdQuirks, Quirks},
};

use super::{Life, access_only, steady};
use crate::support::acme::plain;

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
revocation_endpoint = "PROVIDER/revoke"
introspection_endpoint = "PROVIDER/introspect"
"#;
const DISCOVERED: &str = "issuer = \"PROVIDER\"\ndiscovery = true\n";
const CONFIGURATION: &str = "/.well-known/openid-configuration";
const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// Where a redirect leads, and nobody is to come.
struct Trap(TcpListener);

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}/trap", self.0.local_addr().unwrap())
    }

    /// A connection that was made would be in the listener's queue by now: the answer came after it.
    #[track_caller]
    fn assert_empty(&self, what: &str) {
        assert_eq!(self.0.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{what} was followed");
    }
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(result: &Result<T, Failure>, what: &str) {
    assert!(matches!(result, Err(Failure::Invalid { .. })), "{what}: {result:?}");
}

#[tokio::test]
async fn no_request_about_a_token_follows_a_redirect() {
    let life = Life::new(steady(), ENTRY).await;
    let tokens = life.tokens().await;
    let refresh_token = tokens.refresh_token.as_ref().unwrap();
    let code = SecretString::from("canary-code");
    let code = Code { code: &code, redirect_uri: "https://connect.example/callback", code_verifier: None };
    let trap = Trap::set();
    for status in STATUSES {
        for path in ["/token", "/revoke", "/introspect"] {
            life.acme.detour.redirect(path, status, &trap.url());
        }
        let registration = life.registration();
        assert_invalid(&life.oauth.exchange(registration, code).await, "a code's exchange");
        assert_invalid(&life.oauth.refresh(registration, refresh_token).await, "a refresh");
        assert_invalid(&life.oauth.client_credentials(registration, &[]).await, "a grant to the client");
        assert_invalid(&life.revoke(&tokens).await, "a revocation");
        assert_invalid(&life.oauth.introspect(registration, &tokens.access_token).await, "an introspection");
        trap.assert_empty(&format!("a redirect with status {status}"));
    }
}

#[tokio::test]
async fn no_metadata_is_fetched_from_where_a_redirect_leads() {
    let openid = OpenIdQuirks { issuer: "http://{host}".to_owned(), ..OpenIdQuirks::default() };
    let life = Life::new(Quirks { openid: Some(openid), ..plain() }, DISCOVERED).await;
    let trap = Trap::set();
    for status in STATUSES {
        life.acme.detour.redirect(CONFIGURATION, status, &trap.url());
        let found = life.oauth.endpoints(life.registration()).await;
        assert_invalid(&found.map(|_| ()), "the metadata");
        trap.assert_empty(&format!("a redirect with status {status}"));
    }
    life.acme.detour.end(CONFIGURATION);
    assert!(life.oauth.endpoints(life.registration()).await.is_ok());
}

/// Calls of the entry's own, which carry tokens, too.
#[tokio::test]
async fn no_call_of_the_entrys_own_follows_a_redirect() {
    let calls = "[lookup]\nurl = \"PROVIDER/lookup\"\n[verification]\nurl = \"PROVIDER/verification\"\n\
                 headers = { X-Key = \"{api_key}\" }\n\
                 [revocation]\nurl = \"PROVIDER/end\"\n";
    let endpoints = ENTRY.replace("revocation_endpoint", "# ");
    let entry = format!("grant_types = [\"authorization_code\", \"api_key\"]{endpoints}{calls}");
    let life = Life::new(steady(), &entry).await;
    let credential = |name: &str| (name.to_owned(), SecretString::from("canary-token"));
    let credentials = ["access_token", "api_key"].map(credential).into_iter().collect();
    let tokens = access_only("canary-token");
    let trap = Trap::set();
    for status in STATUSES {
        for path in ["/lookup", "/verification", "/end"] {
            life.acme.detour.redirect(path, status, &trap.url());
        }
        let registration = life.registration();
        let lookup = life.provider.lookup(&life.config, &credentials).unwrap().unwrap();
        assert_invalid(&life.oauth.look_up(registration, lookup).await, "a lookup");
        let verification = life.provider.verification(&life.config, &credentials).unwrap().unwrap();
        assert_invalid(&life.oauth.verify(registration, verification).await, "a verification");
        assert_invalid(&life.revoke(&tokens).await, "a revocation");
        trap.assert_empty(&format!("a redirect with status {status}"));
    }
}
