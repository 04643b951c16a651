//! Claiming rows: an update of a few of those that are waiting, which no other server takes at the same time.

use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter as _, QueryTrait, UpdateMany,
    sea_query::{CommonTableExpression, LockBehavior, LockType, Query, SelectStatement},
};

const CLAIMED: &str = "claimed";

/// Restricts an update to the rows whose ids this query finds. Rows that somebody else claims in this moment are passed over,
/// not waited for; SQLite, which has one writer, knows nothing of that.
///
/// The ids are a table of their own, so that they are found once. Within `id IN (SELECT .. LIMIT ..)` PostgreSQL may look for
/// them anew with each row that it compares, and then finds others, because it has claimed those: more than the limit.
pub(super) fn claiming<E: EntityTrait>(
    update: UpdateMany<E>,
    id: impl ColumnTrait,
    mut some: SelectStatement,
) -> UpdateMany<E> {
    some.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let mut claimed = CommonTableExpression::new();
    claimed.table_name(CLAIMED).query(some).materialized(true);
    let ids = Query::select().column(id).from(CLAIMED).to_owned();
    let mut update = update.filter(id.in_subquery(ids));
    QueryTrait::query(&mut update).with_cte(claimed);
    update
}
