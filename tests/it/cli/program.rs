//! Runs the built binary, to its end or until it is told to stop.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

/// How long one step may take before the test gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a command came to.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running `tokenwell serve`, gone with the test.
pub struct Server {
    child: Child,
    log: Receiver<String>,
    seen: String,
    readers: Option<[JoinHandle<String>; 2]>,
    /// The fields of the line that says where it listens.
    pub serving: Value,
}

/// The binary, with no variables but those given.
pub fn tokenwell(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokenwell"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Finished {
    let output = command.output().unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the binary with these arguments on this data directory.
pub fn on(directory: &Path, arguments: &[&str]) -> Finished {
    run(tokenwell(arguments).env("TOKENWELL_DATA_DIR", directory))
}

/// `tokenwell serve` on ports of the system's choice, with a log that can be read.
pub fn serve(directory: &Path) -> Command {
    let any = "127.0.0.1:0";
    let mut command =
        tokenwell(&["serve", "--grpc-listen", any, "--gateway-listen", any, "--admin-listen", any]);
    command.env("TOKENWELL_DATA_DIR", directory).env("TOKENWELL_LOG_FORMAT", "json");
    command
}

/// A data directory that a server has made, and the first key of its project `default`.
pub fn served() -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let stopped = Server::start(&mut serve(directory.path())).stop();
    let key = key_in(&stopped.stdout).expect("the first start prints a key");
    (directory, key)
}

/// The API key in a text.
pub fn key_in(text: &str) -> Option<String> {
    text.split_whitespace()
        .find(|word| word.starts_with("tw_sk_") || word.starts_with("tw_pk_"))
        .map(str::to_owned)
}

impl Finished {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Exit 1 with one error on standard error and nothing on standard output. Gives the error.
    #[track_caller]
    pub fn error(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        let errors: Vec<_> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.stderr);
        self.stderr
    }

    #[track_caller]
    pub fn json(self) -> Vec<Value> {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

impl Server {
    /// Starts a server, and waits until it says where it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, log) = channel();
        let (mut stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(stderr).lines() {
                let line = line.unwrap();
                text.push_str(&line);
                text.push('\n');
                drop(sender.send(line));
            }
            text
        });
        let readers = Some([stdout, stderr]);
        let mut server = Self { child, log, seen: String::new(), readers, serving: Value::Null };
        server.serving = server.wait_for("serving");
        server
    }

    /// Waits for the line of the log with this message, and gives its fields.
    pub fn wait_for(&mut self, message: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("`{message}` is not in the log:\n{}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            let line: Value = serde_json::from_str(&line).expect("the log is JSON");
            if line["fields"]["message"] == message {
                return line["fields"].clone();
            }
        }
    }

    /// The address of a listener: `grpc`, `gateway` or `admin`.
    pub fn address(&self, listener: &str) -> &str {
        self.serving[listener].as_str().unwrap()
    }

    /// Sends it a signal, such as `-HUP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("/bin/kill").args([signal, &pid]).status().unwrap().success());
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to stop, and waits for its end.
    pub fn stop(self) -> Finished {
        self.signal("-TERM");
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Finished {
        let [stdout, stderr] = self.readers.take().unwrap();
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        Finished { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
