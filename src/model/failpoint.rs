//! Places where a test build can be made to fail, and defences that it can switch off.
//!
//! Only the feature `failpoints` fills this with life. In every other build a [`Failpoints`] has no size, no point does
//! anything, and no defence can be off. A release build with the feature does not compile.

#[cfg(feature = "failpoints")]
mod armed;
#[cfg(not(feature = "failpoints"))]
mod inert;

#[cfg(feature = "failpoints")]
pub use armed::{Action, Failpoints};
#[cfg(not(feature = "failpoints"))]
pub use inert::Failpoints;

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` is for tests: it has no place in a release build");

/// A place in the code that a test can make something happen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// `refresh.before_call`: all is ready, the provider is about to be asked.
    RefreshBeforeCall,
    /// `refresh.after_answer`: the provider has answered, nothing of it is stored.
    RefreshAfterAnswer,
    /// `refresh.before_commit`: about to store the answer. Visited by each try.
    RefreshBeforeCommit,
    /// `refresh.after_commit`: the answer is stored, nobody has been told.
    RefreshAfterCommit,
    /// `redeem.after_exchange`: the code is spent, the connection is not stored.
    RedeemAfterExchange,
}

/// Something that keeps refreshes right, and that a test can do without, to see that it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defence {
    /// `coalescing`: the callers of one process share one refresh.
    Coalescing,
    /// `lease`: one replica at a time refreshes a row.
    Lease,
    /// `journal`: an attempt is on record before the provider is asked.
    Journal,
    /// `epoch`: only who still holds the row may commit.
    Epoch,
    /// `reread`: before a refusal counts as final, the row is read again.
    Reread,
    /// `backoff`: after a failure the provider is left in peace for a while.
    Backoff,
    /// `owned_task`: a refresh ends though its caller has gone.
    OwnedTask,
    /// `heartbeat`: a lease lasts as long as the work does.
    Heartbeat,
    /// `takeover`: who takes over from a server that has not finished gives it the time to store what it has.
    Takeover,
    /// `clock`: a server whose clock is wrong goes by the database's.
    Clock,
}
