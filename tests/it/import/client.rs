//! Clients that speak for themselves: the integration's, and those of end users.

use futures::future::join_all;
use tokenwell::{
    api::pb::{
        connection::v1::{Connection, ImportClientCredentials, ListRequest, State, import_credentials::Kind},
        integration::v1::Integration,
        provider::v1::GrantType,
    },
    model::{Clock as _, Duration},
    sandbox::{Client, ExpiresIn, Failure, Quirks},
};
use tonic::{Code, Status};

use crate::support::{
    Acme, Database, TestResult, acme::plain, assert_refused, database, provider, provider::CLIENT_ID,
    steps::works,
};

const OWN_ID: &str = "client-of-ada";
const OWN_SECRET: &str = "canary-own-secret-81:é";

const ENTRY: &str = r#"
grant_types = ["client_credentials"]
token_endpoint = "PROVIDER/token"
default_scopes = ["read"]
"#;

fn quirks() -> Quirks {
    Quirks { client_credentials: true, ..plain() }
}

/// A provider that knows the integration's client and Ada's own.
async fn acme(kind: database::Kind, quirks: Quirks, entry: &str) -> Acme {
    let own =
        Client { client_id: OWN_ID.to_owned(), client_secret: Some(OWN_SECRET.into()), ..Client::default() };
    Acme::of(Database::new(kind).await, vec![provider::client(), own], quirks, entry).await
}

async fn usual() -> Acme {
    acme(database::Kind::Sqlite, quirks(), ENTRY).await
}

fn integrations() -> Kind {
    Kind::ClientCredentials(ImportClientCredentials::default())
}

fn own(secret: &str) -> Kind {
    let (client_id, client_secret) = (OWN_ID.to_owned(), secret.to_owned());
    Kind::ClientCredentials(ImportClientCredentials { client_id, client_secret, scopes: Vec::new() })
}

/// When the access token expires, in seconds from now.
fn lifetime(acme: &Acme, connection: &Connection) -> i64 {
    use tokenwell::api::pb::connection::v1::credentials::Kind;

    let Some(Kind::Oauth2(token)) = connection.credentials.clone().unwrap().kind else {
        panic!("no OAuth 2.0 credentials")
    };
    token.expire_time.unwrap().seconds - acme.clock.now().unix_timestamp()
}

#[tokio::test]
async fn the_integrations_client_speaks_for_itself() -> TestResult {
    let acme = usual().await;
    let imported = acme.import(integrations()).await?;
    assert_eq!((imported.grant_type(), imported.state()), (GrantType::ClientCredentials, State::Active));
    assert_eq!((imported.credentials.as_ref(), &*imported.granted_scopes), (None, &["read".to_owned()][..]));
    let asked = acme.last_request();
    let form = |name: &str| asked.form[name].as_str();
    assert_eq!(
        (form("grant_type"), form("client_id"), form("scope")),
        ("client_credentials", CLIENT_ID, "read")
    );
    let token = acme.token().await?;
    assert!(works(&acme.provider, &token).await);
    assert_eq!(acme.token().await?, token);
    assert_eq!(
        acme.provider.sandbox.book().client_credentials,
        1,
        "the first token is used until it expires"
    );

    // The integration's scopes come before the entry's, the caller's before both, and stay with the connection.
    let update = Integration { scopes: vec!["write".to_owned()], ..Integration::default() };
    acme.update_integration(update).await?;
    acme.import(integrations()).await?;
    assert_eq!(acme.last_request().form["scope"], "write");
    let scopes = vec!["a".to_owned(), "b".to_owned()];
    acme.import(Kind::ClientCredentials(ImportClientCredentials { scopes, ..Default::default() })).await?;
    acme.force().await?;
    assert_eq!(acme.last_request().form["scope"], "a b");
    Ok(())
}

#[tokio::test]
async fn a_client_of_the_end_users_own_is_used_and_never_returned() -> TestResult {
    let acme = usual().await;
    let imported = acme.import(own(OWN_SECRET)).await?;
    let asked = acme.last_request();
    assert_eq!(
        (asked.form["client_id"].as_str(), asked.form["client_secret"].as_str()),
        (OWN_ID, OWN_SECRET)
    );
    let request = ListRequest::default();
    let listed = acme.server.connection(&acme.server.key).list(request).await?.into_inner();
    let told = format!("{imported:?}{:?}{:?}{listed:?}", acme.get().await?, acme.basic().await?);
    assert!(told.contains("ada") && !told.contains("canary") && !told.contains(OWN_ID), "{told}");
    let contents = acme.database.contents().await;
    assert!(!String::from_utf8_lossy(&contents).contains(OWN_SECRET), "the secret is there in clear");
    acme.force().await?;
    assert_eq!(acme.last_request().form["client_id"], OWN_ID);

    // The integration's client takes its place again.
    acme.import(integrations()).await?;
    acme.force().await?;
    assert_eq!(acme.last_request().form["client_id"], CLIENT_ID);
    Ok(())
}

async fn fifty_callers_cause_one_renewal(kind: database::Kind) -> TestResult {
    let acme = acme(kind, quirks(), ENTRY).await;
    acme.import(own(OWN_SECRET)).await?;
    let old = acme.token().await?;
    acme.clock.advance(Duration::hours(1));
    acme.gate.close();
    let opener = async {
        acme.gate.arrived(1).await;
        drop(acme.basic().await);
        acme.gate.open();
    };
    let (tokens, ()) = tokio::join!(join_all((0..50).map(|_| acme.token())), opener);
    let tokens = tokens.into_iter().collect::<Result<Vec<_>, Status>>()?;
    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != old));
    assert!(works(&acme.provider, &tokens[0]).await);
    assert_eq!(acme.provider.sandbox.book().client_credentials, 2);
    assert_eq!((acme.gate.count(), acme.last_request().form["client_id"].as_str()), (1, OWN_ID));
    Ok(())
}

#[tokio::test]
async fn fifty_callers_cause_one_renewal_on_sqlite() -> TestResult {
    fifty_callers_cause_one_renewal(database::Kind::Sqlite).await
}

#[tokio::test]
async fn fifty_callers_cause_one_renewal_on_postgresql() -> TestResult {
    fifty_callers_cause_one_renewal(database::Kind::Postgres).await
}

#[tokio::test]
async fn a_token_without_a_lifetime_gets_one() -> TestResult {
    for (line, seconds) in [("", 3600), ("default_expires_in = 600", 600)] {
        let silent = Quirks { expires_in: ExpiresIn::Never, ..quirks() };
        let acme = acme(database::Kind::Sqlite, silent, &format!("{ENTRY}{line}")).await;
        acme.import(integrations()).await?;
        assert_eq!(lifetime(&acme, &acme.get().await?), seconds);
        acme.clock.advance(Duration::seconds(seconds));
        acme.get().await?;
        assert_eq!(acme.provider.sandbox.book().client_credentials, 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_refused_at_once_makes_no_connection() {
    let acme = usual().await;
    let refused = acme.import(own("canary-wrong")).await;
    let refusal = assert_refused(refused, Code::FailedPrecondition, "CREDENTIALS_REJECTED");
    assert!(refusal.message.contains("invalid_client") && !refusal.message.contains("canary"), "{refusal:?}");
    let wrong = Integration { client_secret: "canary-wrong".to_owned(), ..Integration::default() };
    acme.update_integration(wrong).await.unwrap();
    let refused = acme.import(integrations()).await;
    let refusal = assert_refused(refused, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert_eq!(refusal.metadata["oauth_error"], "invalid_client");
    acme.provider.sandbox.fail_next(Failure::Status(503));
    assert_refused(acme.import(own(OWN_SECRET)).await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    acme.provider.sandbox.fail_next(Failure::Html);
    let garbage = acme.import(own(OWN_SECRET)).await;
    assert_refused(garbage, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
}

#[tokio::test]
async fn an_own_client_that_is_refused_later_ends_the_connection() -> TestResult {
    for code in ["invalid_client", "unauthorized_client"] {
        let acme = usual().await;
        acme.import(own(OWN_SECRET)).await?;
        acme.clock.advance(Duration::hours(1));
        acme.refuse_next(code);
        let asked = acme.token_requests().len();
        for _ in 0..2 {
            assert_refused(acme.get().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
        }
        assert_eq!(acme.token_requests().len(), asked + 1, "{code}: it is asked once");
        assert_eq!(acme.basic().await?.state(), State::NeedsReauthorization);
        assert_eq!(acme.import(own(OWN_SECRET)).await?.state(), State::Active);
        acme.token().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_integrations_client_that_is_refused_later_is_not_the_connections_fault() -> TestResult {
    let acme = usual().await;
    acme.import(integrations()).await?;
    acme.clock.advance(Duration::hours(1));
    acme.refuse_next("invalid_client");
    let refusal = assert_refused(acme.get().await, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert_eq!(refusal.metadata["provider_id"], "acme");
    assert_eq!(acme.basic().await?.state(), State::Active);
    acme.clock.wait_out();
    assert!(works(&acme.provider, &acme.token().await?).await);
    Ok(())
}

#[tokio::test]
async fn a_renewal_that_fails_for_the_moment_changes_nothing() -> TestResult {
    let acme = usual().await;
    acme.import(own(OWN_SECRET)).await?;
    acme.clock.advance(Duration::hours(1));
    acme.provider.sandbox.fail_next(Failure::Status(503));
    assert_refused(acme.get().await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    assert_eq!(acme.basic().await?.state(), State::Active);
    acme.clock.wait_out();
    acme.token().await?;
    Ok(())
}
