//! The first schema.
//!
//! Times are microseconds since the Unix epoch, so that SQLite and PostgreSQL compare them alike. Sealed columns are
//! bytes; digests are lower-case hex of SHA-256; lists and objects are JSON text, which unlike `jsonb` keeps every string.

#![expect(elided_lifetimes_in_paths, reason = "the trait elides them, and async_trait tells the two apart")]

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, binary, binary_null, boolean, string, string_null, text, text_null,
        uuid,
    },
};

/// The migration.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [projects(), api_keys(), integrations(), connections(), flows()] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations only go forward: restore a backup instead".to_owned()))
    }
}

fn projects() -> TableCreateStatement {
    Table::create()
        .table("projects")
        .col(string("id").primary_key())
        .col(string("display_name"))
        // What the project decides, but for its HMAC keys.
        .col(text("settings"))
        // Counts the changes of the settings and their keys.
        .col(big_integer("settings_version"))
        // Two keys, so that one can be replaced without an outage. Sealed.
        .col(binary_null("hmac_key_1"))
        .col(binary_null("hmac_key_2"))
        .col(big_integer("create_time"))
        .to_owned()
}

fn api_keys() -> TableCreateStatement {
    Table::create()
        .table("api_keys")
        .col(uuid("id").primary_key())
        .col(string("project_id"))
        .col(string("digest").unique_key())
        .col(string("display_name"))
        .col(string("kind"))
        .col(text("permissions"))
        .col(string("prefix"))
        .col(big_integer("create_time"))
        .col(big_integer_null("expire_time"))
        .col(big_integer_null("revoke_time"))
        .foreign_key(ForeignKey::create().from("api_keys", "project_id").to("projects", "id"))
        .to_owned()
}

fn integrations() -> TableCreateStatement {
    Table::create()
        .table("integrations")
        .col(uuid("id").primary_key())
        .col(string("project_id"))
        .col(string("integration_id"))
        .col(string("provider_id"))
        .col(text("client_id"))
        // Sealed.
        .col(binary_null("client_secret"))
        .col(text("scopes"))
        .col(text("user_scopes"))
        .col(big_integer("create_time"))
        .col(big_integer("update_time"))
        .foreign_key(ForeignKey::create().from("integrations", "project_id").to("projects", "id"))
        .to_owned()
}

fn connections() -> TableCreateStatement {
    Table::create()
        .table("connections")
        .col(uuid("id").primary_key())
        .col(string("project_id"))
        .col(uuid("integration_row_id"))
        // The integration's own, kept here too since they never change and every read needs them.
        .col(string("integration_id"))
        .col(string("provider_id"))
        .col(string("connection_id"))
        .col(string("state"))
        .col(text("config"))
        .col(text("metadata"))
        .col(big_integer("metadata_version"))
        .col(text("granted_scopes"))
        // Sealed.
        .col(binary("access_token"))
        .col(string("token_type"))
        .col(big_integer_null("token_expire_time"))
        // Sealed.
        .col(binary_null("refresh_token"))
        .col(big_integer_null("refresh_token_expire_time"))
        // Counts grants, leases and refreshes: whoever writes tokens names the epoch that they belong to.
        .col(big_integer("epoch"))
        .col(big_integer_null("lease_until"))
        .col(big_integer("create_time"))
        .col(big_integer("update_time"))
        .col(big_integer("refresh_time"))
        .foreign_key(ForeignKey::create().from("connections", "integration_row_id").to("integrations", "id"))
        .to_owned()
}

fn flows() -> TableCreateStatement {
    Table::create()
        .table("flows")
        .col(uuid("id").primary_key())
        .col(string("project_id"))
        .col(uuid("integration_row_id"))
        .col(string("integration_id"))
        .col(string("provider_id"))
        .col(string("connection_id"))
        // pending, then taken; or pending, parked, taken.
        .col(string("status"))
        .col(string("state_digest").unique_key())
        .col(string("connect_digest").unique_key())
        .col(string_null("confirmation_digest").unique_key())
        .col(string_null("browser_digest"))
        .col(boolean("browser_binding"))
        .col(string("completion"))
        .col(text("redirect_uri"))
        // Sealed.
        .col(binary_null("code_verifier"))
        .col(text("config"))
        .col(text("scopes"))
        .col(text_null("metadata"))
        .col(text_null("return_url"))
        // Sealed, since it holds the state.
        .col(binary("authorization_url"))
        // Sealed.
        .col(binary_null("parked_query"))
        .col(big_integer("create_time"))
        .col(big_integer("expire_time"))
        .foreign_key(
            ForeignKey::create()
                .from("flows", "integration_row_id")
                .to("integrations", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let index = |name: &str, table: &'static str, columns: &[&'static str]| {
        let mut index = Index::create();
        index.name(name).table(table);
        for column in columns {
            index.col(*column);
        }
        index
    };
    vec![
        index("api_keys_by_project", "api_keys", &["project_id", "id"]),
        index("integrations_by_name", "integrations", &["project_id", "integration_id"]).unique().to_owned(),
        index("connections_by_name", "connections", &["project_id", "integration_id", "connection_id"])
            .unique()
            .to_owned(),
        // For lists of all connections of a project.
        index("connections_by_project", "connections", &["project_id", "id"]),
        // For lists of an integration's connections, and for knowing whether it has any.
        index("connections_by_integration", "connections", &["integration_row_id", "id"]),
        // For purging.
        index("flows_by_expiry", "flows", &["expire_time"]),
    ]
}
