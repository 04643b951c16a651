//! Tokens that are always fresh: renewed ahead and behind, given up late, revoked when nobody needs them.

mod alive;
mod apart;
mod attention;
mod behind;
mod broken;
mod client;
mod due;
mod ending;
mod herd;
mod late;
mod lifetime;
mod order;
mod outbox;
mod own_way;
mod patience;
mod pause;
mod purge;
mod revoke;
mod tries;
mod unclear;

use tokenwell::{
    api::pb::{
        connection::v1::{DeleteRequest, GetRequest},
        integration::v1::{GetRequest as IntegrationGet, Integration},
    },
    model::Duration,
    sandbox::Quirks,
};
use tonic::Status;

use crate::support::{
    Acme,
    acme::{ACME, ADA, plain},
    database::Kind,
    server::get,
};

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
default_scopes = ["read"]
"#;

/// A server with the connection `ada`, whose token has an hour.
async fn connected(kind: Kind, quirks: Quirks, more: &str) -> Acme {
    let acme = Acme::on(kind, quirks, &format!("{ENTRY}{more}")).await;
    acme.connect(&[]).await;
    acme
}

async fn usual() -> Acme {
    connected(Kind::Sqlite, plain(), "").await
}

/// One more connection of the integration.
async fn connect(acme: &Acme, name: &str) {
    acme.server.connect(ACME, name).await;
}

fn forced() -> GetRequest {
    GetRequest { force_refresh: true, ..get(ACME, ADA) }
}

async fn delete(acme: &Acme) -> Result<(), Status> {
    let request = DeleteRequest {
        integration_id: ACME.to_owned(),
        connection_id: ADA.to_owned(),
        ..DeleteRequest::default()
    };
    acme.server.connection(&acme.server.key).delete(request).await.map(drop)
}

/// Connections of the integration, beside `ada`.
const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// A server with these connections, whose tokens have expired.
async fn expired(quirks: Quirks, more: &str) -> Acme {
    let acme = connected(Kind::Sqlite, quirks, more).await;
    for name in NAMES {
        connect(&acme, name).await;
    }
    acme.clock.advance(Duration::hours(1));
    acme
}

async fn integration(acme: &Acme) -> Integration {
    let request = IntegrationGet { integration_id: ACME.to_owned() };
    let got = acme.server.integration(&acme.server.key).get(request).await.unwrap();
    got.into_inner().integration.unwrap()
}

fn refreshes(acme: &Acme) -> u64 {
    acme.provider.sandbox.book().refreshes
}
