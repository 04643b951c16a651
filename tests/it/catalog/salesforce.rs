//! Salesforce: three kinds of login hosts, an instance URL with the token, no `expires_in`, a refresh token that stays.

use tokenwell::{
    model::Duration,
    sandbox::{Failure, Quirks},
};
use tonic::Code;

use super::{Lifetimes, Stage, assert_exchange, assert_post, assert_refresh, map};
use crate::support::assert_refused;

const LOGIN: &str = "login.salesforce.com";
const INSTANCE: &str = "https://acme.my.salesforce.com";

#[tokio::test]
async fn a_flow_and_a_refresh() {
    let stage = Stage::new("salesforce", &[LOGIN]).await;
    let begun = stage.connect(&[], &[]).await;
    let (endpoint, params) = stage.asked(&begun);
    assert_eq!(endpoint, "https://login.salesforce.com/services/oauth2/authorize");
    assert_eq!(params, map(&[("scope", "api refresh_token")]));

    let exchange = stage.last_request();
    assert_eq!((exchange.host.as_str(), exchange.path.as_str()), (LOGIN, "/services/oauth2/token"));
    assert_post(&exchange);
    assert_exchange(&exchange, &stage.redirect_uri(), &[]);
    // The answer named no lifetime: the shortest that an org can set.
    let stored = Lifetimes { access: Some(15 * 60), refresh: None };
    assert_eq!(stage.lifetimes().await, stored);

    let (connection, first) = stage.working_token(LOGIN).await;
    assert_eq!(connection.granted_scopes, ["api", "refresh_token"]);
    let config = map(&[
        ("id", "https://login.salesforce.com/id/00D/005"),
        ("instance_url", INSTANCE),
        ("login_host", LOGIN),
    ]);
    assert_eq!(
        connection.connection_config.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        config
    );

    let mut presented = Vec::new();
    for _ in 0..2 {
        stage.outlive(Duration::minutes(15)).await;
        let (_, next) = stage.working_token(LOGIN).await;
        assert_ne!(first, next);
        let refresh = stage.last_request();
        assert_eq!((refresh.host.as_str(), refresh.path.as_str()), (LOGIN, "/services/oauth2/token"));
        assert_post(&refresh);
        assert_refresh(&refresh, &[]);
        assert_eq!(stage.lifetimes().await, stored);
        presented.push(refresh.form["refresh_token"].clone());
    }
    assert!(presented[0] == presented[1], "the refresh token was lost");
}

#[tokio::test]
async fn sandboxes_and_my_domains_have_login_hosts_of_their_own() {
    let hosts = ["test.salesforce.com", "acme.my.salesforce.com", "acme--dev.sandbox.my.salesforce.com"];
    let stage = Stage::new("salesforce", &hosts).await;
    for host in hosts {
        let begun = stage.connect(&[("login_host", host)], &[]).await;
        let (endpoint, _) = stage.asked(&begun);
        assert_eq!(endpoint, format!("https://{host}/services/oauth2/authorize"));
        assert_eq!(stage.last_request().host, host);
        stage.clock.advance(Duration::minutes(15));
        let (connection, _) = stage.working_token(host).await;
        assert_eq!(stage.last_request().host, host, "the refresh went elsewhere");
        assert_eq!(connection.connection_config["login_host"], host);
        assert_eq!(connection.connection_config["id"], format!("https://{host}/id/00D/005"));
    }
    // People paste the whole address.
    let begun = stage.begin(&[("login_host", "https://ACME.my.salesforce.com/home?x=y")], &[]).await.unwrap();
    assert_eq!(stage.asked(&begun).0, "https://acme.my.salesforce.com/services/oauth2/authorize");
}

#[tokio::test]
async fn hosts_that_are_not_salesforces_own_are_refused() {
    let stage = Stage::new("salesforce", &[LOGIN]).await;
    for host in [
        "evil.com",
        "my.salesforce.com.evil.com",
        "acme.my.salesforce.com.evil.com",
        "login.salesforce.com.evil.com",
        "https://evil.com/login.salesforce.com",
        "https://login.salesforce.com@evil.com",
        "https://login.salesforce.com:8443",
        "my.salesforce.com",
        ".my.salesforce.com",
        "evilmy.salesforce.com",
        "evillogin.salesforce.com",
        "loginxsalesforce.com",
        "acme.other.my.salesforce.com",
        "na1.salesforce.com",
        "login.salesforce.com.",
        "localhost",
        "127.0.0.1",
    ] {
        let refused = stage.begin(&[("login_host", host)], &[]).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "CONNECTION_CONFIG_INVALID");
        assert_eq!(refusal.fields, ["connection_config.login_host"], "{host}");
        assert!(refusal.message.contains("such as `acme.my.salesforce.com`"), "{host}: {}", refusal.message);
    }
}

#[tokio::test]
async fn an_instance_url_of_somebody_else_is_refused_and_nothing_is_stored() {
    for foreign in [
        "https://evil.example",
        "https://acme.my.salesforce.com.evil.example",
        "https://acme.my.salesforce.com@evil.example",
        "https://evilsalesforce.com",
        "http://acme.my.salesforce.com",
        "https://acme.my.salesforce.com:8443",
        "https://127.0.0.1",
    ] {
        let mut quirks = Quirks::named("salesforce").unwrap();
        quirks.extra_token_members.insert("instance_url".to_owned(), foreign.into());
        let stage = Stage::with("salesforce", &[LOGIN], quirks).await;
        let refused = stage.complete_with(&[], &[], |_| {}).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
        assert!(refusal.message.contains("`instance_url`"), "{foreign}: {}", refusal.message);
        assert!(!refusal.message.contains("evil"), "{foreign}: {}", refusal.message);
        assert_eq!(stage.connections().await, 0, "{foreign}");
    }
}

#[tokio::test]
async fn a_refresh_captures_the_instance_url_anew_but_never_somebody_elses() {
    let stage = Stage::new("salesforce", &[LOGIN]).await;
    stage.connect(&[], &[]).await;
    for (sent, kept) in [
        ("https://acme2.my.salesforce.com", "https://acme2.my.salesforce.com"),
        ("https://evil.example", "https://acme2.my.salesforce.com"),
    ] {
        let answer = format!(r#"{{"access_token":"sandbox_at_{kept}","instance_url":"{sent}"}}"#);
        stage.provider.sandbox.fail_next(Failure::Garbage(answer));
        stage.clock.advance(Duration::minutes(15));
        let (connection, token) = stage.token().await.unwrap();
        assert_eq!(
            token.access_token,
            format!("sandbox_at_{kept}"),
            "the token is good whatever else was sent"
        );
        assert_eq!(connection.connection_config["instance_url"], kept);
        assert_eq!(connection.connection_config["login_host"], LOGIN);
    }
}
