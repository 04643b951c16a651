//! Rows, as the database has them. Private to the store. What is secret in them is sealed or a digest.

pub(super) mod api_key;
pub(super) mod connection;
pub(super) mod event;
pub(super) mod event_feed;
pub(super) mod flow;
pub(super) mod integration;
pub(super) mod project;
pub(super) mod refresh_attempt;
pub(super) mod revocation;
pub(super) mod webhook;
pub(super) mod webhook_delivery;
