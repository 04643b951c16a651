//! The consent page, and what is refused before it.

use super::*;

#[tokio::test]
async fn nothing_is_sent_to_a_wrong_client_or_redirect_uri() {
    let stage = Stage::strict();
    for changes in [
        &[("client_id", "nobody")][..],
        &[("client_id", "")],
        &[("redirect_uri", "")],
        &[("redirect_uri", "https://app.test/callback/")],
        &[("redirect_uri", "https://evil.test/callback")],
        &[("redirect_uri", CALLBACK), ("redirect_uri", CALLBACK)],
    ] {
        let answer = stage.ask(changes).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{changes:?}");
        assert!(
            answer.body.contains("data-testid=\"problem\"") && !answer.headers.contains_key(header::LOCATION)
        );
    }
}

#[tokio::test]
async fn a_client_without_registered_uris_may_use_any_of_the_web() {
    let clients = vec![Client { client_id: "demo".to_owned(), ..Client::default() }];
    let options = Options { clients, access_token_ttl: Duration::seconds(5), quirks: Quirks::default() };
    let clock = Stage::strict().clock;
    let sandbox = Sandbox::new(options, clock.clone(), Arc::new(OsRandom));
    let stage = Stage { sandbox, clock, quirks: Quirks::default() };
    for (uri, status) in [
        ("http://127.0.0.1:8080/cb?x=1", 200),
        ("javascript:alert(1)", 400),
        ("data:text/html,x", 400),
        ("https://app.test/#fragment", 400),
        ("/relative", 400),
    ] {
        assert_eq!(stage.ask(&[("client_id", "demo"), ("redirect_uri", uri)]).await.status, status, "{uri}");
    }
}

#[tokio::test]
async fn other_mistakes_go_back_to_the_client() {
    let quirks =
        Quirks { required_authorization_params: vec![("a".to_owned(), "b".to_owned())], ..Quirks::default() };
    let stage = Stage::new(quirks);
    for (changes, error) in [
        (&[("response_type", "token"), ("a", "b")][..], "unsupported_response_type"),
        (&[("response_type", ""), ("a", "b")], "invalid_request"),
        (&[("scope", "x"), ("scope", "y"), ("a", "b")], "invalid_request"),
        (&[], "invalid_request"),
    ] {
        let callback = stage.ask(changes).await.callback();
        assert_eq!(
            (callback["error"].as_str(), callback["state"].as_str()),
            (error, "st&te"),
            "{callback:?}"
        );
    }
    assert_eq!(stage.ask(&[("a", "b")]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_user_decides_once() {
    let stage = Stage::strict();
    let page = stage.ask(&[]).await;
    assert_eq!(stage.decide(&page, &[("decision", "maybe")]).await.status, StatusCode::BAD_REQUEST);
    let callback = stage.decide(&page, &[("decision", "deny")]).await.callback();
    assert_eq!((callback["error"].as_str(), callback["state"].as_str()), ("access_denied", "st&te"));
    assert!(!callback.contains_key("code"));
    assert_eq!(stage.decide(&page, &[("decision", "approve")]).await.status, StatusCode::BAD_REQUEST);

    let page = stage.ask(&[]).await;
    stage.clock.advance(600);
    assert_eq!(stage.decide(&page, &[("decision", "approve")]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(stage.sandbox.book().authorizations, 0);
}

#[tokio::test]
async fn the_account_is_the_users_choice() {
    let stage = Stage::strict();
    let evil = "<b>\"Eve\"</b> & co";
    for (typed, sub) in [(evil, evil), ("  ", "ada@example.com"), (" bob ", "bob")] {
        let page = stage.ask(&[]).await;
        let callback = stage.decide(&page, &[("decision", "approve"), ("account", typed)]).await.callback();
        let tokens = stage.exchange(&callback["code"], &[]).await.json();
        // JSON, and nowhere HTML: the account is never shown on a page.
        assert_eq!(stage.userinfo(&tokens).await.json()["sub"], sub);
    }
}

#[tokio::test]
async fn the_page_is_safe() {
    let evil = "<script>alert('1')</script>\"&";
    let clients = vec![Client {
        client_id: evil.to_owned(),
        client_secret: None,
        redirect_uris: vec![CALLBACK.to_owned()],
        ..Client::default()
    }];
    let options = Options { clients, access_token_ttl: Duration::seconds(5), quirks: Quirks::default() };
    let clock = Stage::strict().clock;
    let sandbox = Sandbox::new(options, clock.clone(), Arc::new(OsRandom));
    let stage = Stage { sandbox, clock, quirks: Quirks::default() };
    let page = stage.ask(&[("client_id", evil), ("scope", evil), ("state", evil)]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.body.contains("<script"), "{}", page.body);
    assert_eq!(
        page.body.matches("&lt;script&gt;alert('1')&lt;/script&gt;&quot;&amp;").count(),
        2,
        "{}",
        page.body
    );
    for mark in [
        "data-testid=\"approve\"",
        "data-testid=\"deny\"",
        "value=\"ada@example.com\"",
        "action=\"/authorize\"",
    ] {
        assert!(page.body.contains(mark), "{mark}");
    }
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'unsafe-inline'")
            && !policy.contains("form-action")
    );
    assert!(policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.headers[header::X_FRAME_OPTIONS], "DENY");
}
