//! Failures on purpose.

use std::time::{Duration as StdDuration, Instant};

use super::*;
use crate::sandbox::Failure;

#[tokio::test]
async fn each_failure_is_used_once_and_changes_nothing() {
    let stage = Stage::strict();
    let tokens = stage.connect(&[], &[]).await;
    let error = Failure::Error { status: 400, code: "slow_down".to_owned(), description: "later".to_owned() };
    for failure in [
        Failure::Status(503),
        Failure::Html,
        Failure::Empty,
        Failure::Redirect("https://evil.test/".to_owned()),
        Failure::Huge(100_000),
        error,
        Failure::Garbage("{\"access".to_owned()),
        Failure::RetryAfter(429, "7".to_owned()),
        Failure::Status(1),
    ] {
        stage.sandbox.fail_next(failure);
    }
    let mut answers = Vec::new();
    for _ in 0..9 {
        answers.push(stage.refresh(refresh_token(&tokens), &[]).await);
    }
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [503, 200, 200, 302, 200, 400, 200, 429, 500]);
    assert!(answers[1].body.starts_with("<!doctype html>"));
    assert!(answers[1].headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    assert_eq!(answers[2].body, "");
    assert_eq!(answers[3].headers[header::LOCATION], "https://evil.test/");
    assert_eq!(answers[4].body.len(), 100_000);
    assert!(serde_json::from_str::<Value>(&answers[4].body).unwrap()["access_token"].is_string());
    answers[5].refuses(400, "slow_down");
    assert_eq!(answers[6].body, "{\"access");
    assert_eq!(answers[7].headers[header::RETRY_AFTER], "7");

    let book = stage.sandbox.book();
    assert_eq!((book.token_requests.len(), book.refreshes, book.redemptions.len()), (10, 0, 0));
    stage.refresh(refresh_token(&tokens), &[]).await.json();
}

#[tokio::test]
async fn a_hang_is_a_late_answer() {
    let stage = Stage::strict();
    let tokens = stage.connect(&[], &[]).await;
    let pause = StdDuration::from_millis(50);
    stage.sandbox.fail_next(Failure::Hang(StdDuration::from_mins(10)));
    let gone = tokio::time::timeout(pause, stage.refresh(refresh_token(&tokens), &[])).await;
    assert!(gone.is_err());

    stage.sandbox.fail_next(Failure::Hang(pause));
    let start = Instant::now();
    stage.refresh(refresh_token(&tokens), &[]).await.json();
    assert!(start.elapsed() >= pause);
    assert_eq!(stage.sandbox.book().refreshes, 1);
}
