//! One try to deliver: send, see what the answer means, note it.

use super::{super::Flows, message};
use crate::{
    model::{Attempt, Delivery, Duration, OffsetDateTime, Result, Verdict, delivery_wait},
    oauth::{Failure, Receipt},
    store::WebhookTarget,
};

const GONE: u16 = 410;
/// Too Many Requests, Service Unavailable: the answers whose `Retry-After` counts.
const THROTTLED: [u16; 2] = [429, 503];

const BARRED: &str = "its host has no address that may be called: it is private, reserved, or this machine's own; the server allows such with `serve --allow-private-webhooks`";

impl Flows {
    /// Tries a delivery that was claimed, and notes what came of it. If that cannot be noted, the claim runs out, and
    /// the delivery is sent once more.
    pub(super) async fn deliver(&self, target: &WebhookTarget, delivery: &Delivery) {
        let noted = async {
            let attempt = self.attempt(target, delivery).await?;
            if self.store().note_attempt(delivery, &target.url, &attempt).await? {
                tracing::warn!(webhook = %delivery.webhook_id, "a webhook is disabled: it does not work");
            }
            Ok::<_, crate::model::Error>(())
        };
        if let Err(error) = noted.await {
            tracing::warn!(
                webhook = %delivery.webhook_id,
                delivery = %delivery.id,
                %error,
                "what came of a delivery could not be noted; it is sent once more"
            );
        }
    }

    async fn attempt(&self, target: &WebhookTarget, delivery: &Delivery) -> Result<Attempt> {
        let body = message::body(delivery)?;
        let headers = message::headers(delivery, &target.secrets, &body, self.now())?;
        let answer = self.oauth().post(&target.url, &headers, body).await;
        let now = self.now();
        let response_status = answer.as_ref().ok().map(|receipt| receipt.status);
        Ok(Attempt { time: now, response_status, verdict: self.verdict(delivery, answer, now)? })
    }

    fn verdict(
        &self,
        delivery: &Delivery,
        answer: Result<Receipt, Failure>,
        now: OffsetDateTime,
    ) -> Result<Verdict> {
        let (problem, pause) = match answer {
            Ok(Receipt { status: 200..=299, .. }) => return Ok(Verdict::Delivered),
            Ok(Receipt { status: GONE, .. }) => {
                return Ok(Verdict::Gone { problem: "it answered that it is gone".to_owned() });
            }
            Ok(Receipt { status, retry_after }) => (
                format!("it answered with status {status}"),
                retry_after.filter(|_| THROTTLED.contains(&status)),
            ),
            Err(Failure::Barred) => (BARRED.to_owned(), None),
            Err(failure) => (failure.to_string(), None),
        };
        let pause_until = pause.and_then(|pause| Duration::try_from(pause).ok()).map(|pause| now + pause);
        let wait = delivery_wait(delivery.attempts, self.random())?;
        let next_time = wait.map(|wait| pause_until.map_or(now + wait, |until| until.max(now + wait)));
        Ok(Verdict::Failed { problem, next_time, pause_until })
    }
}
