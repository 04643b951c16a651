//! Wire types and services, generated from `proto/` at build time.

use std::fmt;

/// The descriptors of all protos with comments, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub use generated::*;

#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the protos hold the documentation"
)]
mod generated {
    macro_rules! packages {
        ($($noun:ident),*) => {
            $(
                pub mod $noun {
                    pub mod v1 {
                        include!(concat!(env!("OUT_DIR"), "/tokenwell.", stringify!($noun), ".v1.rs"));
                    }
                }
            )*
        };
    }

    packages!(auth, connection, error, integration, project, provider, webhook);
}

/// Gives messages that hold secrets a `Debug` that shows only the named fields.
macro_rules! redacted {
    ($($message:ty { $($field:ident),* })*) => {
        $(
            impl fmt::Debug for $message {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($message))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
                }
            }
        )*
    };
}

redacted! {
    auth::v1::BeginRequest { integration_id, connection_id }
    auth::v1::BeginResponse { flow_id, connection_id }
    auth::v1::Callback { }
    auth::v1::Confirmation { flow_id }
    auth::v1::CompleteResponse { flow_id, integration_id, connection_id, outcome }
    connection::v1::OAuth2Credentials { token_type, expire_time }
    integration::v1::Integration { integration_id, provider_id, client_id }
    project::v1::CreateApiKeyResponse { api_key }
    project::v1::CreateResponse { project, api_key }
    project::v1::HmacSettings { required, refuse_v1, keys_set }
    webhook::v1::CreateResponse { webhook }
    webhook::v1::RotateSecretResponse { webhook }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let request = auth::v1::BeginRequest { signature: "canary".to_owned(), ..Default::default() };
        let token =
            connection::v1::OAuth2Credentials { access_token: "canary".to_owned(), ..Default::default() };
        let integration =
            integration::v1::Integration { client_secret: "canary".to_owned(), ..Default::default() };
        let further = integration::v1::Integration {
            further_client_secrets: vec!["canary".to_owned()],
            ..Default::default()
        };
        let keys = project::v1::HmacSettings { keys: vec![b"canary".to_vec()], ..Default::default() };
        let created = webhook::v1::CreateResponse { secret: "canary".to_owned(), ..Default::default() };
        let rotated = webhook::v1::RotateSecretResponse { secret: "canary".to_owned(), ..Default::default() };
        let shown =
            format!("{request:?} {token:?} {integration:?} {further:?} {keys:?} {created:?} {rotated:?}");
        assert!(!shown.contains("canary") && !shown.contains("99, 97"), "{shown}");
    }
}
