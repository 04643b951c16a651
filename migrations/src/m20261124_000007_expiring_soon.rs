//! The end of what can be renewed: it is told once that it comes near.

#![expect(elided_lifetimes_in_paths, reason = "the trait elides them, and async_trait tells the two apart")]

use sea_orm_migration::{prelude::*, schema::big_integer_null};

/// The migration.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The end for which the notice was made. Null: none is known, or an earlier release has written the tokens; theirs is
        // made when they are renewed.
        let end = Table::alter().table("connections").add_column(big_integer_null("notice_end")).to_owned();
        manager.alter_table(end).await?;
        // When it is told. Null: it has been.
        let time = Table::alter().table("connections").add_column(big_integer_null("notice_time")).to_owned();
        manager.alter_table(time).await
    }

    // Else SQLite would run them one by one.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations only go forward: restore a backup instead".to_owned()))
    }
}
