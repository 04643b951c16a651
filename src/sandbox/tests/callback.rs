//! Callbacks that are not what RFC 6749 has.

use super::*;

#[tokio::test]
async fn the_code_has_another_name() {
    let stage = Stage::new(Quirks { code_param: "authCode".to_owned(), ..Quirks::default() });
    let callback = stage.approve(&[]).await;
    assert_eq!(callback.keys().collect::<Vec<_>>(), ["authCode", "state"]);
    assert!(stage.works(&stage.exchange(&callback["authCode"], &[]).await.json()).await);
    let page = stage.ask(&[]).await;
    let denied = stage.decide(&page, &[("decision", "deny")]).await.callback();
    assert_eq!(denied["error"], "access_denied");
}

#[tokio::test]
async fn the_browser_posts_the_callback() {
    let stage = Stage::new(Quirks { form_post: true, ..Quirks::default() });
    let page = stage.ask(&[]).await;
    let posted = stage.decide(&page, &[("decision", "approve")]).await;
    assert_eq!(posted.status, StatusCode::OK);
    assert!(posted.body.contains(&format!("method=\"post\" action=\"{CALLBACK}\"")), "{}", posted.body);
    assert_eq!(posted.hidden("state"), "st&amp;te");
    assert!(stage.works(&stage.exchange(&posted.hidden("code"), &[]).await.json()).await);
}

#[tokio::test]
async fn the_signature_and_the_issuer_are_named() {
    let stage = Stage::new(Quirks {
        sign_callback: true,
        hmac_param: "mac".to_owned(),
        iss: Some("https://{host}/as".to_owned()),
        ..Quirks::default()
    });
    let callback = stage.approve(&[]).await;
    assert_eq!(callback["iss"], format!("https://{HOST}/as"));
    assert!(callback.contains_key("mac") && !callback.contains_key("hmac"));
}
