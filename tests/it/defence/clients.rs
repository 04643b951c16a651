//! Clients at a provider are each one project's: no request is ever made with another one's.

use tokenwell::{
    api::pb::{
        auth::v1::BeginResponse,
        integration::v1::{CreateRequest, Integration, UpdateRequest},
    },
    sandbox::{Client, TokenRequest},
};

use crate::support::{
    Acme, Browser, Database, TestResult,
    acme::{ACME, plain},
    database::Kind,
    provider::{CLIENT_ID, CLIENT_SECRET, client},
    server::{begin, get},
    steps::{complete, other_project, param},
};

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;
const OTHER: [&str; 2] = ["client-of-the-other-project", "canary-secret-of-the-other-project"];
const THIRD: [&str; 2] = ["client-after-the-change", "canary-secret-after-the-change"];

fn known([id, secret]: [&str; 2]) -> Client {
    Client { client_id: id.to_owned(), client_secret: Some(secret.into()), ..Client::default() }
}

fn registered([id, secret]: [&str; 2]) -> Integration {
    Integration {
        integration_id: ACME.to_owned(),
        client_id: id.to_owned(),
        client_secret: secret.to_owned(),
        ..Integration::default()
    }
}

/// Connects with the key of a project, and refreshes. Gives the client of each request on the way.
async fn clients(acme: &Acme, key: &str) -> Vec<[String; 2]> {
    let seen = acme.token_requests().len();
    let begun: BeginResponse = acme.server.auth(key).begin(begin(ACME, "ada")).await.unwrap().into_inner();
    let page = url::Url::parse(&begun.authorization_url).unwrap();
    let mut browser = Browser::new();
    let back = acme.server.consent(&mut browser, &begun.connect_url, "approve").await;
    complete(&acme.server, key, back.location().unwrap().query().unwrap()).await.unwrap();
    let mut request = get(ACME, "ada");
    request.force_refresh = true;
    acme.server.connection(key).get(request).await.unwrap();
    let requests = acme.token_requests().split_off(seen);
    assert_eq!(requests.len(), 2, "{requests:?}");
    let of = |request: &TokenRequest| ["client_id", "client_secret"].map(|name| request.form[name].clone());
    let clients: Vec<_> = requests.iter().map(of).collect();
    assert_eq!(param(&page, "client_id"), clients[0][0]);
    clients
}

#[tokio::test]
async fn two_projects_at_one_provider_are_two_clients() -> TestResult {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let all = vec![client(), known(OTHER), known(THIRD)];
        let acme = Acme::of(Database::new(kind).await, all, plain(), ENTRY).await;
        let other = other_project(&acme.server, "other").await;
        let integration = Integration { provider_id: ACME.to_owned(), ..registered(OTHER) };
        let request = CreateRequest { integration: Some(integration) };
        acme.server.integration(&other).create(request).await?;

        let mine = acme.server.key.clone();
        let (own, theirs) = ([CLIENT_ID, CLIENT_SECRET].map(str::to_owned), OTHER.map(str::to_owned));
        for _ in 0..2 {
            assert_eq!(clients(&acme, &mine).await, [own.clone(), own.clone()]);
            assert_eq!(clients(&acme, &other).await, [theirs.clone(), theirs.clone()]);
        }
        // A change of one is none of the other.
        let request = UpdateRequest { integration: Some(registered(THIRD)), update_mask: None };
        acme.server.integration(&other).update(request).await?;
        let third = THIRD.map(str::to_owned);
        assert_eq!(clients(&acme, &other).await, [third.clone(), third]);
        assert_eq!(clients(&acme, &mine).await, [own.clone(), own]);
    }
    Ok(())
}
