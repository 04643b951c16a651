//! Server processes on one database, which a test can kill and start again.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
};

use tokenwell::{
    api::pb::connection::v1::connection_service_client::ConnectionServiceClient, app::Addresses,
    config::StorageArgs, model::ExposeSecret as _,
};

use crate::{
    cli::program::{self, Server},
    support::{TestServer, server::Keyed},
};

/// How many replicas there are.
pub const REPLICAS: usize = 3;

/// The processes. Clones are the same ones.
#[derive(Clone)]
pub struct Fleet {
    replicas: Arc<Vec<Mutex<Replica>>>,
    about: Arc<About>,
}

/// What each of them is told.
struct About {
    storage: StorageArgs,
    providers: PathBuf,
    key: String,
    failpoints: String,
}

struct Replica {
    server: Option<Server>,
    client: ConnectionServiceClient<Keyed>,
}

impl Fleet {
    /// Starts them all, on a database that has a first key.
    pub async fn start(storage: StorageArgs, providers: PathBuf, key: &str) -> Self {
        let about = Arc::new(About { storage, providers, key: key.to_owned(), failpoints: String::new() });
        let starts = (0..REPLICAS).map(|_| {
            let about = about.clone();
            tokio::task::spawn_blocking(move || Mutex::new(about.start()))
        });
        let mut replicas = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            replicas.push(start.await.unwrap());
        }
        Self { replicas: Arc::new(replicas), about }
    }

    /// A client of one of them, as it is now.
    pub fn client(&self, replica: usize) -> ConnectionServiceClient<Keyed> {
        self.replicas[replica % REPLICAS].lock().unwrap().client.clone()
    }

    /// Ends one by SIGKILL, and starts another in its place.
    pub async fn replace(&self, replica: usize) {
        self.kill(replica);
        let about = self.about.clone();
        let new = tokio::task::spawn_blocking(move || about.start()).await.unwrap();
        *self.replicas[replica].lock().unwrap() = new;
    }

    /// Ends one by SIGKILL.
    pub fn kill(&self, replica: usize) {
        drop(self.replicas[replica].lock().unwrap().server.take());
    }
}

impl About {
    fn start(&self) -> Replica {
        let server = Server::start(&mut self.command());
        let address = |listener: &str| server.address(listener).parse().unwrap();
        let addresses =
            Addresses { grpc: address("grpc"), gateway: address("gateway"), admin: address("admin") };
        let client = TestServer::elsewhere(addresses, self.key.clone()).connection(&self.key);
        Replica { server: Some(server), client }
    }

    fn command(&self) -> Command {
        let mut command = program::serve(&self.storage.data_dir);
        let secret = |secret: &Option<tokenwell::model::SecretString>| {
            secret.as_ref().unwrap().expose_secret().to_owned()
        };
        command
            .env("TOKENWELL_DATABASE_URL", secret(&self.storage.database_url))
            .env("TOKENWELL_SEALING_KEYS", secret(&self.storage.sealing_keys))
            .env("TOKENWELL_PROVIDERS_DIR", &self.providers)
            .env("TOKENWELL_DEV_LOOPBACK_PROVIDERS", "true")
            .env("TOKENWELL_FAILPOINTS", &self.failpoints)
            .env("TOKENWELL_LOG", "info");
        command
    }
}
