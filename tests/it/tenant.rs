//! Projects do not see each other: what another project has is answered exactly like what nobody has.

mod ask;
mod every;
mod fields;
mod world;

use std::collections::BTreeMap;

use tokenwell::api::pb::{
    auth::v1::{self as auth, Callback, CompleteRequest, Confirmation, complete_request::End},
    connection::v1 as connection,
    integration::v1 as integration,
    project::v1::{ListApiKeysRequest, RevokeApiKeyRequest},
    webhook::v1 as webhook,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    Browser, TestResult, TestServer, assert_refused,
    server::{begin, get},
};

/// Everything that a caller learns from a refusal, in one line.
#[track_caller]
fn refusal<T: std::fmt::Debug>(method: &str, result: Result<tonic::Response<T>, Status>) -> String {
    let status = result.expect_err("the call was not refused");
    assert_eq!(status.code(), Code::NotFound, "{method}: {}", status.message());
    let details = status.get_error_details();
    let info = details.error_info().expect("the status has no ErrorInfo");
    let metadata: BTreeMap<_, _> = info.metadata.iter().collect();
    let length = status.details().len();
    let mut headers: Vec<_> = status.metadata().keys().map(|key| format!("{key:?}")).collect();
    headers.sort();
    format!("{method}: {} {} {metadata:?} {length} {headers:?}", status.message(), info.reason)
}

/// Every method that names something, with the names of something of the project `default`.
async fn ask_for_everything(server: &TestServer, key: &str, flow_id: &str) -> Vec<String> {
    let names = || ("sandbox".to_owned(), "user-1".to_owned());
    let mut client = server.connection(key);
    let (integration_id, connection_id) = names();
    let mut refusals = vec![refusal("Get", client.get(get("sandbox", "user-1")).await)];
    let view = connection::View::Basic.into();
    refusals
        .push(refusal("Get", client.get(connection::GetRequest { view, ..get("sandbox", "user-1") }).await));
    let request =
        connection::DeleteRequest { integration_id, connection_id, ..connection::DeleteRequest::default() };
    refusals.push(refusal("Delete", client.delete(request).await));
    let (integration_id, connection_id) = names();
    let request = connection::GetConfigRequest { integration_id, connection_id };
    refusals.push(refusal("GetConfig", client.get_config(request).await));
    let (integration_id, connection_id) = names();
    let request = connection::GetMetadataRequest { integration_id, connection_id };
    refusals.push(refusal("GetMetadata", client.get_metadata(request).await));
    for etag in ["", "m1", "m2"] {
        let ((integration_id, connection_id), etag) = (names(), etag.to_owned());
        let request = connection::SetMetadataRequest { integration_id, connection_id, etag, metadata: None };
        refusals.push(refusal("SetMetadata", client.set_metadata(request).await));
    }
    let ((integration_id, connection_id), patch, etag) = (names(), None, String::new());
    let request = connection::UpdateMetadataRequest { integration_id, connection_id, patch, etag };
    refusals.push(refusal("UpdateMetadata", client.update_metadata(request).await));

    let mut client = server.integration(key);
    let integration_id = || "sandbox".to_owned();
    let request = integration::GetRequest { integration_id: integration_id() };
    refusals.push(refusal("integration Get", client.get(request).await));
    let given = integration::Integration {
        integration_id: integration_id(),
        client_id: "stolen".to_owned(),
        ..integration::Integration::default()
    };
    let request = integration::UpdateRequest { integration: Some(given), update_mask: None };
    refusals.push(refusal("integration Update", client.update(request).await));
    let request = integration::DeleteRequest { integration_id: integration_id() };
    refusals.push(refusal("integration Delete", client.delete(request).await));
    refusals.push(refusal("Begin", server.auth(key).begin(begin("sandbox", "user-1")).await));
    let request = auth::WatchRequest { flow_id: flow_id.to_owned() };
    refusals.push(refusal("Watch", server.auth(key).watch(request).await.map(|_| tonic::Response::new(()))));
    refusals
}

#[tokio::test]
async fn what_another_project_has_is_answered_like_what_nobody_has() -> TestResult {
    let (server, provider, _database) = TestServer::with_sandbox().await;
    server.clock.advance(tokenwell::model::Duration::seconds(1));
    let other = server.create_project("other").await;

    // Asked once while `default` has them, and once more when they are gone.
    server.connect("sandbox", "user-1").await;
    let flow_id = server.begin(begin("sandbox", "user-1")).await?.flow_id;
    let of_default = ask_for_everything(&server, &other, &flow_id).await;
    let request = connection::DeleteRequest {
        integration_id: "sandbox".to_owned(),
        connection_id: "user-1".to_owned(),
        ..connection::DeleteRequest::default()
    };
    server.connection(&server.key).delete(request).await?;
    let request = integration::DeleteRequest { integration_id: "sandbox".to_owned() };
    server.integration(&server.key).delete(request).await?;
    let of_nobody = ask_for_everything(&server, &other, &flow_id).await;
    assert_eq!(of_default, of_nobody);

    // And what is answered like that has not been done either.
    server.create_integration("sandbox", "sandbox").await;
    server.connect("sandbox", "user-1").await;
    let before = server.token("sandbox", "user-1").await?;
    ask_for_everything(&server, &other, &flow_id).await;
    assert_eq!(server.token("sandbox", "user-1").await?.0, before.0);
    let request = integration::GetRequest { integration_id: "sandbox".to_owned() };
    let kept = server.integration(&server.key).get(request).await?.into_inner().integration.unwrap();
    assert_eq!(kept.client_id, crate::support::provider::CLIENT_ID);
    assert_eq!(provider.sandbox.book().refreshes, 0);
    Ok(())
}

#[tokio::test]
async fn lists_hold_only_what_is_the_projects_own() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    let other = server.create_project("other").await;
    let listed = server.connection(&other).list(connection::ListRequest::default()).await?.into_inner();
    assert_eq!(listed.connections, []);
    let request = connection::ListRequest {
        integration_id: "sandbox".to_owned(),
        ..connection::ListRequest::default()
    };
    assert_eq!(server.connection(&other).list(request).await?.into_inner().connections, []);
    let listed = server.integration(&other).list(integration::ListRequest::default()).await?.into_inner();
    assert!(listed.integrations.is_empty());
    let listed = server.project(&other).list_api_keys(ListApiKeysRequest::default()).await?.into_inner();
    assert_eq!(listed.api_keys.len(), 1);
    assert!(other.starts_with(&listed.api_keys[0].prefix));
    Ok(())
}

/// The same names in two projects are two things.
#[tokio::test]
async fn two_projects_use_the_same_names_for_their_own() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "user-1").await;
    let (_, of_default) = server.token("sandbox", "user-1").await?;
    let other = server.create_project("other").await;
    let given = integration::Integration {
        integration_id: "sandbox".to_owned(),
        provider_id: "sandbox".to_owned(),
        client_id: crate::support::provider::CLIENT_ID.to_owned(),
        client_secret: crate::support::provider::CLIENT_SECRET.to_owned(),
        ..integration::Integration::default()
    };
    let request = integration::CreateRequest { integration: Some(given) };
    let made = server.integration(&other).create(request).await?.into_inner().integration.unwrap();
    assert!(made.callback_url.ends_with("/oauth/callback/other/sandbox"), "{}", made.callback_url);
    let refused = server.connection(&other).get(get("sandbox", "user-1")).await;
    assert_refused(refused, Code::NotFound, "CONNECTION_NOT_FOUND");

    let begun = server.auth(&other).begin(begin("sandbox", "user-1")).await?.into_inner();
    let mut browser = Browser::new();
    let back = server.consent(&mut browser, &begun.connect_url, "approve").await;
    let answer = browser.get(back.location().unwrap().as_str()).await;
    assert_eq!(answer.result("data-status"), "success", "{}", answer.body);
    let of_other = server.connection(&other).get(get("sandbox", "user-1")).await?.into_inner();
    let Some(connection::credentials::Kind::Oauth2(of_other)) =
        of_other.connection.unwrap().credentials.unwrap().kind
    else {
        panic!("no OAuth 2.0 credentials")
    };
    assert_ne!(of_other.access_token, of_default.access_token);

    let names = ("sandbox".to_owned(), "user-1".to_owned());
    let request = connection::DeleteRequest {
        integration_id: names.0,
        connection_id: names.1,
        ..connection::DeleteRequest::default()
    };
    server.connection(&other).delete(request).await?;
    assert_eq!(server.token("sandbox", "user-1").await?.1, of_default);
    Ok(())
}

#[tokio::test]
async fn another_projects_flow_cannot_be_completed_and_is_not_used_up() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let other = server.create_project("other").await;
    let begun = server.begin(begin("sandbox", "user-1")).await?;
    // Not through the connect page, so that a backend may complete it.
    let mut browser = Browser::new();
    let consent = browser.open(&begun.authorization_url).await;
    let back = browser.decide(&consent, "approve").await.location().unwrap();
    let query = back.query().unwrap().to_owned();
    let complete = || CompleteRequest {
        end: Some(End::Callback(Callback { query: query.clone(), ..Callback::default() })),
    };

    let of_another = server.auth(&other).complete(complete()).await.unwrap_err();
    let unknown = CompleteRequest {
        end: Some(End::Callback(Callback {
            query: format!("code=x&state={}", "A".repeat(43)),
            ..Callback::default()
        })),
    };
    let of_nobody = server.auth(&other).complete(unknown).await.unwrap_err();
    assert_eq!(of_another.message(), of_nobody.message());
    assert_eq!(of_another.details(), of_nobody.details());
    assert_refused(Err::<(), _>(of_another), Code::NotFound, "FLOW_NOT_FOUND");
    let flow_id = begun.flow_id.clone();
    let confirmation = CompleteRequest {
        end: Some(End::Confirmation(Confirmation {
            flow_id,
            code: "x".to_owned(),
            ..Confirmation::default()
        })),
    };
    assert_refused(server.auth(&other).complete(confirmation).await, Code::NotFound, "FLOW_NOT_FOUND");

    server.auth(&server.key).complete(complete()).await?;
    server.token("sandbox", "user-1").await?;
    Ok(())
}

#[tokio::test]
async fn another_projects_key_cannot_be_revoked() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let other = server.create_project("other").await;
    let listed = server.project(&server.key).list_api_keys(ListApiKeysRequest::default()).await?.into_inner();
    let id = &listed.api_keys[0].api_key_id;
    let nobody = "0190a0a0-0000-7000-8000-000000000000";
    let revoke = async |id: &str| {
        let request = RevokeApiKeyRequest { api_key_id: id.to_owned() };
        let refusal = assert_refused(
            server.project(&other).revoke_api_key(request).await,
            Code::NotFound,
            "API_KEY_NOT_FOUND",
        );
        assert_eq!(refusal.metadata["api_key_id"], id);
        refusal.message.replace(id, "it")
    };
    assert_eq!(revoke(id).await, revoke(nobody).await);
    server.project(&server.key).list_api_keys(ListApiKeysRequest::default()).await?;
    Ok(())
}

#[tokio::test]
async fn another_projects_webhook_is_answered_like_none() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    let other = server.create_project("other").await;
    let given = webhook::Webhook { url: "https://hooks.example.com/".to_owned(), ..Default::default() };
    let request = webhook::CreateRequest { webhook: Some(given) };
    let mine = server.webhook(&server.key).create(request).await?.into_inner().webhook.unwrap();
    let request = webhook::TestRequest { webhook_id: mine.webhook_id.clone() };
    let delivery = server.webhook(&server.key).test(request).await?.into_inner().delivery.unwrap();
    let nobody = "0190a0a0-0000-7000-8000-000000000000";

    let mut client = server.webhook(&other);
    let mut ask = async |id: &str| {
        let webhook_id = || id.to_owned();
        let stolen = webhook::Webhook {
            url: "https://evil.example.com/".to_owned(),
            webhook_id: webhook_id(),
            ..Default::default()
        };
        let which = || webhook::redeliver_request::Which::DeliveryId(delivery.delivery_id.clone());
        let all = || webhook::redeliver_request::Which::AllDead(true);
        let list = webhook::ListDeliveriesRequest { webhook_id: webhook_id(), ..Default::default() };
        let update = webhook::UpdateRequest { webhook: Some(stolen), update_mask: None };
        let redeliver = |which| webhook::RedeliverRequest { webhook_id: webhook_id(), which: Some(which) };
        let answers = [
            refusal("Get", client.get(webhook::GetRequest { webhook_id: webhook_id() }).await),
            refusal("Update", client.update(update).await),
            refusal(
                "Rotate",
                client.rotate_secret(webhook::RotateSecretRequest { webhook_id: webhook_id() }).await,
            ),
            refusal("Test", client.test(webhook::TestRequest { webhook_id: webhook_id() }).await),
            refusal("ListDeliveries", client.list_deliveries(list).await),
            refusal("Redeliver", client.redeliver(redeliver(which())).await),
            refusal("Redeliver all", client.redeliver(redeliver(all())).await),
            refusal("Delete", client.delete(webhook::DeleteRequest { webhook_id: webhook_id() }).await),
        ];
        answers.map(|answer| answer.replace(id, "it"))
    };
    assert_eq!(ask(&mine.webhook_id).await, ask(nobody).await);

    let listed = server.webhook(&other).list(webhook::ListRequest::default()).await?.into_inner();
    assert!(listed.webhooks.is_empty());
    let request = webhook::GetRequest { webhook_id: mine.webhook_id.clone() };
    assert_eq!(server.webhook(&server.key).get(request).await?.into_inner().webhook.unwrap(), mine);
    Ok(())
}
