//! Flows: one run of Begin, provider, callback and Complete.

use std::collections::BTreeMap;

use secrecy::SecretString;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    Completion, Config, ConnectionId, FlowRef, GrantType, IntegrationId, Metadata, ProjectId, ProviderId,
};

/// How long a flow waits for its callback.
pub const FLOW_TTL: Duration = Duration::minutes(10);
/// How long a parked code waits for its confirmation.
pub const PARKED_TTL: Duration = Duration::seconds(60);
/// How long after its expiry a flow may still be completing: longer than a provider and the database may take together.
/// Beyond that, its server was killed.
const COMPLETION_LIMIT: Duration = Duration::minutes(5);
/// What such a flow has failed for.
const INTERRUPTED: &str = "INTERNAL";
/// The most authorization parameters that a Begin may add.
pub const MAX_AUTHORIZATION_PARAMS: usize = 32;

/// Strings by name, sorted: connection config and parameters.
pub type StringMap = BTreeMap<String, String>;

/// A flow under way, with what it began with: later changes of settings do not break it. The client id and secret are the
/// integration's at its end.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The flow's id.
    pub id: Uuid,
    /// The project.
    pub project_id: ProjectId,
    /// The row of the integration.
    pub integration_row_id: Uuid,
    /// The integration.
    pub integration_id: IntegrationId,
    /// The connection that it will make or renew.
    pub connection_id: ConnectionId,
    /// The provider.
    pub provider_id: ProviderId,
    /// The `redirect_uri` that was sent with the authorization, to be sent again with the code.
    pub redirect_uri: String,
    /// The PKCE verifier (RFC 7636), if the provider's entry has PKCE.
    pub code_verifier: Option<SecretString>,
    /// How the connection is made.
    pub grant_type: GrantType,
    /// OAuth 1.0a: the shared secret of the request token, whose identifier is the flow's state.
    pub request_token_secret: Option<SecretString>,
    /// The nonce that an `id_token` must have, if one was sent.
    pub nonce: Option<SecretString>,
    /// Config given at Begin, completed by defaults.
    pub config: Config,
    /// The scopes asked for.
    pub scopes: Vec<String>,
    /// Metadata to store, if Begin gave some.
    pub metadata: Option<Metadata>,
    /// Where the browser goes.
    pub return_url: Option<String>,
    /// Who completes.
    pub completion: Completion,
    /// Whether it may give an existing connection new credentials: a backend knows whose connection it names.
    pub may_replace: bool,
    /// The digest of the cookie of the browser that opened the flow, if one did and the binding is on.
    pub browser_digest: Option<String>,
    /// The provider's page, sealed like a secret since it holds the state.
    pub authorization_url: SecretString,
    /// The callback's query, parked until somebody confirms.
    pub parked_query: Option<SecretString>,
    /// When the flow began.
    pub create_time: OffsetDateTime,
    /// When it expires.
    pub expire_time: OffsetDateTime,
}

impl Flow {
    /// What a caller learns of the flow when it fails.
    #[must_use]
    pub fn reference(&self) -> FlowRef {
        FlowRef {
            flow_id: self.id,
            integration_id: self.integration_id.clone(),
            connection_id: self.connection_id.clone(),
            return_url: self.return_url.clone(),
        }
    }
}

/// How a flow has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowOutcome {
    /// The connection is stored.
    Connected,
    /// It is not, for this reason: the name of an `ErrorReason`.
    Failed(String),
}

/// Where a flow stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowStatus {
    /// Its id.
    pub id: Uuid,
    /// Its integration.
    pub integration_id: IntegrationId,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// How far it has come.
    pub progress: FlowProgress,
    /// When it expires.
    pub expire_time: OffsetDateTime,
}

/// How far a flow has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowProgress {
    /// It waits for the end user.
    Pending,
    /// Its code waits for the confirmation.
    AwaitingConfirmation,
    /// Its code is being redeemed.
    Completing,
    /// It has ended.
    Ended(FlowOutcome),
}

/// Where a flow stands at a point in time, as whoever follows it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowStage {
    /// It waits for the end user.
    Pending,
    /// Its code waits for the confirmation.
    AwaitingConfirmation,
    /// Its code is being redeemed.
    Completing,
    /// It has ended.
    Ended(FlowOutcome),
    /// Nobody has ended it in time.
    Expired,
}

impl FlowStatus {
    /// Where the flow stands at this time.
    #[must_use]
    pub fn stage(&self, now: OffsetDateTime) -> FlowStage {
        let expired = self.expire_time <= now;
        match &self.progress {
            FlowProgress::Ended(outcome) => FlowStage::Ended(outcome.clone()),
            FlowProgress::Completing if self.expire_time + COMPLETION_LIMIT <= now => {
                FlowStage::Ended(FlowOutcome::Failed(INTERRUPTED.to_owned()))
            }
            FlowProgress::Completing => FlowStage::Completing,
            FlowProgress::Pending | FlowProgress::AwaitingConfirmation if expired => FlowStage::Expired,
            FlowProgress::Pending => FlowStage::Pending,
            FlowProgress::AwaitingConfirmation => FlowStage::AwaitingConfirmation,
        }
    }
}

impl FlowStage {
    /// How far it is: a flow never goes back.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::AwaitingConfirmation => 1,
            Self::Completing => 2,
            Self::Ended(_) | Self::Expired => 3,
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_that_nobody_ends_ends_by_itself() {
        let expire_time = OffsetDateTime::UNIX_EPOCH;
        let stage = |progress: FlowProgress, seconds: i64| {
            let (integration_id, connection_id) =
                (IntegrationId::stored("i".to_owned()), ConnectionId::stored("c".to_owned()));
            let status = FlowStatus { id: Uuid::nil(), integration_id, connection_id, progress, expire_time };
            status.stage(expire_time + Duration::seconds(seconds))
        };
        let failed = FlowStage::Ended(FlowOutcome::Failed("INTERNAL".to_owned()));
        for (progress, seconds, expected) in [
            (FlowProgress::Pending, -1, FlowStage::Pending),
            (FlowProgress::Pending, 0, FlowStage::Expired),
            (FlowProgress::AwaitingConfirmation, -1, FlowStage::AwaitingConfirmation),
            (FlowProgress::AwaitingConfirmation, 0, FlowStage::Expired),
            (FlowProgress::Completing, 299, FlowStage::Completing),
            (FlowProgress::Completing, 300, failed),
            (FlowProgress::Ended(FlowOutcome::Connected), 300, FlowStage::Ended(FlowOutcome::Connected)),
        ] {
            assert_eq!(stage(progress.clone(), seconds), expected, "{progress:?} {seconds}");
        }
    }
}
