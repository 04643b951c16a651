//! Many callers who write at once: each write waits for its turn, and none is refused because another one is under way.

use futures::future::join_all;
use tokenwell::api::pb::connection::v1::{
    ApiKeyCredentials, SetMetadataRequest, import_credentials::Kind as Credentials,
};

use crate::support::{
    Acme, Database, TestServer,
    acme::{ACME, import, plain},
    database::Kind,
    provider::client,
    steps::basic,
};

const ENTRY: &str = "grant_types = [\"api_key\"]\n";
const CALLERS: usize = 300;

/// Makes a connection, and changes its metadata a few times.
async fn write(server: &TestServer, index: usize) {
    let connection_id = format!("u{index}");
    let credentials = Credentials::ApiKey(ApiKeyCredentials { api_key: "key".to_owned() });
    let mut client = server.connection(&server.key);
    let request = tokenwell::api::pb::connection::v1::ImportRequest {
        connection_id: connection_id.clone(),
        ..import(credentials)
    };
    client.import(request).await.unwrap();
    for _ in 0..4 {
        let request = SetMetadataRequest {
            integration_id: ACME.to_owned(),
            connection_id: connection_id.clone(),
            metadata: Some(prost_types::Struct::default()),
            ..SetMetadataRequest::default()
        };
        client.set_metadata(request).await.unwrap();
    }
}

/// All of them at once, at each of the servers in turn.
async fn write_at_once(kind: Kind, servers: usize, connections: u32) {
    let database = Database::new(kind).await.with_connections(connections);
    let acme = Acme::of(database, vec![client()], plain(), ENTRY).await;
    let mut replicas = Vec::new();
    for _ in 1..servers {
        replicas.push(acme.replica().await);
    }
    let at = |index: usize| replicas.get(index % servers).unwrap_or(&acme.server);
    join_all((0..CALLERS).map(|index| write(at(index), index))).await;
    for index in [0, CALLERS - 1] {
        basic(&acme.server, ACME, &format!("u{index}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_server_wait_for_each_other_on_sqlite() {
    write_at_once(Kind::Sqlite, 1, 64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_two_servers_wait_for_each_other_on_sqlite() {
    write_at_once(Kind::Sqlite, 2, 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_two_servers_wait_for_each_other_on_postgresql() {
    write_at_once(Kind::Postgres, 2, 16).await;
}
