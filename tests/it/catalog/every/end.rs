//! The end of a grant at the provider, and what it says of a token before: straight from the room that speaks to providers.

use std::sync::Arc;

use tokenwell::{
    model::{
        self, Clock as _, Duration, Integration, IntegrationId, OsRandom, ProjectId, ProviderId,
        SecretString, TokenSet, uuid_v7,
    },
    oauth::{HttpClient, OAuthClient, Registration, Revoked},
    provider::Catalog,
    sandbox::AuthMethod,
};

use super::{
    entry::Entry,
    house::{Actor, House, has_secret, same},
    quirks::TTL,
    scene::Scene,
};
use crate::support::provider::{CLIENT_ID, CLIENT_SECRET};

/// Asks what a token is worth and ends its grant, in the ways that the entry knows.
pub async fn check_end(
    house: &House,
    entry: &Entry,
    scene: &Scene,
    actor: &Actor,
    token: &str,
) -> Result<(), String> {
    let introspects = entry.get("introspection_endpoint").is_some();
    let revokes = entry.get("revocation_endpoint").is_some() || entry.get("revocation").is_some();
    if !introspects && !revokes {
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
    let access_token: SecretString = token.into();
    if introspects {
        let found = oauth.introspect(registration, &access_token).await;
        let found = found.map_err(|failure| format!("introspection: {failure}"))?;
        let left = found.expire_time.map(|time| time.unix_timestamp() - house.now());
        same("introspection", &(found.active, left), &(true, Some(TTL)))?;
    }
    if revokes {
        // Of the refresh tokens of a grant each stands for all.
        let name = entry.param("refresh_token").unwrap_or_default();
        let requests = actor.sandbox.book().token_requests;
        let refresh_token = requests.last().and_then(|request| request.form.get(&name));
        let tokens = TokenSet {
            access_token,
            token_type: "Bearer".to_owned(),
            expire_time: Some(house.clock.now() + Duration::HOUR),
            refresh_token: refresh_token.map(|token| token.as_str().into()),
            refresh_token_expire_time: None,
        };
        let ended = oauth.revoke(registration, &tokens).await;
        same("revocation", &ended.map_err(|failure| failure.to_string()), &Ok(Revoked::Done))?;
        let book = actor.sandbox.book();
        same("revocations", &(book.revocations, book.revocation_requests.len()), &(1, 1))?;
        same("the token works on", &actor.opens(token).await, &false)?;
    }
    Ok(())
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
        pause_until: None,
        pauses: 0,
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
        scopes: Vec::new(),
        user_scopes: Vec::new(),
        create_time: now,
        update_time: now,
    }
}
