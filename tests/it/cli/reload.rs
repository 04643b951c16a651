//! `--providers-dir` of a server that runs: what its log says, and what does not stop it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokenwell::{api::pb::provider::v1::GetRequest, app::Addresses};

use super::program::{Finished, Server, key_in, run, serve, served};
use crate::{reload::entry, support::TestServer};

const RELOADED: &str = "reloaded the catalog";
const FAULT: &str = "a catalog file has a fault";
const STAYS: &str = "the providers directory has faults: the last good set stays";
const IN_ORDER: &str = "the providers directory is in order again, and as before";
const AS_BEFORE: &str = "the catalog is as before";
const UNWATCHED: &str = "the providers directory cannot be watched: it is read every 2 seconds";
/// A change that is seen later was seen by the look that comes every minute.
const SOON: Duration = Duration::from_secs(45);

/// Makes something that is no catalog file.
type Make = fn(&Path);

/// A server that follows a directory. It ends in order only while the clients' connections are served, too: a test has
/// threads for that.
struct Stage {
    server: Server,
    clients: TestServer,
    providers: TempDir,
    _data: TempDir,
}

impl Stage {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let ((data, key), providers) = (served(), TempDir::new().unwrap());
        prepare(providers.path());
        let mut command = serve(data.path());
        command.arg("--providers-dir").arg(providers.path()).env("TOKENWELL_LOG", "info,tokenwell=debug");
        let server = Server::start(&mut command);
        let address = |listener: &str| server.address(listener).parse().unwrap();
        let addresses =
            Addresses { grpc: address("grpc"), gateway: address("gateway"), admin: address("admin") };
        let clients = TestServer::elsewhere(addresses, key);
        Self { server, clients, providers, _data: data }
    }

    fn with_acme() -> Self {
        Self::new(|directory| fs::write(directory.join("acme.toml"), entry("Acme", "acme.com")).unwrap())
    }

    /// Writes a file at once: what is seen of it is all of it.
    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let written = self.providers.path().join("written");
        fs::write(&written, text).unwrap();
        fs::rename(written, self.providers.path().join(file)).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.providers.path().join(file)).unwrap();
    }

    async fn name_of(&self, provider_id: &str) -> Option<String> {
        let request = GetRequest { provider_id: provider_id.to_owned() };
        let response = self.clients.provider(&self.clients.key).get(request).await.ok()?;
        Some(response.into_inner().provider?.display_name)
    }

    /// Waits for a reload, and gives what was added, changed and removed.
    fn reloaded(&mut self) -> [String; 3] {
        let line = self.server.wait_for(RELOADED);
        assert!(line["providers"].as_u64().unwrap() > 5, "{line}");
        ["added", "changed", "removed"].map(|kind| line[kind].as_str().unwrap().to_owned())
    }

    /// Waits for one fault and for what follows of it.
    fn fault(&mut self) -> String {
        let (fault, count) = self.first_fault();
        assert_eq!(count, 1, "{fault}");
        fault
    }

    /// Waits for the first fault of a file that may have several. Gives how many, too.
    fn first_fault(&mut self) -> (String, u64) {
        let fault = self.server.wait_for(FAULT)["fault"].as_str().unwrap().to_owned();
        let count = self.server.wait_for(STAYS)["faults"].as_u64().unwrap();
        assert!((1..=50).contains(&count), "{count}: {fault}");
        (fault, count)
    }
}

/// The lines of a log that say this.
fn lines<'a>(finished: &'a Finished, message: &str) -> Vec<&'a str> {
    let says = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["fields"]["message"] == message;
    finished.stderr.lines().filter(says).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_a_reload_changed() {
    let mut stage = Stage::with_acme();
    stage.write("beta.toml", entry("Beta", "beta.com"));
    assert_eq!(stage.reloaded(), ["beta", "", ""]);
    stage.write("acme.toml", entry("Acme 2", "acme.com"));
    assert_eq!(stage.reloaded(), ["", "acme", ""]);
    stage.remove("beta.toml");
    assert_eq!(stage.reloaded(), ["", "", "beta"]);
    // An entry that replaces a built-in one changes it, and so does its end.
    stage.write("zendesk.toml", entry("Our Zendesk", "acme.com"));
    assert_eq!(stage.reloaded(), ["", "zendesk", ""]);
    stage.remove("zendesk.toml");
    assert_eq!(stage.reloaded(), ["", "zendesk", ""]);
    let stopped = stage.server.stop();
    assert_eq!((stopped.code, lines(&stopped, RELOADED).len()), (Some(0), 5), "{}", stopped.stderr);
}

/// The whole set is taken over, or nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_named_and_the_last_good_set_stays() {
    let mut stage = Stage::with_acme();
    stage.write("broken.toml", "display_name = \"Broken\"\ncategories = [\ntoken");
    assert_eq!(stage.fault().split(": ").next().unwrap(), "broken.toml:3");
    stage.write("acme.toml", entry("Acme 2", "acme.com"));
    stage.write("other.toml", entry("Other", "other.com"));
    stage.server.wait_for(STAYS);
    assert_eq!(stage.name_of("acme").await.as_deref(), Some("Acme"));
    assert_eq!(stage.name_of("other").await, None);
    stage.write("worse.toml", "{");
    while stage.server.wait_for(STAYS)["faults"] != 2 {}
    stage.remove("worse.toml");
    stage.write("broken.toml", entry("Mended", "mended.com"));
    assert_eq!(stage.reloaded(), ["broken, other", "acme", ""]);
    assert_eq!(stage.name_of("acme").await.as_deref(), Some("Acme 2"));
    assert_eq!(stage.name_of("broken").await.as_deref(), Some("Mended"));
    let stopped = stage.server.stop();
    assert_eq!(stopped.code, Some(0));
    let faults = lines(&stopped, FAULT);
    assert!(faults.iter().any(|line| line.contains("\"worse.toml:1: ")), "{faults:?}");
}

/// A link's target outside of the directory changes unseen, until the signal comes.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_directory() {
    let elsewhere = TempDir::new().unwrap();
    let target = elsewhere.path().join("target");
    fs::write(&target, entry("Acme", "acme.com")).unwrap();
    let mut stage = Stage::new(|directory| symlink(&target, directory.join("acme.toml")).unwrap());
    // The server has read it once more after its start.
    stage.write("beta.toml", entry("Beta", "beta.com"));
    assert_eq!(stage.reloaded(), ["beta", "", ""]);
    let start = Instant::now();
    fs::write(&target, entry("Acme 2", "acme.com")).unwrap();
    stage.server.signal("-HUP");
    assert_eq!(stage.reloaded(), ["", "acme", ""]);
    assert!(start.elapsed() < SOON, "it was not the signal");
    assert_eq!(stage.name_of("acme").await.as_deref(), Some("Acme 2"));
    // Who asks without need changes nothing, and who asks again is told again what is wrong.
    stage.server.signal("-HUP");
    stage.server.wait_for(AS_BEFORE);
    fs::write(&target, "display_name = 1").unwrap();
    for _ in 0..2 {
        let start = Instant::now();
        stage.server.signal("-HUP");
        assert!(stage.fault().starts_with("acme.toml:1: "));
        assert!(start.elapsed() < SOON, "it was not the signal");
    }
    let stopped = stage.server.stop();
    assert_eq!(stopped.code, Some(0));
    assert_eq!(lines(&stopped, RELOADED).len(), 2, "{}", stopped.stderr);
    assert!(lines(&stopped, AS_BEFORE).iter().all(|line| line.contains("\"level\":\"DEBUG\"")));
}

#[test]
fn a_start_with_a_fault_fails_and_names_it() {
    let (data, providers) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(providers.path().join("good.toml"), entry("Good", "good.com")).unwrap();
    fs::write(providers.path().join("bad.toml"), "display_name = \"Bad\"\nhosts = 7\n").unwrap();
    symlink("nowhere", providers.path().join("link.toml")).unwrap();
    let error = run(serve(data.path()).arg("--providers-dir").arg(providers.path())).error();
    assert!(error.contains("bad.toml:2: ") && error.contains("link.toml: "), "{error}");
    assert!(!error.contains("good.toml"), "{error}");
    // Nothing was made, and the first key is there for the start that works.
    fs::remove_file(providers.path().join("bad.toml")).unwrap();
    fs::remove_file(providers.path().join("link.toml")).unwrap();
    let server = Server::start(serve(data.path()).arg("--providers-dir").arg(providers.path()));
    assert!(key_in(&server.stop().stdout).is_some());
}

/// A file that lies there by mistake may hold secrets.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_holds_no_text_of_a_file() {
    let mut stage = Stage::with_acme();
    for (text, line) in [
        ("client_secret = \"canary-1\"", 1),
        ("\ntoken_params = \"canary-2\"", 2),
        ("hosts = \"canary-3 \\\" canary-4\"", 1),
        ("k1:canary-5", 1),
        ("\n\npassword: canary-6", 3),
    ] {
        stage.write("mistake.toml", text);
        let (fault, _) = stage.first_fault();
        assert!(fault.starts_with(&format!("mistake.toml:{line}: ")), "{fault}");
    }
    let stopped = stage.server.stop();
    assert!(!stopped.stderr.contains("canary"), "{}", stopped.stderr);
}

/// Files that are no catalog files, by name; the faults are checked to be of them.
fn broken_texts() -> Vec<(&'static str, Vec<u8>)> {
    let deep = 100_000;
    let good = entry("Broken", "broken.com");
    let with = |rest: &str| format!("{good}{rest}").into_bytes();
    vec![
        ("empty", Vec::new()),
        ("zeros", vec![0; 4096]),
        ("garbage", (0..=255).cycle().take(10_000).collect()),
        ("invalid-utf8", [good.as_bytes(), b"# \xff\xfe"].concat()),
        ("utf16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("bom", ["\u{feff}".as_bytes(), b"\x07", good.as_bytes()].concat()),
        ("huge", vec![b'#'; 3 * 1024 * 1024]),
        ("deep-array", with(&format!("scopes = {}", "[".repeat(deep)))),
        ("deep-closed-array", with(&format!("scopes = {}{}", "[".repeat(deep), "]".repeat(deep)))),
        ("deep-table", with(&format!("scopes = {}", "{a=".repeat(deep / 2)))),
        ("deep-key", with(&format!("{}a = 1", "a.".repeat(deep)))),
        ("deep-header", with(&format!("[{}a]", "a.".repeat(deep)))),
        ("many-keys", with(&(0..10_000).fold(String::new(), |keys, key| keys + &format!("key{key} = 1\n")))),
        ("long-line", with(&format!("unknown_{} = 1", "x".repeat(100_000)))),
        ("unknown-key", with("colour = \"red\"")),
        ("twice", with("display_name = \"Again\"")),
        ("unclosed", with("issuer = \"\"\"")),
        ("wrong-type", with("nonce = \"yes\"")),
        ("number", with("default_expires_in = -1")),
        ("huge-number", with("default_expires_in = 1e999")),
        ("pattern", with("[config.a]\ntitle = \"A\"\npattern = \"((a{1000}){1000}){1000}\"")),
        ("open-pattern", with("[config.a]\ntitle = \"A\"\npattern = \"(((((\"")),
        ("foreign-host", good.replace("https://broken.com/token", "https://evil.com/token").into()),
        ("template", good.replace("https://broken.com/token", "https://{a}.broken.com/{").into()),
        ("Not An Id", good.clone().into()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_directory_stops_a_server() {
    let mut stage = Stage::with_acme();
    for (name, text) in broken_texts() {
        let file = format!("{name}.toml");
        stage.write(&file, text);
        let (fault, _) = stage.first_fault();
        assert!(fault.starts_with(&format!("{file}:")), "{fault}");
        assert!(fault.chars().count() <= 500 && !fault.contains(char::is_control), "{name}: {fault:?}");
        assert_eq!(stage.name_of("acme").await.as_deref(), Some("Acme"), "{name}");
        stage.remove(&file);
        stage.server.wait_for(IN_ORDER);
    }
    // It is still there, and listens.
    stage.write("acme.toml", entry("Acme 2", "acme.com"));
    assert_eq!(stage.reloaded(), ["", "acme", ""]);
    let stopped = stage.server.stop();
    assert_eq!(stopped.code, Some(0));
    assert!(!stopped.stderr.contains("a panic"), "{}", stopped.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_does_not_stop_a_server() {
    let mut stage = Stage::with_acme();
    let path = stage.providers.path().join("x.toml");
    let make: [(&str, Make); 6] = [
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a pipe", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
        ("a dangling link", |path| symlink("nowhere", path).unwrap()),
        ("a link to itself", |path| symlink("x.toml", path).unwrap()),
        ("a device without end", |path| symlink("/dev/zero", path).unwrap()),
        // Readable by nobody, not even by root.
        ("an unreadable file", |path| symlink("/proc/self/mem", path).unwrap()),
    ];
    for (what, make) in make {
        make(&path);
        let fault = stage.fault();
        assert!(fault.starts_with("x.toml: "), "{what}: {fault}");
        assert_eq!(stage.name_of("acme").await.as_deref(), Some("Acme"), "{what}");
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        stage.server.wait_for(IN_ORDER);
    }
    assert_eq!(stage.server.stop().code, Some(0));
}

/// What is not there cannot be watched: it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_watched_is_read_from_time_to_time() {
    let mut stage = Stage::with_acme();
    fs::remove_dir_all(stage.providers.path()).unwrap();
    let warning = stage.server.wait_for(UNWATCHED);
    assert_eq!(warning["directory"], stage.providers.path().to_str().unwrap());
    assert!(stage.fault().starts_with(stage.providers.path().to_str().unwrap()));
    assert_eq!(stage.name_of("acme").await.as_deref(), Some("Acme"));
    let start = Instant::now();
    fs::create_dir(stage.providers.path()).unwrap();
    assert_eq!(stage.reloaded(), ["", "", "acme"]);
    stage.write("acme.toml", entry("Acme 2", "acme.com"));
    assert_eq!(stage.reloaded(), ["acme", "", ""]);
    assert!(start.elapsed() < SOON, "it was read too late");
    assert_eq!(stage.server.stop().code, Some(0));
}

/// A watch is a file handle and a thread of the process.
#[tokio::test(flavor = "multi_thread")]
async fn watches_do_not_pile_up() {
    let mut stage = Stage::with_acme();
    let process = Path::new("/proc").join(stage.server.pid().to_string());
    let watches = || {
        let handles = fs::read_dir(process.join("fd")).unwrap();
        let targets = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().contains("inotify")).count()
    };
    for round in 0..8 {
        stage.write("acme.toml", entry(&format!("Acme {round}"), "acme.com"));
        assert_eq!(stage.reloaded(), ["", "acme", ""]);
        // The one before may be on its way out.
        assert!((1..=2).contains(&watches()), "{} watches after {round} reloads", watches());
    }
    assert_eq!(stage.server.stop().code, Some(0));
}
