//! The database and its keys, for the server and for commands that need none.

use std::{path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::{AppError, Environment, LEASE_MARGIN, clock::in_step, load_catalog, ways_to_providers};
use crate::{
    config::{ProviderArgs, StorageArgs},
    flow::{Flows, Parts},
    model::{ExposeSecret as _, Failpoints, Random},
    oauth::{HttpClient, OAuthClient},
    store::{KeyRing, Store, StoreOptions},
};

const DATABASE_FILE: &str = "tokenwell.db";
const KEY_FILE: &str = "sealing.key";

/// Opens the database that the arguments name.
pub async fn open_store(args: &StorageArgs, random: Arc<dyn Random>) -> Result<Store, AppError> {
    let url = args.database_url.as_ref().map(|url| url.expose_secret().to_owned());
    let embedded = url.as_ref().is_none_or(|url| url.starts_with("sqlite:"));
    if embedded {
        std::fs::create_dir_all(&args.data_dir)
            .map_err(|source| AppError::File { path: args.data_dir.clone(), source })?;
    }
    let keys = match (&args.sealing_keys, &args.sealing_key_file) {
        (Some(keys), _) => KeyRing::parse(keys)?,
        (None, Some(file)) => KeyRing::read(file)?,
        (None, None) if embedded => default_key_ring(&args.data_dir, &*random)?,
        (None, None) => return Err(AppError::NoKeys),
    };
    let url = url.unwrap_or_else(|| format!("sqlite://{}", args.data_dir.join(DATABASE_FILE).display()));
    let options = StoreOptions { url: url.into(), max_connections: args.database_max_connections };
    Ok(Store::open(&options, keys, random).await?)
}

/// The key ring beside the embedded database, made with it. A database whose key is gone gets no other one: it would open
/// nothing, and hide that something is missing.
fn default_key_ring(directory: &Path, random: &dyn Random) -> Result<KeyRing, AppError> {
    let (key, database) = (directory.join(KEY_FILE), directory.join(DATABASE_FILE));
    if database.exists() && !key.exists() {
        return Err(AppError::KeyFileGone(key));
    }
    Ok(KeyRing::read_or_create(&key, random)?)
}

/// Everything that happens, on the database alone: for commands that need no server. What is known of providers matters where
/// tokens are to be revoked.
pub async fn offline(args: &StorageArgs, providers: &ProviderArgs) -> Result<Flows, AppError> {
    let file = args.data_dir.join(DATABASE_FILE);
    if args.database_url.is_none() && !file.exists() {
        // A mistyped directory must not be made, with a key and an empty database in it.
        return Err(AppError::NoDatabase(file));
    }
    let environment = Environment::default();
    let http = ways_to_providers(environment.http, providers)?;
    let store = open_store(args, environment.random.clone()).await?;
    match store.pending_migrations().await? {
        0 => {}
        pending => return Err(AppError::OldSchema(pending)),
    }
    let clock = Arc::new(in_step(&store).await?);
    Ok(Flows::new(Parts {
        store,
        oauth: OAuthClient::new(HttpClient::new(&http)?, clock.clone(), environment.random.clone()),
        catalog: ArcSwap::from_pointee(load_catalog(providers, &[])?),
        clock,
        random: environment.random,
        public_url: String::new(),
        lease: 2 * http.timeout + LEASE_MARGIN,
        replica: "offline".to_owned(),
        refresh_ahead: false,
        refresh_concurrency: 1,
        patience: Duration::ZERO,
        heartbeat: Duration::ZERO,
        stopping: CancellationToken::new(),
        failpoints: Failpoints::default(),
    }))
}
