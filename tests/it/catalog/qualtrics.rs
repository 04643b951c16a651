//! Qualtrics: HTTP Basic, and no scope unless one is asked for.

use tokenwell::model::Duration;

use super::{Lifetimes, Stage, assert_exchange, assert_refresh, map};

const HOST: &str = "iad1.qualtrics.com";
const IAD1: [(&str, &str); 1] = [("subdomain", "iad1")];

#[tokio::test]
async fn a_flow_and_a_refresh() {
    let stage = Stage::new("qualtrics", &[HOST]).await;
    let begun = stage.connect(&IAD1, &["read:surveys", "write:surveys"]).await;
    let (endpoint, params) = stage.asked(&begun);
    assert_eq!(endpoint, "https://iad1.qualtrics.com/oauth2/auth");
    assert_eq!(params, map(&[("scope", "read:surveys write:surveys")]));

    let exchange = stage.last_request();
    assert_eq!((exchange.host.as_str(), exchange.path.as_str()), (HOST, "/oauth2/token"));
    assert!(exchange.authorization.as_deref().unwrap().starts_with("Basic "));
    assert!(!exchange.form.contains_key("client_secret"), "the secret was sent twice");
    assert_exchange(&exchange, &stage.redirect_uri(), &[]);
    assert_eq!(stage.lifetimes().await, Lifetimes { access: Some(3_600), refresh: None });

    let (connection, first) = stage.working_token(HOST).await;
    assert_eq!(connection.granted_scopes, ["read:surveys", "write:surveys"]);
    assert_eq!(connection.connection_config["subdomain"], "iad1");

    stage.outlive(Duration::seconds(3_600)).await;
    let (_, second) = stage.working_token(HOST).await;
    assert_ne!(first, second);
    let refresh = stage.last_request();
    assert_eq!((refresh.host.as_str(), refresh.path.as_str()), (HOST, "/oauth2/token"));
    assert_eq!(refresh.authorization, exchange.authorization);
    assert!(!refresh.form.contains_key("client_secret"), "the secret was sent twice");
    assert_refresh(&refresh, &[]);
}

#[tokio::test]
async fn no_scope_is_asked_for_by_default() {
    let stage = Stage::new("qualtrics", &[HOST]).await;
    let begun = stage.begin(&IAD1, &[]).await.unwrap();
    assert_eq!(stage.asked(&begun).1, map(&[]));
}
