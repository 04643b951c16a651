//! The log of a real process, at its most talkative.

mod query;

use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokenwell::app::Addresses;
use tokio::{sync::mpsc, time::timeout};

use super::drive::drive;
use crate::support::{ManualClock, TestProvider, TestServer};

const PATIENCE: Duration = Duration::from_mins(1);

/// A server in a process of its own, which ends with the test.
struct Process {
    child: Child,
}

/// What a process writes, line by line.
struct Output {
    lines: mpsc::UnboundedReceiver<String>,
    all: Arc<Mutex<Vec<u8>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        let all = Arc::new(Mutex::new(Vec::new()));
        let written = all.clone();
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).unwrap() > 0 {
                written.lock().unwrap().extend_from_slice(&line);
                drop(sender.send(String::from_utf8_lossy(&line).into_owned()));
                line.clear();
            }
        });
        Self { lines, all, reader }
    }

    /// The first line that this finds something in.
    async fn find<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        timeout(PATIENCE, async {
            loop {
                let Some(line) = self.lines.recv().await else {
                    panic!("it ended early: {}", String::from_utf8_lossy(&self.all.lock().unwrap()));
                };
                if let Some(found) = find(&line) {
                    return found;
                }
            }
        })
        .await
        .expect("it never said so")
    }

    /// Everything, once the process has ended.
    fn read(self) -> String {
        self.reader.join().unwrap();
        let all = self.all.lock().unwrap();
        String::from_utf8(all.clone()).expect("the output is no text")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless the test failed before.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Process {
    /// Asks it to stop, and waits until it has.
    async fn terminate(&mut self, stderr: &mut Output) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        stderr.find(|line| line.contains("\"stopped\"").then_some(())).await;
        assert!(self.child.wait().unwrap().success());
    }
}

fn serve(data: &TempDir, providers: &TempDir) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokenwell"));
    command.env_clear().args(["serve", "--log", "trace", "--log-format", "json", "--dev-loopback-providers"]);
    // What fails is to be seen.
    command.args(["--refresh-patience", "0"]);
    command.arg("--data-dir").arg(data.path()).arg("--providers-dir").arg(providers.path());
    for listener in ["--grpc-listen", "--gateway-listen", "--admin-listen"] {
        command.args([listener, "127.0.0.1:0"]);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    Process { child }
}

/// The addresses in the line that says that it serves.
fn addresses(line: &str) -> Option<Addresses> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    let address = |name: &str| fields[name].as_str().unwrap().parse::<SocketAddr>().unwrap();
    (fields["message"] == "serving").then(|| Addresses {
        grpc: address("grpc"),
        gateway: address("gateway"),
        admin: address("admin"),
    })
}

#[tokio::test]
async fn no_secret_is_in_the_log_of_a_server_that_traces() {
    let provider = TestProvider::plain(&ManualClock::new()).await;
    let (data, providers) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (file, entry) = provider.entry.clone().unwrap();
    std::fs::write(providers.path().join(file), entry).unwrap();

    let mut process = serve(&data, &providers);
    let mut stdout = Output::of(process.child.stdout.take().unwrap());
    let mut stderr = Output::of(process.child.stderr.take().unwrap());
    let addresses = stderr.find(addresses).await;
    let key = stdout.find(|line| line.trim().starts_with("tw_sk_").then(|| line.trim().to_owned())).await;
    let server = TestServer::elsewhere(addresses, key.clone());
    server.create_integration("sandbox", "sandbox").await;
    let mut canaries = drive(&server, &provider).await;
    process.terminate(&mut stderr).await;

    let sealing = std::fs::read_to_string(data.path().join("sealing.key")).unwrap();
    let (_, sealing) = sealing.lines().last().unwrap().split_once(':').unwrap();
    canaries.add("a sealing key", sealing);
    canaries.assert_absent_on_the_way();

    let (stdout, stderr) = (stdout.read(), stderr.read());
    // The one place of the first key, once.
    assert_eq!(stdout.matches(&key).count(), 1);
    canaries.assert_absent("standard output", stdout.replacen(&key, "", 1).as_bytes());
    for line in stderr.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "not JSON: {line}");
    }
    // The server did talk: at every level, of refusals, and of the connection to the provider.
    for said in [
        "\"level\":\"TRACE\"",
        "\"level\":\"DEBUG\"",
        "\"refused\"",
        "[redacted]",
        &provider.address.to_string(),
    ] {
        assert!(stderr.contains(said), "the log never says {said}");
    }
    for line in stderr.lines() {
        let found = canaries.found(line.as_bytes());
        assert!(found.is_empty(), "the log holds {found:?}: {line}");
    }
}
