//! The storm: three server processes on one PostgreSQL, an authorization server that is not ours, tokens that live two
//! seconds, and many callers. The judge is the authorization server's own book, and what it says to each token.
//!
//! `make test` runs a short storm of each kind, `make storm` the long one, whose results go into `docs/reliability.md`.

mod caller;
mod clocks;
mod crash;
mod defences;
mod down;
mod fleet;
mod judge;
mod proxy;
mod report;
mod takeover;
mod weather;
mod world;
