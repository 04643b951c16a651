//! `tokenwell.webhook.v1.WebhookService`.

use tonic::{Request, Response, Status, async_trait};

use super::{
    convert::{page_token, shown, timestamp},
    pb::webhook::v1::{
        CreateRequest, CreateResponse, DeleteRequest, DeleteResponse, Delivery as PbDelivery,
        DeliveryStatus as PbDeliveryStatus, DisableReason as PbDisableReason, GetRequest, GetResponse,
        ListDeliveriesRequest, ListDeliveriesResponse, ListRequest, ListResponse, RedeliverRequest,
        RedeliverResponse, RotateSecretRequest, RotateSecretResponse, TestRequest, TestResponse,
        UpdateRequest, UpdateResponse, Webhook as PbWebhook, redeliver_request::Which,
        webhook_service_server::WebhookService,
    },
    respond,
};
use crate::{
    flow::{Flows, NewWebhook},
    model::{
        Caller, Delivery, DeliveryStatus, DisableReason, Error, ExposeSecret as _, OffsetDateTime,
        PageRequest, Result, Uuid, Webhook, WebhookUpdate,
    },
};

/// The service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    flows: Flows,
}

impl Service {
    pub(super) fn new(flows: Flows) -> Self {
        Self { flows }
    }

    fn pb(&self, webhook: Webhook) -> PbWebhook {
        pb_webhook(webhook, self.flows.now())
    }

    async fn do_create(&self, caller: Caller, request: CreateRequest) -> Result<CreateResponse> {
        let PbWebhook { url, event_types, display_name, disabled, .. } = given(request.webhook)?;
        let new = NewWebhook { url, event_types, display_name, disabled };
        let (webhook, secret) = self.flows.create_webhook(caller.project_id(), new).await?;
        Ok(CreateResponse { webhook: Some(self.pb(webhook)), secret: secret.expose_secret().to_owned() })
    }

    async fn do_get(&self, caller: Caller, request: GetRequest) -> Result<GetResponse> {
        let id = webhook_id(&request.webhook_id)?;
        let webhook = self.flows.get_webhook(caller.project_id(), id).await?;
        Ok(GetResponse { webhook: Some(self.pb(webhook)) })
    }

    async fn do_list(&self, caller: Caller, request: ListRequest) -> Result<ListResponse> {
        let page = PageRequest::parse(request.page_size, &request.page_token, "webhooks")?;
        let page = self.flows.list_webhooks(caller.project_id(), &page).await?;
        let (next_page_token, now) = (page_token(&page), self.flows.now());
        Ok(ListResponse { webhooks: page.map(|webhook| pb_webhook(webhook, now)).items, next_page_token })
    }

    async fn do_update(&self, caller: Caller, request: UpdateRequest) -> Result<UpdateResponse> {
        let given = given(request.webhook)?;
        let id = webhook_id(&given.webhook_id)?;
        let update = update(given, request.update_mask.map(|mask| mask.paths))?;
        let webhook = self.flows.update_webhook(caller.project_id(), id, update).await?;
        Ok(UpdateResponse { webhook: Some(self.pb(webhook)) })
    }

    async fn do_delete(&self, caller: Caller, request: DeleteRequest) -> Result<DeleteResponse> {
        self.flows.delete_webhook(caller.project_id(), webhook_id(&request.webhook_id)?).await?;
        Ok(DeleteResponse {})
    }

    async fn do_rotate_secret(
        &self,
        caller: Caller,
        request: RotateSecretRequest,
    ) -> Result<RotateSecretResponse> {
        let id = webhook_id(&request.webhook_id)?;
        let (webhook, secret) = self.flows.rotate_webhook_secret(caller.project_id(), id).await?;
        Ok(RotateSecretResponse {
            webhook: Some(self.pb(webhook)),
            secret: secret.expose_secret().to_owned(),
        })
    }

    async fn do_test(&self, caller: Caller, request: TestRequest) -> Result<TestResponse> {
        let id = webhook_id(&request.webhook_id)?;
        let delivery = self.flows.test_webhook(caller.project_id(), id).await?;
        Ok(TestResponse { delivery: Some(pb_delivery(delivery)) })
    }

    async fn do_list_deliveries(
        &self,
        caller: Caller,
        request: ListDeliveriesRequest,
    ) -> Result<ListDeliveriesResponse> {
        let id = webhook_id(&request.webhook_id)?;
        let status = status(request.status)?;
        let filter = format!("deliveries {id} {status:?}");
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let page = self.flows.list_deliveries(caller.project_id(), id, status, &page).await?;
        let next_page_token = page_token(&page);
        Ok(ListDeliveriesResponse { deliveries: page.map(pb_delivery).items, next_page_token })
    }

    async fn do_redeliver(&self, caller: Caller, request: RedeliverRequest) -> Result<RedeliverResponse> {
        let id = webhook_id(&request.webhook_id)?;
        let which = match request.which {
            Some(Which::DeliveryId(delivery)) => Some(uuid("delivery_id", &delivery)?),
            Some(Which::AllDead(true)) => None,
            Some(Which::AllDead(false)) | None => {
                return Err(Error::field("which", "is missing: name a delivery, or set `all_dead`"));
            }
        };
        let count = self.flows.redeliver(caller.project_id(), id, which).await?;
        Ok(RedeliverResponse { redelivered: i64::try_from(count).unwrap_or(i64::MAX) })
    }
}

#[async_trait]
impl WebhookService for Service {
    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<CreateResponse>, Status> {
        respond(request, |caller, request| self.do_create(caller, request)).await
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        respond(request, |caller, request| self.do_get(caller, request)).await
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        respond(request, |caller, request| self.do_list(caller, request)).await
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<UpdateResponse>, Status> {
        respond(request, |caller, request| self.do_update(caller, request)).await
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        respond(request, |caller, request| self.do_delete(caller, request)).await
    }

    async fn rotate_secret(
        &self,
        request: Request<RotateSecretRequest>,
    ) -> Result<Response<RotateSecretResponse>, Status> {
        respond(request, |caller, request| self.do_rotate_secret(caller, request)).await
    }

    async fn test(&self, request: Request<TestRequest>) -> Result<Response<TestResponse>, Status> {
        respond(request, |caller, request| self.do_test(caller, request)).await
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        respond(request, |caller, request| self.do_list_deliveries(caller, request)).await
    }

    async fn redeliver(
        &self,
        request: Request<RedeliverRequest>,
    ) -> Result<Response<RedeliverResponse>, Status> {
        respond(request, |caller, request| self.do_redeliver(caller, request)).await
    }
}

fn given(webhook: Option<PbWebhook>) -> Result<PbWebhook> {
    webhook.ok_or_else(|| Error::field("webhook", "is missing"))
}

fn webhook_id(text: &str) -> Result<Uuid> {
    uuid("webhook_id", text)
}

fn uuid(field: &str, text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| Error::field(field, "is malformed: expected a UUID"))
}

fn status(value: i32) -> Result<Option<DeliveryStatus>> {
    match PbDeliveryStatus::try_from(value) {
        Ok(PbDeliveryStatus::Unspecified) => Ok(None),
        Ok(PbDeliveryStatus::Pending) => Ok(Some(DeliveryStatus::Pending)),
        Ok(PbDeliveryStatus::Delivered) => Ok(Some(DeliveryStatus::Delivered)),
        Ok(PbDeliveryStatus::Dead) => Ok(Some(DeliveryStatus::Dead)),
        Err(_) => Err(Error::field("status", format!("is `{value}`, which is none"))),
    }
}

/// The fields that the mask names, or without one those that are not empty.
fn update(given: PbWebhook, paths: Option<Vec<String>>) -> Result<WebhookUpdate> {
    const FIELDS: [&str; 4] = ["url", "event_types", "display_name", "disabled"];
    let filled = [
        !given.url.is_empty(),
        !given.event_types.is_empty(),
        !given.display_name.is_empty(),
        given.disabled,
    ];
    let [url, event_types, display_name, disabled] = match paths {
        None => filled,
        Some(paths) => {
            let unknown = paths.iter().find(|path| *path != "*" && !FIELDS.contains(&path.as_str()));
            if let Some(unknown) = unknown {
                let problem = format!("names `{}`, which cannot be changed", shown(unknown));
                return Err(Error::field("update_mask", problem));
            }
            FIELDS.map(|field| paths.iter().any(|path| path == field || path == "*"))
        }
    };
    Ok(WebhookUpdate {
        url: url.then_some(given.url),
        event_types: event_types.then_some(given.event_types),
        display_name: display_name.then_some(given.display_name),
        disabled: disabled.then_some(given.disabled),
    })
}

fn pb_webhook(webhook: Webhook, now: OffsetDateTime) -> PbWebhook {
    let disabling = webhook.disabling;
    let reason = match disabling.map(|it| it.reason) {
        None => PbDisableReason::Unspecified,
        Some(DisableReason::Gone) => PbDisableReason::Gone,
        Some(DisableReason::Failing) => PbDisableReason::Failing,
    };
    let previous = webhook.previous_secret_expire_time.filter(|until| *until > now);
    PbWebhook {
        webhook_id: webhook.id.to_string(),
        url: webhook.url,
        event_types: webhook.event_types,
        display_name: webhook.display_name,
        disabled: webhook.disabled,
        disable_reason: reason.into(),
        disable_time: disabling.map(|it| timestamp(it.time)),
        first_failure_time: webhook.failure_time.map(timestamp),
        previous_secret_expire_time: previous.map(timestamp),
        create_time: Some(timestamp(webhook.create_time)),
        update_time: Some(timestamp(webhook.update_time)),
    }
}

fn pb_delivery(delivery: Delivery) -> PbDelivery {
    let status = match delivery.status {
        DeliveryStatus::Pending => PbDeliveryStatus::Pending,
        DeliveryStatus::Delivered => PbDeliveryStatus::Delivered,
        DeliveryStatus::Dead => PbDeliveryStatus::Dead,
    };
    let subject = delivery.subject;
    PbDelivery {
        delivery_id: delivery.id.to_string(),
        event_id: delivery.event_id.to_string(),
        event_type: delivery.event_type,
        sequence: subject.as_ref().map(|it| it.sequence).unwrap_or_default(),
        integration_id: subject.as_ref().map(|it| it.integration_id.to_string()).unwrap_or_default(),
        connection_id: subject.map(|it| it.connection_id.to_string()).unwrap_or_default(),
        status: status.into(),
        attempts: i32::try_from(delivery.attempts).unwrap_or(i32::MAX),
        attempt_time: delivery.attempt_time.map(timestamp),
        response_status: delivery.response_status.map(i32::from).unwrap_or_default(),
        problem: delivery.problem.unwrap_or_default(),
        next_attempt_time: delivery.next_time.map(timestamp),
        event_time: Some(timestamp(delivery.event_time)),
        end_time: delivery.end_time.map(timestamp),
    }
}
