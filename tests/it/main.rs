//! The tests from outside: through gRPC, HTTP, the command line and the database, a file per service.

#![expect(unreachable_pub, reason = "the rooms of a test binary are for each other")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod support;

mod canary;
mod catalog;
mod house;
mod injection;
