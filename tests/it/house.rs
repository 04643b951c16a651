//! The house rules that a machine can check: which room uses which, which crate lives where, how long a file may be.

mod secrets;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::TestResult;

/// The rooms from left to right; a room uses rooms to its left. Those with the same number do not use each other.
const ROOMS: [(&str, u8); 11] = [
    ("model", 0),
    ("provider", 1),
    ("sandbox", 1),
    ("oauth", 2),
    ("store", 2),
    ("flow", 3),
    ("api", 4),
    ("gateway", 5),
    ("config", 5),
    ("app", 6),
    ("cli", 7),
];

/// Crates, and the rooms that may name them.
const RESIDENTS: [(&str, &[&str]); 25] = [
    ("sea_orm", &["store"]),
    ("tokenwell_migrations", &["store"]),
    ("aes_gcm", &["store"]),
    ("tonic", &["api"]),
    ("prost", &["api"]),
    ("prost_types", &["api"]),
    ("reqwest", &["oauth"]),
    ("oauth2", &["oauth"]),
    ("jsonwebtoken", &["oauth", "sandbox"]),
    ("sha1", &["oauth", "sandbox"]),
    ("axum", &["gateway", "sandbox"]),
    ("toml", &["provider", "app"]),
    ("tokio_rustls", &["api"]),
    ("x509_parser", &["api"]),
    ("serde_saphyr", &["provider"]),
    ("psl", &["provider"]),
    ("schemars", &["provider"]),
    ("percent_encoding", &["oauth", "sandbox"]),
    ("moka", &["oauth", "gateway"]),
    ("governor", &["gateway"]),
    ("hyper_util", &["gateway"]),
    ("ipnet", &["model", "gateway", "config"]),
    ("httpdate", &["oauth"]),
    ("notify", &["app"]),
    ("clap", &["cli", "config"]),
];

const MAX_LINES: usize = 400;

/// What is wrong with a file's text, if it lies in this room.
fn faults(room: &str, text: &str) -> Vec<String> {
    let rank = |name: &str| ROOMS.iter().find(|(room, _)| *room == name).map(|(_, rank)| *rank);
    let mut faults = Vec::new();
    for used in rooms_used(text) {
        match (rank(room), rank(&used)) {
            (Some(own), Some(other)) if used != room && other >= own => {
                faults.push(format!("`{room}` uses `{used}`, which is not to its left"));
            }
            (_, None) if room != "lib" => {
                faults.push(format!("`{room}` uses `crate::{used}`, which is no room"));
            }
            _ => {}
        }
    }
    for (resident, rooms) in RESIDENTS {
        let named = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .any(|line| names(line, resident));
        if named && !rooms.contains(&room) {
            faults.push(format!("`{room}` names the crate `{resident}`, which lives in {rooms:?}"));
        }
    }
    faults
}

/// The rooms after `crate::`, also in a braced list.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (index, _) in text.match_indices("crate::") {
        let rest = &text[index + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut first = true;
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => first = true,
                    _ => {}
                }
                if depth == 0 && first && (c.is_alphanumeric() || c == '_') {
                    word.push(c);
                } else if !word.is_empty() {
                    used.insert(std::mem::take(&mut word));
                    first = false;
                }
            }
            if !word.is_empty() {
                used.insert(word);
            }
        } else {
            used.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    used
}

/// Whether a line of code names a crate: `use NAME`, or `NAME::` that is no part of a longer path.
fn names(line: &str, resident: &str) -> bool {
    line.match_indices(resident).any(|(index, _)| {
        let before = line[..index].chars().next_back();
        let after = &line[index + resident.len()..];
        let starts =
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '"' || c == '.');
        let imported = line.trim_start().starts_with("use ") && after.starts_with(';');
        starts && (after.starts_with("::") || imported)
    })
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_import_goes_to_the_left() -> TestResult {
    let source = root().join("src");
    let mut wrong = Vec::new();
    for path in sources(&source) {
        let relative = path.strip_prefix(&source)?;
        let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let room = first.trim_end_matches(".rs");
        if room == "main" {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        wrong.extend(faults(room, &text).into_iter().map(|fault| format!("{}: {fault}", relative.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The check itself: it finds wrong imports in every form that Rust has.
#[test]
fn the_check_finds_wrong_imports() {
    for (room, text) in [
        ("model", "use crate::store::Store;"),
        ("store", "use crate::{model::{A, B}, flow::Flows};"),
        ("store", "fn f() { crate::oauth::x() }"),
        ("oauth", "use crate::{\n    model::A,\n    store::{B, C},\n};"),
        ("api", "use crate::gateway;"),
        ("flow", "use sea_orm::Entity;"),
        ("gateway", "let x = tonic::Status::new();"),
        ("cli", "use reqwest;"),
        ("model", "use crate::nowhere::A;"),
    ] {
        assert!(!faults(room, text).is_empty(), "{room}: {text}");
    }
    for (room, text) in [
        ("flow", "use crate::{model::Flow, oauth::Grant, store::Store};"),
        ("api", "use tonic::Status; use crate::flow::Flows;"),
        ("model", "// sea_orm::Entity is elsewhere"),
        ("store", "use super::project; use crate::model::Project;"),
    ] {
        assert_eq!(faults(room, text), Vec::<String>::new(), "{room}: {text}");
    }
}

#[test]
fn no_file_is_too_long() -> TestResult {
    let mut long = Vec::new();
    for path in
        ["src", "migrations", "tests/it"].iter().flat_map(|directory| sources(&root().join(directory)))
    {
        let lines = fs::read_to_string(&path)?.lines().count();
        if lines > MAX_LINES {
            long.push(format!("{}: {lines}", path.display()));
        }
    }
    assert!(long.is_empty(), "longer than {MAX_LINES} lines:\n{}", long.join("\n"));
    Ok(())
}

/// What is wrong with how a file's code compares MACs: two of them are compared in constant time, or not at all.
fn mac_faults(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let compares = |line: &str| {
        let line = line.to_ascii_lowercase();
        let compared =
            [" == ", " != ", "assert_eq", ".eq(", ".ne(", ".cmp("].iter().any(|it| line.contains(it));
        let macs = ["mac", "signature", "finalize", "digest", "sign_v1(", "sign_v2("]
            .iter()
            .any(|it| line.contains(it));
        compared && macs && !line.trim_start().starts_with("//") && !line.contains(".len() ==")
    };
    let derives = |line: &&str| line.contains("derive") && line.contains("PartialEq");
    let mut faults: Vec<_> = code.lines().filter(|line| compares(line)).collect();
    for (index, _) in code.match_indices("Mac(") {
        let before: Vec<_> = code[..index].lines().rev().take(3).collect();
        if code[..index].ends_with("Given") && before[0].contains("pub struct") {
            faults.extend(before.into_iter().filter(derives));
        }
    }
    faults
}

#[test]
fn macs_are_compared_in_constant_time() -> TestResult {
    let mut makers = Vec::new();
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(&path)?;
        let file = path.strip_prefix(root().join("src"))?.display().to_string();
        // The sandbox is a provider of tests, and its tests are no defence.
        let macs = ["use hmac::", "sign_v1(", "sign_v2("].iter().any(|it| text.contains(it));
        if file.starts_with("sandbox") || file.ends_with("tests.rs") || !macs {
            continue;
        }
        assert_eq!(mac_faults(&text), Vec::<&str>::new(), "{file}");
        makers.push((file, text));
    }
    let verifiers =
        makers.iter().filter(|(_, text)| text.contains("verify_slice(")).map(|(file, _)| file.as_str());
    assert_eq!(
        verifiers.collect::<BTreeSet<_>>(),
        BTreeSet::from(["model/signature.rs", "provider/callback.rs"])
    );
    for wrong in [
        "if mac == given { true }",
        "if signed.sign_v2(&key, 1, \"n\") == given { true }",
        "let same = hasher.finalize().into_bytes() == given;",
        "match given { it if it.eq(&mac) => 1 }",
        "#[derive(Clone, PartialEq)]\npub struct GivenMac([u8; 32]);",
    ] {
        assert_eq!(mac_faults(wrong).len(), 1, "{wrong}");
    }
    Ok(())
}

/// A message for whoever listens is no message for the opener.
#[test]
fn no_page_tells_everybody() -> TestResult {
    let mut tellers = Vec::new();
    let mut open = vec![root().join("src")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = fs::read_to_string(&path)?;
            for call in text.split(".postMessage(").skip(1) {
                let arguments = call.split(')').next().unwrap_or_default();
                assert_eq!(arguments, "message, origin", "{}", path.display());
                tellers.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    assert_eq!(tellers, ["page.js"]);
    Ok(())
}

/// Every file is reached from `lib.rs` or `main.rs`: none is dead.
#[test]
fn every_file_is_reached() -> TestResult {
    let source = root().join("src");
    let mut reached = BTreeSet::new();
    let mut open = vec![source.join("lib.rs"), source.join("main.rs")];
    while let Some(path) = open.pop() {
        let text = fs::read_to_string(&path)?;
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let parent = path.parent().unwrap().to_owned();
        let home = if ["lib", "main", "mod"].contains(&stem.as_str()) { parent } else { parent.join(stem) };
        for line in text.lines() {
            let words: Vec<_> =
                line.trim().trim_start_matches("pub(super) ").trim_start_matches("pub ").split(' ').collect();
            if let ["mod", name] = words[..]
                && let Some(name) = name.strip_suffix(';')
            {
                let file = home.join(format!("{name}.rs"));
                open.push(if file.exists() { file } else { home.join(name).join("mod.rs") });
            }
        }
        reached.insert(path);
    }
    let dead: Vec<_> = sources(&source).into_iter().filter(|path| !reached.contains(path)).collect();
    assert!(dead.is_empty(), "{dead:?}");
    Ok(())
}
