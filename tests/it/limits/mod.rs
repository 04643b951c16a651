//! What a server bears, and what becomes of those who ask for more: the others are served all the same.

mod deadline;
mod rate;
mod shed;
mod size;
mod slow;
mod wire;
mod wrap;

use std::net::SocketAddr;

use tokenwell::config::LimitArgs;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{Browser, Database, ManualClock, Options, TestServer};

/// A server that has nothing but these limits.
async fn bare(limits: LimitArgs) -> (TestServer, Database) {
    let database = Database::sqlite();
    let options = Options { limits, ..Options::new(&ManualClock::new()) };
    (TestServer::start(&database, options).await, database)
}

/// Whether somebody else is served by gRPC.
async fn assert_healthy(address: SocketAddr) {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
}

/// Whether somebody else is served by the gateway, or the admin listener.
async fn assert_alive(address: SocketAddr) {
    assert_eq!(Browser::new().get(&format!("http://{address}/healthz")).await.body, "ok\n");
}
