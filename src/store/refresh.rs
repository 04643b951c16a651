//! Refreshes: the lease on a row, the journal of attempts, and what an attempt ends with.
//!
//! A lease counts up the row's epoch, and whoever ends it names that. The tokens themselves are guarded by the row's
//! generation: an answer that comes after its lease has run out is still the newest that there is, unless somebody else has
//! written one. The time of leases is the database's, which all servers share.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _,
    sea_query::{Expr, ExprTrait as _, SimpleExpr},
};

use super::{
    Store, column,
    connection::{of, state_name},
    entity::{
        connection::{Column, Entity},
        refresh_attempt as attempt,
    },
    failed,
    journal::{AttemptOutcome, end_attempt, end_attempts},
    notice::{due, with_notice},
    tokens::RefreshedTokens,
};
use crate::model::{
    Connection, ConnectionState, Credentials, Duration, EventType, NewEvent, Notice, OffsetDateTime, Result,
    TokenSet, Uuid, uuid_v7,
};

/// The right to refresh a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The epoch that it began.
    pub epoch: i64,
    /// The token set that it is to replace.
    pub generation: i64,
    /// Its line in the journal.
    pub attempt: Uuid,
    /// Whether an earlier attempt had no end yet: its server is gone, or has an answer that it could not store in time.
    pub interrupts: bool,
}

/// What became of new tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// They are the row's.
    Committed,
    /// The row has others, which another refresh of the same grant has brought.
    Renewed,
    /// The row has a new grant.
    Replaced,
    /// The row is gone.
    Gone,
}

// === impl Store ===

impl Store {
    /// Takes the right to refresh, if nobody has it and the row is as it was read. The journal then says so: that both are
    /// committed before the provider is asked also proves that its answer can be written.
    pub async fn take_lease(
        &self,
        connection: &Connection,
        credentials: &Credentials,
        length: Duration,
        replica: &str,
        now: OffsetDateTime,
    ) -> Result<Option<Lease>> {
        let mut lease = Lease {
            epoch: credentials.epoch + 1,
            generation: credentials.generation,
            attempt: uuid_v7(&*self.random, now)?,
            interrupts: false,
        };
        let transaction = self.db.begin().await.map_err(failed)?;
        let done = Entity::update_many()
            .col_expr(Column::Epoch, Expr::value(lease.epoch))
            .col_expr(Column::LeaseUntil, self.lease_until(length))
            .filter(of(connection))
            .filter(Column::Epoch.eq(credentials.epoch))
            .filter(Column::Generation.eq(credentials.generation))
            .filter(self.unleased())
            .exec(&transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected != 1 {
            return Ok(None);
        }
        let open = Condition::all()
            .add(attempt::Column::ConnectionRowId.eq(connection.row_id))
            .add(attempt::Column::Outcome.is_null());
        lease.interrupts = end_attempts(&transaction, open, AttemptOutcome::Interrupted, now).await? > 0;
        let row = attempt::ActiveModel {
            id: Set(lease.attempt),
            project_id: Set(connection.project_id.to_string()),
            connection_row_id: Set(connection.row_id),
            generation: Set(lease.generation),
            epoch: Set(lease.epoch),
            replica: Set(replica.to_owned()),
            start_time: Set(column::micros(now)),
            end_time: Set(None),
            outcome: Set(None),
        };
        attempt::Entity::insert(row).exec_without_returning(&transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(lease))
    }

    /// Makes a lease last that long from now on, if it still holds. Tells whether it does.
    pub async fn extend_lease(
        &self,
        connection: &Connection,
        lease: &Lease,
        length: Duration,
    ) -> Result<bool> {
        let done = Entity::update_many()
            .col_expr(Column::LeaseUntil, self.lease_until(length))
            .filter(held(connection, lease))
            .filter(Column::LeaseUntil.is_not_null())
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected == 1)
    }

    fn lease_until(&self, length: Duration) -> SimpleExpr {
        self.database_now().add(i64::try_from(length.whole_microseconds()).unwrap_or(i64::MAX))
    }

    /// Gives the right to refresh back, when nothing was asked of the provider. Without an outcome the line in the journal stays
    /// open: the next one takes over from it.
    pub async fn release_lease(
        &self,
        connection: &Connection,
        lease: &Lease,
        outcome: Option<AttemptOutcome>,
        now: OffsetDateTime,
    ) -> Result<()> {
        let transaction = self.db.begin().await.map_err(failed)?;
        Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(None::<i64>))
            .filter(held(connection, lease))
            .exec(&transaction)
            .await
            .map_err(failed)?;
        if let Some(outcome) = outcome {
            end_attempt(&transaction, lease, outcome, now).await?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// Writes what a refresh brought, in one statement, if the tokens are still those that it replaces. Of the rest of the row
    /// nothing is touched. May be tried again after a failure: what has been written is not written again.
    pub async fn put_refreshed(
        &self,
        connection: &Connection,
        lease: &Lease,
        refreshed: &RefreshedTokens<'_>,
        now: OffsetDateTime,
    ) -> Result<Written> {
        let (tokens, since) = (refreshed.tokens, refreshed.refresh_time);
        let notice = Notice::after(connection.notice, tokens, connection.grant_type, since);
        // If its end stays where it is, it may be told at any moment: then that is not undone.
        let stays = notice == connection.notice;
        let update = self.token_update(connection.row_id, &connection.project_id, refreshed, notice, now)?;
        let mut update = if stays { update } else { with_notice(update, notice) };
        if connection.state != ConnectionState::Active {
            update = update.col_expr(Column::UpdateTime, Expr::value(column::micros(now)));
        }
        let update = update.filter(of(connection)).filter(Column::Generation.eq(lease.generation));
        // Whether it recovers is what the row says now. It mostly says what was read of it.
        let read_as_ill = connection.failure.is_some();
        for ill in [read_as_ill, !read_as_ill] {
            let transaction = self.db.begin().await.map_err(failed)?;
            let update = update.clone().filter(if ill { is_ill() } else { is_ill().not() });
            if update.exec(&transaction).await.map_err(failed)?.rows_affected != 1 {
                transaction.rollback().await.map_err(failed)?;
                continue;
            }
            self.record(&transaction, &NewEvent::of(connection, EventType::Refreshed, None), now).await?;
            if ill {
                self.record(&transaction, &NewEvent::of(connection, EventType::Recovered, None), now).await?;
            }
            if stays {
                self.tell_end(&transaction, connection, now).await?;
            }
            end_attempt(&transaction, lease, AttemptOutcome::Committed, now).await?;
            transaction.commit().await.map_err(failed)?;
            return Ok(Written::Committed);
        }
        self.not_written(connection, lease, now).await
    }

    /// Corrects when an access token expires, if it is still the row's.
    pub async fn put_expiry(
        &self,
        connection: &Connection,
        credentials: &Credentials,
        expire_time: OffsetDateTime,
        due_time: Option<OffsetDateTime>,
    ) -> Result<()> {
        let tokens = TokenSet { expire_time: Some(expire_time), ..credentials.tokens.clone() };
        let since = connection.refresh_time;
        let notice = Notice::after(connection.notice, &tokens, connection.grant_type, since);
        let update = Entity::update_many()
            .col_expr(Column::TokenExpireTime, Expr::value(column::micros(expire_time)))
            .col_expr(Column::DueTime, Expr::value(due(due_time, notice, since)));
        let update = if notice == connection.notice { update } else { with_notice(update, notice) };
        update
            .filter(of(connection))
            .filter(Column::Generation.eq(credentials.generation))
            .exec(&self.db)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Nothing was written: by whose doing? An earlier try whose commit was not confirmed counts as this one.
    async fn not_written(
        &self,
        connection: &Connection,
        lease: &Lease,
        now: OffsetDateTime,
    ) -> Result<Written> {
        let committed = self.committed_attempt(connection, lease.generation).await?;
        if committed == Some(lease.attempt) {
            return Ok(Written::Committed);
        }
        end_attempt(&self.db, lease, AttemptOutcome::Superseded, now).await?;
        let found = Entity::find().filter(of(connection)).one(&self.db).await.map_err(failed)?;
        let Some(row) = found else { return Ok(Written::Gone) };
        // Each refresh since has its line. A generation without one is a new grant.
        let refreshes = self.count_committed(connection, lease.generation).await?;
        let renewed = i64::try_from(refreshes).is_ok_and(|count| lease.generation + count == row.generation);
        Ok(if renewed { Written::Renewed } else { Written::Replaced })
    }

    /// That nobody has the right to refresh.
    pub(super) fn unleased(&self) -> Condition {
        Condition::any()
            .add(Column::LeaseUntil.is_null())
            .add(Expr::col(Column::LeaseUntil).lte(self.database_now()))
    }

    /// The database's own time, in microseconds.
    pub(super) fn database_now(&self) -> SimpleExpr {
        Expr::cust(match self.db.get_database_backend() {
            sea_orm::DbBackend::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            _ => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        })
    }
}

/// Its last refresh has failed, or its grant counts as gone.
fn is_ill() -> Condition {
    Condition::any().add(Column::Failures.gt(0)).add(Column::State.ne(state_name(ConnectionState::Active)))
}

pub(super) fn held(connection: &Connection, lease: &Lease) -> Condition {
    of(connection).add(Column::Epoch.eq(lease.epoch))
}
