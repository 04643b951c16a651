//! The gRPC edge: wire types, services, and the tower layers around them.
//!
//! [`stack`] is the whole of it as one tower service. The server serves it to the network, and the gateway calls it in
//! process, so that no rule has a second copy.

mod auth;
mod client;
mod connection;
mod convert;
mod door;
mod incoming;
mod integration;
pub mod layer;
pub mod pb;
mod project;
mod provider;
pub mod status;
mod tls;
mod watch;
mod webhook;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, codec::CompressionEncoding, server::NamedService, service::Routes,
    transport::Server,
};
use tonic_health::ServingStatus;
use tower::ServiceBuilder;

pub use client::{Bearer, Client};
pub use door::{Door, Ended, Failed, FailedKind, FrontendBegin, GatewayCaller};
pub use incoming::{Connection, ConnectionLimits, Incoming};
use layer::{
    deadline::{Deadline, DeadlineLayer},
    explain::{Explain, ExplainLayer},
    key::{KeyCheck, KeyLayer},
    panic::{AnswerPanic, PanicLayer},
    shed::{Shed, ShedLayer},
    signature::{SignatureCheck, SignatureLayer},
    trace::{Trace, TraceLayer},
};
pub use tls::{Tls, TlsFault, TlsFile, TlsPems};

use crate::{
    flow::Flows,
    model::{Caller, Error, Result},
};
use pb::{
    auth::v1::auth_service_server::AuthServiceServer,
    connection::v1::connection_service_server::ConnectionServiceServer,
    integration::v1::integration_service_server::IntegrationServiceServer,
    project::v1::project_service_server::ProjectServiceServer,
    provider::v1::provider_service_server::ProviderServiceServer,
    webhook::v1::webhook_service_server::WebhookServiceServer,
};

/// The largest request, decompressed: metadata is the largest part of any.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// The most calls under way on one connection.
const MAX_STREAMS: u32 = 256;
/// The most bytes of request headers (RFC 9113, section 6.5.2). More is answered with HTTP status 431, before any layer.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// How many calls of a connection may have been taken back before anybody looked at them, until the connection ends: what rapid
/// reset (CVE-2023-44487) lives on. It is what h2 takes for a good number, too.
pub const MAX_UNSEEN_RESETS: usize = 20;
/// How many faulty calls of a connection are answered with a reset, until the connection ends: what makes the server do
/// the resetting (CVE-2025-8671).
pub const MAX_FAULTY_CALLS: usize = 100;

/// All services behind all layers.
pub type Stack = Trace<Explain<AnswerPanic<Shed<Deadline<KeyCheck<SignatureCheck<Routes>>>>>>>;

/// What the stack is built with.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// How long a unary call may take.
    pub deadline: Duration,
    /// How many calls may be in progress.
    pub max_calls: usize,
    /// Whether reflection is served.
    pub reflection: bool,
}

/// What health checks are told.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: tonic_health::server::HealthReporter,
    services: Vec<&'static str>,
}

impl Health {
    /// Tells that the server stops: whoever balances load sends nothing more.
    pub async fn stop(&self) {
        for service in &self.services {
            self.reporter.set_service_status(service, ServingStatus::NotServing).await;
        }
    }
}

/// Builds the stack, and the reporter that tells health checks whether the server serves.
pub async fn stack(flows: &Flows, options: &StackOptions) -> Result<(Stack, Health)> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = Routes::new(health_service);
    let mut services = vec![""];
    macro_rules! serve {
        ($($server:ident: $noun:ident),* $(,)?) => {
            $(
                let server = $server::new($noun::Service::new(flows.clone()))
                    .accept_compressed(CompressionEncoding::Gzip)
                    .send_compressed(CompressionEncoding::Gzip)
                    .max_decoding_message_size(MAX_MESSAGE_BYTES);
                services.push(name_of(&server));
                health.set_service_status(name_of(&server), ServingStatus::Serving).await;
                routes = routes.add_service(server);
            )*
        };
    }
    serve! {
        AuthServiceServer: auth,
        ConnectionServiceServer: connection,
        IntegrationServiceServer: integration,
        ProjectServiceServer: project,
        ProviderServiceServer: provider,
        WebhookServiceServer: webhook,
    }
    if options.reflection {
        let v1 = reflection().build_v1().map_err(Error::internal)?;
        let v1alpha = reflection().build_v1alpha().map_err(Error::internal)?;
        routes = routes.add_service(v1).add_service(v1alpha);
    }
    let stack = ServiceBuilder::new()
        // Outermost, so that whatever answers is logged once, with its request id.
        .layer(TraceLayer)
        // Inside the trace, which then logs the reason, too: tonic's own refusals get one.
        .layer(ExplainLayer)
        // Inside the trace: a panic is logged like every other INTERNAL, and the connection lives on.
        .layer(PanicLayer)
        // What is refused costs neither a timer nor a look at its key.
        .layer(ShedLayer::new(options.max_calls))
        // Before any work is done for a call that has no time left.
        .layer(DeadlineLayer::new(options.deadline))
        // Who calls, and whether they may call the method. Health and reflection are open.
        .layer(KeyLayer::new(flows.clone()))
        // Needs to know the project, so inside the key check. Puts the proof without which Begin does not run.
        .layer(SignatureLayer::new(flows.clone(), MAX_MESSAGE_BYTES))
        .service(routes.prepare());
    Ok((stack, Health { reporter: health, services }))
}

/// Serves the stack until `stopping`, then lets the calls under way end.
pub async fn serve(
    incoming: Incoming,
    tls: Option<Tls>,
    stack: Stack,
    stopping: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let limits = incoming.limits();
    let server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_max_pending_accept_reset_streams(Some(MAX_UNSEEN_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_FAULTY_CALLS))
        // Who dribbles the frames of a call cannot answer a ping, so this ends it, too.
        .http2_keepalive_interval(Some(limits.keepalive))
        .http2_keepalive_timeout(Some(limits.patience));
    let connections = tls::secured(incoming, tls);
    server.serve_with_incoming_shutdown(stack, connections, stopping.cancelled_owned()).await?;
    Ok(())
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that clients that know the types by reflection only can read the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// The name that a service has in health checks.
fn name_of<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

/// What every handler does: finds out who calls, does the work, and turns an error into a status.
async fn respond<Q, A, F>(
    request: Request<Q>,
    work: impl FnOnce(Caller, Q) -> F,
) -> Result<Response<A>, Status>
where
    F: Future<Output = Result<A>>,
{
    let caller = caller(&request)?;
    work(caller, request.into_inner()).await.map(Response::new).map_err(|error| status::status(&error))
}

/// Who calls, as the key layer has found out.
fn caller<Q>(request: &Request<Q>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| status::status(&Error::internal("a call came past the key layer")))
}
