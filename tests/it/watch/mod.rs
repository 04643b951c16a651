//! Streams: what happens to connections, and where flows stand.

mod events;
mod flow;
mod limits;
mod replicas;
mod resume;

use std::{sync::Arc, time::Duration};

use tokenwell::{
    api::pb::connection::v1::{
        DeleteRequest, Event, EventType, SetMetadataRequest, WatchRequest, WatchResponse,
    },
    app::open_store,
    model::OsRandom,
    store::Store,
};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::support::{Database, TestServer, steps::object};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream of events, and how far it has come.
struct Feed {
    stream: Streaming<WatchResponse>,
    cursor: String,
}

impl Feed {
    /// Opens a stream with this key, and reads its first message.
    async fn open(server: &TestServer, key: &str, request: WatchRequest) -> Result<Self, Status> {
        let stream = server.connection(key).watch(request).await?.into_inner();
        let mut feed = Self { stream, cursor: String::new() };
        let first = feed.next().await?;
        assert_eq!(first.event, None, "the first message only says where the stream begins");
        Ok(feed)
    }

    /// A stream of everything from now on, with the first key.
    async fn all(server: &TestServer) -> Self {
        Self::open(server, &server.key, WatchRequest::default()).await.unwrap()
    }

    /// A stream of everything from this cursor on, with the first key.
    async fn after(server: &TestServer, cursor: &str) -> Result<Self, Status> {
        let request = WatchRequest { cursor: cursor.to_owned(), ..WatchRequest::default() };
        Self::open(server, &server.key, request).await
    }

    async fn next(&mut self) -> Result<WatchResponse, Status> {
        let message = timeout(PATIENCE, self.stream.message()).await.expect("nothing came")?;
        let message = message.expect("the stream ended without an error");
        self.cursor.clone_from(&message.cursor);
        Ok(message)
    }

    /// The next event, after any messages without one.
    async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.next().await.unwrap().event {
                return event;
            }
        }
    }

    /// The next events: their types, and the names of their connections.
    async fn told(&mut self, count: usize) -> Vec<(EventType, String)> {
        let mut told = Vec::new();
        for _ in 0..count {
            let event = self.event().await;
            told.push((event.r#type(), event.connection_id));
        }
        told
    }

    /// The error that the stream ends with.
    async fn end(&mut self) -> Status {
        let end = async {
            loop {
                if let Err(status) = self.next().await {
                    return status;
                }
            }
        };
        timeout(PATIENCE, end).await.expect("the stream did not end")
    }
}

/// Makes one event of an existing connection: an update.
async fn touch(server: &TestServer, key: &str, connection_id: &str) {
    let request = SetMetadataRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: connection_id.to_owned(),
        metadata: Some(object(&[("a", "b")])),
        etag: String::new(),
    };
    server.connection(key).set_metadata(request).await.unwrap();
}

async fn delete(server: &TestServer, connection_id: &str) {
    let request = DeleteRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: connection_id.to_owned(),
        ..DeleteRequest::default()
    };
    server.connection(&server.key).delete(request).await.unwrap();
}

/// The store of a server's database, past the server.
async fn store_of(database: &Database) -> Store {
    open_store(&database.storage(), Arc::new(OsRandom)).await.unwrap()
}
