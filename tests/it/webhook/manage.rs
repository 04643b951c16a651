//! Managing webhooks, through gRPC.

use tokenwell::api::pb::webhook::v1::{
    CreateRequest, DeleteRequest, DeliveryStatus, GetRequest, ListDeliveriesRequest, ListRequest,
    UpdateRequest, Webhook,
};
use tonic::{Code, Status};

use super::{Stage, create};
use crate::support::{TestResult, TestServer, assert_refused};

const URL: &str = "https://hooks.example.com/tokenwell";

fn webhook(url: &str) -> Webhook {
    Webhook { url: url.to_owned(), ..Webhook::default() }
}

async fn try_to_create(server: &TestServer, webhook: Webhook) -> Result<Webhook, Status> {
    let request = CreateRequest { webhook: Some(webhook) };
    Ok(server.webhook(&server.key).create(request).await?.into_inner().webhook.unwrap())
}

#[tokio::test]
async fn a_webhook_is_created_read_changed_and_deleted() -> TestResult {
    let stage = Stage::new().await;
    let server = &stage.server;
    let mut client = server.webhook(&server.key);
    let given = Webhook {
        event_types: vec!["connection.deleted".to_owned(), "connection.created".to_owned()],
        display_name: "Billing".to_owned(),
        webhook_id: "is ignored".to_owned(),
        ..webhook(URL)
    };
    let (created, secret) = create(server, given).await;
    assert!(secret.starts_with("whsec_") && secret.len() == 6 + 44, "{}", secret.len());
    assert_eq!((created.url.as_str(), created.display_name.as_str()), (URL, "Billing"));
    assert_eq!(created.event_types, ["connection.created", "connection.deleted"]);
    assert!(!created.disabled && created.first_failure_time.is_none());
    assert!(created.create_time.is_some() && created.create_time == created.update_time);
    let request = || GetRequest { webhook_id: created.webhook_id.clone() };
    assert_eq!(client.get(request()).await?.into_inner().webhook.unwrap(), created);

    // Without a mask, what is not empty; with one, what it names.
    let change = Webhook {
        webhook_id: created.webhook_id.clone(),
        display_name: "Ops".to_owned(),
        ..Webhook::default()
    };
    let update = UpdateRequest { webhook: Some(change.clone()), update_mask: None };
    let changed = client.update(update).await?.into_inner().webhook.unwrap();
    let expected =
        Webhook { display_name: "Ops".to_owned(), update_time: changed.update_time, ..created.clone() };
    assert_eq!(changed, expected);
    assert_ne!(changed.update_time, created.update_time);
    let masked = |paths: &[&str]| UpdateRequest {
        webhook: Some(Webhook { url: format!("{URL}/2"), ..change.clone() }),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|it| (*it).to_owned()).collect(),
        }),
    };
    let changed = client.update(masked(&["event_types"])).await?.into_inner().webhook.unwrap();
    assert_eq!((changed.event_types.len(), changed.url.as_str()), (0, URL));
    let changed = client.update(masked(&["*"])).await?.into_inner().webhook.unwrap();
    assert_eq!((changed.url, changed.display_name.as_str()), (format!("{URL}/2"), "Ops"));
    for path in ["webhook_id", "secret", "create_time", ""] {
        let refusal =
            assert_refused(client.update(masked(&[path])).await, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["update_mask"]);
    }

    client.delete(DeleteRequest { webhook_id: created.webhook_id.clone() }).await?;
    let refusal = assert_refused(client.get(request()).await, Code::NotFound, "WEBHOOK_NOT_FOUND");
    assert_eq!(refusal.metadata["webhook_id"], created.webhook_id);
    let again = client.delete(DeleteRequest { webhook_id: created.webhook_id.clone() }).await;
    assert_refused(again, Code::NotFound, "WEBHOOK_NOT_FOUND");
    Ok(())
}

#[tokio::test]
async fn what_is_no_webhook_is_refused() -> TestResult {
    let stage = Stage::new().await;
    let mut client = stage.server.webhook(&stage.server.key);
    for url in
        ["", "http://hooks.example.com/", "https://u:p@hooks.example.com/", "https://hooks.example.com/#x"]
    {
        let refused = try_to_create(&stage.server, webhook(url)).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["url"], "{url}");
        let change = Webhook { webhook_id: stage.webhook.webhook_id.clone(), ..webhook(url) };
        let paths = vec!["url".to_owned()];
        let request =
            UpdateRequest { webhook: Some(change), update_mask: Some(prost_types::FieldMask { paths }) };
        assert_refused(client.update(request).await, Code::InvalidArgument, "FIELD_INVALID");
    }
    for unknown in ["connection.exploded", "created", "", "webhook.test", "*"] {
        let given = Webhook { event_types: vec![unknown.to_owned()], ..webhook(URL) };
        let refused = try_to_create(&stage.server, given).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(refusal.fields, ["event_types"], "{unknown}");
    }
    let long = Webhook { display_name: "x".repeat(256), ..webhook(URL) };
    assert_refused(try_to_create(&stage.server, long).await, Code::InvalidArgument, "FIELD_INVALID");
    let malformed = client.get(GetRequest { webhook_id: "x".to_owned() }).await;
    assert_refused(malformed, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(stage.webhook().await, stage.webhook);
    Ok(())
}

#[tokio::test]
async fn webhooks_are_listed_by_pages() -> TestResult {
    let stage = Stage::new().await;
    let mut ids = vec![stage.webhook.webhook_id.clone()];
    for _ in 0..4 {
        stage.server.clock.advance(tokenwell::model::Duration::SECOND);
        ids.push(create(&stage.server, webhook(URL)).await.0.webhook_id);
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    let mut client = stage.server.webhook(&stage.server.key);
    loop {
        let page = client.list(ListRequest { page_size: 2, page_token }).await?.into_inner();
        assert!(page.webhooks.len() <= 2);
        listed.extend(page.webhooks.into_iter().map(|it| it.webhook_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids);
    let bad = client.list(ListRequest { page_size: 2, page_token: "x".to_owned() }).await;
    assert_refused(bad, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    Ok(())
}

#[tokio::test]
async fn deliveries_are_listed_by_pages_newest_first() -> TestResult {
    let stage = Stage::new().await;
    for _ in 0..5 {
        stage.server.clock.advance(tokenwell::model::Duration::SECOND);
        stage.update().await;
    }
    stage.rounds().await;
    let request = |status: DeliveryStatus, page_token: &str| ListDeliveriesRequest {
        webhook_id: stage.webhook.webhook_id.clone(),
        status: status.into(),
        page_size: 2,
        page_token: page_token.to_owned(),
    };
    let (mut sequences, mut page_token) = (Vec::new(), String::new());
    let mut client = stage.server.webhook(&stage.server.key);
    loop {
        let page =
            client.list_deliveries(request(DeliveryStatus::Unspecified, &page_token)).await?.into_inner();
        sequences.extend(page.deliveries.iter().map(|it| it.sequence));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        // A token is one of its own list.
        let elsewhere = client.list_deliveries(request(DeliveryStatus::Dead, &page_token)).await;
        assert_refused(elsewhere, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    }
    assert_eq!(sequences.len(), 5);
    assert!(sequences.is_sorted_by(|a, b| a > b), "{sequences:?}");
    let dead = client.list_deliveries(request(DeliveryStatus::Dead, "")).await?.into_inner();
    assert!(dead.deliveries.is_empty());
    let mut unknown = request(DeliveryStatus::Dead, "");
    unknown.status = 77;
    assert_refused(client.list_deliveries(unknown).await, Code::InvalidArgument, "FIELD_INVALID");
    Ok(())
}

/// What was on its way goes with the webhook.
#[tokio::test]
async fn a_deleted_webhook_is_sent_nothing() -> TestResult {
    let stage = Stage::new().await;
    stage.receiver.answer(500);
    stage.update_times(2).await;
    assert_eq!(stage.round().await, 2);
    let request = DeleteRequest { webhook_id: stage.webhook.webhook_id.clone() };
    stage.server.webhook(&stage.server.key).delete(request).await?;
    stage.server.clock.advance(tokenwell::model::Duration::days(1));
    stage.update().await;
    assert_eq!(stage.rounds().await, 0);
    Ok(())
}
