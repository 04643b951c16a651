//! The command line: the built binary, as an operator runs it.

mod import;
mod keys;
mod offline;
pub mod program;
mod reload;
mod serve;
mod sign;
