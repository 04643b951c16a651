//! Gorgias: HTTP Basic, a fresh `nonce` per flow, `offline` for a refresh token, and `expires_in: 0` that means a day.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokenwell::{api::pb::auth::v1::BeginRequest, model::Duration};
use tonic::Code;

use super::{ADA, APP, Lifetimes, Stage, assert_exchange, assert_refresh, map};
use crate::support::{assert_refused, server::begin};

const HOST: &str = "acme.gorgias.com";
const ACME: [(&str, &str); 1] = [("subdomain", "acme")];
/// The test client's id and secret, each form-urlencoded (RFC 6749, section 2.3.1 and appendix B), then joined.
const CREDENTIALS: &str = "client-of-tokenwell:canary-client-secret-7Yq%3A%25%2B+%2F%C3%A9";

#[tokio::test]
async fn a_flow_and_a_refresh() {
    let stage = Stage::new("gorgias", &[HOST]).await;
    let begun = stage.connect(&ACME, &[]).await;
    let (endpoint, mut params) = stage.asked(&begun);
    assert_eq!(endpoint, "https://acme.gorgias.com/oauth/authorize");
    assert_eq!(params.remove("nonce").map(|nonce| nonce.len()), Some(43));
    assert_eq!(params, map(&[("scope", "openid email profile offline")]));

    let basic = format!("Basic {}", STANDARD.encode(CREDENTIALS));
    let exchange = stage.last_request();
    assert_eq!((exchange.host.as_str(), exchange.path.as_str()), (HOST, "/oauth/token"));
    assert_eq!(exchange.authorization.as_deref(), Some(basic.as_str()));
    assert!(!exchange.form.contains_key("client_secret"), "the secret was sent twice");
    assert_exchange(&exchange, &stage.redirect_uri(), &[]);
    // The answer said 0.
    let stored = Lifetimes { access: Some(24 * 3_600), refresh: None };
    assert_eq!(stage.lifetimes().await, stored);

    let (connection, first) = stage.working_token(HOST).await;
    assert_eq!(connection.granted_scopes, ["openid", "email", "profile", "offline"]);

    // The refresh token stays the same, and goes on working.
    let mut last = first;
    let mut presented = Vec::new();
    for _ in 0..2 {
        stage.outlive(Duration::days(1)).await;
        let (_, next) = stage.working_token(HOST).await;
        assert_ne!(next, last);
        last = next;
        let refresh = stage.last_request();
        assert_eq!((refresh.host.as_str(), refresh.path.as_str()), (HOST, "/oauth/token"));
        assert_eq!(refresh.authorization.as_deref(), Some(basic.as_str()));
        assert!(!refresh.form.contains_key("client_secret"), "the secret was sent twice");
        assert_refresh(&refresh, &[]);
        assert_eq!(stage.lifetimes().await, stored);
        presented.push(refresh.form["refresh_token"].clone());
    }
    assert!(presented[0] == presented[1], "the refresh token was lost");
}

#[tokio::test]
async fn every_flow_has_a_nonce_of_its_own() {
    let stage = Stage::new("gorgias", &[HOST]).await;
    let mut nonces = Vec::new();
    for _ in 0..3 {
        let begun = stage.begin(&ACME, &[]).await.unwrap();
        nonces.extend(stage.asked(&begun).1.remove("nonce"));
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
}

#[tokio::test]
async fn the_nonce_is_not_the_callers_to_choose() {
    let stage = Stage::new("gorgias", &[HOST]).await;
    let request = BeginRequest {
        connection_config: map(&ACME).into_iter().collect(),
        authorization_params: map(&[("nonce", "mine")]).into_iter().collect(),
        ..begin(APP, ADA)
    };
    let refused = stage.server.begin(request).await;
    let refusal = assert_refused(refused, Code::InvalidArgument, "AUTHORIZATION_PARAM_RESERVED");
    assert_eq!(refusal.fields, ["authorization_params.nonce"]);
}

#[tokio::test]
async fn without_offline_a_token_ends_for_good() {
    let stage = Stage::new("gorgias", &[HOST]).await;
    stage.connect(&ACME, &["openid"]).await;
    // `expires_in: 0` says nothing, and without a refresh token nothing is assumed.
    assert_eq!(stage.lifetimes().await, Lifetimes { access: None, refresh: None });
    stage.working_token(HOST).await;
    let request = tokenwell::api::pb::connection::v1::GetRequest {
        force_refresh: true,
        ..crate::support::server::get(APP, ADA)
    };
    let refused = stage.server.get(request).await;
    assert_refused(refused, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(stage.requests().len(), 1, "there was nothing to refresh with");
}
