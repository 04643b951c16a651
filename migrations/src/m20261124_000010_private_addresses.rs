//! An integration whose provider may be in a private network. Those that are there so far may not.

#![expect(elided_lifetimes_in_paths, reason = "the trait elides them, and async_trait tells the two apart")]

use sea_orm_migration::{prelude::*, schema::boolean};

/// The migration.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let allowed = boolean("allow_private_addresses").default(false).to_owned();
        let table = Table::alter().table("integrations").add_column(allowed).to_owned();
        manager.alter_table(table).await
    }

    // Else SQLite would run them one by one.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations only go forward: restore a backup instead".to_owned()))
    }
}
