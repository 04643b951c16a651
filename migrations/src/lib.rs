//! The schema of Tokenwell's database, as migrations that only go forward.
//!
//! Each is compatible with the release before it: columns are added nullable or with a default, and dropped one release
//! after the last one that reads them. One file per migration; the list below is their order.

mod m20261123_000001_initial;
mod m20261123_000002_grant_types;
mod m20261123_000003_lifecycle;
mod m20261123_000004_client_secrets;
mod m20261123_000005_webhooks;
mod m20261123_000006_grant_order;
mod m20261124_000007_expiring_soon;
mod m20261124_000008_probing;
mod m20261124_000009_attention;
mod m20261124_000010_private_addresses;
mod m20261124_000011_signatures;
mod m20261124_000014_replacing;
mod m20261124_000016_requested_scopes;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_initial::Migration),
            Box::new(m20261123_000002_grant_types::Migration),
            Box::new(m20261123_000003_lifecycle::Migration),
            Box::new(m20261123_000004_client_secrets::Migration),
            Box::new(m20261123_000005_webhooks::Migration),
            Box::new(m20261123_000006_grant_order::Migration),
            Box::new(m20261124_000007_expiring_soon::Migration),
            Box::new(m20261124_000008_probing::Migration),
            Box::new(m20261124_000009_attention::Migration),
            Box::new(m20261124_000010_private_addresses::Migration),
            Box::new(m20261124_000011_signatures::Migration),
            Box::new(m20261124_000014_replacing::Migration),
            Box::new(m20261124_000016_requested_scopes::Migration),
        ]
    }
}
