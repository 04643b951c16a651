//! A flow that nobody has signed for replaces no connection.

#![expect(elided_lifetimes_in_paths, reason = "the trait elides them, and async_trait tells the two apart")]

use sea_orm_migration::{prelude::*, schema::boolean};

/// The migration.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Those that an earlier release begins go on as it means them.
        let column = boolean("may_replace").default(true).to_owned();
        manager.alter_table(Table::alter().table("flows").add_column(column).to_owned()).await
    }

    // Else SQLite would run them one by one.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations only go forward: restore a backup instead".to_owned()))
    }
}
