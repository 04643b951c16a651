//! Clients that prove who they are by a signed assertion (RFC 7523).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::KeyPair;
use serde_json::Value;
use tokenwell::{
    api::pb::integration::v1::{CreateRequest, Integration, UpdateRequest},
    model::Clock as _,
    sandbox::{AuthMethod, Client, OpenIdQuirks, Quirks, TokenRequest},
};
use tonic::Code;

use super::{ENTRY, completed};
use crate::support::{
    Acme, Database, ManualClock, Options, TestProvider, TestResult, TestServer, acme::plain, assert_refused,
    provider::CLIENT_ID, steps::other_project,
};

const SIGNED: &str = "token_endpoint_auth_method = \"private_key_jwt\"\n";

/// An RSA key, which is the sandbox's for its own tokens otherwise.
const RSA: [&str; 2] = [
    include_str!("../../../src/sandbox/openid.pem"),
    include_str!("../../../src/sandbox/tests/openid_public.pem"),
];

/// A provider that knows the client by this key.
async fn acme(public_key: &str, quirks: Quirks, entry: &str) -> Acme {
    let client = Client {
        client_id: CLIENT_ID.to_owned(),
        public_key: Some(public_key.to_owned()),
        ..Client::default()
    };
    let quirks = Quirks { auth_methods: vec![AuthMethod::PrivateKeyJwt], ..quirks };
    Acme::of(Database::sqlite(), vec![client], quirks, entry).await
}

async fn give(acme: &Acme, pem: &str) {
    let (client_private_key, client_private_key_id) = (pem.to_owned(), "key-1".to_owned());
    let given = Integration { client_private_key, client_private_key_id, ..Integration::default() };
    let updated = acme.update_integration(given).await.unwrap();
    assert!(updated.client_private_key_set && updated.client_private_key.is_empty());
}

/// The header and the claims of a request's assertion.
fn read(request: &TokenRequest) -> [Value; 2] {
    let mut parts = request.form["client_assertion"].split('.');
    [(); 2].map(|()| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap()).unwrap())
}

#[tokio::test]
async fn an_assertion_is_signed_for_each_request() -> TestResult {
    let key = KeyPair::generate()?;
    let acme = acme(&key.public_key_pem(), plain(), &format!("{ENTRY}{SIGNED}")).await;
    give(&acme, &key.serialize_pem()).await;
    acme.connect(&[]).await;
    acme.force().await?;
    let requests = acme.token_requests();
    assert_eq!(requests.len(), 2);
    let mut ids = Vec::new();
    for request in &requests {
        assert!(
            request.authorization.is_none() && !request.form.contains_key("client_secret"),
            "{request:?}"
        );
        assert_eq!(
            request.form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let [header, claims] = read(request);
        assert_eq!((&header["alg"], &header["kid"]), (&"ES256".into(), &"key-1".into()));
        assert_eq!((&claims["iss"], &claims["sub"]), (&CLIENT_ID.into(), &CLIENT_ID.into()));
        assert_eq!(claims["aud"], format!("http://{}/token", acme.provider.address));
        let (expiry, issued) = (claims["exp"].as_i64().unwrap(), claims["iat"].as_i64().unwrap());
        assert_eq!((issued, expiry - issued), (acme.clock.now().unix_timestamp(), 60));
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert!(ids[0] != ids[1] && ids[0].len() > 20, "{ids:?}");
    let contents = acme.database.contents().await;
    let (pem, contents) = (key.serialize_pem(), String::from_utf8_lossy(&contents));
    assert!(!contents.contains(pem.lines().nth(1).unwrap()), "the key is there in clear");
    Ok(())
}

#[tokio::test]
async fn an_issuer_is_the_audience_where_the_entry_names_one() -> TestResult {
    let [key, public_key] = RSA;
    let openid = OpenIdQuirks { issuer: "http://{host}".to_owned(), ..OpenIdQuirks::default() };
    let quirks = Quirks { openid: Some(openid), ..plain() };
    let acme = acme(public_key, quirks, &format!("issuer = \"PROVIDER\"{ENTRY}{SIGNED}")).await;
    give(&acme, key).await;
    acme.connect(&[]).await;
    let [header, claims] = read(&acme.last_request());
    assert_eq!(header["alg"], "RS256");
    assert_eq!(claims["aud"], format!("http://{}", acme.provider.address));
    Ok(())
}

#[tokio::test]
async fn without_a_key_that_signs_nothing_is_sent() -> TestResult {
    let key = KeyPair::generate()?;
    let acme = acme(&key.public_key_pem(), plain(), &format!("{ENTRY}{SIGNED}")).await;
    let body = "canaryAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let broken = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let cut = key.serialize_pem().lines().take(2).collect::<Vec<_>>().join("\n");
    for pem in [None, Some(broken.as_str()), Some(cut.as_str())] {
        if let Some(pem) = pem {
            give(&acme, pem).await;
        }
        let (_, callback) = acme.callback(&[]).await;
        let refused = completed(&acme, &callback).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "CLIENT_REJECTED");
        assert!(refusal.message.contains("private key"), "{}", refusal.message);
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    }
    assert_eq!(acme.token_requests(), [], "nothing was sent");
    for pem in ["canary", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
        let given = Integration { client_private_key: pem.to_owned(), ..Integration::default() };
        let refused = acme.update_integration(given).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert!(refusal.fields[0].ends_with("client_private_key"), "{refusal:?}");
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    }

    // Another's key is for the provider to refuse.
    give(&acme, &KeyPair::generate()?.serialize_pem()).await;
    let (_, callback) = acme.callback(&[]).await;
    let refused = completed(&acme, &callback).await;
    assert_refused(refused, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert_eq!(acme.token_requests().len(), 1);
    give(&acme, &key.serialize_pem()).await;
    acme.connect(&[]).await;
    Ok(())
}

/// What one endpoint gets is worth nothing at another one.
#[tokio::test]
async fn elsewhere_the_address_is_the_audience() -> TestResult {
    let [key, public_key] = RSA;
    for issuer in ["", "issuer = \"PROVIDER\""] {
        let openid = OpenIdQuirks { issuer: "http://{host}".to_owned(), ..OpenIdQuirks::default() };
        let (openid, refresh_path) = (Some(openid), Some("/renew".to_owned()));
        let entry = format!("{issuer}{ENTRY}{SIGNED}refresh_endpoint = \"PROVIDER/renew\"\n");
        let acme = acme(public_key, Quirks { openid, refresh_path, ..plain() }, &entry).await;
        give(&acme, key).await;
        acme.connect(&[]).await;
        acme.force().await?;
        let request = acme.last_request();
        assert_eq!(request.path, "/renew");
        let [_, claims] = read(&request);
        assert_eq!(claims["aud"], format!("http://{}/renew", acme.provider.address), "{issuer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_private_key_is_of_one_provider() -> TestResult {
    let key = KeyPair::generate()?;
    let (clock, database) = (ManualClock::new(), Database::sqlite());
    let provider = TestProvider::plain(&clock).await;
    let mut options = Options::with(&clock, &provider);
    for (id, method) in [("one", SIGNED), ("two", SIGNED), ("mtls", "tls_client_certificate = true\n")] {
        let entry = format!(
            "display_name = \"One\"\ncategories = [\"test\"]\ndocumentation = \"https://acme.example/docs\"\n\
             hosts = [\"127.0.0.1\"]\n{}{method}",
            ENTRY.replace("PROVIDER", &format!("http://{}", provider.address))
        );
        options.providers.push((format!("{id}.toml"), entry));
    }
    let server = TestServer::start(&database, options).await;
    let with_key = |integration_id: &str, provider_id: &str, pem: &str| Integration {
        integration_id: integration_id.to_owned(),
        provider_id: provider_id.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_private_key: pem.to_owned(),
        ..Integration::default()
    };
    let create = async |key: &str, integration: Integration| {
        server.integration(key).create(CreateRequest { integration: Some(integration) }).await
    };
    let pem = key.serialize_pem();
    create(&server.key, with_key("first", "one", &pem)).await?;
    // The same server may know two clients by one key, and a key that signs no assertion proves nothing elsewhere.
    create(&server.key, with_key("second", "one", &pem)).await?;
    create(&server.key, with_key("third", "mtls", &pem)).await?;

    let is_refused = |refused| {
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert!(refusal.fields[0].ends_with("client_private_key"), "{refusal:?}");
        assert!(refusal.message.contains("`first`") || refusal.message.contains("`second`"), "{refusal:?}");
    };
    // Spelled otherwise, it is the same key.
    let spelled = pem.replace('\n', "\r\n");
    for pem in [&pem, &spelled] {
        is_refused(create(&server.key, with_key("other", "two", pem)).await.map(drop));
    }
    create(&server.key, with_key("other", "two", &KeyPair::generate()?.serialize_pem())).await?;
    let mask = prost_types::FieldMask { paths: vec!["client_private_key".to_owned()] };
    let update = UpdateRequest { integration: Some(with_key("other", "", &pem)), update_mask: Some(mask) };
    is_refused(server.integration(&server.key).update(update).await.map(drop));
    // Another project's are none of its business.
    let further = other_project(&server, "further").await;
    create(&further, with_key("other", "two", &pem)).await?;
    Ok(())
}
