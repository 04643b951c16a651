//! `tokenwell keys`.

use clap::{Args, Subcommand, ValueEnum};

use super::{
    Failure, flows,
    output::{Output, print},
};
use crate::{
    config::StorageArgs,
    flow::NewApiKey,
    model::{ApiKey, ExposeSecret as _, KeyKind, OsRandom, PageRequest, Permission, ProjectId, Uuid},
    store::KeyRing,
};

/// Arguments of `tokenwell keys`.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Print a new sealing key, as a line for a key file or `TOKENWELL_SEALING_KEYS`.
    GenerateSealingKey,
    /// Make an API key in the database and print its secret, once.
    Create(Box<CreateArgs>),
    /// List a project's API keys, without their secrets.
    List(ListArgs),
    /// Revoke an API key, at once.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The project.
    #[arg(long, default_value = "default")]
    project: String,
    /// The key's name for people.
    #[arg(long, default_value = "")]
    name: String,
    /// Makes a key for frontends, `tw_pk_...`, which may only begin flows.
    #[arg(long, conflicts_with = "permissions")]
    publishable: bool,
    /// What it may do. Without it, everything in the project.
    #[arg(long, value_delimiter = ',', value_name = "PERMISSION")]
    permissions: Vec<PermissionName>,
    #[command(flatten)]
    storage: StorageArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The project.
    #[arg(long, default_value = "default")]
    project: String,
    /// How to print them.
    #[arg(long, default_value = "text")]
    output: Output,
    #[command(flatten)]
    storage: StorageArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// The key's id.
    id: Uuid,
    /// The project.
    #[arg(long, default_value = "default")]
    project: String,
    #[command(flatten)]
    storage: StorageArgs,
}

#[derive(Debug, Clone, Copy)]
struct PermissionName(Permission);

/// Runs the subcommand.
pub(super) async fn run(args: KeysArgs) -> Result<(), Failure> {
    match args.command {
        KeysCommand::GenerateSealingKey => {
            println!("{}", KeyRing::generate(&OsRandom)?.expose_secret());
            Ok(())
        }
        KeysCommand::Create(args) => create(*args).await,
        KeysCommand::List(args) => list(&args).await,
        KeysCommand::Revoke(args) => revoke(&args).await,
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let flows = flows(&args.storage).await?;
    let project = ProjectId::parse(&args.project)?;
    if flows.store().get_project(&project).await?.is_none() {
        return Err(format!("there is no project `{project}`").into());
    }
    let (kind, permissions) = match (args.publishable, args.permissions.as_slice()) {
        (true, _) => (KeyKind::Publishable, vec![Permission::Begin]),
        (false, []) => (KeyKind::Secret, Permission::PROJECT.to_vec()),
        (false, named) => (KeyKind::Secret, named.iter().map(|name| name.0).collect()),
    };
    let new = NewApiKey { display_name: args.name, kind, permissions, expire_time: None };
    let (_, secret) = flows.make_api_key(&project, new).await?;
    println!("{}", secret.expose_secret());
    Ok(())
}

async fn list(args: &ListArgs) -> Result<(), Failure> {
    let flows = flows(&args.storage).await?;
    let project = ProjectId::parse(&args.project)?;
    let mut rows = Vec::new();
    let mut token = String::new();
    loop {
        let page = flows.list_api_keys(&project, &PageRequest::parse(500, &token, "keys")?).await?;
        rows.extend(page.items.iter().map(row));
        match page.next {
            Some(next) => token = next.into_string(),
            None => break,
        }
    }
    print(args.output, &["id", "name", "prefix", "permissions", "created", "state"], rows)
}

async fn revoke(args: &RevokeArgs) -> Result<(), Failure> {
    let flows = flows(&args.storage).await?;
    let key = flows.revoke_api_key(&ProjectId::parse(&args.project)?, args.id).await?;
    println!("revoked {}... ({})", key.prefix, key.display_name);
    Ok(())
}

fn row(key: &ApiKey) -> Vec<String> {
    let permissions: Vec<_> = key.permissions.iter().map(|permission| permission.as_str()).collect();
    let state = if key.revoke_time.is_some() { "revoked" } else { "active" };
    vec![
        key.id.to_string(),
        key.display_name.clone(),
        format!("{}...", key.prefix),
        permissions.join(","),
        key.create_time.to_string(),
        state.to_owned(),
    ]
}

impl ValueEnum for PermissionName {
    fn value_variants<'a>() -> &'a [Self] {
        const NAMES: [PermissionName; 8] = {
            let all = Permission::ALL;
            [
                PermissionName(all[0]),
                PermissionName(all[1]),
                PermissionName(all[2]),
                PermissionName(all[3]),
                PermissionName(all[4]),
                PermissionName(all[5]),
                PermissionName(all[6]),
                PermissionName(all[7]),
            ]
        };
        &NAMES
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}
