//! Server processes on one database, which a test can kill and start again.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use tokenwell::{
    api::pb::connection::v1::connection_service_client::ConnectionServiceClient, app::Addresses,
    config::StorageArgs, model::ExposeSecret as _,
};
use tokio::time::timeout;

use crate::{
    cli::program::{self, Server},
    support::{TestServer, server::Keyed},
};

/// How long one may take to die.
const PATIENCE: Duration = Duration::from_secs(30);

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
}

/// One of them.
pub struct Replica {
    pub server: Option<Server>,
    pub client: ConnectionServiceClient<Keyed>,
}

impl Fleet {
    /// Starts one for each of these failpoints, on a database that has a first key.
    pub async fn start(storage: StorageArgs, providers: PathBuf, key: &str, failpoints: &[&str]) -> Self {
        let about = Arc::new(About { storage, providers, key: key.to_owned() });
        let starts = failpoints.iter().map(|failpoints| about.clone().start((*failpoints).to_owned()));
        let replicas = join_all(starts).await.into_iter().map(Mutex::new).collect();
        Self { replicas: Arc::new(replicas), about }
    }

    /// One more on the same database, with these variables. It is not one of the fleet.
    pub async fn one_more(&self, variables: Vec<(&'static str, String)>) -> Replica {
        let about = self.about.clone();
        let start = move || about.started(about.command().envs(variables));
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.replicas.len()
    }

    /// A client of one of them, as it is now.
    pub fn client(&self, replica: usize) -> ConnectionServiceClient<Keyed> {
        self.replicas[replica % self.len()].lock().unwrap().client.clone()
    }

    /// Ends one by SIGKILL, and starts another in its place, without failpoints.
    pub async fn replace(&self, replica: usize) {
        self.kill(replica);
        let new = self.about.clone().start(String::new()).await;
        *self.replicas[replica].lock().unwrap() = new;
    }

    /// Starts another in the place of one, and ends that by SIGTERM: it has to end in order.
    pub async fn relieve(&self, replica: usize) {
        let mut new = self.about.clone().start(String::new()).await;
        std::mem::swap(&mut new, &mut *self.replicas[replica].lock().unwrap());
        let old = new.server.unwrap();
        let stopped = tokio::task::spawn_blocking(move || old.stop());
        let stopped = timeout(PATIENCE, stopped).await.expect("the server does not stop").unwrap();
        assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    }

    /// Ends one by SIGKILL.
    pub fn kill(&self, replica: usize) {
        drop(self.replicas[replica].lock().unwrap().server.take());
    }

    /// Waits until one has ended by itself.
    pub async fn died(&self, replica: usize) {
        let server = self.replicas[replica].lock().unwrap().server.take().unwrap();
        let ended = tokio::task::spawn_blocking(move || server.ended());
        let ended = timeout(PATIENCE, ended).await.expect("the server does not die").unwrap();
        assert_eq!(ended.code, None, "the server ended in order: {}", ended.stderr);
    }
}

impl About {
    async fn start(self: Arc<Self>, failpoints: String) -> Replica {
        tokio::task::spawn_blocking(move || self.start_now(&failpoints)).await.unwrap()
    }

    fn start_now(&self, failpoints: &str) -> Replica {
        let mut command = self.command();
        if !failpoints.is_empty() {
            // What it dies of is to be what it was asked for.
            command.env("TOKENWELL_FAILPOINTS", failpoints).env("TOKENWELL_NO_BACKGROUND", "true");
        }
        self.started(&mut command)
    }

    fn started(&self, command: &mut Command) -> Replica {
        let server = Server::start(command);
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
            .env("TOKENWELL_LOG", "info");
        command
    }
}
