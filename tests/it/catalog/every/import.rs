//! Connections without a browser: clients that speak for themselves, keys, user names with passwords.

use tokenwell::api::pb::connection::v1::{
    ApiKeyCredentials, BasicCredentials, Connection, ImportClientCredentials, ImportCredentials,
    ImportRequest, credentials::Kind, import_credentials,
};
use tonic::Status;

use super::{
    entry::{Config, Entry},
    flow::{check_request, check_token},
    house::{House, OWN_CLIENT_ID, OWN_CLIENT_SECRET, check_config, ensure, has_secret, reason, same, words},
    scene::Scene,
};
use crate::support::provider::CLIENT_ID;

const SCOPES: [&str; 2] = ["items:read", "items:write"];

/// The client credentials grant, with a client of the connection's own where a client is an id and a secret.
pub async fn client_credentials(house: &House, entry: &Entry, bare: bool) -> Result<(), String> {
    let scene = Scene::client_credentials(entry, bare)?;
    let actor = house.present(entry, &scene);
    let id = if bare { "client-bare" } else { "client" };
    let own = scene.quirks.auth_methods.iter().all(|method| has_secret(*method));
    let with_flow = entry.grants().iter().any(|grant| grant == "authorization_code");
    // The scopes of an entry with a flow are those of the flow.
    let defaults = if with_flow { Vec::new() } else { entry.texts("default_scopes") };
    let asked: Vec<String> = SCOPES.iter().map(|scope| (*scope).to_owned()).collect();
    let asked = if defaults.is_empty() { asked } else { Vec::new() };
    let scopes = if defaults.is_empty() { asked.clone() } else { defaults };
    let client = ImportClientCredentials {
        client_id: if own { OWN_CLIENT_ID.to_owned() } else { String::new() },
        client_secret: if own { OWN_CLIENT_SECRET.to_owned() } else { String::new() },
        scopes: asked,
    };
    let credentials = import_credentials::Kind::ClientCredentials(client);
    import(house, entry, id, &scene, credentials)
        .await
        .map_err(|status| format!("Import: {}", words(&status)))?;

    let mut before = String::new();
    for count in 1..=2 {
        let got = house.get(entry, id, count == 2).await;
        let connection = got.map_err(|status| format!("Get {count}: {}", words(&status)))?;
        let token = check_token(house, entry, &actor, &connection).await?;
        ensure(token != before, || "the old token came again".to_owned())?;
        before = token;
        check_config(entry, &scene, &connection)?;
        let url = if count == 1 { &scene.token } else { &scene.renewal };
        check_request(house, &actor, url.as_ref(), count)?;
        let request = actor.sandbox.book().token_requests.pop().unwrap_or_default();
        if let Some(name) = entry.param("scope") {
            let expected = scopes.join(&scene.quirks.scope_separator);
            same("scope", &request.form.get(&name), &Some(&expected))?;
        }
        if let (Some(name), true) = (entry.param("client_id"), request.authorization.is_none()) {
            let expected = if own { OWN_CLIENT_ID } else { CLIENT_ID };
            same("client", &request.form.get(&name).map(String::as_str), &Some(expected))?;
        }
    }
    same("tokens", &actor.sandbox.book().client_credentials, &2)?;
    house.check_strays()
}

/// A key, or a user name and a password: the good ones are taken, and where the entry can prove them no others are.
pub async fn fixed(house: &House, entry: &Entry, grant: &str, bare: bool) -> Result<(), String> {
    let good = credentials(grant, "good");
    let scene = Scene::fixed(entry, bare, &good)?;
    house.present(entry, &scene);
    let id = format!("{grant}{}", if bare { "-bare" } else { "" }).replace('_', "-");
    import(house, entry, &id, &scene, kind(grant, &good))
        .await
        .map_err(|status| format!("Import: {}", words(&status)))?;
    let connection =
        house.get(entry, &id, false).await.map_err(|status| format!("Get: {}", words(&status)))?;
    check_config(entry, &scene, &connection)?;
    let held = match connection.credentials.and_then(|it| it.kind) {
        Some(Kind::ApiKey(key)) => Config::from([("api_key".to_owned(), key.api_key)]),
        Some(Kind::Basic(basic)) => {
            Config::from([("username".to_owned(), basic.username), ("password".to_owned(), basic.password)])
        }
        _ => return Err("it holds other credentials".to_owned()),
    };
    same("credentials", &held, &good)?;
    same("requests", &house.front.seen().len(), &scene.calls.len())?;

    let bad = import(house, entry, "bad", &scene, kind(grant, &credentials(grant, "bad"))).await;
    let bad = bad.map(drop).map_err(|status| reason(&status));
    let expected = if scene.calls.is_empty() { Ok(()) } else { Err("CREDENTIALS_REJECTED".to_owned()) };
    same("Import of wrong credentials", &bad, &expected)?;
    house.check_strays()
}

async fn import(
    house: &House,
    entry: &Entry,
    connection_id: &str,
    scene: &Scene,
    credentials: import_credentials::Kind,
) -> Result<Option<Connection>, Status> {
    let request = ImportRequest {
        integration_id: entry.id.clone(),
        connection_id: connection_id.to_owned(),
        connection_config: scene.given.clone().into_iter().collect(),
        metadata: None,
        credentials: Some(ImportCredentials { kind: Some(credentials) }),
    };
    let response = house.server.connection(&house.server.key).import(request).await?;
    Ok(response.into_inner().connection)
}

/// Credentials by their names in templates.
fn credentials(grant: &str, word: &str) -> Config {
    let names: &[&str] = if grant == "api_key" { &["api_key"] } else { &["username", "password"] };
    names.iter().map(|name| ((*name).to_owned(), format!("{word}-{name}"))).collect()
}

fn kind(grant: &str, credentials: &Config) -> import_credentials::Kind {
    if grant == "api_key" {
        return import_credentials::Kind::ApiKey(ApiKeyCredentials {
            api_key: credentials["api_key"].clone(),
        });
    }
    let [username, password] = ["username", "password"].map(|name| credentials[name].clone());
    import_credentials::Kind::Basic(BasicCredentials { username, password })
}
