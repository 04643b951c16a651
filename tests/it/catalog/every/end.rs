//! What a provider says of a token, straight from the room that speaks to providers; and the end of a grant at the provider,
//! when its connection is deleted.

use std::{sync::Arc, time::Duration};

use tokenwell::{
    api::pb::connection::v1::DeleteRequest,
    model::{
        self, Breaker, Clock as _, Integration, IntegrationId, OsRandom, ProjectId, ProviderId, uuid_v7,
    },
    oauth::{HttpClient, OAuthClient, Registration},
    provider::Catalog,
    sandbox::AuthMethod,
};
use tokio::time::timeout;

use super::{
    entry::Entry,
    house::{Actor, House, has_secret, same, words},
    quirks::TTL,
    scene::Scene,
};
use crate::support::{
    provider::{CLIENT_ID, CLIENT_SECRET},
    steps::{in_outbox, until},
};

/// How long the end of a grant may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks what a token is worth, if the entry knows how.
pub async fn check_introspection(
    house: &House,
    entry: &Entry,
    scene: &Scene,
    token: &str,
) -> Result<(), String> {
    if entry.get("introspection_endpoint").is_none() {
        return Ok(());
    }
    let http = HttpClient::new(&house.http).map_err(|error| error.to_string())?;
    let oauth = OAuthClient::new(http, Arc::new(house.clock.clone()), Arc::new(OsRandom));
    let integration = integration(house, entry, scene);
    let catalog = Catalog::built_in().map_err(|faults| format!("{faults:?}"))?;
    let provider = catalog.get(&integration.provider_id).map_err(|error| error.to_string())?;
    let mut config = model::Config::default();
    for (name, value) in &scene.kept {
        if entry.fields().any(|field| field.name == name && field.secret()) {
            config.secrets.insert(name.clone(), value.as_str().into());
        } else {
            config.values.insert(name.clone(), value.clone());
        }
    }
    let registration = Registration { provider, integration: &integration, config: &config };
    let found = oauth.introspect(registration, &token.into()).await;
    let found = found.map_err(|failure| format!("introspection: {failure}"))?;
    let left = found.expire_time.map(|time| time.unix_timestamp() - house.now());
    same("introspection", &(found.active, left), &(true, Some(TTL)))
}

/// Whether the entry knows how to end a grant.
pub fn revokes(entry: &Entry) -> bool {
    entry.get("revocation_endpoint").is_some() || entry.get("revocation").is_some()
}

/// Deletes a connection, and waits until its grant has ended at the provider and is out of the outbox.
pub async fn check_revocation(
    house: &House,
    entry: &Entry,
    actor: &Actor,
    (id, token): (&str, &str),
) -> Result<(), String> {
    same("the token works", &actor.opens(token).await, &true)?;
    let request = DeleteRequest {
        integration_id: entry.id.clone(),
        connection_id: id.to_owned(),
        ..DeleteRequest::default()
    };
    let deleted = house.server.connection(&house.server.key).delete(request).await;
    deleted.map_err(|status| format!("Delete: {}", words(&status)))?;
    // Shorter than what most tests wait for: there are many entries.
    let done = until(async || in_outbox(&house.database).await, |left| *left == 0);
    timeout(PATIENCE, done).await.map_err(|_| "its grant is still in the outbox".to_owned())?;
    let book = actor.sandbox.book();
    same("revocations", &(book.revocations, book.revocation_requests.len()), &(1, 1))?;
    same("the token works on", &actor.opens(token).await, &false)
}

/// The integration of an entry as the server has it.
fn integration(house: &House, entry: &Entry, scene: &Scene) -> Integration {
    let identity = &house.front.identity;
    let [method] = scene.quirks.auth_methods[..] else { panic!("several methods") };
    let certificate = method == AuthMethod::TlsClientAuth || scene.quirks.certificate_required;
    let key = certificate || method == AuthMethod::PrivateKeyJwt;
    let now = house.clock.now();
    Integration {
        failure: None,
        breaker: Breaker::default(),
        row_id: uuid_v7(&OsRandom, now).unwrap(),
        project_id: ProjectId::parse("default").unwrap(),
        id: IntegrationId::parse(&entry.id).unwrap(),
        provider_id: ProviderId::parse(&entry.id).unwrap(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: has_secret(method).then(|| CLIENT_SECRET.into()),
        further_client_secrets: Vec::new(),
        private_key: key.then(|| identity.key.as_str().into()),
        private_key_id: key.then(|| "key-1".to_owned()),
        certificate: certificate.then(|| identity.certificate.clone()),
        allow_private_addresses: false,
        scopes: Vec::new(),
        user_scopes: Vec::new(),
        create_time: now,
        update_time: now,
    }
}
