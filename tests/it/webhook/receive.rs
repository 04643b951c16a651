//! The receiver of the documentation, which knows nothing of our code, takes what is signed and refuses the rest.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use tokenwell::{
    api::pb::webhook::v1::{DeliveryStatus, RotateSecretRequest, Webhook},
    model::{Clock as _, Duration, SystemClock},
};

use super::Stage;
use crate::support::{TestResult, receiver::Received};

struct Python {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Python {
    fn start(secret: &str) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/webhooks/receive.py");
        let mut command = Command::new("python3");
        command.arg(program).arg("0").env("SECRET", secret).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is missing: run scripts/setup");
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receiver_of_the_documentation_takes_what_is_signed() -> TestResult {
    let stage = Stage::new().await;
    // It has the real time.
    let clock = &stage.server.clock;
    clock.advance(SystemClock.now() - clock.now());
    let mut python = Python::start(&stage.secret);
    let url = python.line().strip_prefix("listening on ").expect("it does not listen").to_owned();
    stage.change(Webhook { url, ..Webhook::default() }, &["url"]).await;

    stage.update().await;
    assert_eq!(stage.round().await, 1);
    assert_eq!(stage.delivery().await.status(), DeliveryStatus::Delivered);
    let line = python.line();
    assert!(line.starts_with("connection.updated {") && line.contains("\"u1\""), "{line}");

    // Its secret signs on after one rotation, and no more after the next.
    let rotate = RotateSecretRequest { webhook_id: stage.webhook.webhook_id.clone() };
    let mut client = stage.server.webhook(&stage.server.key);
    client.rotate_secret(rotate.clone()).await?;
    stage.update().await;
    assert_eq!(stage.round().await, 1);
    assert_eq!(stage.deliveries(DeliveryStatus::Delivered).await.len(), 2);
    client.rotate_secret(rotate).await?;
    stage.update().await;
    assert_eq!(stage.round().await, 1);
    let refused = stage.deliveries(DeliveryStatus::Pending).await;
    assert_eq!(refused[0].response_status, 401);
    Ok(())
}

/// Sends what was recorded once more, as somebody would who has recorded it.
#[expect(clippy::disallowed_methods, reason = "this is not Tokenwell's client")]
async fn replay(url: &str, recorded: &Received) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.post(url).body(recorded.body.clone());
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        request = request.header(name, recorded.header(name));
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receiver_of_the_documentation_takes_no_recording() -> TestResult {
    let stage = Stage::new().await;
    let clock = &stage.server.clock;
    let mut python = Python::start(&stage.secret);
    let url = python.line().strip_prefix("listening on ").expect("it does not listen").to_owned();
    let record = async || {
        stage.update().await;
        assert_eq!(stage.round().await, 1);
        stage.receiver.take_one()
    };
    // Of ten minutes ago, and of ten minutes ahead, signed as they should be.
    for off in [Duration::minutes(-10), Duration::minutes(10)] {
        clock.advance(SystemClock.now() + off - clock.now());
        assert_eq!(replay(&url, &record().await).await, 401);
    }
    // Of now, twice: it is taken, and counts once.
    clock.advance(SystemClock.now() - clock.now());
    let (first, second) = (record().await, record().await);
    assert_ne!(first.id(), second.id());
    for recorded in [&first, &first, &second] {
        assert_eq!(replay(&url, recorded).await, 204);
    }
    let sequence = |line: String| {
        line.split("\"sequence\": ").nth(1).unwrap().split(['}', ',']).next().unwrap().to_owned()
    };
    let told = [sequence(python.line()), sequence(python.line())];
    let sent = [&first, &second].map(|recorded| recorded.json()["data"]["sequence"].to_string());
    assert_eq!(told, sent, "one was told twice");
    Ok(())
}
