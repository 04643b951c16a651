//! Zendesk: `expires_in` has to be asked for at the exchange and at every refresh; a refresh ends both tokens before it.

use tokenwell::model::Duration;

use super::{APP, Lifetimes, Stage, assert_exchange, assert_post, assert_refresh, map};

const HOST: &str = "acme.zendesk.com";
const ACME: [(&str, &str); 1] = [("subdomain", "acme")];
const ASKED: [(&str, &str); 2] = [("expires_in", "7200"), ("refresh_token_expires_in", "7689600")];

#[tokio::test]
async fn a_flow_and_a_refresh() {
    let stage = Stage::new("zendesk", &[HOST]).await;
    let begun = stage.connect(&ACME, &["read", "tickets:write"]).await;
    let (endpoint, params) = stage.asked(&begun);
    assert_eq!(endpoint, "https://acme.zendesk.com/oauth/authorizations/new");
    assert_eq!(params, map(&[("scope", "read tickets:write")]));

    let exchange = stage.last_request();
    assert_eq!((exchange.host.as_str(), exchange.path.as_str()), (HOST, "/oauth/tokens"));
    assert_post(&exchange);
    assert_exchange(&exchange, &stage.redirect_uri(), &ASKED);
    let stored = Lifetimes { access: Some(7_200), refresh: Some(7_689_600) };
    assert_eq!(stage.lifetimes().await, stored);

    let (connection, first) = stage.working_token(HOST).await;
    assert_eq!((connection.provider_id.as_str(), connection.integration_id.as_str()), ("zendesk", APP));
    assert_eq!(connection.connection_config.len(), 1);
    assert_eq!(connection.granted_scopes, ["read", "tickets:write"]);

    stage.outlive(Duration::seconds(7_200)).await;
    let (connection, second) = stage.working_token(HOST).await;
    assert_ne!(first, second);
    assert_eq!(connection.connection_config["subdomain"], "acme");
    let refresh = stage.last_request();
    assert_eq!((refresh.host.as_str(), refresh.path.as_str()), (HOST, "/oauth/tokens"));
    assert_post(&refresh);
    assert_refresh(&refresh, &ASKED);
    assert_eq!(stage.lifetimes().await, stored);
}

#[tokio::test]
async fn rotated_refresh_tokens_are_used_once_each() {
    let stage = Stage::new("zendesk", &[HOST]).await;
    stage.connect(&ACME, &[]).await;
    let (_, mut last) = stage.working_token(HOST).await;
    for _ in 0..3 {
        stage.clock.advance(Duration::seconds(7_200));
        let (_, next) = stage.working_token(HOST).await;
        assert_ne!(next, last);
        assert_eq!(stage.try_token(HOST, &last).await, 401, "a refresh ends the access token before it");
        last = next;
    }
    let book = stage.provider.sandbox.book();
    assert_eq!((book.exchanges, book.refreshes, book.reuse_detected), (1, 3, 0));
    assert_eq!(book.redemptions.values().collect::<Vec<_>>(), [&1, &1, &1]);
}

#[tokio::test]
async fn the_default_scope_is_read() {
    let stage = Stage::new("zendesk", &[HOST]).await;
    let begun = stage.begin(&ACME, &[]).await.unwrap();
    assert_eq!(stage.asked(&begun).1, map(&[("scope", "read")]));
}
