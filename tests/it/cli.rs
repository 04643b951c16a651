//! The command line: the built binary, as an operator runs it.

mod keys;
mod offline;
mod program;
mod reload;
mod serve;
