//! The tests from outside: through gRPC, HTTP, the command line and the database, a file per service.

#![expect(unreachable_pub, reason = "the rooms of a test binary are for each other")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod support;

mod chromium;
mod cli;
mod house;
mod oidc;
mod reflection;
mod store;
