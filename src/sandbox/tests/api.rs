//! What a provider's API tells.

use serde_json::json;

use super::*;
use crate::sandbox::ResourceQuirks;

fn with_resources(resources: Vec<ResourceQuirks>) -> Stage {
    Stage::new(Quirks { resources, ..Quirks::default() })
}

async fn ask(stage: &Stage, method: &str, uri: &str, headers: &Pairs<'_>, body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    stage.send(request.body(body.to_owned().into()).unwrap()).await
}

#[tokio::test]
async fn a_lookup_needs_a_token_in_its_place() {
    let stage = with_resources(vec![
        ResourceQuirks {
            path: "/me".to_owned(),
            params: owned(&[("fields", "id")]),
            headers: owned(&[("authorization", "OAuth {access_token}"), ("x-version", "7")]),
            answer: json!([{ "id": 1 }]),
            ..ResourceQuirks::default()
        },
        ResourceQuirks {
            method: "POST".to_owned(),
            path: "/graph".to_owned(),
            headers: owned(&[("x-token", "{access_token}")]),
            body: Some(json!({ "query": "{ me }" })),
            answer: json!({ "data": 2 }),
            ..ResourceQuirks::default()
        },
    ]);
    let tokens = stage.connect(&[], &[]).await;
    let token = tokens["access_token"].as_str().unwrap();
    let oauth = format!("OAuth {token}");
    let bearer = format!("Bearer {token}");
    let right = [("authorization", oauth.as_str()), ("x-version", "7")];
    assert_eq!(ask(&stage, "GET", "/me?fields=id&more=x", &right, "").await.json(), json!([{ "id": 1 }]));
    for (uri, headers) in [
        ("/me", right),
        ("/me?fields=name", right),
        ("/me?fields=id", [("authorization", bearer.as_str()), ("x-version", "7")]),
        ("/me?fields=id", [("authorization", "OAuth made-up"), ("x-version", "7")]),
        ("/me?fields=id", [("authorization", oauth.as_str()), ("x-version", "8")]),
    ] {
        ask(&stage, "GET", uri, &headers, "").await.refuses(401, "invalid_token");
    }
    let json = ("content-type", "application/json");
    let right = [("x-token", token), json];
    let body = "{\"query\":\"{ me }\"}";
    assert_eq!(ask(&stage, "POST", "/graph", &right, body).await.json(), json!({ "data": 2 }));
    ask(&stage, "POST", "/graph", &right, "{}").await.refuses(401, "invalid_token");
    ask(&stage, "POST", "/graph", &right[..1], body).await.refuses(401, "invalid_token");
    assert_eq!(ask(&stage, "GET", "/graph", &right, "").await.status, StatusCode::NOT_FOUND);

    stage.clock.advance(5);
    ask(&stage, "POST", "/graph", &right, body).await.refuses(401, "invalid_token");
    let requests = stage.sandbox.book().requests;
    assert_eq!((requests["/me"], requests["/graph"], requests.len()), (6, 4, 2));
}

#[tokio::test]
async fn static_credentials_open_an_api() {
    let stage = with_resources(vec![
        ResourceQuirks {
            path: "/key".to_owned(),
            headers: owned(&[("x-api-key", "k-1")]),
            ..ResourceQuirks::default()
        },
        ResourceQuirks {
            path: "/basic".to_owned(),
            basic: Some("ada@example.com/token:k-2".to_owned()),
            ..ResourceQuirks::default()
        },
    ]);
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let right = basic("ada@example.com/token:k-2");
    let wrong = basic("ada@example.com/token:k-3");
    for (path, header, status) in [
        ("/key", ("x-api-key", "k-1"), 200),
        ("/key", ("x-api-key", "k-2"), 401),
        ("/key", ("authorization", "k-1"), 401),
        ("/basic", ("authorization", right.as_str()), 200),
        ("/basic", ("authorization", &wrong), 401),
        ("/basic", ("x-api-key", "k-1"), 401),
    ] {
        assert_eq!(ask(&stage, "GET", path, &[header], "").await.status, status, "{path} {header:?}");
    }
    assert_eq!(stage.sandbox.book().requests["/key"], 3);
}

#[tokio::test]
async fn a_resource_may_stand_at_the_user_info() {
    let answer = json!({ "id": 7 });
    let headers = owned(&[("authorization", "Bearer {access_token}")]);
    let path = "/userinfo".to_owned();
    let stage = with_resources(vec![ResourceQuirks {
        path,
        headers,
        answer: answer.clone(),
        ..ResourceQuirks::default()
    }]);
    let tokens = stage.connect(&[], &[]).await;
    assert_eq!(stage.userinfo(&tokens).await.json(), answer);
    assert_eq!(stage.sandbox.book().requests["/userinfo"], 1);
}
