//! Webhooks: from an event to an endpoint that verifies it, and everything that can go wrong between.

mod disable;
mod manage;
mod pause;
mod places;
mod purge;
mod receive;
mod replicas;
mod retry;
mod secret;
mod send;

use tokenwell::api::pb::{
    connection::v1::SetMetadataRequest,
    webhook::v1::{
        CreateRequest, Delivery, DeliveryStatus, GetRequest, ListDeliveriesRequest, UpdateRequest, Webhook,
    },
};

use crate::support::{
    Database, ManualClock, Options, Receiver, TestProvider, TestServer, database::Kind, steps::object,
};

/// A server with the connection `u1`, and a webhook that nothing was sent to yet.
struct Stage {
    server: TestServer,
    provider: TestProvider,
    database: Database,
    receiver: Receiver,
    webhook: Webhook,
    secret: String,
}

impl Stage {
    async fn new() -> Self {
        Self::on(Kind::Sqlite).await
    }

    async fn on(kind: Kind) -> Self {
        let clock = ManualClock::new();
        let provider = TestProvider::plain(&clock).await;
        let options = Options::with(&clock, &provider);
        Self::with(Database::new(kind).await, provider, options).await
    }

    async fn with(database: Database, provider: TestProvider, options: Options) -> Self {
        let server = TestServer::start(&database, options).await;
        server.create_integration("sandbox", "sandbox").await;
        server.connect("sandbox", "u1").await;
        // What happened before is nobody's.
        server.flows().store().place_events().await.unwrap();
        let receiver = Receiver::start().await;
        let (webhook, secret) = create(&server, Webhook { url: receiver.url(), ..Webhook::default() }).await;
        Self { server, provider, database, receiver, webhook, secret }
    }

    /// Makes an event `connection.updated`.
    async fn update(&self) {
        update(&self.server, &self.server.key).await;
    }

    /// Makes this many.
    async fn update_times(&self, count: usize) {
        for _ in 0..count {
            self.update().await;
        }
    }

    /// Sends what is due, once. Tells how much that was.
    async fn round(&self) -> usize {
        self.server.flows().deliver_webhooks().await.unwrap()
    }

    /// Sends until nothing is due.
    async fn rounds(&self) -> usize {
        let mut sent = 0;
        loop {
            match self.round().await {
                0 => return sent,
                count => sent += count,
            }
        }
    }

    async fn webhook(&self) -> Webhook {
        let request = GetRequest { webhook_id: self.webhook.webhook_id.clone() };
        let mut client = self.server.webhook(&self.server.key);
        client.get(request).await.unwrap().into_inner().webhook.unwrap()
    }

    /// Changes what `paths` name.
    async fn change(&self, webhook: Webhook, paths: &[&str]) -> Webhook {
        let webhook = Webhook { webhook_id: self.webhook.webhook_id.clone(), ..webhook };
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request =
            UpdateRequest { webhook: Some(webhook), update_mask: Some(prost_types::FieldMask { paths }) };
        let mut client = self.server.webhook(&self.server.key);
        client.update(request).await.unwrap().into_inner().webhook.unwrap()
    }

    async fn deliveries(&self, status: DeliveryStatus) -> Vec<Delivery> {
        let request = ListDeliveriesRequest {
            webhook_id: self.webhook.webhook_id.clone(),
            status: status.into(),
            ..ListDeliveriesRequest::default()
        };
        let mut client = self.server.webhook(&self.server.key);
        client.list_deliveries(request).await.unwrap().into_inner().deliveries
    }

    /// The one delivery that there is.
    async fn delivery(&self) -> Delivery {
        let mut all = self.deliveries(DeliveryStatus::Unspecified).await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

/// Creates a webhook of the project `default`. Gives it and its secret.
async fn create(server: &TestServer, webhook: Webhook) -> (Webhook, String) {
    let request = CreateRequest { webhook: Some(webhook) };
    let created = server.webhook(&server.key).create(request).await.unwrap().into_inner();
    (created.webhook.unwrap(), created.secret)
}

/// Makes an event `connection.updated` of the project that the key selects.
async fn update(server: &TestServer, key: &str) {
    let request = SetMetadataRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "u1".to_owned(),
        metadata: Some(object(&[("plan", "pro")])),
        etag: String::new(),
    };
    server.connection(key).set_metadata(request).await.unwrap();
}
