//! `tokenwell connections`.

use clap::{Args, Subcommand};

use super::{
    Failure, flows,
    output::{Output, print},
};
use crate::{
    app::offline,
    config::{ProviderArgs, StorageArgs},
    model::{
        Connection, ConnectionId, ConnectionState, IntegrationId, PageRequest, ProjectId,
        ReauthorizationReason,
    },
};

/// Arguments of `tokenwell connections`.
#[derive(Debug, Args)]
pub(super) struct ConnectionsArgs {
    #[command(subcommand)]
    command: ConnectionsCommand,
    /// The project.
    #[arg(long, default_value = "default", global = true)]
    project: String,
}

#[derive(Debug, Subcommand)]
enum ConnectionsCommand {
    /// List connections, without credentials.
    List {
        /// Only those of this integration.
        #[arg(long)]
        integration: Option<String>,
        /// How to print them.
        #[arg(long, default_value = "text")]
        output: Output,
        #[command(flatten)]
        storage: StorageArgs,
    },
    /// Delete a connection and its credentials.
    Delete {
        /// The integration.
        integration: String,
        /// The connection.
        connection: String,
        /// Leave its tokens to expire by themselves. Without this, a server revokes them at the provider.
        #[arg(long)]
        skip_revocation: bool,
        #[command(flatten)]
        storage: StorageArgs,
        #[command(flatten)]
        providers: ProviderArgs,
    },
}

/// Runs the subcommand.
pub(super) async fn run(args: ConnectionsArgs) -> Result<(), Failure> {
    let flows = match &args.command {
        ConnectionsCommand::List { storage, .. } => flows(storage).await?,
        ConnectionsCommand::Delete { storage, providers, .. } => offline(storage, providers).await?,
    };
    let project = ProjectId::parse(&args.project)?;
    match args.command {
        ConnectionsCommand::List { integration, output, .. } => {
            let integration = integration.map(|id| IntegrationId::parse(&id)).transpose()?;
            let mut rows = Vec::new();
            let mut token = String::new();
            loop {
                let page = PageRequest::parse(500, &token, "connections")?;
                let page = flows.list_connections(&project, integration.as_ref(), &page).await?;
                rows.extend(page.items.iter().map(row));
                match page.next {
                    Some(next) => token = next.into_string(),
                    None => break,
                }
            }
            print(
                output,
                &["integration", "connection", "provider", "state", "problem", "config", "refreshed"],
                rows,
            )
        }
        ConnectionsCommand::Delete { integration, connection, skip_revocation, .. } => {
            let (integration, connection) =
                (IntegrationId::parse(&integration)?, ConnectionId::parse(&connection)?);
            if skip_revocation {
                flows.forget_connection(&project, &integration, &connection).await?;
            } else {
                flows.delete_connection(&project, &integration, &connection).await?;
            }
            println!("deleted `{connection}` of `{integration}`");
            Ok(())
        }
    }
}

fn row(connection: &Connection) -> Vec<String> {
    let config: Vec<_> = connection.config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    vec![
        connection.integration_id.to_string(),
        connection.id.to_string(),
        connection.provider_id.to_string(),
        match connection.state {
            ConnectionState::Active => "active".to_owned(),
            ConnectionState::NeedsAttention => "needs attention".to_owned(),
            ConnectionState::NeedsReauthorization => "needs reauthorization".to_owned(),
        },
        problem(connection).to_owned(),
        config.join(" "),
        connection.refresh_time.to_string(),
    ]
}

/// Why the grant is gone, or its tokens cannot be renewed for the moment.
fn problem(connection: &Connection) -> &'static str {
    let failing = || connection.failure.as_ref().map(|failure| failure.kind.as_str());
    connection.reason.map(ReauthorizationReason::as_str).or_else(failing).unwrap_or_default()
}
