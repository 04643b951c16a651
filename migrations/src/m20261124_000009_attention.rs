//! Refreshes whose answers nobody understands: counted, and after long enough somebody should look.

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
        for column in [
            // How many such answers came since the last refresh that succeeded, and since when.
            big_integer("unknown_failures").default(0).to_owned(),
            big_integer_null("unknown_time"),
            // Since when somebody should look. The column `state` says `active` all the while: the release before this one, which
            // may run at the same time, knows no other word for it. It counts for the failures that it came after, in case that
            // release has ended them without knowing of it.
            big_integer_null("attention_time"),
        ] {
            let table = Table::alter().table("connections").add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }

    // Else SQLite would run them one by one.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations only go forward: restore a backup instead".to_owned()))
    }
}
