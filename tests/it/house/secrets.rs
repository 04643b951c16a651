//! What no source may do: leave out the check of certificates, or keep a digest of somebody else's token.

use std::{collections::BTreeSet, fs};

use super::{root, sources};
use crate::support::TestResult;

/// The names by which the check of a server's certificate is left out, in the crates that speak TLS here.
const OPEN_DOORS: [&str; 6] = [
    "danger_accept_invalid",
    "tls_danger",
    "accept_invalid_",
    ".dangerous()",
    "ServerCertVerifier",
    "sslmode=require",
];
/// Files that make digests, and of what: of 256 random bits of ours, or of what everybody may know.
const DIGESTS: [(&str, &str); 9] = [
    ("app/follow.rs", "a file of certificates, a key or callers, in memory"),
    ("app/reload.rs", "a file of the catalog"),
    ("flow/begin.rs", "a browser's cookie"),
    ("model/cursor.rs", "what is watched"),
    ("model/key.rs", "what it is given"),
    ("model/page.rs", "filters"),
    ("model/signature.rs", "what a signature covers"),
    ("store/flow.rs", "a state, a link, a confirmation"),
    ("store/key.rs", "an API key"),
];

/// Code without its tests and comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_certificate_goes_unchecked() -> TestResult {
    let mut files = 0;
    for path in sources(&root().join("src")) {
        let code = code(&fs::read_to_string(&path)?);
        for door in OPEN_DOORS {
            assert!(!code.contains(door), "{}: `{door}`", path.display());
        }
        files += 1;
    }
    assert!(files > 100, "the sources are somewhere else");
    Ok(())
}

/// A digest of a provider's token is a fingerprint that can be guessed at: providers' tokens may be short.
#[test]
fn no_digest_is_made_of_somebody_elses_token() -> TestResult {
    let source = root().join("src");
    let mut makers = BTreeSet::new();
    for path in sources(&source) {
        let file = path.strip_prefix(&source)?.display().to_string();
        // The sandbox is a provider of tests, and remembers what it has issued itself.
        if file.starts_with("sandbox") {
            continue;
        }
        let code = code(&fs::read_to_string(&path)?);
        let hashes =
            ["Sha256", "Sha384", "Sha512", "Sha1"].iter().any(|hash| code.contains(&format!("{hash}::")));
        if hashes || [" digest(", "(digest(", "&digest("].iter().any(|call| code.contains(call)) {
            makers.insert(file);
        }
    }
    let known: BTreeSet<_> = DIGESTS.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(makers, known, "say what a digest is made of, and that it is none of a provider's token");
    Ok(())
}
