//! What the tests stand on: a whole server per test, with its own database, clock and provider.

pub mod acme;
pub mod authority;
pub mod browser;
pub mod clock;
pub mod database;
pub mod detour;
pub mod foreign;
pub mod gate;
pub mod grace;
pub mod issuer;
pub mod keys;
pub mod oidc;
pub mod provider;
pub mod proxy;
pub mod raw;
pub mod receiver;
pub mod server;
pub mod steps;
pub mod tls;

pub use acme::Acme;
pub use authority::Authority;
pub use browser::Browser;
pub use clock::ManualClock;
pub use database::Database;
pub use detour::Detour;
pub use foreign::Foreign;
pub use gate::Gate;
pub use issuer::{Issuer, Signer};
pub use provider::TestProvider;
pub use proxy::{Fault, FaultProxy};
pub use receiver::Receiver;
pub use server::{Options, TestServer};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a test is: anything that goes wrong in it ends it.
pub type TestResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Asserts a status's code and reason, and gives its metadata and bad fields.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) -> Refusal {
    let status = result.expect_err("the call was not refused");
    let details = status.get_error_details();
    let info = details.error_info().expect("the status has no ErrorInfo");
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{}", status.message());
    assert_eq!(info.domain, "tokenwell.dev");
    let fields = details.bad_request().map(|it| it.field_violations.clone()).unwrap_or_default();
    Refusal {
        message: status.message().to_owned(),
        metadata: info.metadata.clone(),
        fields: fields.into_iter().map(|it| it.field).collect(),
        retry: details.retry_info().and_then(|it| it.retry_delay),
    }
}

/// What a refused call says.
#[derive(Debug)]
pub struct Refusal {
    pub message: String,
    pub metadata: std::collections::HashMap<String, String>,
    pub fields: Vec<String>,
    pub retry: Option<std::time::Duration>,
}
