//! Who calls, by an API key, a token or a certificate; and whether they may call the method.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{
    super::{door::GatewayCaller, tls::Peer},
    Answer, method, refuse,
    trace::record_project,
};
use crate::{
    flow::Flows,
    model::{Error, Identity, Permission, Result},
};

/// Every method and the permission that it takes. A test compares it with the protos.
pub const PERMISSIONS: [(&str, Permission); 36] = [
    ("/tokenwell.auth.v1.AuthService/Begin", Permission::Begin),
    (COMPLETE, Permission::Complete),
    ("/tokenwell.auth.v1.AuthService/Watch", Permission::Read),
    // `VIEW_FULL` takes `ReadCredentials` besides, which the service asks for.
    ("/tokenwell.connection.v1.ConnectionService/Get", Permission::Read),
    ("/tokenwell.connection.v1.ConnectionService/List", Permission::Read),
    ("/tokenwell.connection.v1.ConnectionService/Delete", Permission::Write),
    ("/tokenwell.connection.v1.ConnectionService/GetConfig", Permission::Read),
    ("/tokenwell.connection.v1.ConnectionService/UpdateConfig", Permission::Write),
    ("/tokenwell.connection.v1.ConnectionService/Import", Permission::Write),
    ("/tokenwell.connection.v1.ConnectionService/GetMetadata", Permission::Read),
    ("/tokenwell.connection.v1.ConnectionService/SetMetadata", Permission::Write),
    ("/tokenwell.connection.v1.ConnectionService/UpdateMetadata", Permission::Write),
    ("/tokenwell.connection.v1.ConnectionService/Watch", Permission::Read),
    ("/tokenwell.integration.v1.IntegrationService/Create", Permission::Integrations),
    ("/tokenwell.integration.v1.IntegrationService/Get", Permission::Integrations),
    ("/tokenwell.integration.v1.IntegrationService/List", Permission::Integrations),
    ("/tokenwell.integration.v1.IntegrationService/Update", Permission::Integrations),
    ("/tokenwell.integration.v1.IntegrationService/Delete", Permission::Integrations),
    ("/tokenwell.provider.v1.ProviderService/Get", Permission::Read),
    ("/tokenwell.provider.v1.ProviderService/List", Permission::Read),
    ("/tokenwell.project.v1.ProjectService/Create", Permission::InstanceAdmin),
    ("/tokenwell.project.v1.ProjectService/List", Permission::InstanceAdmin),
    ("/tokenwell.project.v1.ProjectService/GetSettings", Permission::ProjectAdmin),
    ("/tokenwell.project.v1.ProjectService/UpdateSettings", Permission::ProjectAdmin),
    ("/tokenwell.project.v1.ProjectService/CreateApiKey", Permission::ProjectAdmin),
    ("/tokenwell.project.v1.ProjectService/ListApiKeys", Permission::ProjectAdmin),
    ("/tokenwell.project.v1.ProjectService/RevokeApiKey", Permission::ProjectAdmin),
    ("/tokenwell.webhook.v1.WebhookService/Create", Permission::ProjectAdmin),
    ("/tokenwell.webhook.v1.WebhookService/Get", Permission::ProjectAdmin),
    ("/tokenwell.webhook.v1.WebhookService/List", Permission::ProjectAdmin),
    ("/tokenwell.webhook.v1.WebhookService/Update", Permission::ProjectAdmin),
    ("/tokenwell.webhook.v1.WebhookService/Delete", Permission::ProjectAdmin),
    ("/tokenwell.webhook.v1.WebhookService/RotateSecret", Permission::ProjectAdmin),
    ("/tokenwell.webhook.v1.WebhookService/Test", Permission::ProjectAdmin),
    ("/tokenwell.webhook.v1.WebhookService/ListDeliveries", Permission::ProjectAdmin),
    ("/tokenwell.webhook.v1.WebhookService/Redeliver", Permission::ProjectAdmin),
];

const COMPLETE: &str = "/tokenwell.auth.v1.AuthService/Complete";
const OURS: &str = "/tokenwell.";

/// Lets through only calls whose caller may make them, and puts the [`Caller`](crate::model::Caller) beside them.
#[derive(Debug, Clone)]
pub struct KeyLayer {
    flows: Flows,
}

/// The layer's service.
#[derive(Debug, Clone)]
pub struct KeyCheck<S> {
    inner: S,
    flows: Flows,
}

/// What a call shows of its caller.
enum Shown {
    /// An API key or a token.
    Bearer(String),
    /// The names in the certificate of its connection.
    Certificate(Arc<[Identity]>),
}

impl KeyLayer {
    /// A layer that looks keys up here.
    #[must_use]
    pub fn new(flows: Flows) -> Self {
        Self { flows }
    }
}

impl<S> Layer<S> for KeyLayer {
    type Service = KeyCheck<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyCheck { inner, flows: self.flows.clone() }
    }
}

impl<S> Service<Request<Body>> for KeyCheck<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone takes the place of the one that is ready, which this call uses.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let open = !method(&request).starts_with(OURS);
        // The gateway has no key for a callback: the flow that the state finds decides the project.
        let callback = method(&request) == COMPLETE && request.extensions().get::<GatewayCaller>().is_some();
        if open || callback {
            return Box::pin(inner.call(request));
        }
        let flows = self.flows.clone();
        Box::pin(async move {
            if let Err(error) = admit(&flows, &mut request).await {
                return Ok(refuse(&error));
            }
            inner.call(request).await
        })
    }
}

async fn admit(flows: &Flows, request: &mut Request<Body>) -> Result<()> {
    let caller = match Shown::by(request)? {
        Shown::Bearer(bearer) => flows.authenticate(&bearer).await,
        Shown::Certificate(names) => flows.authenticate_certificate(&names).await,
    }?;
    record_project(caller.project_id().as_str());
    let known = PERMISSIONS.iter().find(|(path, _)| *path == method(request));
    // A method that is in no proto goes on, to be answered UNIMPLEMENTED.
    known.map_or(Ok(()), |(_, permission)| caller.require(*permission))?;
    request.extensions_mut().insert(caller);
    Ok(())
}

impl Shown {
    /// A certificate speaks for a call only if the call says nothing itself.
    fn by(request: &Request<Body>) -> Result<Self> {
        if request.headers().contains_key(AUTHORIZATION) {
            return Ok(Self::Bearer(bearer(request.headers())?.to_owned()));
        }
        let names = request.extensions().get().and_then(Peer::names).ok_or(Error::ApiKeyMissing)?;
        Ok(Self::Certificate(names))
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    let value = headers.get(AUTHORIZATION).ok_or(Error::ApiKeyMissing)?;
    let value = value.to_str().map_err(|_| Error::ApiKeyInvalid)?;
    let (scheme, secret) = value.split_once(' ').ok_or(Error::ApiKeyMissing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(secret.trim()) } else { Err(Error::ApiKeyMissing) }
}
