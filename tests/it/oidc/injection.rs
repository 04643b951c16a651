//! Callbacks that somebody has tampered with, at a server that is not ours.

use serde_json::json;
use tonic::Code;
use url::Url;

use super::{House, with_iss};
use crate::support::{Browser, assert_refused};

/// RFC 9700, section 4.5: another user's code in a flow of one's own. The server binds codes to their challenges.
#[tokio::test]
async fn a_code_of_another_flow_is_refused() {
    let house = House::new().await;
    let theirs = house.callback(&mut Browser::new(), "victim").await;
    let mut browser = Browser::new();
    let ours = house.callback(&mut browser, "thief").await;
    let code = |url: &Url| url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let mut injected = ours.clone();
    let pairs: Vec<_> = ours.query_pairs().into_owned().collect();
    let stolen = code(&theirs);
    injected
        .query_pairs_mut()
        .clear()
        .extend_pairs(pairs.iter().map(|(name, value)| (name, if name == "code" { &stolen } else { value })));
    let result = browser.get(&house.behind_proxy(injected.as_str())).await;
    assert_eq!(result.result("data-error"), "PROVIDER_REJECTED_CODE", "{}", result.body);
    let book = house.oidc.book().await;
    assert_eq!((&book["grants"], &book["refused"][0]["error"]), (&json!({}), &json!("invalid_grant")));
    for connection in ["thief", "victim"] {
        let none = house.server.token("oidc", connection).await;
        assert_refused(none, Code::NotFound, "CONNECTION_NOT_FOUND");
    }
}

/// RFC 9207, section 2.4: a refusal that does not say who speaks, or says it twice, ends nothing.
#[tokio::test]
async fn a_refusal_of_nobody_ends_no_flow() {
    let house = House::new().await;
    let mut browser = Browser::new();
    let callback = house.callback(&mut browser, "ada").await;
    let mut refusal = callback.clone();
    let kept: Vec<_> = callback.query_pairs().into_owned().filter(|(name, _)| name != "code").collect();
    refusal.query_pairs_mut().clear().extend_pairs(kept).append_pair("error", "access_denied");
    let none = |_: &str| Vec::new();
    let twice = |issuer: &str| vec![issuer.to_owned(), issuer.to_owned()];
    let other = |issuer: &str| vec![issuer.replace("http:", "https:")];
    let changes: [fn(&str) -> Vec<String>; 3] = [none, twice, other];
    for change in changes {
        let forged = with_iss(&refusal, change);
        let result = browser.get(&house.behind_proxy(forged.as_str())).await;
        assert_eq!(result.result("data-error"), "CALLBACK_INVALID", "{forged}: {}", result.body);
    }
    let result = browser.get(&house.behind_proxy(callback.as_str())).await;
    assert_eq!(result.result("data-status"), "success", "{}", result.body);
}
