//! Managing webhooks, and what they are told.
//!
//! An event becomes a delivery for each webhook when it gets its place in the feed (`store/event.rs`). [`dispatch`] finds
//! the due ones and bounds how many are under way, [`send`] makes one try, [`message`] is what is sent.

mod dispatch;
mod message;
mod send;

pub(super) use dispatch::Dispatch;

use super::Flows;
use crate::model::{
    Delivery, DeliveryStatus, Duration, Error, Page, PageRequest, ProjectId, Result, SecretString, Uuid,
    Webhook, WebhookUpdate, uuid_v7, webhook_secret,
};

/// A new webhook, as a caller writes it.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Where events are sent.
    pub url: String,
    /// The names of the events that are sent. Empty: all.
    pub event_types: Vec<String>,
    /// Its name for people.
    pub display_name: String,
    /// Whether nothing is sent yet.
    pub disabled: bool,
}

impl Flows {
    /// Creates a webhook and its secret, which is nowhere else in clear.
    pub async fn create_webhook(
        &self,
        project: &ProjectId,
        new: NewWebhook,
    ) -> Result<(Webhook, SecretString)> {
        let now = self.now();
        let webhook = Webhook {
            id: uuid_v7(self.random(), now)?,
            project_id: project.clone(),
            url: String::new(),
            event_types: Vec::new(),
            display_name: String::new(),
            disabled: false,
            disabling: None,
            failure_time: None,
            previous_secret_expire_time: None,
            create_time: now,
            update_time: now,
        };
        let given = WebhookUpdate {
            url: Some(new.url),
            event_types: Some(new.event_types),
            display_name: Some(new.display_name),
            disabled: Some(new.disabled),
        };
        let webhook = webhook.updated(given, now);
        webhook.validate()?;
        webhook.check_address(self.oauth().webhook_reach())?;
        let secret = webhook_secret(self.random())?;
        self.store().insert_webhook(&webhook, &secret).await?;
        Ok((webhook, secret))
    }

    /// Gets a webhook.
    pub async fn get_webhook(&self, project: &ProjectId, id: Uuid) -> Result<Webhook> {
        let webhook = self.store().get_webhook(project, id).await?;
        webhook.ok_or(Error::WebhookNotFound(id))
    }

    /// Lists webhooks.
    pub async fn list_webhooks(&self, project: &ProjectId, page: &PageRequest) -> Result<Page<Webhook>> {
        self.store().list_webhooks(project, page).await
    }

    /// Changes a webhook.
    pub async fn update_webhook(
        &self,
        project: &ProjectId,
        id: Uuid,
        update: WebhookUpdate,
    ) -> Result<Webhook> {
        // A try fails only if somebody else's has succeeded, and the call's deadline ends them all.
        loop {
            let old = self.get_webhook(project, id).await?;
            // Later than the last change even if the clock has not moved: the time is what tells versions apart.
            let now = self.now().max(old.update_time + Duration::MICROSECOND);
            let new = old.clone().updated(update.clone(), now);
            new.validate()?;
            if update.url.is_some() {
                new.check_address(self.oauth().webhook_reach())?;
            }
            if self.store().put_webhook(&old, &new).await? {
                self.nudge_webhooks();
                return Ok(new);
            }
        }
    }

    /// Deletes a webhook.
    pub async fn delete_webhook(&self, project: &ProjectId, id: Uuid) -> Result<()> {
        let deleted = self.store().delete_webhook(project, id).await?;
        deleted.then_some(()).ok_or(Error::WebhookNotFound(id))
    }

    /// Gives a webhook another secret; the present one signs on for a while.
    pub async fn rotate_webhook_secret(
        &self,
        project: &ProjectId,
        id: Uuid,
    ) -> Result<(Webhook, SecretString)> {
        let secret = webhook_secret(self.random())?;
        let webhook = self.store().rotate_webhook_secret(project, id, &secret, self.now()).await?;
        Ok((webhook.ok_or(Error::WebhookNotFound(id))?, secret))
    }

    /// Makes a delivery to try a webhook with.
    pub async fn test_webhook(&self, project: &ProjectId, id: Uuid) -> Result<Delivery> {
        let webhook = self.get_webhook(project, id).await?;
        let delivery = self.store().insert_test_delivery(&webhook, self.now()).await?;
        self.nudge_webhooks();
        Ok(delivery)
    }

    /// Lists a webhook's deliveries.
    pub async fn list_deliveries(
        &self,
        project: &ProjectId,
        id: Uuid,
        status: Option<DeliveryStatus>,
        page: &PageRequest,
    ) -> Result<Page<Delivery>> {
        self.get_webhook(project, id).await?;
        self.store().list_deliveries(project, id, status, page).await
    }

    /// Sends deliveries of a webhook once more: this one, or all dead ones. Tells how many.
    pub async fn redeliver(&self, project: &ProjectId, id: Uuid, delivery: Option<Uuid>) -> Result<u64> {
        self.get_webhook(project, id).await?;
        let count = self.store().redeliver(project, id, delivery, self.now()).await?;
        if let Some(delivery) = delivery.filter(|_| count == 0)
            && !self.store().has_delivery(project, id, delivery).await?
        {
            return Err(Error::DeliveryNotFound(delivery));
        }
        self.nudge_webhooks();
        Ok(count)
    }
}
