//! Tokenwell: an OAuth connection service.
//!
//! Your users connect their Zendesk, Salesforce or Shopify accounts in a browser; your backends, in any language, get
//! tokens that work now, over gRPC. This page is the map of the house.
//!
//! # The rooms
//!
//! A room uses the rooms to its left only; a test holds it to that.
//!
//! ```text
//! model <- provider <- oauth | store <- flow <- api <- gateway <- app <- cli
//!                              sandbox (uses model only)
//! ```
//!
//! | room | what is in it | knows alone |
//! | --- | --- | --- |
//! | [`model`] | what things are: ids, keys, settings, connections, flows, signatures, the one error | |
//! | [`provider`] | the catalog: a provider's endpoints, config fields, templates and host pins | toml, schemars, regex, serde-saphyr, psl |
//! | [`oauth`] | speaks OAuth 2.0 and 1.0a to providers, makes the calls that entries declare; the only way out of the house | oauth2, reqwest, httpdate |
//! | [`store`] | speaks to the database; seals what is secret | sea-orm, aes-gcm |
//! | [`flow`] | what happens: begin, complete, import, get a token, refresh, manage | |
//! | [`api`] | the gRPC edge: services, tower layers, the map from errors to statuses | tonic, prost |
//! | [`gateway`] | the HTTP edge for browsers; begins and completes through the gRPC stack, in process | axum, hyper-util, governor |
//! | [`sandbox`] | an authorization server of our own (OAuth 2.0 and 1.0a, OpenID Connect), for the demo and the tests | axum |
//! | [`app`] | builds everything, binds the listeners, reads the catalog again when it changes, drains | notify |
//! | [`cli`] | the command line; [`config`] has every flag | clap |
//!
//! # Where to begin reading
//!
//! * A flow: `flow/begin.rs`, then `flow/complete.rs` and `flow/redeem.rs`. Without a browser: `flow/import.rs`.
//! * A stream: `flow/watch/mod.rs`, then `store/event.rs`.
//! * A token: `flow/token.rs`, then `flow/refresh.rs` and `flow/save.rs`; unasked: `flow/due.rs`. What each failure means:
//!   `flow/failure.rs`. The lease and the journal: `store/refresh.rs`. All of it in words: `docs/reliability.md`.
//! * A webhook: `store/event.rs`, where an event gets its place, then `flow/webhook/`.
//! * Who may call: `api/layer/key.rs` and `api/layer/signature.rs`; the layers' order and its reasons: `api/mod.rs`.
//! * What a server bears: `config/limits.rs`, `api/incoming.rs`, `api/layer/shed.rs`, `gateway/rate.rs`.
//! * What is secret, and how it lies in the database: `store/seal.rs`.
//! * A provider's quirks: `catalog/`, whose format is `provider/definition/` and `docs/providers.md`; what an entry must
//!   fulfil: `provider/check.rs`; how a request is made to fit: `oauth/dialect.rs`.
//! * What somebody brings from elsewhere: `provider/import/`.
//! * What tests can make fail, and switch off: `model/failpoint.rs`; what a storm does with that: `docs/reliability.md`.

#[cfg(all(feature = "fuzzing", not(debug_assertions)))]
compile_error!("the feature `fuzzing` is for tests: it has no place in a release build");

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod flow;
pub mod gateway;
pub mod model;
pub mod oauth;
pub mod provider;
pub mod sandbox;
pub mod store;
