//! Two flows for one connection at the same time: the one whose callback came later counts, whichever is stored first.

use tokenwell::api::pb::auth::v1::{WatchRequest, watch_response::Status};
use url::Url;

use super::connected;
use crate::support::{
    Acme,
    acme::plain,
    database::Kind,
    steps::{complete, until, works},
};

const REVOCATION: &str = "revocation_endpoint = \"PROVIDER/revoke\"\n";

async fn end(acme: &Acme, callback: &Url) {
    complete(&acme.server, &acme.server.key, callback.query().unwrap()).await.unwrap();
}

async fn status(acme: &Acme, flow_id: String) -> Status {
    let mut watch = acme.server.auth(&acme.server.key).watch(WatchRequest { flow_id }).await.unwrap();
    watch.get_mut().message().await.unwrap().unwrap().status()
}

async fn the_flow_that_was_taken_later_counts(kind: Kind, more: &str) -> Acme {
    let acme = connected(kind, plain(), &format!("{REVOCATION}{more}")).await;
    let ((begun, first), (_, second)) = (acme.callback(&[]).await, acme.callback(&[]).await);
    acme.gate.close();
    let later = async {
        acme.gate.arrived(1).await;
        acme.gate.pass_next();
        end(&acme, &second).await;
        let token = acme.token().await.unwrap();
        acme.gate.open();
        token
    };
    let ((), token) = tokio::join!(end(&acme, &first), later);
    assert_eq!(acme.token().await.unwrap(), token, "the older flow has undone the newer one");
    assert!(works(&acme.provider, &token).await);
    assert_eq!(status(&acme, begun.flow_id).await, Status::Connected);
    assert_eq!(acme.provider.sandbox.book().exchanges, 3);
    acme
}

#[tokio::test]
async fn the_flow_that_was_taken_later_counts_on_sqlite() {
    let acme = the_flow_that_was_taken_later_counts(Kind::Sqlite, "").await;
    until(async || acme.provider.sandbox.book().revocations, |count| *count == 1).await;
}

#[tokio::test]
async fn the_flow_that_was_taken_later_counts_on_postgresql() {
    let acme = the_flow_that_was_taken_later_counts(Kind::Postgres, "").await;
    until(async || acme.provider.sandbox.book().revocations, |count| *count == 1).await;
}

#[tokio::test]
async fn what_the_older_one_brought_is_not_revoked_if_that_would_end_the_newer_one() {
    let acme =
        the_flow_that_was_taken_later_counts(Kind::Sqlite, "revocation_ends_all_grants = true\n").await;
    until(async || acme.server.flows().under_way(), |count| *count == 0).await;
    assert_eq!(acme.server.flows().revoke_due().await.unwrap(), 0);
    assert_eq!(acme.provider.sandbox.book().revocations, 0);
}
