//! Defences that a flow which goes well never shows: each test fails if its defence is taken out.

mod answers;
mod clients;
mod pkce;
