//! Webhooks, and the deliveries of events to them.

#![expect(elided_lifetimes_in_paths, reason = "the trait elides them, and async_trait tells the two apart")]

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary, binary_null, boolean, string, string_null, text, uuid},
};

/// The migration.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [webhooks(), webhook_deliveries()] {
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

fn webhooks() -> TableCreateStatement {
    Table::create()
        .table("webhooks")
        .col(uuid("id").primary_key())
        .col(string("project_id"))
        .col(text("url"))
        .col(text("event_types"))
        .col(string("display_name"))
        .col(boolean("disabled"))
        // Null: it is not, or somebody did it by hand.
        .col(string_null("disable_reason"))
        .col(big_integer_null("disable_time"))
        // When the first try since the last success failed.
        .col(big_integer_null("failure_time"))
        // The endpoint is left alone until then.
        .col(big_integer_null("pause_until"))
        // Sealed.
        .col(binary("secret"))
        // The one before it, which signs, too, for a while. Sealed.
        .col(binary_null("previous_secret"))
        .col(big_integer_null("previous_secret_expire_time"))
        .col(big_integer("create_time"))
        .col(big_integer("update_time"))
        .foreign_key(ForeignKey::create().from("webhooks", "project_id").to("projects", "id"))
        .to_owned()
}

fn webhook_deliveries() -> TableCreateStatement {
    Table::create()
        .table("webhook_deliveries")
        .col(uuid("id").primary_key())
        .col(uuid("webhook_id"))
        .col(string("project_id"))
        // What the event says: the event itself is purged earlier than a dead delivery.
        .col(uuid("event_id"))
        .col(string("event_type"))
        .col(big_integer("event_time"))
        // These are null for a test.
        .col(big_integer_null("sequence"))
        .col(string_null("integration_id"))
        .col(string_null("connection_id"))
        .col(string_null("provider_id"))
        .col(string_null("reason"))
        // pending, then delivered or dead.
        .col(string("status"))
        .col(big_integer("attempts"))
        .col(big_integer_null("attempt_time"))
        .col(big_integer_null("response_status"))
        .col(string_null("problem"))
        // When it is due; while it is under way, when its server counts as dead. Null: it has ended.
        .col(big_integer_null("next_time"))
        // When it was made or redelivered.
        .col(big_integer("begin_time"))
        .col(big_integer_null("end_time"))
        .foreign_key(
            ForeignKey::create()
                .from("webhook_deliveries", "webhook_id")
                .to("webhooks", "id")
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
    let deliveries = "webhook_deliveries";
    vec![
        index("webhooks_by_project", "webhooks", &["project_id", "id"]),
        // An event goes to a webhook once.
        index("webhook_deliveries_by_event", deliveries, &["webhook_id", "event_id"]).unique().to_owned(),
        // By webhook first, so that the many due rows of one do not hide the one of another.
        index("webhook_deliveries_by_due", deliveries, &["webhook_id", "next_time"])
            .cond_where(Expr::col("next_time").is_not_null())
            .to_owned(),
        // For lists, of all and of the dead.
        index("webhook_deliveries_by_webhook", deliveries, &["webhook_id", "id"]),
        index("webhook_deliveries_by_status", deliveries, &["webhook_id", "status", "id"]),
        // For purging.
        index("webhook_deliveries_by_end", deliveries, &["end_time"]),
        index("webhook_deliveries_by_begin", deliveries, &["begin_time"])
            .cond_where(Expr::col("end_time").is_null())
            .to_owned(),
    ]
}
