//! Events: what happened to connections.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Connection, ConnectionId, IntegrationId, ProjectId, ProviderId};

/// What happened to a connection. Reading one is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// It was made.
    Created,
    /// Its config, its metadata or its grant was replaced.
    Updated,
    /// Its tokens were renewed.
    Refreshed,
    /// Its tokens could not be renewed, for the first time since they last were.
    RefreshFailed,
    /// After that, or after its grant was gone, it works again.
    Recovered,
    /// Its grant is gone.
    NeedsReauthorization,
    /// The end of what can be renewed comes near.
    ExpiringSoon,
    /// What the provider answers to its refreshes has made no sense for long.
    NeedsAttention,
    /// It was deleted.
    Deleted,
}

/// An event that has its place in the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: Uuid,
    /// Its place: events of a project have growing ones, in the order in which they can be read.
    pub position: i64,
    /// The project.
    pub project_id: ProjectId,
    /// What happened.
    pub event_type: EventType,
    /// The integration.
    pub integration_id: IntegrationId,
    /// The connection.
    pub connection_id: ConnectionId,
    /// The provider.
    pub provider_id: ProviderId,
    /// Why, in a word that programs can act on.
    pub reason: Option<String>,
    /// When.
    pub time: OffsetDateTime,
}

/// An event to record, in the transaction of what it tells.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// What happened.
    pub event_type: EventType,
    /// The project.
    pub project_id: &'a ProjectId,
    /// The integration.
    pub integration_id: &'a IntegrationId,
    /// The connection.
    pub connection_id: &'a ConnectionId,
    /// Its row.
    pub connection_row_id: Uuid,
    /// The provider.
    pub provider_id: &'a ProviderId,
    /// Why, in a word that programs can act on.
    pub reason: Option<&'a str>,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Updated,
        Self::Refreshed,
        Self::RefreshFailed,
        Self::Recovered,
        Self::NeedsReauthorization,
        Self::ExpiringSoon,
        Self::NeedsAttention,
        Self::Deleted,
    ];

    /// Its name, as in webhooks and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "connection.created",
            Self::Updated => "connection.updated",
            Self::Refreshed => "connection.refreshed",
            Self::RefreshFailed => "connection.refresh_failed",
            Self::Recovered => "connection.recovered",
            Self::NeedsReauthorization => "connection.needs_reauthorization",
            Self::ExpiringSoon => "connection.expiring_soon",
            Self::NeedsAttention => "connection.needs_attention",
            Self::Deleted => "connection.deleted",
        }
    }

    /// The event of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

impl<'a> NewEvent<'a> {
    /// Something happened to this connection.
    #[must_use]
    pub fn of(connection: &'a Connection, event_type: EventType, reason: Option<&'a str>) -> Self {
        Self {
            event_type,
            project_id: &connection.project_id,
            integration_id: &connection.integration_id,
            connection_id: &connection.id,
            connection_row_id: connection.row_id,
            provider_id: &connection.provider_id,
            reason,
        }
    }
}
