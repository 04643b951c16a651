//! Signatures of scheme v2 begin one flow each: the flow's row remembers which it was.

#![expect(elided_lifetimes_in_paths, reason = "the trait elides them, and async_trait tells the two apart")]

use sea_orm_migration::{prelude::*, schema::string_null};

/// The migration.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = string_null("signature_digest");
        manager.alter_table(Table::alter().table("flows").add_column(column).to_owned()).await?;
        // What makes the second of two Begins fail, on whichever server. Flows without a signature are not in each other's way.
        let unique = Index::create()
            .name("flows_by_signature")
            .table("flows")
            .col("signature_digest")
            .unique()
            .to_owned();
        manager.create_index(unique).await
    }

    // Else SQLite would run them one by one.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations only go forward: restore a backup instead".to_owned()))
    }
}
