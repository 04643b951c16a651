//! Events, flows, and why connections do not work.

use super::timestamp;
use crate::{
    api::{
        pb::{
            auth::v1::{WatchResponse as FlowResponse, watch_response::Status},
            connection::v1 as pb,
        },
        status::reason_of,
    },
    flow::{FeedNews, FlowNews},
    model::{Error, Event, EventType, FlowOutcome, FlowStage, ReauthorizationReason, RefreshFailure, Result},
};

/// Why a grant is gone, on the wire.
pub(in crate::api) fn pb_reauthorization_reason(reason: ReauthorizationReason) -> pb::ReauthorizationReason {
    use ReauthorizationReason as R;

    match reason {
        R::GrantRefused => pb::ReauthorizationReason::GrantRefused,
        R::RotationLost => pb::ReauthorizationReason::RotationLost,
        R::InteractionRequired => pb::ReauthorizationReason::InteractionRequired,
        R::ClientRefused => pb::ReauthorizationReason::ClientRefused,
        R::CredentialsExpired => pb::ReauthorizationReason::CredentialsExpired,
    }
}

/// Failed refreshes on the wire.
pub(in crate::api) fn pb_refresh_failure(failure: &RefreshFailure) -> pb::RefreshFailure {
    pb::RefreshFailure {
        reason: reason_of(failure.kind.as_str()).into(),
        count: i32::try_from(failure.count).unwrap_or(i32::MAX),
        begin_time: Some(timestamp(failure.since)),
        retry_time: Some(timestamp(failure.retry_time)),
    }
}

/// The types of events that a caller asks for.
pub(in crate::api) fn event_types(types: &[i32]) -> Result<Vec<EventType>> {
    let known = |value: &i32| {
        let mut known = EventType::ALL.into_iter();
        known
            .find(|event_type| pb_event_type(*event_type) as i32 == *value)
            .ok_or_else(|| Error::field("event_types", format!("hold `{value}`, which is no type of events")))
    };
    types.iter().map(known).collect()
}

/// News of the feed on the wire.
pub(in crate::api) fn pb_feed_news(news: &FeedNews) -> pb::WatchResponse {
    pb::WatchResponse { event: news.event.as_ref().map(pb_event), cursor: news.cursor.encode() }
}

/// News of a flow on the wire.
pub(in crate::api) fn pb_flow_news(news: &FlowNews) -> FlowResponse {
    let reason = match &news.stage {
        FlowStage::Ended(FlowOutcome::Failed(reason)) => reason_of(reason).into(),
        _ => 0,
    };
    let status = match news.stage {
        FlowStage::Pending => Status::Pending,
        FlowStage::AwaitingConfirmation => Status::AwaitingConfirmation,
        FlowStage::Completing => Status::Completing,
        FlowStage::Ended(FlowOutcome::Connected) => Status::Connected,
        FlowStage::Ended(FlowOutcome::Failed(_)) => Status::Failed,
        FlowStage::Expired => Status::Expired,
    };
    FlowResponse {
        flow_id: news.status.id.to_string(),
        integration_id: news.status.integration_id.to_string(),
        connection_id: news.status.connection_id.to_string(),
        status: status.into(),
        reason,
        expire_time: Some(timestamp(news.status.expire_time)),
    }
}

fn pb_event_type(event_type: EventType) -> pb::EventType {
    match event_type {
        EventType::Created => pb::EventType::Created,
        EventType::Updated => pb::EventType::Updated,
        EventType::Refreshed => pb::EventType::Refreshed,
        EventType::RefreshFailed => pb::EventType::RefreshFailed,
        EventType::Recovered => pb::EventType::Recovered,
        EventType::NeedsReauthorization => pb::EventType::NeedsReauthorization,
        EventType::ExpiringSoon => pb::EventType::ExpiringSoon,
        EventType::NeedsAttention => pb::EventType::NeedsAttention,
        EventType::Deleted => pb::EventType::Deleted,
    }
}

fn pb_event(event: &Event) -> pb::Event {
    let reason = event.reason.as_deref();
    let gone = reason.filter(|_| event.event_type == EventType::NeedsReauthorization);
    let gone = gone.and_then(ReauthorizationReason::parse).map(pb_reauthorization_reason);
    let of_refresh = matches!(event.event_type, EventType::RefreshFailed | EventType::NeedsAttention);
    let failed = reason.filter(|_| of_refresh);
    pb::Event {
        event_id: event.id.to_string(),
        r#type: pb_event_type(event.event_type).into(),
        integration_id: event.integration_id.to_string(),
        connection_id: event.connection_id.to_string(),
        provider_id: event.provider_id.to_string(),
        event_time: Some(timestamp(event.time)),
        reauthorization_reason: gone.unwrap_or_default().into(),
        refresh_failure_reason: failed.map(reason_of).unwrap_or_default().into(),
    }
}
