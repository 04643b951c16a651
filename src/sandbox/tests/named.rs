//! The quirks of the providers in the catalog.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;

use super::*;

/// As most integrations speak to most providers: without PKCE.
const NO_CHALLENGE: [(&str, &str); 2] = [("code_challenge", ""), ("code_challenge_method", "")];
const NO_VERIFIER: (&str, &str) = ("code_verifier", "");

fn names(tokens: &Value) -> Vec<&str> {
    tokens.as_object().unwrap().keys().map(String::as_str).collect()
}

fn sha256_hmac(text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(CLIENT_SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn each_reaches_a_token_with_and_without_pkce() {
    for provider_id in ["gorgias", "qualtrics", "salesforce", "shopify", "zendesk", "zoho"] {
        let stage = Stage::named(provider_id);
        assert!(stage.works(&stage.connect(&NO_CHALLENGE, &[NO_VERIFIER]).await).await, "{provider_id}");
        assert!(stage.works(&stage.connect(&[], &[]).await).await, "{provider_id}");
    }
    assert!(Quirks::named("nobody").is_none());
}

#[tokio::test]
async fn zendesk() {
    let stage = Stage::named("zendesk");
    let first = stage.connect(&[("scope", "read")], &[]).await;
    assert_eq!(names(&first), ["access_token", "refresh_token", "scope", "token_type"]);
    let asked = [("expires_in", "1800"), ("refresh_token_expires_in", "700000")];
    let second = stage.refresh(refresh_token(&first), &asked).await.json();
    assert_eq!((&second["expires_in"], &second["refresh_token_expires_in"]), (&json!(1800), &json!(700_000)));
    assert!(!stage.works(&first).await && stage.works(&second).await);
    stage.refresh(refresh_token(&second), &[("expires_in", "-1")]).await.refuses(400, "invalid_request");

    stage.clock.advance(1799);
    assert!(stage.works(&second).await);
    let third = stage.refresh(refresh_token(&second), &asked[..1]).await.json();
    assert_eq!((&third["expires_in"], &third["refresh_token_expires_in"]), (&json!(1800), &json!(2_592_000)));
    stage.clock.advance(2_592_000);
    stage.refresh(refresh_token(&third), &[]).await.refuses(400, "invalid_grant");
    assert!(stage.quirks.revoke_path.is_none());
}

#[tokio::test]
async fn basic_only() {
    for provider_id in ["gorgias", "qualtrics"] {
        let stage = Stage::named(provider_id);
        let form =
            [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET), ("grant_type", "refresh_token")];
        stage.post(&stage.quirks.token_path, None, &form).await.refuses(400, "invalid_client");
    }
    for provider_id in ["salesforce", "shopify", "zendesk"] {
        let stage = Stage::named(provider_id);
        let answer = stage.post(&stage.quirks.token_path, Some(&basic(CLIENT_ID, CLIENT_SECRET)), &[]).await;
        answer.refuses(401, "invalid_client");
    }
}

#[tokio::test]
async fn qualtrics() {
    let tokens = Stage::named("qualtrics").connect(&NO_CHALLENGE, &[NO_VERIFIER]).await;
    assert_eq!(names(&tokens), ["access_token", "expires_in", "refresh_token", "token_type"]);
}

#[tokio::test]
async fn gorgias() {
    let stage = Stage::named("gorgias");
    let online = stage.connect(&[("scope", "openid")], &[]).await;
    assert_eq!(names(&online), ["access_token", "expires_in", "scope", "token_type"]);
    let tokens = stage.connect(&[("scope", "openid offline")], &[]).await;
    assert_eq!(tokens["expires_in"], 0);
    assert!(stage.works(&tokens).await);
    for _ in 0..2 {
        let refreshed = stage.refresh(refresh_token(&tokens), &[]).await.json();
        assert_eq!(names(&refreshed), ["access_token", "expires_in", "scope", "token_type"]);
    }
}

#[tokio::test]
async fn shopify_tokens() {
    let stage = Stage::named("shopify");
    let scope = ("scope", "read_products,write_orders");
    let page = stage.ask(&[scope]).await;
    assert_eq!(page.body.matches("data-testid=\"scope\"").count(), 2);
    let for_ever = stage.connect(&[scope], &[]).await;
    assert_eq!(names(&for_ever), ["access_token", "scope"]);
    assert_eq!(for_ever["scope"], scope.1);

    let expiring = stage.connect(&[scope], &[("expiring", "1")]).await;
    let mut tokens = expiring.clone();
    for _ in 0..2 {
        assert_eq!(
            (&tokens["expires_in"], &tokens["refresh_token_expires_in"]),
            (&json!(3600), &json!(7_776_000))
        );
        assert!(tokens.get("token_type").is_none());
        tokens = stage.refresh(refresh_token(&tokens), &[]).await.json();
    }
    stage.clock.advance(3600);
    assert!(stage.works(&for_ever).await && !stage.works(&expiring).await);
    stage.exchange("used", &[]).await.refuses(400, "invalid_request");
    stage.refresh("dead", &[]).await.refuses(400, "invalid_grant");
}

#[tokio::test]
async fn shopify_signs_its_callbacks() {
    let stage = Stage::named("shopify");
    for decision in ["approve", "deny"] {
        let page = stage.ask(&[]).await;
        let url = stage.decide(&page, &[("decision", decision)]).await.callback_url();
        let query = url.query().unwrap();
        let (signed, mac): (Vec<_>, Vec<_>) = query.split('&').partition(|pair| !pair.starts_with("hmac="));
        let mut signed = signed;
        signed.sort_unstable();
        assert_eq!(mac, [format!("hmac={}", hex::encode(sha256_hmac(&signed.join("&"))))]);
        let callback: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!((callback["shop"].as_str(), callback["timestamp"].as_str()), (HOST, "1728000000"));
        assert_eq!(callback["host"], "YWRtaW4uc2hvcGlmeS5jb20vc3RvcmUvYWNtZQ");
        assert_eq!(callback["state"], "st&te");
    }
}

/// The vectors of <https://hexdocs.pm/shopify_oauth/Shopify.OAuth.html>.
#[test]
fn a_known_mac() {
    let mac = crate::sandbox::redirect::mac(
        "hush",
        "code=0907a61c0c8d55e99db179b68161bc00&shop=some-shop.myshopify.com&state=0.6784241404160823&timestamp=1337178173",
    );
    assert_eq!(hex::encode(mac), "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf");
}

#[tokio::test]
async fn salesforce() {
    let stage = Stage::named("salesforce");
    assert!(stage.connect(&[("scope", "api")], &[]).await.get("refresh_token").is_none());
    let tokens = stage.connect(&[("scope", "api refresh_token")], &[]).await;
    let extra = ["id", "instance_url", "issued_at"];
    let before =
        [&["access_token"], &extra[..], &["refresh_token", "scope", "signature", "token_type"]].concat();
    assert_eq!(names(&tokens), before);
    assert_eq!(tokens["instance_url"], "https://acme.my.salesforce.com");
    assert_eq!(tokens["id"], "https://acme.sandbox.test/id/00D/005");
    assert_eq!(tokens["issued_at"], "1728000000000");
    let signature = sha256_hmac("https://acme.sandbox.test/id/00D/0051728000000000");
    assert_eq!(tokens["signature"], STANDARD.encode(signature));

    for _ in 0..2 {
        let refreshed = stage.refresh(refresh_token(&tokens), &[]).await.json();
        let after = [&["access_token"], &extra[..], &["scope", "signature", "token_type"]].concat();
        assert_eq!(names(&refreshed), after);
    }
    stage.clock.advance(5);
    assert!(!stage.works(&tokens).await, "the token expires without having said so");

    let revoke_path = stage.quirks.revoke_path.as_deref().unwrap();
    let revoked = stage.post(revoke_path, None, &[("token", refresh_token(&tokens))]).await;
    assert_eq!(revoked.status, StatusCode::OK);
    stage.refresh(refresh_token(&tokens), &[]).await.refuses(400, "invalid_grant");
}

#[tokio::test]
async fn zoho() {
    let mut quirks = Quirks::named("zoho").unwrap();
    quirks.extra_token_members.insert("api_domain".to_owned(), "https://www.zohoapis.eu".into());
    quirks.extra_callback_params[0].1 = "eu".to_owned();
    quirks.extra_callback_params[1].1 = "https://{host}".to_owned();
    let stage = Stage::new(quirks);
    let offline = ("access_type", "offline");
    assert!(stage.connect(&[offline], &[]).await.get("refresh_token").is_none());

    let params = [offline, ("prompt", "consent"), ("scope", "ZohoCRM.modules.ALL,AaaServer.profile.READ")];
    let callback = stage.approve(&params).await;
    assert_eq!(
        (callback["location"].as_str(), callback["accounts-server"].as_str()),
        ("eu", "https://acme.sandbox.test")
    );
    let tokens = stage.exchange(&callback["code"], &[]).await.json();
    assert_eq!(
        (&tokens["api_domain"], &tokens["scope"]),
        (&json!("https://www.zohoapis.eu"), &json!(params[2].1))
    );
    let refreshed = stage.refresh(refresh_token(&tokens), &[]).await.json();
    assert_eq!(names(&refreshed), ["access_token", "api_domain", "expires_in", "scope", "token_type"]);

    for answer in [stage.exchange(&callback["code"], &[]).await, stage.refresh("dead", &[]).await] {
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "error": "invalid_code" })));
    }
    let answer = stage.post(&stage.quirks.token_path, None, &[("client_id", "nobody")]).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "error": "invalid_client" })));

    let tokens = stage.connect(&params, &[]).await;
    let revoke = format!("{}?token={}", stage.quirks.revoke_path.as_deref().unwrap(), refresh_token(&tokens));
    assert_eq!(stage.post(&revoke, None, &[]).await.status, StatusCode::OK);
    assert!(!stage.works(&tokens).await);
}
