//! Every flag and variable of the server. `tokenwell serve --help` is the reference.

mod callers;
mod limits;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use callers::{CallerArgs, ClientAuth, TlsArgs};
use clap::{Args, ValueEnum};
pub use limits::{LimitArgs, Networks};

use crate::model::{Failpoints, SecretString};

/// Where the data is, and what opens it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Storage")]
pub struct StorageArgs {
    /// The directory of the SQLite database and its key file. `serve` and `migrate` make it.
    #[arg(long, env = "TOKENWELL_DATA_DIR", default_value = "data", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// The database: `postgres://user:password@host/name`, or `sqlite://PATH`. Without it, SQLite in the data directory.
    #[arg(long, env = "TOKENWELL_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,

    /// The most connections to the database.
    #[arg(long, env = "TOKENWELL_DATABASE_MAX_CONNECTIONS", default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_max_connections: u32,

    /// The sealing keys, `<id>:<base64 of 32 bytes>`, separated by commas or newlines. The first seals, all open.
    #[arg(
        long,
        env = "TOKENWELL_SEALING_KEYS",
        hide_env_values = true,
        value_name = "KEYS",
        conflicts_with = "sealing_key_file"
    )]
    pub sealing_keys: Option<SecretString>,

    /// A file of sealing keys, one per line. With SQLite and neither keys nor file, `sealing.key` in the data directory is
    /// made and used.
    #[arg(long, env = "TOKENWELL_SEALING_KEY_FILE", value_name = "FILE")]
    pub sealing_key_file: Option<PathBuf>,
}

/// What is known of providers, and how they are reached.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Providers")]
pub struct ProviderArgs {
    /// A directory of further catalog files (`*.toml`). An entry replaces the built-in one of its name. `serve` reads it at
    /// start, again when something in it changes, and on SIGHUP: a set with a fault ends the start, but not a running server,
    /// which reports it and stays with the last good set.
    #[arg(long, env = "TOKENWELL_PROVIDERS_DIR", value_name = "DIR")]
    pub providers_dir: Option<PathBuf>,

    /// Lets providers of `--providers-dir` have http endpoints on a loopback address, and lets the server call its own machine:
    /// providers and webhooks. For development.
    #[arg(long, env = "TOKENWELL_DEV_LOOPBACK_PROVIDERS")]
    pub dev_loopback_providers: bool,

    /// A PEM file of further certificate authorities, for providers behind a private one.
    #[arg(long, env = "TOKENWELL_PROVIDER_CA_FILE", value_name = "FILE")]
    pub provider_ca_file: Option<PathBuf>,
}

/// Where the server listens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listeners")]
pub struct ListenArgs {
    /// The gRPC listener, for your backends only. Beyond this machine, give it TLS, or let your mesh do that.
    #[arg(long, env = "TOKENWELL_GRPC_LISTEN", default_value_t = loopback(50051), value_name = "ADDRESS")]
    pub grpc_listen: SocketAddr,

    /// The gateway's listener, for browsers: put your TLS proxy in front of it.
    #[arg(long, env = "TOKENWELL_GATEWAY_LISTEN", default_value_t = loopback(8080), value_name = "ADDRESS")]
    pub gateway_listen: SocketAddr,

    /// The admin listener: `/healthz` and `/readyz`.
    #[arg(long, env = "TOKENWELL_ADMIN_LISTEN", default_value_t = loopback(9090), value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,

    /// The gateway's address as browsers see it, such as `https://connect.example.com`. Callback URLs are made of it.
    /// Without it, `http://` and the gateway's listener.
    #[arg(long, env = "TOKENWELL_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
}

/// How the server behaves.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Behaviour")]
pub struct BehaviourArgs {
    /// The longest that a unary call may take, in seconds.
    #[arg(long, env = "TOKENWELL_DEADLINE", default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub deadline: Duration,

    /// How long a stopping server waits for calls and refreshes under way, in seconds.
    #[arg(long, env = "TOKENWELL_DRAIN", default_value = "25", value_name = "SECONDS", value_parser = seconds)]
    pub drain: Duration,

    /// How long a stream (`Watch`) says nothing while nothing happens, in seconds: less than the time after which a proxy
    /// between clients and the server gives a silent call up.
    #[arg(long, env = "TOKENWELL_HEARTBEAT", default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub heartbeat: Duration,

    /// Leaves out gRPC server reflection.
    #[arg(long, env = "TOKENWELL_NO_REFLECTION")]
    pub no_reflection: bool,

    /// Leaves the schema alone: run `tokenwell migrate` before. The server does not start on an old one.
    #[arg(long, env = "TOKENWELL_NO_MIGRATE")]
    pub no_migrate: bool,
}

/// How tokens are refreshed.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Refreshes")]
pub struct RefreshArgs {
    /// The most token requests of refreshes that this server has under way at one provider. Where a provider's host is the
    /// customer's own, at one provider for one project. Further ones wait for their turn.
    #[arg(long, env = "TOKENWELL_REFRESH_CONCURRENCY", default_value_t = 64, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub refresh_concurrency: u16,

    /// How long a Get whose token has expired waits for a provider that is left alone for a moment, in seconds, before it fails
    /// with `PROVIDER_UNAVAILABLE`: 0 to 60. It stops a second before its caller's deadline.
    #[arg(long, env = "TOKENWELL_REFRESH_PATIENCE", default_value = "5", value_name = "SECONDS", value_parser = patience)]
    pub refresh_patience: Duration,
}

impl Default for RefreshArgs {
    fn default() -> Self {
        Self { refresh_concurrency: 64, refresh_patience: Duration::from_secs(5) }
    }
}

/// What the server does unasked.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Background")]
pub struct BackgroundArgs {
    /// Does nothing unasked: no tokens are renewed ahead or kept alive, no revocations are tried again, no webhooks are sent,
    /// nothing is purged. At least one server of a database must do it.
    #[arg(long, env = "TOKENWELL_NO_BACKGROUND")]
    pub no_background: bool,

    /// Renews tokens only when somebody needs them. Refresh tokens that die of idleness are kept alive all the same.
    #[arg(long, env = "TOKENWELL_NO_REFRESH_AHEAD")]
    pub no_refresh_ahead: bool,
}

/// Where webhooks may be sent.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Webhooks")]
pub struct WebhookArgs {
    /// Lets webhooks be sent to private networks and to this machine, too. Without it only public addresses are called, whatever
    /// a host's name resolves to. Metadata services of clouds are never called.
    #[arg(long, env = "TOKENWELL_ALLOW_PRIVATE_WEBHOOKS")]
    pub allow_private_webhooks: bool,
}

/// How the log is written, to standard error.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// What is logged: `error`, `warn`, `info`, `debug`, or directives such as `tokenwell=debug,warn`.
    #[arg(long, env = "TOKENWELL_LOG", default_value = "info", global = true, value_name = "FILTER")]
    pub log: String,

    /// How it is written.
    #[arg(long, env = "TOKENWELL_LOG_FORMAT", default_value = "text", global = true, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Everything that `tokenwell serve` is told.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Where the data is.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// What is known of providers.
    #[command(flatten)]
    pub providers: ProviderArgs,
    /// Where the server listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// How its gRPC listener speaks TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Who may call.
    #[command(flatten)]
    pub callers: CallerArgs,
    /// How the server behaves.
    #[command(flatten)]
    pub behaviour: BehaviourArgs,
    /// What it bears.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How it refreshes tokens.
    #[command(flatten)]
    pub refresh: RefreshArgs,
    /// What it does unasked.
    #[command(flatten)]
    pub background: BackgroundArgs,
    /// Where it sends webhooks.
    #[command(flatten)]
    pub webhooks: WebhookArgs,
    /// Where it fails on purpose, and without which defences it runs: `refresh.before_call=abort@3,lease=off`. Only test
    /// builds have this.
    #[cfg_attr(not(feature = "failpoints"), arg(skip))]
    #[cfg_attr(
        feature = "failpoints",
        arg(
            long,
            env = "TOKENWELL_FAILPOINTS",
            default_value = "",
            hide_default_value = true,
            value_name = "RULES"
        )
    )]
    pub failpoints: Failpoints,
}

/// A loopback address.
#[must_use]
pub const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn patience(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds @ 0..=60) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected 0 to 60 seconds".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected 1 to 3600 seconds".to_owned()),
    }
}
