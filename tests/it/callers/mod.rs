//! Who may call: TLS on the gRPC listener, certificates and tokens that name callers, and API keys.

mod certificate;
mod fault;
mod keys;
mod reload;
mod tls;
mod token;

use std::{fs, path::PathBuf};

use tempfile::TempDir;
use tokenwell::{
    api::pb::{
        connection::v1::{
            GetRequest, View, WatchRequest, WatchResponse, connection_service_client::ConnectionServiceClient,
        },
        provider::v1::{ListRequest, provider_service_client::ProviderServiceClient},
    },
    config::{ClientAuth, TlsArgs},
};
use tokio::time::timeout;
use tonic::{Code, Request, Status, Streaming, metadata::MetadataValue, transport::Channel};
use tonic_types::StatusExt as _;

use crate::support::{
    Authority, Database, ManualClock, Options, TestProvider, TestServer,
    authority::{Pair, client},
    server::get,
};

/// How long a test waits for what must come.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

const BILLING: &str = "spiffe://acme.example/ns/prod/sa/billing";
const REPORTS: &str = "reports.acme.example";

/// Who may call, as most tests have it: one may read tokens, and one may not, and is of another project.
const CALLERS: &str = r#"
[[caller]]
display_name = "Billing"
project = "default"
permissions = ["read", "read_credentials"]
spiffe_id = "spiffe://acme.example/ns/prod/sa/billing"

[[caller]]
display_name = "Reports"
project = "other"
permissions = ["read"]
dns_name = "reports.acme.example"
"#;

/// A server that speaks TLS, with a connection `ada` of its project `default`, and a project `other`.
struct Stage {
    directory: TempDir,
    /// Whom clients know the server by.
    authority: Authority,
    /// Whom the server knows clients by.
    clients: Authority,
    server: TestServer,
    _provider: TestProvider,
    _database: Database,
}

/// What may differ.
#[derive(Default)]
struct Setting {
    callers: String,
    required: bool,
    /// The certificates that are revoked from the start; none is if there is no list.
    revoked: Option<Vec<Pair>>,
    clients: Option<Authority>,
}

impl Setting {
    fn of(callers: &str) -> Self {
        Self { callers: callers.to_owned(), ..Self::default() }
    }
}

impl Stage {
    async fn new(setting: Setting) -> Self {
        let directory = TempDir::new().unwrap();
        let path = |file: &str| Some(directory.path().join(file));
        let authority = Authority::new("servers");
        let clients = setting.clients.unwrap_or_else(|| Authority::new("clients"));
        let listener = authority.server();
        let write = |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
        write("server.pem", &listener.certificate);
        write("server.key", &listener.key);
        write("clients.pem", &clients.pem());
        write("callers.toml", &setting.callers);
        if let Some(revoked) = &setting.revoked {
            write("revoked.pem", &clients.revoked(&revoked.iter().collect::<Vec<_>>()));
        }
        // For what prepares the test.
        let operator = clients.client(&["operator.acme.example"]);
        let clock = ManualClock::new();
        let provider = TestProvider::plain(&clock).await;
        let options = Options {
            tls: TlsArgs {
                grpc_tls_cert_file: path("server.pem"),
                grpc_tls_key_file: path("server.key"),
                grpc_client_ca_file: path("clients.pem"),
                grpc_client_crl_file: setting.revoked.is_some().then(|| path("revoked.pem")).flatten(),
                grpc_client_auth: if setting.required { ClientAuth::Required } else { ClientAuth::Optional },
            },
            callers_file: path("callers.toml"),
            clients: Some(authority.brings(Some(&operator))),
            ..Options::with(&clock, &provider)
        };
        let database = Database::sqlite();
        let server = TestServer::start(&database, options).await;
        server.create_integration("sandbox", "sandbox").await;
        server.create_project("other").await;
        server.connect("sandbox", "ada").await;
        Self { directory, authority, clients, server, _provider: provider, _database: database }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    /// A new connection of somebody who shows this certificate.
    fn channel(&self, pair: Option<&Pair>) -> Channel {
        self.server.channel_with(Some(self.authority.brings(pair)))
    }

    /// What comes of a call over a new connection of somebody who shows this certificate, and nothing else.
    async fn read_as(&self, pair: &Pair) -> Result<(), Status> {
        read(&self.channel(Some(pair)), None).await
    }
}

fn request<T>(message: T, bearer: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(bearer) = bearer {
        let header = MetadataValue::try_from(format!("Bearer {bearer}")).unwrap();
        request.metadata_mut().insert("authorization", header);
    }
    request
}

/// A call that takes the permission to read, and nothing else.
async fn read(channel: &Channel, bearer: Option<&str>) -> Result<(), Status> {
    let mut client = ProviderServiceClient::new(channel.clone());
    client.list(request(ListRequest { page_size: 1, ..ListRequest::default() }, bearer)).await.map(drop)
}

/// Gets the connection `ada`.
async fn get_ada(channel: &Channel, bearer: Option<&str>, view: View) -> Result<(), Status> {
    let message = GetRequest { view: view.into(), ..get("sandbox", "ada") };
    ConnectionServiceClient::new(channel.clone()).get(request(message, bearer)).await.map(drop)
}

/// Opens a stream, and reads its first message.
async fn watch(channel: &Channel, bearer: Option<&str>) -> Result<Streaming<WatchResponse>, Status> {
    let mut client = ConnectionServiceClient::new(channel.clone());
    let mut stream = client.watch(request(WatchRequest::default(), bearer)).await?.into_inner();
    timeout(PATIENCE, stream.message()).await.expect("nothing came")?;
    Ok(stream)
}

/// The error that a stream ends with.
async fn end(mut stream: Streaming<WatchResponse>) -> Result<(), Status> {
    let end = async {
        while stream.message().await?.is_some() {}
        Ok(())
    };
    timeout(PATIENCE, end).await.expect("the stream did not end")
}

/// Asserts that the connection ended, and no call was answered.
#[track_caller]
fn assert_turned_away(result: Result<(), Status>) {
    let status = result.expect_err("the call was answered");
    assert!(status.get_error_details().error_info().is_none(), "the call was answered: {status:?}");
    assert!(matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled), "{status:?}");
}
