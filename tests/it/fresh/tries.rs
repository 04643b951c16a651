//! The time of a refresh that tries several client secrets.

use std::time::Duration;

use tokenwell::{api::pb::integration::v1::Integration, oauth::HttpOptions};

use super::{connected, forced};
use crate::support::{
    Acme, Options, TestResult, TestServer,
    acme::plain,
    database::Kind,
    provider::{CLIENT_ID, CLIENT_SECRET},
};

const NEW: &str = "canary-client-secret-new-9Zk";

/// The provider knows the last of four secrets.
async fn stage(kind: Kind) -> Acme {
    let acme = connected(kind, plain(), "").await;
    acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    let further = ["canary-1", "canary-2", NEW].map(str::to_owned).to_vec();
    acme.update_integration(Integration { further_client_secrets: further, ..Integration::default() })
        .await
        .unwrap();
    acme
}

/// A provider that is slow to refuse the first secrets leaves as much time for the last one.
#[tokio::test]
async fn each_secret_has_the_time_of_a_request() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    let http = HttpOptions { timeout: Duration::from_secs(3), ..acme.provider.http.clone() };
    let options = Options { http, ..Options::with(&acme.clock, &acme.provider) };
    let mut server = TestServer::start(&acme.database, options).await;
    server.key.clone_from(&acme.server.key);
    let before = acme.token_requests().len();
    acme.gate.slow(Duration::from_secs(1));
    server.get(forced()).await?;
    let secrets = acme.token_requests().into_iter().skip(before);
    let secrets: Vec<_> = secrets.map(|request| request.form["client_secret"].clone()).collect();
    assert_eq!(secrets, [CLIENT_SECRET, "canary-1", "canary-2", NEW]);
    Ok(())
}
