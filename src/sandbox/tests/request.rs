//! Token requests that are not what RFC 6749 has.

use super::*;
use crate::sandbox::{ErrorQuirks, RequestQuirks};

const CREDENTIALS: [(&str, &str); 2] = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];

fn with_request(token_request: RequestQuirks) -> Quirks {
    Quirks { token_request, ..Quirks::default() }
}

fn exchange(code: &str) -> Vec<(&str, &str)> {
    let rest = [("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
    [&CREDENTIALS[..], &[("grant_type", "authorization_code")], &rest].concat()
}

fn refresh(refresh_token: &str) -> Vec<(&str, &str)> {
    [&CREDENTIALS[..], &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]].concat()
}

#[tokio::test]
async fn one_form_is_taken_and_no_other() {
    use RequestFormat::{Form, Json, Query};
    for format in [Form, Json, Query] {
        let stage = Stage::new(with_request(RequestQuirks { format, ..RequestQuirks::default() }));
        let callback = stage.approve(&[]).await;
        let params = exchange(&callback["code"]);
        for other in [Form, Json, Query].into_iter().filter(|other| *other != format) {
            let answer = stage.token_as(other, "/token", &params).await;
            if format == Query || other == Query {
                assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{format:?} {other:?}");
            } else {
                answer.refuses(400, "invalid_request");
            }
        }
        let tokens = stage.token_as(format, "/token", &params).await.json();
        assert!(stage.works(&tokens).await, "{format:?}");
        let again = stage.token_as(format, "/token", &refresh(refresh_token(&tokens))).await.json();
        assert!(stage.works(&again).await, "{format:?}");

        let request = stage.sandbox.book().token_requests.pop().unwrap();
        assert_eq!(request.method, if format == Query { "GET" } else { "POST" });
        assert_eq!(request.form["refresh_token"], refresh_token(&tokens));
        assert_eq!(request.headers["host"], HOST);
    }
}

#[tokio::test]
async fn json_is_an_object_of_plain_values() {
    let quirks = with_request(RequestQuirks { format: RequestFormat::Json, ..RequestQuirks::default() });
    let stage = Stage::new(quirks);
    for body in ["", "[]", "{\"grant_type\":", "{\"grant_type\":{}}", "{\"grant_type\":null}"] {
        let request = Request::post("/token").header(header::CONTENT_TYPE, "application/json");
        stage.send(request.body(body.into()).unwrap()).await.refuses(400, "invalid_request");
    }
}

#[tokio::test]
async fn parameters_have_other_names() {
    let names = [
        ("client_id", "client_key"),
        ("code", "auth_code"),
        ("redirect_uri", "back"),
        ("scope", "permissions"),
    ];
    let param_names = owned(&names).into_iter().collect();
    let stage = Stage::new(Quirks { param_names, ..Quirks::default() });

    // Under its name in the RFC, nothing of them is taken.
    for usual in [("client_id", CLIENT_ID), ("redirect_uri", CALLBACK), ("scope", "read")] {
        let changes =
            [("client_key", CLIENT_ID), ("back", CALLBACK), ("client_id", ""), ("redirect_uri", "")];
        let answer = stage.ask(&changed(&changes, &[usual])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{usual:?}");
    }
    let changes = [
        ("client_key", CLIENT_ID),
        ("back", CALLBACK),
        ("permissions", "read"),
        ("client_id", ""),
        ("redirect_uri", ""),
    ];
    let callback = stage.approve(&changes).await;
    let right = [
        ("client_key", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("grant_type", "authorization_code"),
        ("auth_code", &callback["code"]),
        ("back", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    for (name, usual) in [("client_key", "client_id"), ("auth_code", "code"), ("back", "redirect_uri")] {
        let value = right.iter().find(|(own, _)| *own == name).unwrap().1;
        let wrong = changed(&right, &[(name, ""), (usual, value)]);
        stage.post("/token", None, &wrong).await.refuses(400, "invalid_request");
    }
    let tokens = stage.post("/token", None, &right).await.json();
    assert_eq!(tokens["scope"], "read");
}

#[tokio::test]
async fn parameters_are_left_out() {
    let left_out = [("redirect_uri", ""), ("grant_type", ""), ("response_type", ""), ("code_challenge", "")];
    let stage = Stage::new(Quirks {
        param_names: owned(&left_out).into_iter().collect(),
        pkce_required: false,
        client_credentials: true,
        ..Quirks::default()
    });
    let changes = [&left_out[..], &[("code_challenge_method", "")]].concat();
    assert_eq!(stage.ask(&changes[1..]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        stage.ask(&changed(&changes, &[("response_type", "code")])).await.status,
        StatusCode::BAD_REQUEST
    );
    let callback = stage.approve(&changes).await;
    let right = [&CREDENTIALS[..], &[("code", callback["code"].as_str())]].concat();
    for more in [("redirect_uri", CALLBACK), ("grant_type", "authorization_code")] {
        stage.post("/token", None, &[&right[..], &[more]].concat()).await.refuses(400, "invalid_request");
    }
    let tokens = stage.post("/token", None, &right).await.json();
    let refresh = [&CREDENTIALS[..], &[("refresh_token", refresh_token(&tokens))]].concat();
    assert!(stage.works(&stage.post("/token", None, &refresh).await.json()).await);
    assert!(stage.post("/token", None, &CREDENTIALS).await.json()["access_token"].is_string());
    let book = stage.sandbox.book();
    assert_eq!((book.exchanges, book.refreshes, book.client_credentials), (1, 1, 1));
}

#[tokio::test]
async fn further_parameters_and_headers_are_demanded() {
    let stage = Stage::new(with_request(RequestQuirks {
        code_params: owned(&[("tenant", "acme"), ("empty", "")]),
        refresh_params: owned(&[("grant_type", "access_token_refresh"), ("tenant", "acme")]),
        headers: owned(&[("x-version", "7")]),
        ..RequestQuirks::default()
    }));
    let send = async |params: &Pairs<'_>, version: Option<&str>| {
        let mut request = Request::post("/token")
            .header(header::HOST, HOST)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(version) = version {
            request = request.header("X-Version", version);
        }
        stage.send(request.body(encode(params).into()).unwrap()).await
    };
    let callback = stage.approve(&[]).await;
    let usual = exchange(&callback["code"]);
    let right = [&usual[..], &[("tenant", "acme"), ("empty", "")]].concat();
    for wrong in [&usual[..], &changed(&right, &[("tenant", "other")]), &right[..right.len() - 1]] {
        send(wrong, Some("7")).await.refuses(400, "invalid_request");
    }
    for version in [None, Some("8")] {
        send(&right, version).await.refuses(400, "invalid_request");
    }
    let tokens = send(&right, Some("7")).await.json();

    let usual = [&refresh(refresh_token(&tokens))[..], &[("tenant", "acme")]].concat();
    send(&usual, Some("7")).await.refuses(400, "unsupported_grant_type");
    let right = changed(&usual, &[("grant_type", "access_token_refresh")]);
    send(&changed(&right, &[("tenant", "")]), Some("7")).await.refuses(400, "invalid_request");
    assert!(stage.works(&send(&right, Some("7")).await.json()).await);
}

#[tokio::test]
async fn refresh_tokens_go_elsewhere() {
    let quirks = Quirks { refresh_path: Some("/renew".to_owned()), ..Quirks::default() };
    let stage = Stage::new(quirks);
    let callback = stage.approve(&[]).await;
    let params = exchange(&callback["code"]);
    stage.post("/renew", None, &params).await.refuses(400, "unsupported_grant_type");
    let tokens = stage.post("/token", None, &params).await.json();
    let params = refresh(refresh_token(&tokens));
    stage.post("/token", None, &params).await.refuses(400, "unsupported_grant_type");
    stage.sandbox.fail_next(crate::sandbox::Failure::Status(503));
    assert_eq!(stage.post("/renew", None, &params).await.status, 503);
    assert!(stage.works(&stage.post("/renew", None, &params).await.json()).await);
    assert_eq!(stage.sandbox.book().token_requests.pop().unwrap().path, "/renew");
}

#[tokio::test]
async fn client_credentials_are_a_quirk() {
    let form = [&CREDENTIALS[..], &[("grant_type", "client_credentials"), ("scope", "read")]].concat();
    Stage::strict().post("/token", None, &form).await.refuses(400, "unsupported_grant_type");

    let plain = Stage::new(Quirks { client_credentials: true, ..Quirks::default() });
    let tokens = plain.post("/token", None, &form).await.json();
    assert_eq!(
        (&tokens["scope"], &tokens["expires_in"], tokens.get("refresh_token")),
        (&Value::from("read"), &Value::from(5), None)
    );
    assert_eq!(plain.userinfo(&tokens).await.json()["sub"], CLIENT_ID);
    assert_eq!(plain.sandbox.book().client_credentials, 1);
    let public = [("client_id", "public"), ("grant_type", "client_credentials")];
    plain.post("/token", None, &public).await.refuses(400, "unauthorized_client");

    let client_credentials_params = owned(&[("grant_type", "account_credentials"), ("account_id", "7")]);
    let request = RequestQuirks { client_credentials_params, ..RequestQuirks::default() };
    let stage = Stage::new(Quirks { client_credentials: true, ..with_request(request) });
    stage.post("/token", None, &form).await.refuses(400, "unsupported_grant_type");
    let other = changed(&form, &[("grant_type", "account_credentials")]);
    stage.post("/token", None, &other).await.refuses(400, "invalid_request");
    let right = [&other[..], &[("account_id", "7")]].concat();
    assert!(stage.works(&stage.post("/token", None, &right).await.json()).await);
}

#[tokio::test]
async fn errors_are_elsewhere() {
    let codes = [("invalid_grant".to_owned(), Value::from(40029))].into();
    let error = ErrorQuirks {
        status_200: true,
        code: "meta.errcode".to_owned(),
        description: Some("meta.errmsg".to_owned()),
        success: Some(Value::from(0)),
        codes,
    };
    let stage = Stage::new(Quirks { token_error: error, ..Quirks::default() });
    let answer = stage.exchange("unknown", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    assert_eq!(body["meta"]["errcode"], 40029);
    assert!(body["meta"]["errmsg"].is_string() && body.get("error").is_none(), "{body}");
    assert_eq!(stage.token(&[]).await.json()["meta"]["errcode"], "invalid_request");

    let tokens = stage.connect(&[], &[]).await;
    assert_eq!(tokens["meta"]["errcode"], 0);
    assert!(stage.works(&tokens).await);
}
