//! The order of grants: a connection knows when the flow was taken that brought its grant, so that an older one does not undo it.

#![expect(elided_lifetimes_in_paths, reason = "the trait elides them, and async_trait tells the two apart")]

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null},
};

/// The migration.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // By the database's clock. Null: it was not taken yet, or by an earlier release.
        let taken = Table::alter().table("flows").add_column(big_integer_null("taken_time")).to_owned();
        manager.alter_table(taken).await?;
        // Of the grant that the connection has. Zero: an earlier release has written it.
        let granted =
            Table::alter().table("connections").add_column(big_integer("grant_time").default(0)).to_owned();
        manager.alter_table(granted).await
    }

    // Else SQLite would run them one by one.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations only go forward: restore a backup instead".to_owned()))
    }
}
