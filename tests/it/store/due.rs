//! Due rows: found by project, claimed by one, and left to others by who dies with them.

use tokenwell::{
    model::{Duration, OffsetDateTime, ProjectId, StringMap},
    store::{Due, DueLimits, NewGrant},
};

use super::{
    fixture::{House, add_project, at_once, flow, grant, integration, start, tokens},
    on_both_databases,
};
use crate::support::database::Kind;

on_both_databases!(
    rows_are_due_from_their_time_on,
    a_claimed_row_is_nobody_elses_until_the_claim_runs_out,
    claims_at_once_share_the_rows,
    a_row_that_was_renewed_is_not_postponed,
    projects_with_due_rows_are_found,
    a_row_that_makes_no_sense_holds_nobody_up,
);

const LIMITS: DueLimits = DueLimits { rows: 10, claim: Duration::minutes(2) };

/// Grants a connection that is due at this time.
async fn due_at(house: &House, name: &str, due_time: Option<OffsetDateTime>) {
    let flow = house.flow(name);
    let (config, scopes, tokens) = (StringMap::new(), vec![], tokens(name, start()));
    let grant = NewGrant { due_time, ..grant(&flow, &config, &scopes, &tokens) };
    house.store.put_grant(&grant, start()).await.unwrap();
}

async fn claim(house: &House, project: &ProjectId, now: OffsetDateTime) -> Vec<Due> {
    house.store.claim_due(project, LIMITS, now).await.unwrap()
}

fn names(due: &[Due]) -> Vec<&str> {
    let mut names: Vec<_> = due.iter().map(|due| due.connection.id.as_str()).collect();
    names.sort_unstable();
    names
}

fn at(minutes: i64) -> OffsetDateTime {
    start() + Duration::minutes(minutes)
}

async fn rows_are_due_from_their_time_on(kind: Kind) {
    let house = House::new(kind).await;
    due_at(&house, "ada", Some(at(10))).await;
    due_at(&house, "bob", Some(at(20))).await;
    due_at(&house, "cyd", None).await;
    let early = at(10) - Duration::MICROSECOND;
    assert_eq!(house.store.list_due_projects(early).await.unwrap(), []);
    assert!(claim(&house, &house.project, early).await.is_empty());
    assert_eq!(house.store.list_due_projects(at(10)).await.unwrap(), std::slice::from_ref(&house.project));
    assert_eq!(names(&claim(&house, &house.project, at(10)).await), ["ada"]);
    assert_eq!(names(&claim(&house, &house.project, at(20)).await), ["ada", "bob"]);
    // Only the longest due ones, if there are more than are wanted.
    let one = DueLimits { rows: 1, ..LIMITS };
    let later = at(60);
    let first = house.store.claim_due(&house.project, one, later).await.unwrap();
    assert_eq!(first.len(), 1);
}

async fn a_claimed_row_is_nobody_elses_until_the_claim_runs_out(kind: Kind) {
    let house = House::new(kind).await;
    due_at(&house, "ada", Some(at(0))).await;
    let first = claim(&house, &house.project, at(0)).await;
    assert_eq!(first[0].claimed_until, at(2));
    assert!(claim(&house, &house.project, at(1)).await.is_empty());
    // Whoever claimed it has died with it.
    let second = claim(&house, &house.project, at(2)).await;
    assert_eq!(names(&second), ["ada"]);
    // And if it has not, its word counts no more.
    house.store.postpone(&first[0], Some(at(1_000))).await.unwrap();
    assert_eq!(names(&claim(&house, &house.project, at(4)).await), ["ada"]);
}

async fn claims_at_once_share_the_rows(kind: Kind) {
    let house = std::sync::Arc::new(House::new(kind).await);
    for index in 0..30 {
        due_at(&house, &format!("user-{index}"), Some(at(index))).await;
    }
    let claimed = at_once(6, |_| {
        let house = house.clone();
        async move {
            let mut mine = Vec::new();
            loop {
                let due = claim(&house, &house.project, at(60)).await;
                if due.is_empty() {
                    break mine;
                }
                mine.extend(due.into_iter().map(|due| due.connection.id.to_string()));
            }
        }
    })
    .await;
    let mut all: Vec<_> = claimed.into_iter().flatten().collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), count), (all.len(), all.len()), "a row was claimed twice");
    // Those that somebody held at the moment when another one looked are still there for the next look.
    let rest = claim(&house, &house.project, at(60)).await.len();
    assert_eq!(all.len() + rest, 30);
}

async fn a_row_that_was_renewed_is_not_postponed(kind: Kind) {
    let house = House::new(kind).await;
    due_at(&house, "ada", Some(at(0))).await;
    let due = claim(&house, &house.project, at(0)).await.remove(0);
    due_at(&house, "ada", Some(at(50))).await;
    house.store.postpone(&due, None).await.unwrap();
    assert_eq!(names(&claim(&house, &house.project, at(50)).await), ["ada"]);
}

async fn projects_with_due_rows_are_found(kind: Kind) {
    let house = House::new(kind).await;
    for index in 0..50 {
        due_at(&house, &format!("user-{index}"), Some(at(0))).await;
    }
    let other = add_project(&house.store, "zebra").await;
    let theirs = integration(&other, "zendesk");
    house.store.insert_integration(&theirs).await.unwrap();
    let flow = flow(&theirs, "lone");
    let (config, scopes, tokens) = (StringMap::new(), vec![], tokens("lone", start()));
    let lone = NewGrant { due_time: Some(at(1)), ..grant(&flow, &config, &scopes, &tokens) };
    house.store.put_grant(&lone, start()).await.unwrap();
    add_project(&house.store, "idle").await;

    assert_eq!(house.store.list_due_projects(at(1)).await.unwrap(), [house.project.clone(), other.clone()]);
    assert_eq!(names(&claim(&house, &other, at(1)).await), ["lone"], "the many do not hide the one");
}

async fn a_row_that_makes_no_sense_holds_nobody_up(kind: Kind) {
    let house = House::new(kind).await;
    for name in ["ada", "bob"] {
        due_at(&house, name, Some(at(0))).await;
    }
    house.execute("UPDATE connections SET state = 'nonsense' WHERE connection_id = 'ada'").await;
    assert_eq!(names(&claim(&house, &house.project, at(0)).await), ["bob"]);
}
