//! Shopify: signed callbacks that name the shop, comma-separated scopes, no `token_type`, expiring tokens on demand.

use tokenwell::{
    model::{Duration, Error, ProviderId, SecretString},
    provider::{CallbackQuery, Catalog},
};
use tonic::Code;

use super::{Lifetimes, Stage, assert_exchange, assert_post, assert_refresh, map};
use crate::support::assert_refused;

const HOST: &str = "acme.myshopify.com";
const ACME: [(&str, &str); 1] = [("subdomain", "acme")];
/// A MAC in form only.
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const SCOPES: [&str; 2] = ["read_products", "write_orders"];

/// What somebody does to a callback's parameters.
type Change = dyn Fn(&mut Vec<(String, String)>);

#[tokio::test]
async fn a_flow_and_a_refresh() {
    let stage = Stage::new("shopify", &[HOST]).await;
    let begun = stage.connect(&ACME, &SCOPES).await;
    let (endpoint, params) = stage.asked(&begun);
    assert_eq!(endpoint, "https://acme.myshopify.com/admin/oauth/authorize");
    assert_eq!(params, map(&[("scope", "read_products,write_orders")]));

    let exchange = stage.last_request();
    assert_eq!((exchange.host.as_str(), exchange.path.as_str()), (HOST, "/admin/oauth/access_token"));
    assert_post(&exchange);
    assert_exchange(&exchange, &stage.redirect_uri(), &[("expiring", "1")]);
    let stored = Lifetimes { access: Some(3_600), refresh: Some(7_776_000) };
    assert_eq!(stage.lifetimes().await, stored);

    let (connection, first) = stage.working_token(HOST).await;
    assert_eq!(connection.granted_scopes, SCOPES);
    assert_eq!(connection.connection_config["subdomain"], "acme");

    for _ in 0..2 {
        stage.outlive(Duration::seconds(3_600)).await;
        let (_, next) = stage.working_token(HOST).await;
        assert_ne!(first, next);
        let refresh = stage.last_request();
        assert_eq!((refresh.host.as_str(), refresh.path.as_str()), (HOST, "/admin/oauth/access_token"));
        assert_post(&refresh);
        assert_refresh(&refresh, &[]);
        assert_eq!(stage.lifetimes().await, stored);
    }
}

#[tokio::test]
async fn a_callback_that_was_altered_is_refused_before_its_code_is_sent_anywhere() {
    let stage = Stage::new("shopify", &[HOST, "mallory.myshopify.com"]).await;
    let set = |name: &'static str, value: &'static str| {
        move |pairs: &mut Vec<(String, String)>| {
            pairs.iter_mut().find(|(key, _)| key == name).unwrap().1 = value.to_owned();
        }
    };
    let changes: Vec<Box<Change>> = vec![
        Box::new(set("hmac", ZEROS)),
        Box::new(set("hmac", "not hex")),
        Box::new(set("hmac", "")),
        Box::new(|pairs| pairs.retain(|(key, _)| key != "hmac")),
        Box::new(set("shop", "mallory.myshopify.com")),
        Box::new(set("timestamp", "1")),
        Box::new(set("code", "sandbox_ac_of_another_shop")),
        Box::new(|pairs| pairs.retain(|(key, _)| key != "shop")),
        Box::new(|pairs| pairs.push(("further".to_owned(), "parameter".to_owned()))),
    ];
    for (index, change) in changes.iter().enumerate() {
        let refused = stage.complete_with(&ACME, &SCOPES, change).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "CALLBACK_INVALID");
        assert_eq!(refusal.message, "the callback is not valid: its `hmac` does not match", "{index}");
    }
    assert_eq!(stage.requests().len(), 0, "the code of an altered callback was sent");
    assert_eq!(stage.connections().await, 0);
    // The same way without a change leads to a connection.
    stage.complete_with(&ACME, &SCOPES, |_| {}).await.unwrap();
    assert_eq!((stage.requests().len(), stage.connections().await), (1, 1));
}

#[tokio::test]
async fn the_callback_of_another_shop_is_refused_though_its_signature_holds() {
    // The sandbox signs what it is asked under, so the page of another shop gives a callback that is genuine there.
    let stage = Stage::new("shopify", &[HOST, "mallory.myshopify.com"]).await;
    let begun = stage.begin(&ACME, &SCOPES).await.unwrap();
    let elsewhere = begun.authorization_url.replace(HOST, "mallory.myshopify.com");
    let mut browser = stage.browser();
    browser.get(&begun.connect_url).await;
    let consent = browser.open(&elsewhere).await;
    let callback = browser.decide(&consent, "approve").await.location().unwrap();
    assert!(callback.query_pairs().any(|(name, value)| name == "shop" && value == "mallory.myshopify.com"));
    let answer = browser.get(callback.as_str()).await;
    assert_eq!(answer.result("data-error"), "CALLBACK_INVALID", "{}", answer.body);
    assert!(answer.body.contains("`shop` is not the one that was begun with"), "{}", answer.body);
    assert_eq!(stage.requests().len(), 0, "the code of another shop was sent");
    assert_eq!(stage.connections().await, 0);
}

/// The vectors that the documentation of Shopify's client libraries gives, whose key is `hush`.
#[test]
fn the_published_vectors_hold() {
    let base = "code=0907a61c0c8d55e99db179b68161bc00&shop=some-shop.myshopify.com";
    let with_state = (
        format!("{base}&state=0.6784241404160823&timestamp=1337178173"),
        "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf",
    );
    let without_state = (
        format!("{base}&timestamp=1337178173"),
        "4712bf92ffc2917d15a2f5a273e39f0116667419aa4b6ac0b3baaf26fa3c4d20",
    );
    for (text, mac) in [&with_state, &without_state] {
        assert!(check(&format!("{text}&hmac={mac}"), Some("hush")).is_ok(), "{text}");
        assert!(check(&format!("hmac={mac}&{text}"), Some("hush")).is_ok(), "the order does not matter");
        for secret in [Some("hush!"), Some(""), None] {
            assert_not_matching(&format!("{text}&hmac={mac}"), secret);
        }
        assert_not_matching(text, Some("hush"));
        assert_not_matching(&format!("{text}&hmac={}", &mac[..62]), Some("hush"));
        assert_not_matching(&format!("{text}&hmac={mac}00"), Some("hush"));
        assert_not_matching(
            &format!("{}&hmac={mac}", text.replace("1337178173", "1337178174")),
            Some("hush"),
        );
    }
    assert_not_matching(&format!("{}&hmac={}", with_state.0, without_state.1), Some("hush"));
}

#[track_caller]
fn assert_not_matching(query: &str, secret: Option<&str>) {
    match check(query, secret) {
        Err(Error::CallbackInvalid(problem)) => assert_eq!(problem, "its `hmac` does not match"),
        other => panic!("{query}: {other:?}"),
    }
}

fn check(query: &str, secret: Option<&str>) -> Result<(), Error> {
    let catalog = Catalog::built_in().unwrap();
    let shopify = catalog.get(&ProviderId::parse("shopify").unwrap()).unwrap().clone();
    let query = CallbackQuery::parse(query).unwrap();
    let secret = secret.map(SecretString::from);
    shopify.check_callback(&query, &map(&[("subdomain", "some-shop")]).into(), secret.as_ref())
}
