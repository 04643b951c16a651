//! The command line: one file per subcommand.

mod connections;
mod demo;
mod keys;
mod migrate;
mod output;
mod providers;
mod serve;
mod sign;

use std::{io::IsTerminal as _, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::{
    app::AppError,
    config::{LogArgs, LogFormat, ProviderArgs, ServeArgs, StorageArgs},
};

/// Why a command failed, in words for the operator.
type Failure = Box<dyn std::error::Error>;

/// An OAuth connection service: gRPC in front, an encrypted token vault behind.
#[derive(Debug, Parser)]
#[command(name = "tokenwell", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    ///
    /// The first start makes the project `default` and a secret API key, and prints the key once.
    Serve(Box<ServeArgs>),
    /// Try it: a server with a throw-away database and a built-in OAuth provider.
    Demo(demo::DemoArgs),
    /// Bring the database's schema up to date.
    Migrate(StorageArgs),
    /// Manage API keys, and make sealing keys.
    Keys(keys::KeysArgs),
    /// Look at the catalog, and check files for it.
    Providers(providers::ProvidersArgs),
    /// Look at connections, and delete them.
    Connections(connections::ConnectionsArgs),
    /// Sign a Begin by hand, as an app's backend does, and print the signature.
    ///
    /// The signature goes into `signature` of Begin, or into `hmac` of a link. It covers these fields exactly as the Begin has
    /// them. Needs no server and no database.
    Sign(Box<sign::SignArgs>),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = start_log(&cli.log).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(run(cli.command))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{red}error:{red:#} {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => Ok(serve::run(&args).await?),
        Command::Demo(args) => demo::run(&args).await,
        Command::Migrate(args) => migrate::run(&args).await,
        Command::Keys(args) => keys::run(args).await,
        Command::Providers(args) => providers::run(&args),
        Command::Connections(args) => connections::run(args).await,
        Command::Sign(args) => sign::run(&args),
    }
}

fn start_log(args: &LogArgs) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log).map_err(|error| format!("--log: {error}"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    // Where, not what: what a panic says may hold anything.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "a panic");
    }));
    Ok(())
}

/// The tables and times of the database, without a server.
async fn flows(storage: &StorageArgs) -> Result<crate::flow::Flows, AppError> {
    crate::app::offline(storage, &ProviderArgs::default()).await
}
