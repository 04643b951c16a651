//! The tests from outside: through gRPC, HTTP, the command line and the database, a file per service.

#![expect(unreachable_pub, reason = "the rooms of a test binary are for each other")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what goes wrong in a test ends it"
)]

mod support;

mod attack;
mod caller;
mod callers;
mod canary;
mod catalog;
mod chromium;
mod cli;
mod config;
mod connection;
mod defence;
mod dialect;
mod egress;
mod exchange;
mod flow;
mod flow_callback;
mod flow_confirm;
mod fresh;
mod fuzz;
mod gateway;
mod gateway_link;
mod gateway_page;
mod gateway_result;
mod grace;
mod house;
mod import;
mod injection;
mod integration;
mod life;
mod limits;
mod metadata;
mod oauth1;
mod oidc;
mod project;
mod provider;
mod readme;
mod reflection;
mod refresh;
mod refresh_race;
mod reload;
mod return_url;
mod secrets;
mod settings;
mod signature;
mod store;
mod storm;
mod tenant;
mod trouble;
mod watch;
mod webhook;
mod writers;
