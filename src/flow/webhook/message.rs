//! What a webhook is sent: thin, without anything that is secret.

use serde::Serialize;
use time::format_description::well_known::Rfc3339;

use crate::model::{Delivery, Error, OffsetDateTime, Result, SecretString, Subject, Uuid, webhook_signature};

/// The payload that the Standard Webhooks specification recommends.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    project_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_id: Option<Uuid>,
    #[serde(flatten)]
    subject: Option<SubjectData<'a>>,
}

#[derive(Serialize)]
struct SubjectData<'a> {
    sequence: i64,
    integration_id: &'a str,
    connection_id: &'a str,
    provider_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The body of a delivery's request: the same at every try.
pub(super) fn body(delivery: &Delivery) -> Result<String> {
    let subject = delivery.subject.as_ref();
    let payload = Payload {
        r#type: &delivery.event_type,
        timestamp: delivery.event_time.format(&Rfc3339).map_err(Error::internal)?,
        data: Data {
            project_id: delivery.project_id.as_str(),
            webhook_id: subject.is_none().then_some(delivery.webhook_id),
            subject: subject.map(data),
        },
    };
    serde_json::to_string(&payload).map_err(Error::internal)
}

/// The headers of a try: who the message is, when it is sent, and a signature for each secret.
pub(super) fn headers(
    delivery: &Delivery,
    secrets: &[SecretString],
    body: &str,
    now: OffsetDateTime,
) -> Result<[(&'static str, String); 3]> {
    let (id, timestamp) = (delivery.event_id.to_string(), now.unix_timestamp());
    let signatures: Vec<_> = secrets
        .iter()
        .map(|secret| webhook_signature(secret, &id, timestamp, body))
        .collect::<Result<_>>()?;
    Ok([
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ])
}

fn data(subject: &Subject) -> SubjectData<'_> {
    SubjectData {
        sequence: subject.sequence,
        integration_id: subject.integration_id.as_str(),
        connection_id: subject.connection_id.as_str(),
        provider_id: subject.provider_id.as_str(),
        reason: subject.reason.as_deref(),
    }
}
