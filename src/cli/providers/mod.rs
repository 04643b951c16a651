//! `tokenwell providers`.

mod import;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    Failure,
    output::{Output, print},
};
use crate::{
    app::{AppError, load_catalog},
    config::ProviderArgs,
    model::ProviderId,
    provider::{Catalog, Field, Provider, Transport, schema},
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
    /// Check catalog files, and say what is wrong with each, and in which line.
    Check {
        /// The files. They may extend built-in entries and each other.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Make catalog files of a `providers.yaml`, as users of Nango have it.
    ///
    /// Reports for each entry what was not carried over, and why. The exit status is 0 if the file could be read.
    Import(import::ImportArgs),
    /// Print the JSON schema of catalog files, for editors.
    Schema,
}

/// Runs the subcommand.
pub(super) fn run(args: &ProvidersArgs) -> Result<(), Failure> {
    match &args.command {
        ProvidersCommand::List { output, providers } => {
            let catalog = load_catalog(providers, &[])?;
            print(
                *output,
                &["id", "name", "categories", "grant types", "required config"],
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
        ProvidersCommand::Schema => {
            println!("{:#}", schema());
            Ok(())
        }
    }
}

/// The files are checked together, on top of the built-in entries, so that they may extend these and each other.
fn check(files: &[PathBuf]) -> Result<(), Failure> {
    let read = |file: &PathBuf| {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
        Ok::<_, Failure>((name, text))
    };
    let texts = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut catalog = Catalog::built_in().map_err(AppError::Catalog)?;
    let faults = catalog.add_files(texts.into_iter(), Transport::Strict).err().unwrap_or_default();
    for file in files.iter().map(|file| file.display().to_string()) {
        let mut faults = faults.iter().filter(|fault| fault.file == file).peekable();
        if faults.peek().is_none() {
            println!("{file}: ok");
        }
        faults.for_each(|fault| println!("{fault}"));
    }
    match faults.len() {
        0 => Ok(()),
        1 => Err("1 fault".into()),
        count => Err(format!("{count} faults").into()),
    }
}

fn row(provider: &Provider) -> Vec<String> {
    let required = provider.fields().iter().filter(|field| field.required()).map(Field::name);
    vec![
        provider.id().to_string(),
        provider.display_name().to_owned(),
        provider.categories().join(","),
        provider.grant_types().iter().map(|it| it.as_str()).collect::<Vec<_>>().join(","),
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
