//! The sandbox as a provider of a test: plain over loopback, or wearing a real provider's quirks over TLS.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use tokenwell::{
    model::{Duration, OsRandom},
    oauth::HttpOptions,
    sandbox::{Client, Options, Quirks, Sandbox},
};
use tokio::{net::TcpListener, task::AbortHandle};

use super::{ManualClock, tls};

pub const CLIENT_ID: &str = "client-of-tokenwell";
/// Searched for where no secret may be.
pub const CLIENT_SECRET: &str = "canary-client-secret-7Yq:%+ /é";

/// A provider that listens.
pub struct TestProvider {
    pub sandbox: Sandbox,
    pub address: SocketAddr,
    /// The catalog entry for a plain one; a quirky one is in the built-in catalog.
    pub entry: Option<(String, String)>,
    pub http: HttpOptions,
    task: AbortHandle,
}

impl TestProvider {
    /// The sandbox with its own entry `sandbox`, on http over loopback. Access tokens live an hour of the test's clock.
    pub async fn plain(clock: &ManualClock) -> Self {
        let quirks = Quirks { client_credentials: true, ..Quirks::default() };
        Self::plain_with(quirks, clock, |router| router).await
    }

    /// The plain one with quirks, and with something around its routes.
    pub async fn plain_with(
        quirks: Quirks,
        clock: &ManualClock,
        around: impl FnOnce(Router) -> Router,
    ) -> Self {
        Self::plain_of(vec![client()], quirks, clock, around).await
    }

    /// The same, for these clients.
    pub async fn plain_of(
        clients: Vec<Client>,
        quirks: Quirks,
        clock: &ManualClock,
        around: impl FnOnce(Router) -> Router,
    ) -> Self {
        let sandbox = sandbox(clients, quirks, clock);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = around(sandbox.router());
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        let entry = format!(
            "display_name = \"Sandbox\"\ncategories = [\"test\"]\n\
             documentation = \"https://www.rfc-editor.org/rfc/rfc6749\"\n\
             grant_types = [\"authorization_code\", \"client_credentials\"]\n\
             authorization_endpoint = \"http://{address}/authorize\"\ntoken_endpoint = \"http://{address}/token\"\n\
             hosts = [\"127.0.0.1\"]\ntoken_endpoint_auth_method = \"client_secret_basic\"\n\
             default_scopes = [\"read\", \"write\"]\n"
        );
        let entry = Some(("sandbox.toml".to_owned(), entry));
        Self { sandbox, address, entry, http: on_loopback(), task: task.abort_handle() }
    }

    /// The sandbox wearing quirks, under the provider's own host names over TLS.
    pub async fn quirky(quirks: Quirks, hosts: &[&str], clock: &ManualClock) -> Self {
        Self::quirky_of(vec![client()], quirks, hosts, clock).await
    }

    /// The same, for these clients.
    pub async fn quirky_of(
        clients: Vec<Client>,
        quirks: Quirks,
        hosts: &[&str],
        clock: &ManualClock,
    ) -> Self {
        Self::quirky_with(clients, quirks, hosts, clock, |router| router).await
    }

    /// The same, with something around its routes.
    pub async fn quirky_with(
        clients: Vec<Client>,
        quirks: Quirks,
        hosts: &[&str],
        clock: &ManualClock,
        around: impl FnOnce(Router) -> Router,
    ) -> Self {
        let sandbox = sandbox(clients, quirks, clock);
        let (address, authority, task) = tls::serve(around(sandbox.router()), hosts).await;
        let http = HttpOptions {
            extra_roots: vec![authority],
            resolver: Some(Arc::new(tls::OneAddress(address))),
            ..on_loopback()
        };
        Self { sandbox, address, entry: None, http, task }
    }
}

impl TestProvider {
    /// Goes away, and waits until nobody listens any more.
    pub async fn stop(&self) {
        self.task.abort();
        while let Ok(stream) = tokio::net::TcpStream::connect(self.address).await {
            // Ends when the listener that has taken the connection is dropped.
            drop(stream.readable().await);
        }
    }
}

impl Drop for TestProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The client of [`TestServer::create_integration`](super::TestServer::create_integration).
pub fn client() -> Client {
    Client { client_id: CLIENT_ID.to_owned(), client_secret: Some(CLIENT_SECRET.into()), ..Client::default() }
}

/// The way to providers that are on this machine.
fn on_loopback() -> HttpOptions {
    HttpOptions { loopback: true, ..HttpOptions::default() }
}

fn sandbox(clients: Vec<Client>, quirks: Quirks, clock: &ManualClock) -> Sandbox {
    let options = Options { clients, access_token_ttl: Duration::hours(1), quirks };
    Sandbox::new(options, Arc::new(clock.clone()), Arc::new(OsRandom))
}
