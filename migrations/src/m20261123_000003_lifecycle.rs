//! What keeps tokens fresh: where refreshes stand, their journal, events, and the outbox of revocations.

#![expect(elided_lifetimes_in_paths, reason = "the trait elides them, and async_trait tells the two apart")]

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary, integer, string, string_null, uuid},
};

/// The migration.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One column a statement: SQLite adds no more at once.
        for (table, column) in columns() {
            let alter = Table::alter().table(table).add_column(column).to_owned();
            manager.alter_table(alter).await?;
        }
        for table in [refresh_attempts(), events(), event_feed(), revocations()] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        let db = manager.get_connection();
        // The one row of the feed.
        db.execute_unprepared("INSERT INTO event_feed (id, position, purged_position) VALUES (1, 0, 0)")
            .await?;
        // What can be renewed is due when it expires.
        db.execute_unprepared(
            "UPDATE connections SET due_time = token_expire_time WHERE state = 'active' \
             AND (refresh_token IS NOT NULL OR grant_type = 'client_credentials')",
        )
        .await?;
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations only go forward: restore a backup instead".to_owned()))
    }
}

fn columns() -> Vec<(&'static str, ColumnDef)> {
    vec![
        // Counts the token sets that the row has had. Whoever writes one names the one that it replaces.
        ("connections", big_integer("generation").default(1).to_owned()),
        // Why the grant is gone.
        ("connections", string_null("reason")),
        // How often the refresh has failed since the last one that did not, since when, and why the last time.
        ("connections", big_integer("failures").default(0).to_owned()),
        ("connections", big_integer_null("failure_time")),
        ("connections", string_null("failure_code")),
        ("connections", string_null("failure_error")),
        // Nobody asks the provider again before.
        ("connections", big_integer_null("retry_time")),
        // When a server looks after the row unasked.
        ("connections", big_integer_null("due_time")),
        // Why the provider refuses the client, and since when.
        ("integrations", string_null("failure_code")),
        ("integrations", big_integer_null("failure_time")),
        // The provider is left alone until then, and how often in a row it had to be.
        ("integrations", big_integer_null("pause_until")),
        ("integrations", big_integer("pauses").default(0).to_owned()),
        // How a flow has ended.
        ("flows", string_null("outcome")),
        ("flows", string_null("outcome_reason")),
        ("flows", big_integer_null("outcome_time")),
    ]
}

fn refresh_attempts() -> TableCreateStatement {
    Table::create()
        .table("refresh_attempts")
        .col(uuid("id").primary_key())
        .col(string("project_id"))
        .col(uuid("connection_row_id"))
        // The token set that was to be replaced.
        .col(big_integer("generation"))
        .col(big_integer("epoch"))
        // The server that made it.
        .col(string("replica"))
        .col(big_integer("start_time"))
        .col(big_integer_null("end_time"))
        // Null: under way, or its server was killed.
        .col(string_null("outcome"))
        .to_owned()
}

fn events() -> TableCreateStatement {
    Table::create()
        .table("events")
        // The order of events of one row: they are written one after the other. Of different rows, a lower one may be
        // committed later, which is why readers go by the position.
        .col(big_integer("seq").auto_increment().primary_key())
        .col(uuid("id"))
        // Its place in the feed. Null: just committed.
        .col(big_integer_null("position").unique_key())
        .col(string("project_id"))
        .col(string("type"))
        .col(string("integration_id"))
        .col(string("connection_id"))
        .col(uuid("connection_row_id"))
        .col(string("provider_id"))
        .col(string_null("reason"))
        .col(big_integer("time"))
        .to_owned()
}

fn event_feed() -> TableCreateStatement {
    Table::create()
        .table("event_feed")
        .col(integer("id").primary_key())
        // The last place that was given.
        .col(big_integer("position"))
        // The last place whose event is gone.
        .col(big_integer("purged_position"))
        .to_owned()
}

fn revocations() -> TableCreateStatement {
    Table::create()
        .table("revocations")
        .col(uuid("id").primary_key())
        .col(string("project_id"))
        // No foreign key: the tokens of an integration that is gone are revoked, too.
        .col(uuid("integration_row_id"))
        .col(string("integration_id"))
        .col(string("provider_id"))
        .col(string("connection_id"))
        // Sealed: the tokens, and what their revocation takes.
        .col(binary("payload"))
        .col(big_integer("attempts"))
        .col(big_integer("next_time"))
        .col(big_integer("create_time"))
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
        // By project first, so that the many due rows of one do not hide the one of another.
        index("connections_by_due", "connections", &["project_id", "due_time"]),
        index("refresh_attempts_by_connection", "refresh_attempts", &["connection_row_id", "generation"]),
        // For purging.
        index("refresh_attempts_by_start", "refresh_attempts", &["start_time"]),
        index("events_by_project", "events", &["project_id", "position"]),
        // Those without a place.
        index("events_unplaced", "events", &["seq"]).cond_where(Expr::col("position").is_null()).to_owned(),
        index("events_by_time", "events", &["time"]),
        index("revocations_by_next", "revocations", &["next_time"]),
    ]
}
