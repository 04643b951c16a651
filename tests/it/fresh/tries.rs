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

/// How many seconds a lease has left when the first request is at the provider.
async fn lease(acme: &Acme, kind: Kind) -> Result<i64, tonic::Status> {
    acme.gate.close();
    let looking = async {
        acme.gate.arrived(1).await;
        let now = match kind {
            Kind::Sqlite => "unixepoch()",
            Kind::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT)",
        };
        let left = format!("SELECT lease_until / 1000000 - {now} FROM connections");
        let left = acme.database.number(&left).await;
        acme.gate.open();
        left
    };
    let (got, left) = tokio::join!(acme.server.get(forced()), looking);
    got.map(|_| left)
}

async fn the_lease_outlasts_all_of_them(kind: Kind) -> TestResult {
    let acme = connected(kind, plain(), "").await;
    let one = lease(&acme, kind).await?;
    let acme = stage(kind).await;
    let four = lease(&acme, kind).await?;
    // Each may take 15 seconds. It is looked at some time after it is taken.
    assert!(four - one >= 3 * 15 - 5, "{one} {four}");
    Ok(())
}

#[tokio::test]
async fn the_lease_outlasts_all_of_them_on_sqlite() -> TestResult {
    the_lease_outlasts_all_of_them(Kind::Sqlite).await
}

#[tokio::test]
async fn the_lease_outlasts_all_of_them_on_postgresql() -> TestResult {
    the_lease_outlasts_all_of_them(Kind::Postgres).await
}
