//! Zoho: data centers that the callback names, errors with status 200, comma-separated scopes, an API domain with the token.

use tokenwell::{
    model::Duration,
    sandbox::{Failure, Quirks},
};
use tonic::Code;

use super::{Lifetimes, Stage, assert_exchange, assert_post, assert_refresh, map};
use crate::support::assert_refused;

const COM: &str = "accounts.zoho.com";
const EU: &str = "accounts.zoho.eu";
const SCOPES: [&str; 2] = ["ZohoCRM.modules.ALL", "AaaServer.profile.READ"];

/// A data center whose callbacks say where they come from.
fn quirks(location: &str, accounts_server: &str) -> Quirks {
    let mut quirks = Quirks::named("zoho").unwrap();
    quirks.extra_callback_params = vec![
        ("location".to_owned(), location.to_owned()),
        ("accounts-server".to_owned(), accounts_server.to_owned()),
    ];
    quirks
}

#[tokio::test]
async fn a_flow_and_a_refresh() {
    let stage = Stage::new("zoho", &[COM]).await;
    let begun = stage.connect(&[], &SCOPES).await;
    let (endpoint, params) = stage.asked(&begun);
    assert_eq!(endpoint, "https://accounts.zoho.com/oauth/v2/auth");
    let expected = map(&[
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("scope", "ZohoCRM.modules.ALL,AaaServer.profile.READ"),
    ]);
    assert_eq!(params, expected);

    let exchange = stage.last_request();
    assert_eq!((exchange.host.as_str(), exchange.path.as_str()), (COM, "/oauth/v2/token"));
    assert_post(&exchange);
    assert_exchange(&exchange, &stage.redirect_uri(), &[]);
    assert_eq!(stage.lifetimes().await, Lifetimes { access: Some(3_600), refresh: None });

    let (connection, first) = stage.working_token(COM).await;
    assert_eq!(connection.granted_scopes, SCOPES);
    let config = map(&[("api_domain", "https://www.zohoapis.com"), ("data_center", "com")]);
    assert_eq!(
        connection.connection_config.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        config
    );

    let mut presented = Vec::new();
    for _ in 0..2 {
        stage.outlive(Duration::hours(1)).await;
        let (_, next) = stage.working_token(COM).await;
        assert_ne!(first, next);
        let refresh = stage.last_request();
        assert_eq!((refresh.host.as_str(), refresh.path.as_str()), (COM, "/oauth/v2/token"));
        assert_post(&refresh);
        assert_refresh(&refresh, &[]);
        presented.push(refresh.form["refresh_token"].clone());
    }
    assert!(presented[0] == presented[1], "the refresh token was lost");
}

#[tokio::test]
async fn a_flow_may_begin_in_another_data_center() {
    let stage = Stage::with("zoho", &[EU], quirks("eu", "https://{host}")).await;
    let begun = stage.connect(&[("data_center", "eu")], &SCOPES).await;
    assert_eq!(stage.asked(&begun).0, "https://accounts.zoho.eu/oauth/v2/auth");
    assert_eq!(stage.last_request().host, EU);
    assert_eq!(stage.token().await.unwrap().0.connection_config["data_center"], "eu");

    for (pasted, host) in [
        ("EU", EU),
        ("accounts.zoho.eu", EU),
        ("https://accounts.zoho.eu/", EU),
        ("us", COM),
        ("au", "accounts.zoho.com.au"),
        ("ca", "accounts.zohocloud.ca"),
    ] {
        let begun = stage.begin(&[("data_center", pasted)], &[]).await.unwrap();
        assert_eq!(stage.asked(&begun).0, format!("https://{host}/oauth/v2/auth"), "{pasted}");
    }
    for bad in ["xx", "evil.example", "accounts.zoho.com.evil.example", "https://evil.example", "com/x"] {
        let refused = stage.begin(&[("data_center", bad)], &[]).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "CONNECTION_CONFIG_INVALID");
        assert!(refusal.message.contains("expected one of com, eu, in"), "{bad}: {}", refusal.message);
    }
}

#[tokio::test]
async fn the_callback_moves_the_exchange_and_every_refresh_to_the_users_data_center() {
    let stage = Stage::with("zoho", &[COM, EU], quirks("eu", "https://accounts.zoho.eu")).await;
    let begun = stage.connect(&[], &SCOPES).await;
    assert_eq!(stage.asked(&begun).0, "https://accounts.zoho.com/oauth/v2/auth");
    assert_eq!(stage.requests().len(), 1, "the code was sent elsewhere before");
    assert_eq!(stage.last_request().host, EU);

    stage.clock.advance(Duration::hours(1));
    let (connection, _) = stage.working_token(EU).await;
    assert_eq!(stage.last_request().host, EU);
    assert_eq!(connection.connection_config["data_center"], "eu");
}

#[tokio::test]
async fn a_server_that_is_not_zohos_never_gets_the_secret() {
    // It would answer, if it were asked.
    let stage = Stage::new("zoho", &[COM, "evil.example", "accounts.zoho.eu.evil.example"]).await;
    for evil in [
        "https://evil.example",
        "https://accounts.zoho.eu.evil.example",
        "https://accounts.zoho.eu@evil.example",
        "https://evil.example/accounts.zoho.eu",
        "http://accounts.zoho.eu",
        "https://accounts.zoho.eu:8443",
        "evil.example",
    ] {
        let refused = stage
            .complete_with(&[], &SCOPES, |pairs| {
                pairs.iter_mut().find(|(name, _)| name == "accounts-server").unwrap().1 = evil.to_owned();
            })
            .await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "CALLBACK_INVALID");
        assert!(!refusal.message.contains("evil"), "{evil}: {}", refusal.message);
    }
    let refused = stage
        .complete_with(&[], &SCOPES, |pairs| {
            pairs.iter_mut().find(|(name, _)| name == "location").unwrap().1 = "evil".to_owned();
        })
        .await;
    assert_refused(refused, Code::InvalidArgument, "CALLBACK_INVALID");
    assert_eq!(stage.requests().len(), 0, "the secret was sent");
    assert_eq!(stage.connections().await, 0);
}

#[tokio::test]
async fn an_error_with_status_200_ends_the_flow() {
    let stage = Stage::new("zoho", &[COM]).await;
    let refused = stage
        .complete_with(&[], &SCOPES, |pairs| {
            pairs.iter_mut().find(|(name, _)| name == "code").unwrap().1 = "1000.unknown".to_owned();
        })
        .await;
    let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_REJECTED_CODE");
    assert_eq!(refusal.metadata["oauth_error"], "invalid_grant", "`invalid_code` as the RFC names it");
    assert_eq!((stage.requests().len(), stage.connections().await), (1, 0));
}

#[tokio::test]
async fn an_error_with_status_200_ends_the_grant() {
    let stage = Stage::new("zoho", &[COM]).await;
    stage.connect(&[], &SCOPES).await;
    stage.provider.sandbox.revoke_all();
    stage.clock.advance(Duration::hours(1));
    assert_refused(stage.token().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    let asked = stage.requests().len();
    assert_refused(stage.token().await, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    assert_eq!(stage.requests().len(), asked, "a grant that is gone is not asked for again");
}

#[tokio::test]
async fn the_rate_limit_is_waited_out() {
    let stage = Stage::new("zoho", &[COM]).await;
    stage.connect(&[], &SCOPES).await;
    let limit = || Failure::Error {
        status: 200,
        code: "Access Denied".to_owned(),
        description: "You have made too many requests continuously. Please try again after some time."
            .to_owned(),
    };
    // While the token works, it is served.
    stage.clock.advance(Duration::seconds(3_570));
    stage.provider.sandbox.fail_next(limit());
    stage.working_token(COM).await;
    assert_eq!(stage.requests().len(), 2, "the refresh was not tried");

    // It is left alone as long as it has asked for, though the token has expired by then.
    stage.clock.advance(Duration::seconds(30));
    stage.provider.sandbox.fail_next(limit());
    let refusal = assert_refused(stage.token().await, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    let wait = refusal.retry.unwrap();
    stage.clock.advance(Duration::try_from(wait).unwrap());
    stage.working_token(COM).await;
    assert_eq!(stage.provider.sandbox.book().refreshes, 1);
}

#[tokio::test]
async fn an_api_domain_of_somebody_else_is_refused_and_nothing_is_stored() {
    for foreign in
        ["https://evil.example", "https://www.zohoapis.com.evil.example", "http://www.zohoapis.com"]
    {
        let mut quirks = Quirks::named("zoho").unwrap();
        quirks.extra_token_members.insert("api_domain".to_owned(), foreign.into());
        let stage = Stage::with("zoho", &[COM], quirks).await;
        let refused = stage.complete_with(&[], &SCOPES, |_| {}).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
        assert!(refusal.message.contains("`api_domain`"), "{foreign}: {}", refusal.message);
        assert_eq!(stage.connections().await, 0, "{foreign}");
    }
}
