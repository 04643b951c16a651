//! x
pub mod model;
pub mod provider;
pub mod gateway;
pub mod api;
pub mod sandbox;
pub mod flow;
pub mod store;
pub mod oauth;
