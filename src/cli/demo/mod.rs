//! `tokenwell demo`: a server with a throw-away database, and the sandbox for a provider.

mod browser;
mod once;

use std::{path::Path, sync::Arc};

use clap::Args;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Failure, serve::stop};
use crate::{
    api::{
        Client, Incoming,
        pb::integration::v1::{CreateRequest, Integration},
    },
    app::{Addresses, App, Environment, connection_limits},
    config::{
        BackgroundArgs, BehaviourArgs, CallerArgs, LimitArgs, ListenArgs, ProviderArgs, RefreshArgs,
        ServeArgs, StorageArgs, TlsArgs, WebhookArgs, loopback,
    },
    gateway,
    model::{Duration, ExposeSecret as _, Failpoints, OsRandom, SecretString, SystemClock},
    oauth::HttpOptions,
    sandbox,
};

const CLIENT_ID: &str = "tokenwell-demo";

/// Arguments of `tokenwell demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Plays the browser's part, too: shows a whole flow and a refresh as they happen, then ends.
    #[arg(long)]
    once: bool,
    /// How long the sandbox's access tokens live, in seconds. [default: 60, with --once 4]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    token_ttl: Option<u32>,
    /// The gRPC port. With --once, all ports are the system's choice.
    #[arg(long, default_value_t = 50051)]
    grpc_port: u16,
    /// The gateway's port.
    #[arg(long, default_value_t = 8080)]
    gateway_port: u16,
    /// The admin port.
    #[arg(long, default_value_t = 9090)]
    admin_port: u16,
    /// The sandbox's port.
    #[arg(long, default_value_t = 8090)]
    sandbox_port: u16,
}

/// A demo that is running.
struct Demo {
    addresses: Addresses,
    sandbox_url: String,
    key: SecretString,
    client: Client,
}

/// Runs the demo until Ctrl-C, or once.
pub(super) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let directory = TempDir::new()?;
    let port = |port| if args.once { 0 } else { port };
    let ttl = Duration::seconds(args.token_ttl.unwrap_or(if args.once { 4 } else { 60 }).into());

    let listener = TcpListener::bind(loopback(port(args.sandbox_port))).await?;
    let sandbox_url = format!("http://{}", listener.local_addr()?);
    let secret = crate::model::token(&OsRandom)?;
    let stopping = CancellationToken::new();
    let incoming = Incoming::new(listener, connection_limits(&LimitArgs::default()));
    let sandbox = tokio::spawn(gateway::serve(incoming, sandbox(&secret, ttl).router(), stopping.clone()));

    let listen = ListenArgs {
        grpc_listen: loopback(port(args.grpc_port)),
        gateway_listen: loopback(port(args.gateway_port)),
        admin_listen: loopback(port(args.admin_port)),
        public_url: None,
    };
    let environment = Environment {
        http: HttpOptions { loopback: true, ..HttpOptions::default() },
        providers: vec![("sandbox.toml".to_owned(), entry(&sandbox_url))],
        ..Environment::default()
    };
    let mut app = App::start(&serve_args(directory.path(), listen), environment).await?;
    let first = app.take_first_key().ok_or("the demo's database is not new")?;
    let addresses = app.addresses()?;
    let client = Client::new(&format!("http://{}", addresses.grpc), &first.secret)?;
    let demo = Demo { addresses, sandbox_url, key: first.secret, client };

    let server = tokio::spawn(app.run(stopping.clone().cancelled_owned()));
    let done = async {
        register(&demo, &secret).await?;
        if args.once {
            once::play(&demo).await
        } else {
            let stop = stop()?;
            invite(&demo);
            stop.await;
            Ok(())
        }
    };
    let done = done.await;
    stopping.cancel();
    server.await??;
    sandbox.await?.map_err(|error| error.to_string())?;
    done
}

fn sandbox(secret: &SecretString, access_token_ttl: Duration) -> sandbox::Sandbox {
    let client = sandbox::Client {
        client_id: CLIENT_ID.to_owned(),
        client_secret: Some(secret.clone()),
        ..sandbox::Client::default()
    };
    let quirks = sandbox::Quirks { client_credentials: true, ..sandbox::Quirks::default() };
    let options = sandbox::Options { clients: vec![client], access_token_ttl, quirks };
    sandbox::Sandbox::new(options, Arc::new(SystemClock), Arc::new(OsRandom))
}

/// The sandbox's catalog entry.
fn entry(url: &str) -> String {
    format!(
        r#"
display_name = "Sandbox"
categories = ["demo"]
documentation = "https://www.rfc-editor.org/rfc/rfc6749"
grant_types = ["authorization_code", "client_credentials"]
authorization_endpoint = "{url}/authorize"
token_endpoint = "{url}/token"
hosts = ["127.0.0.1"]
token_endpoint_auth_method = "client_secret_basic"
default_scopes = ["read", "write"]
"#
    )
}

fn serve_args(directory: &Path, listen: ListenArgs) -> ServeArgs {
    ServeArgs {
        storage: StorageArgs {
            data_dir: directory.to_owned(),
            database_url: None,
            database_max_connections: 4,
            sealing_keys: None,
            sealing_key_file: None,
        },
        providers: ProviderArgs::default(),
        listen,
        tls: TlsArgs::default(),
        callers: CallerArgs::default(),
        behaviour: BehaviourArgs {
            deadline: std::time::Duration::from_secs(30),
            drain: std::time::Duration::from_secs(2),
            heartbeat: std::time::Duration::from_secs(30),
            no_reflection: false,
            no_migrate: false,
        },
        limits: LimitArgs::default(),
        refresh: RefreshArgs::default(),
        background: BackgroundArgs::default(),
        webhooks: WebhookArgs::default(),
        failpoints: Failpoints::default(),
    }
}

async fn register(demo: &Demo, secret: &SecretString) -> Result<(), Failure> {
    let integration = Integration {
        integration_id: "sandbox".to_owned(),
        provider_id: "sandbox".to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: secret.expose_secret().to_owned(),
        ..Integration::default()
    };
    demo.client.integration.clone().create(CreateRequest { integration: Some(integration) }).await?;
    Ok(())
}

/// What to try.
fn invite(demo: &Demo) {
    let (bold, dim) = (anstyle::Style::new().bold(), anstyle::Style::new().dimmed());
    let grpc = demo.addresses.grpc;
    let call = |data: &str, method: &str| {
        format!(r#"grpcurl -plaintext -H "authorization: Bearer $KEY" -d '{data}' {grpc} tokenwell.{method}"#)
    };
    anstream::println!(
        "{bold}Tokenwell is running, with a provider to play with.{bold:#}

  gRPC     {grpc}
  gateway  http://{gateway}
  sandbox  {sandbox}   {dim}the provider: access tokens are short-lived, refresh tokens rotate{dim:#}

{bold}1.{bold:#} The API key of the project `default`:

  export KEY={key}

{bold}2.{bold:#} Begin a flow, then open the `connectUrl` of the answer in a browser and approve:

  {begin}

{bold}3.{bold:#} Get a token that works now. Ask again after a minute: it is another one.

  {get}

{bold}4.{bold:#} Look around:

  {list}
  grpcurl -plaintext {grpc} list

Ctrl-C ends it and removes its data.",
        gateway = demo.addresses.gateway,
        sandbox = demo.sandbox_url,
        key = demo.key.expose_secret(),
        begin = call(r#"{"integrationId":"sandbox","connectionId":"ada"}"#, "auth.v1.AuthService/Begin"),
        get = call(
            r#"{"integrationId":"sandbox","connectionId":"ada"}"#,
            "connection.v1.ConnectionService/Get"
        ),
        list = call("{}", "connection.v1.ConnectionService/List"),
    );
}
