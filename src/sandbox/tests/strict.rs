//! The default quirks: what the RFCs say.

use super::*;

#[tokio::test]
async fn a_code_becomes_a_token_that_works() {
    let stage = Stage::strict();
    let callback = stage.approve(&[("scope", "read write")]).await;
    assert_eq!(callback.keys().collect::<Vec<_>>(), ["code", "state"]);
    assert_eq!(callback["state"], "st&te");

    let answer = stage.exchange(&callback["code"], &[]).await;
    assert_eq!(answer.headers[header::PRAGMA], "no-cache");
    let tokens = answer.json();
    assert!(tokens["access_token"].as_str().unwrap().starts_with("sandbox_at_"));
    assert!(refresh_token(&tokens).starts_with("sandbox_rt_"));
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&Value::from("Bearer"), &Value::from(5)));
    assert_eq!(tokens["scope"], "read write");
    assert_eq!(stage.userinfo(&tokens).await.json()["sub"], "ada@example.com");

    stage.clock.advance(5);
    let answer = stage.userinfo(&tokens).await;
    answer.refuses(401, "invalid_token");
    assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");

    let book = stage.sandbox.book();
    assert_eq!((book.authorizations, book.exchanges, book.refreshes), (1, 1, 0));
    let request = &book.token_requests[0];
    assert_eq!((request.path.as_str(), request.host.as_str()), ("/token", HOST));
    assert_eq!(request.form["code_verifier"], VERIFIER);
    assert!(request.authorization.as_deref().unwrap().starts_with("Basic "));
    assert_eq!(request.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let stage = Stage::strict();
    let tokens = stage.connect(&[], &[]).await;
    stage.refresh(refresh_token(&tokens), &[("client_secret", CLIENT_SECRET)]).await;
    let text = format!("{:?} {:?}", stage.sandbox, stage.sandbox.book());
    for secret in [CLIENT_SECRET, VERIFIER, refresh_token(&tokens), &basic(CLIENT_ID, CLIENT_SECRET)[6..]] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("code_verifier") && text.contains("\"Basic\""), "{text}");
}

#[tokio::test]
async fn the_issuer_is_named() {
    let stage = Stage::new(Quirks { iss: Some("https://as.test".to_owned()), ..Quirks::default() });
    assert_eq!(stage.approve(&[]).await["iss"], "https://as.test");
}

#[tokio::test]
async fn pkce_is_demanded_and_checked() {
    let stage = Stage::strict();
    for changes in [
        [("code_challenge", ""), ("code_challenge_method", "")],
        [("code_challenge", VERIFIER), ("code_challenge_method", "plain")],
        [("code_challenge", VERIFIER), ("code_challenge_method", "")],
        [("code_challenge", "short"), ("code_challenge_method", "S256")],
    ] {
        let callback = stage.ask(&changes).await.callback();
        assert_eq!((callback["error"].as_str(), callback["state"].as_str()), ("invalid_request", "st&te"));
        assert!(!callback["error_description"].is_empty());
    }
    for verifier in ["", "short", &VERIFIER.replace('d', "e")] {
        let callback = stage.approve(&[]).await;
        stage.exchange(&callback["code"], &[("code_verifier", verifier)]).await.refuses(400, "invalid_grant");
        // That was the code's one use.
        stage.exchange(&callback["code"], &[]).await.refuses(400, "invalid_grant");
    }
    let lax = Stage::new(Quirks { pkce_required: false, ..Quirks::default() });
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    let callback = lax.approve(&without).await;
    lax.exchange(&callback["code"], &[]).await.refuses(400, "invalid_grant");
    lax.connect(&without, &[("code_verifier", "")]).await;
    let public = lax.ask(&[&without[..], &[("client_id", "public")]].concat()).await.callback();
    assert_eq!(public["error"], "invalid_request");
}

#[tokio::test]
async fn a_code_works_once_for_its_client_for_a_minute() {
    let stage = Stage::strict();
    let callback = stage.approve(&[]).await;
    let stranger = [("client_id", "other"), ("client_secret", "x"), ("grant_type", "authorization_code")];
    let theft =
        [("code", callback["code"].as_str()), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
    stage.post("/token", None, &[&stranger[..], &theft].concat()).await.refuses(400, "invalid_grant");
    let tokens = stage.exchange(&callback["code"], &[]).await.json();
    assert!(stage.works(&tokens).await);

    stage.exchange(&callback["code"], &[]).await.refuses(400, "invalid_grant");
    assert!(!stage.works(&tokens).await, "a code that is used twice takes its grant along");
    stage.refresh(refresh_token(&tokens), &[]).await.refuses(400, "invalid_grant");

    let callback = stage.approve(&[]).await;
    stage.clock.advance(60);
    stage.exchange(&callback["code"], &[]).await.refuses(400, "invalid_grant");
    let callback = stage.approve(&[]).await;
    stage
        .exchange(&callback["code"], &[("redirect_uri", "https://app.test/")])
        .await
        .refuses(400, "invalid_grant");
    assert_eq!(stage.sandbox.book().exchanges, 1);
}

#[tokio::test]
async fn a_refresh_rotates_and_reuse_ends_the_grant() {
    let stage = Stage::strict();
    let first = stage.connect(&[("scope", "read write")], &[]).await;
    let second = stage.refresh(refresh_token(&first), &[]).await.json();
    assert_ne!(refresh_token(&first), refresh_token(&second));
    let narrow = stage.refresh(refresh_token(&second), &[("scope", "read")]).await.json();
    assert_eq!((&second["scope"], &narrow["scope"]), (&Value::from("read write"), &Value::from("read")));
    stage.refresh(refresh_token(&narrow), &[("scope", "read admin")]).await.refuses(400, "invalid_scope");
    let third = stage.refresh(refresh_token(&narrow), &[]).await.json();
    assert!(stage.works(&first).await && stage.works(&third).await);

    stage.refresh(refresh_token(&first), &[]).await.refuses(400, "invalid_grant");
    assert!(!stage.works(&third).await);
    stage.refresh(refresh_token(&third), &[]).await.refuses(400, "invalid_grant");
    stage.refresh("unknown", &[]).await.refuses(400, "invalid_grant");

    let book = stage.sandbox.book();
    assert_eq!((book.refreshes, book.reuse_detected), (3, 1));
    assert_eq!(book.redemptions[&hex::encode(Sha256::digest(refresh_token(&first)))], 2);
    assert_eq!(book.redemptions[&hex::encode(Sha256::digest(refresh_token(&second)))], 1);
    assert_eq!(book.redemptions.len(), 4);
}

#[tokio::test]
async fn a_grace_ends_when_the_replacement_is_used() {
    let stage = Stage::new(Quirks { rotation_grace: true, ..Quirks::default() });
    let first = stage.connect(&[], &[]).await;
    let _lost = stage.refresh(refresh_token(&first), &[]).await.json();
    let second = stage.refresh(refresh_token(&first), &[]).await.json();
    stage.refresh(refresh_token(&second), &[]).await.json();
    stage.refresh(refresh_token(&first), &[]).await.refuses(400, "invalid_grant");
    assert_eq!(stage.sandbox.book().reuse_detected, 1);
}

#[tokio::test]
async fn clients_authenticate() {
    let stage = Stage::strict();
    let wrong =
        stage.post("/token", Some(&basic(CLIENT_ID, "wrong")), &[("grant_type", "refresh_token")]).await;
    wrong.refuses(401, "invalid_client");
    assert!(wrong.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic "));
    for form in [
        &[("client_id", CLIENT_ID), ("client_secret", "wrong")][..],
        &[("client_id", CLIENT_ID)],
        &[("client_id", "nobody")],
        &[("client_id", "public"), ("client_secret", "made up")],
        &[],
    ] {
        let answer = stage.post("/token", None, form).await;
        answer.refuses(400, "invalid_client");
        assert!(!answer.headers.contains_key(header::WWW_AUTHENTICATE));
    }
    let twice = [("client_secret", CLIENT_SECRET)];
    stage
        .post("/token", Some(&basic(CLIENT_ID, CLIENT_SECRET)), &twice)
        .await
        .refuses(400, "invalid_request");
    let differing = [("client_id", "other")];
    stage
        .post("/token", Some(&basic(CLIENT_ID, CLIENT_SECRET)), &differing)
        .await
        .refuses(400, "invalid_request");
    stage.token(&[("grant_type", "password")]).await.refuses(400, "unsupported_grant_type");
    stage.token(&[("grant_type", "a"), ("grant_type", "a")]).await.refuses(400, "invalid_request");
    let no_form =
        Request::post("/token").header(header::CONTENT_TYPE, "application/json").body("{}".into()).unwrap();
    stage.send(no_form).await.refuses(400, "invalid_request");

    let callback = stage.approve(&[("client_id", "public")]).await;
    let form = [("client_id", "public"), ("grant_type", "authorization_code"), ("code", &callback["code"])];
    let rest = [("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
    assert!(
        stage
            .works(&stage.post("/token", None, &[form, [rest[0], rest[1], ("x", "")]].concat()).await.json())
            .await
    );
}

#[tokio::test]
async fn tokens_are_revoked() {
    let stage = Stage::strict();
    let revoke = async |secret: &str, token: &Value| {
        let authorization = basic(CLIENT_ID, secret);
        stage.post("/revoke", Some(&authorization), &[("token", token.as_str().unwrap())]).await
    };
    let tokens = stage.connect(&[], &[]).await;
    revoke("wrong", &tokens["access_token"]).await.refuses(401, "invalid_client");
    let other = [("client_id", "other"), ("client_secret", "x"), ("token", refresh_token(&tokens))];
    stage.post("/revoke", None, &other).await.refuses(400, "invalid_grant");

    assert_eq!(revoke(CLIENT_SECRET, &tokens["access_token"]).await.status, StatusCode::OK);
    assert!(!stage.works(&tokens).await);
    let tokens = stage.refresh(refresh_token(&tokens), &[]).await.json();
    for _ in 0..2 {
        assert_eq!(revoke(CLIENT_SECRET, &tokens["refresh_token"]).await.status, StatusCode::OK);
    }
    assert!(!stage.works(&tokens).await);
    stage.refresh(refresh_token(&tokens), &[]).await.refuses(400, "invalid_grant");
    assert_eq!(stage.sandbox.book().revocations, 2);

    let (tokens, callback) = (stage.connect(&[], &[]).await, stage.approve(&[]).await);
    stage.sandbox.revoke_all();
    assert!(!stage.works(&tokens).await);
    stage.refresh(refresh_token(&tokens), &[]).await.refuses(400, "invalid_grant");
    stage.exchange(&callback["code"], &[]).await.refuses(400, "invalid_grant");
}
