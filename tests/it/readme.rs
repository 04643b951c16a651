//! The README tells the truth: its commands run as they are pasted, and its signatures are those that the server takes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;
use tokenwell::model::{HmacKey, Signed, StringMap};

use crate::support::{TestResult, TestServer};

/// Speaks to a server through `buf curl`, with the arguments that `grpcurl` takes.
const GRPCURL: &str = r#"#!/usr/bin/env bash
set -euo pipefail
headers=() data=()
while [ $# -gt 0 ]; do
    case $1 in
        -plaintext) shift ;;
        -H) headers+=(-H "$2"); shift 2 ;;
        -d) data=(-d "$2"); shift 2 ;;
        -*) echo "unknown flag $1" >&2; exit 2 ;;
        *) break ;;
    esac
done
[ "$1" = 127.0.0.1:50051 ] || { echo "unknown address $1" >&2; exit 2; }
exec "$BUF" curl --protocol grpc --http2-prior-knowledge "${headers[@]}" "${data[@]}" "http://$SERVER/$2"
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The `sh` blocks of the README that call the server.
fn blocks(readme: &str) -> Vec<&str> {
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.filter(|block| block.contains("grpcurl ")).collect()
}

#[tokio::test]
async fn the_readme_s_commands_work_as_pasted() -> TestResult {
    let (server, _provider, _database) = TestServer::with_sandbox().await;
    server.connect("sandbox", "ada").await;
    let directory = TempDir::new()?;
    let shim = directory.path().join("grpcurl");
    fs::write(&shim, GRPCURL)?;
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755))?;

    let readme = fs::read_to_string(root().join("README.md"))?;
    let blocks = blocks(&readme);
    assert!(blocks.len() >= 4, "the README has {} blocks with calls", blocks.len());
    for block in blocks {
        let output = run(block, directory.path(), &server).await?;
        // A stream has no end: that it began is what counts.
        let streams = block.contains("/Watch") && String::from_utf8_lossy(&output.stdout).contains("cursor");
        assert!(
            output.status.success() || streams,
            "{block}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

async fn run(
    block: &str,
    shims: &Path,
    server: &TestServer,
) -> Result<Output, Box<dyn std::error::Error + Send + Sync>> {
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths([shims.to_owned()].into_iter().chain(std::env::split_paths(&path)))?;
    let mut bash = Command::new("timeout");
    let patience = if block.contains("/Watch") { "3" } else { "60" };
    bash.args([patience, "bash", "-euo", "pipefail", "-c", block])
        .env("PATH", path)
        .env("KEY", &server.key)
        .env("BUF", root().join("tests/node/node_modules/.bin/buf"))
        .env("SERVER", server.addresses.grpc.to_string());
    Ok(tokio::task::spawn_blocking(move || bash.output()).await??)
}

/// The programs of `docs/signature/` sign the same request; the server's own functions say what must come out.
#[test]
fn all_languages_sign_alike() -> TestResult {
    let key: HmacKey = b"0123456789abcdef0123456789abcdef".to_vec().into();
    let map = |pairs: &[(&str, &str)]| -> StringMap {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let signed = Signed {
        project_id: "default",
        integration_id: "zendesk",
        connection_id: "user-1",
        connection_config: &map(&[("subdomain", "acme")]),
        authorization_params: &map(&[("login_hint", "zoë"), ("b", "2")]),
        scopes: &["read".to_owned(), "write".to_owned()],
        user_scopes: &[],
        return_url: "https://app.example.com/done",
    };
    let expected = format!("{}\n{}\n", signed.sign_v1(&key), signed.sign_v2(&key, 1_790_000_600, "n-1"));
    let programs: [(&str, &[&str]); 4] = [
        ("python3", &["docs/signature/sign.py"]),
        ("node", &["docs/signature/sign.mjs"]),
        ("go", &["run", "docs/signature/sign.go"]),
        ("java", &["docs/signature/Sign.java"]),
    ];
    for (program, arguments) in programs {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(root())
            .env("GOCACHE", root().join("target/go-cache"))
            .env("GO111MODULE", "off")
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; run scripts/setup"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{program}: {errors}");
    }
    let output = Command::new(example()).output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "rust");
    Ok(())
}

/// The example `sign`, which cargo builds beside the tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples/sign")
}

/// Every reason of the error enum stands in the README's table, and none that the enum has not.
#[test]
fn the_error_table_is_complete() -> TestResult {
    use tokenwell::api::{pb::error::v1::ErrorReason, status::reason_name};

    let readme = fs::read_to_string(root().join("README.md"))?;
    let table = readme.split("## Errors").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut shown: Vec<&str> = rows
        .flat_map(|row| {
            row.split('|').nth(1).unwrap().split(',').map(|reason| reason.trim().trim_matches('`'))
        })
        .collect();
    let mut reasons: Vec<&str> =
        (1..200).filter_map(|value| ErrorReason::try_from(value).ok()).map(reason_name).collect();
    shown.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(shown, reasons);
    Ok(())
}

/// Whether there is a module of this path, or a test: in the tests, or beside the code.
fn is_test(path: &str) -> bool {
    ["tests/it", "src"].into_iter().any(|base| {
        let (mut directory, mut text) = (root().join(base), String::new());
        let mut segments = path.split("::").peekable();
        while let Some(segment) = segments.next() {
            let files = [format!("{segment}.rs"), format!("{segment}/mod.rs")];
            let file = files.into_iter().map(|file| directory.join(file)).find(|file| file.exists());
            if let Some(file) = file {
                text = fs::read_to_string(file).unwrap();
                directory = directory.join(segment);
                continue;
            }
            let module = text.contains(&format!("mod {segment} {{"));
            let function = segments.peek().is_none() && text.contains(&format!("fn {segment}("));
            if !module && !function {
                return false;
            }
        }
        true
    })
}

#[test]
fn the_table_of_requirements_names_tests_that_exist() -> TestResult {
    let table = fs::read_to_string(root().join("docs/security.md"))?;
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| S")).collect();
    assert_eq!(rows.len(), 64, "one row for each requirement");
    let mut named = 0;
    for row in rows {
        let tests = row.split(" | ").nth(2).unwrap_or_default();
        for name in tests.split('`').skip(1).step_by(2).filter(|name| !name.contains(' ')) {
            assert!(is_test(name), "there is no test `{name}`: {row}");
            named += 1;
        }
    }
    assert!(named > 120, "{named} tests are named");
    assert!(!is_test("readme::no_such_test") && !is_test("no_such_module"));
    Ok(())
}
