//! `tokenwell migrate`.

use std::sync::Arc;

use super::Failure;
use crate::{app::open_store, config::StorageArgs, model::OsRandom};

/// Applies the migrations that the database lacks.
pub(super) async fn run(args: &StorageArgs) -> Result<(), Failure> {
    let store = open_store(args, Arc::new(OsRandom)).await?;
    let pending = store.pending_migrations().await?;
    store.migrate().await?;
    match pending {
        0 => println!("the schema is up to date"),
        1 => println!("applied 1 migration"),
        more => println!("applied {more} migrations"),
    }
    Ok(())
}
