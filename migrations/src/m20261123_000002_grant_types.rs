//! Ways to connect besides the authorization code, and secrets beside the tokens.

#![expect(elided_lifetimes_in_paths, reason = "the trait elides them, and async_trait tells the two apart")]

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary_null, string, string_null, text_null},
};

/// The migration.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ("connections", string("grant_type").default("authorization_code").to_owned()),
            // Counts the changes of config and secrets.
            ("connections", big_integer("config_version").default(1).to_owned()),
            // Sealed: what a connection holds beside its tokens.
            ("connections", binary_null("secrets")),
            ("flows", string("grant_type").default("authorization_code").to_owned()),
            // Sealed: secret config, and what the callback is checked with.
            ("flows", binary_null("secrets")),
            // Sealed.
            ("integrations", binary_null("private_key")),
            ("integrations", string_null("private_key_id")),
            ("integrations", text_null("certificate")),
        ];
        // One column a statement: SQLite adds no more at once.
        for (table, column) in columns {
            let alter = Table::alter().table(table).add_column(column).to_owned();
            manager.alter_table(alter).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations only go forward: restore a backup instead".to_owned()))
    }
}
