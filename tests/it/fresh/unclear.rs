//! What an answer says about the refresh token that was sent: certainly not spent, or perhaps spent. The journal has it, and a
//! later refusal is explained by it.

use tokenwell::sandbox::Failure;
use tonic::Code;

use super::{NAMES, connect, connected};
use crate::support::{
    Acme,
    acme::{ACME, plain},
    assert_refused,
    database::Kind,
};

const KINDS: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

/// Lets a refresh fail like that, and the next one of the same token be refused. Gives how the journal has the first, and what
/// the connection needs reauthorization for.
async fn refused_after(acme: &Acme, name: &str, failure: Failure) -> (String, String) {
    acme.provider.sandbox.fail_next(failure);
    acme.server.token(ACME, name).await.unwrap_err();
    let line = "FROM refresh_attempts a JOIN connections c ON c.id = a.connection_row_id WHERE";
    let of = |outcome: &str| {
        format!("SELECT count(*) {line} c.connection_id = '{name}' AND a.outcome = '{outcome}'")
    };
    let mut outcomes = Vec::new();
    for outcome in ["failed", "unanswered"] {
        if acme.database.number(&of(outcome)).await > 0 {
            outcomes.push(outcome);
        }
    }
    acme.clock.wait_out();
    acme.refuse_next("invalid_grant");
    let refused = acme.server.token(ACME, name).await;
    let refusal = assert_refused(refused, Code::FailedPrecondition, "NEEDS_REAUTHORIZATION");
    (outcomes.join(" and "), refusal.metadata["reauthorization_reason"].clone())
}

/// Connections whose tokens have expired, one for each failure.
async fn each(kind: Kind, failures: &[Failure], outcome: &str, reason: &str) {
    let acme = connected(kind, plain(), "").await;
    let names: Vec<_> = (0..failures.len()).map(|number| format!("{}{number}", NAMES[0])).collect();
    for name in &names {
        connect(&acme, name).await;
    }
    acme.clock.advance(tokenwell::model::Duration::hours(1));
    for (name, failure) in names.iter().zip(failures) {
        let came = refused_after(&acme, name, failure.clone()).await;
        assert_eq!(came, (outcome.to_owned(), reason.to_owned()), "{kind:?}, {failure:?}");
    }
}

fn nonsense(status: u16) -> Failure {
    Failure::Error { status, code: String::new(), description: String::new() }
}

/// A request that was turned away has spent nothing.
#[tokio::test]
async fn a_token_that_was_turned_away_is_not_lost() {
    let mut failures = vec![Failure::Redirect("https://login.acme.example/".to_owned())];
    failures.extend([307, 400, 401, 403, 404, 405, 410, 415, 418, 421, 429, 451].map(Failure::Status));
    // Not one of these has an error in its JSON.
    failures.extend([400, 403, 404].map(nonsense));
    for kind in KINDS {
        each(kind, &failures, "failed", "GRANT_REFUSED").await;
    }
}

/// A request that may have been done has perhaps spent its token.
#[tokio::test]
async fn a_token_whose_answer_makes_no_sense_may_be_lost() {
    let mut failures = vec![
        Failure::Html,
        Failure::Empty,
        Failure::Huge(100_000),
        Failure::Garbage("[]".to_owned()),
        Failure::Garbage("{}".to_owned()),
        nonsense(200),
    ];
    failures.extend([204, 408, 500, 502, 504].map(Failure::Status));
    for kind in KINDS {
        each(kind, &failures, "unanswered", "ROTATION_LOST").await;
    }
}
