//! `tokenwell providers`.

mod import;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    Failure,
    output::{Output, print},
};
use crate::{
    app::load_catalog,
    config::ProviderArgs,
    model::ProviderId,
    provider::{Catalog, Field, Provider, Transport},
};

/// Arguments of `tokenwell providers`.
#[derive(Debug, Args)]
pub(super) struct ProvidersArgs {
    #[command(subcommand)]
    command: ProvidersCommand,
}

#[derive(Debug, Subcommand)]
enum ProvidersCommand {
    /// List the providers of the catalog.
    List {
        /// How to print them.
        #[arg(long, default_value = "text")]
        output: Output,
        #[command(flatten)]
        providers: ProviderArgs,
    },
    /// Show the connection config of a provider.
    Show {
        /// The provider's id.
        provider: String,
        /// How to print it.
        #[arg(long, default_value = "text")]
        output: Output,
        #[command(flatten)]
        providers: ProviderArgs,
    },
    /// Check catalog files, and say what is wrong with each.
    Check {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Make catalog files of a `providers.yaml`, as users of Nango have it.
    ///
    /// Reports for each entry what was not carried over, and why. The exit status is 0 if the file could be read.
    Import(import::ImportArgs),
}

/// Runs the subcommand.
pub(super) fn run(args: &ProvidersArgs) -> Result<(), Failure> {
    match &args.command {
        ProvidersCommand::List { output, providers } => {
            let catalog = load_catalog(providers, &[])?;
            print(
                *output,
                &["id", "name", "categories", "config"],
                catalog.iter().map(|it| row(it)).collect(),
            )
        }
        ProvidersCommand::Show { provider, output, providers } => {
            let catalog = load_catalog(providers, &[])?;
            let provider = catalog.get(&ProviderId::parse(provider)?)?;
            let rows = provider.fields().iter().map(field_row).collect();
            print(*output, &["key", "title", "given", "default", "example", "values"], rows)
        }
        ProvidersCommand::Check { files } => check(files),
        ProvidersCommand::Import(args) => import::run(args),
    }
}

fn check(files: &[PathBuf]) -> Result<(), Failure> {
    let mut faults = 0;
    for file in files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
        match Catalog::default().add(&name, &text, Transport::Strict) {
            Ok(()) => println!("{name}: ok"),
            Err(fault) => {
                faults += 1;
                println!("{fault}");
            }
        }
    }
    if faults == 0 { Ok(()) } else { Err(format!("{faults} of {} files have faults", files.len()).into()) }
}

fn row(provider: &Provider) -> Vec<String> {
    let required = provider.fields().iter().filter(|field| field.required()).map(Field::name);
    vec![
        provider.id().to_string(),
        provider.display_name().to_owned(),
        provider.categories().join(","),
        required.collect::<Vec<_>>().join(","),
    ]
}

fn field_row(field: &Field) -> Vec<String> {
    let given = match (field.required(), field.captured(), field.settable()) {
        (true, _, _) => "required",
        (false, true, true) => "optional, captured",
        (false, true, false) => "captured",
        (false, false, _) => "optional",
    };
    let values: Vec<_> = field.choices().iter().map(|choice| choice.value.as_str()).collect();
    vec![
        field.name().to_owned(),
        field.title().to_owned(),
        given.to_owned(),
        field.default_value().unwrap_or_default().to_owned(),
        field.example().to_owned(),
        values.join(","),
    ]
}
