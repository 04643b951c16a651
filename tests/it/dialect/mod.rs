//! Where providers differ from the RFCs, key by key of a catalog entry.

mod answers;
mod assertion;
mod certificate;
mod clock;
mod discovery;
mod id_token;
mod issuer;
mod odd;
mod requests;
mod scopes;
mod tenants;

use tonic::Status;
use url::Url;

use crate::support::{Acme, steps::complete};

/// An entry that has nothing but its endpoints.
const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;

async fn completed(acme: &Acme, callback: &Url) -> Result<(), Status> {
    complete(&acme.server, &acme.server.key, callback.query().unwrap()).await.map(drop)
}
