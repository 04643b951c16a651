//! What things are: identifiers, settings, connections, flows, signatures, and the one domain error.
//!
//! No I/O and no framework. Time and randomness come in through [`Clock`] and [`Random`].

mod backoff;
mod caller;
mod clock;
mod config;
mod connection;
mod cursor;
mod delivery;
mod error;
mod event;
mod failpoint;
mod flow;
mod grant_type;
mod id;
mod integration;
mod key;
mod metadata;
mod notice;
mod page;
mod project;
mod random;
mod reach;
mod reason;
mod refresh_failure;
mod return_url;
mod revocation;
mod signature;
mod webhook;

pub use backoff::Backoff;
pub use caller::{Caller, Callers, Identity, Issuer, NamedCaller, TokenAlgorithm};
pub use clock::{Clock, Look, SharedClock, SystemClock};
pub use config::{Config, MAX_CONFIG_KEYS, SecretMap};
pub use connection::{
    Connection, ConnectionState, Credentials, DEFAULT_MIN_TTL, MAX_MIN_TTL, OwnClient, ReauthorizationReason,
    Secrets, TokenSet, etag,
};
pub use cursor::{Cursor, CursorScope};
pub use delivery::{Attempt, Delivery, DeliveryStatus, Subject, TEST_EVENT, Verdict, delivery_wait};
pub use error::{Error, FieldViolation, FlowRef, Result};
pub use event::{Event, EventType, NewEvent};
#[cfg(feature = "failpoints")]
pub use failpoint::Action;
pub use failpoint::{Defence, Failpoints, Point};
pub use flow::{
    FLOW_TTL, Flow, FlowOutcome, FlowProgress, FlowStage, FlowStatus, MAX_AUTHORIZATION_PARAMS, PARKED_TTL,
    StringMap,
};
pub use grant_type::GrantType;
pub use id::{ConnectionId, IntegrationId, ProjectId, ProviderId};
pub use integration::{Breaker, ClientFailure, Integration, IntegrationUpdate, check_scopes};
pub use key::{ApiKey, KeyKind, Permission, digest};
pub use metadata::{MAX_METADATA_BYTES, Metadata};
pub use notice::Notice;
pub use page::{Page, PageRequest, PageToken};
pub use project::{Completion, HmacKey, Project, Settings, check_display_name};
pub use random::{OsRandom, Random, fraction, token, uuid_v7};
pub use reach::Reach;
pub use refresh_failure::{ATTENTION_PAUSE, FailureKind, RefreshFailure, UnknownAnswers};
pub use return_url::{
    is_loopback, is_secure, origin_of, parse_allowed, return_url_allowed, return_url_listed,
};
pub use revocation::Revocation;
pub use secrecy::{ExposeSecret, SecretSlice, SecretString};
pub use signature::{
    MAX_SIGNATURE_LIFETIME, Proven, SIGNATURE_LIFETIME, SIGNATURE_SKEW, Signature, SignatureUse, Signed,
    is_nonce,
};
pub use time::{Duration, OffsetDateTime};
pub use uuid::Uuid;
pub use webhook::{
    DisableReason, Disabling, MAX_FAILING, MAX_WEBHOOKS, SECRET_OVERLAP, Webhook, WebhookUpdate,
    webhook_secret, webhook_signature,
};
