//! A client of a running server, for the command line: the generated ones, with a channel and an API key.

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::pb::{
    auth::v1::auth_service_client::AuthServiceClient,
    connection::v1::connection_service_client::ConnectionServiceClient,
    integration::v1::integration_service_client::IntegrationServiceClient,
};
use crate::model::{Error, ExposeSecret as _, Result, SecretString};

/// Puts the API key into every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

/// Clients of the services.
#[derive(Debug, Clone)]
pub struct Client {
    /// Flows.
    pub auth: AuthServiceClient<InterceptedService<Channel, Bearer>>,
    /// Connections.
    pub connection: ConnectionServiceClient<InterceptedService<Channel, Bearer>>,
    /// Integrations.
    pub integration: IntegrationServiceClient<InterceptedService<Channel, Bearer>>,
}

impl Client {
    /// Connects to `http://host:port` when first used.
    pub fn new(address: &str, key: &SecretString) -> Result<Self> {
        let channel = Endpoint::from_shared(address.to_owned()).map_err(Error::internal)?.connect_lazy();
        let mut header = MetadataValue::try_from(format!("Bearer {}", key.expose_secret()))
            .map_err(|_| Error::ApiKeyInvalid)?;
        header.set_sensitive(true);
        let bearer = Bearer(header);
        Ok(Self {
            auth: AuthServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            connection: ConnectionServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            integration: IntegrationServiceClient::with_interceptor(channel, bearer),
        })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer([redacted])")
    }
}
