//! A token response: whatever a provider answers, it is a grant that can be used, or a failure that says nothing secret.

use std::sync::LazyLock;

use tokenwell::{
    model::ExposeSecret as _,
    oauth::{Failure, fuzzing::token_response},
    provider::{Catalog, SharedProvider, Transport},
};

use super::{choice, now};

/// One that answers as RFC 6749 says, and one of every quirk that an entry can declare.
const ENTRIES: [&str; 4] = [
    "",
    "scope_separator = \",\"\ntoken_response = { path = \"data\", access_token = \"token.value\", scope = \"grants\", token_type = \"token\" }",
    "token_response = { expires_in_unit = \"milliseconds\", expires_at = \"until\", refresh_token_expires_at = \"refresh.until\" }",
    "[token_error]\ncode = \"meta.code\"\ndescription = \"meta.message\"\nsuccess = [\"0\", \"ok\"]\n[error_codes]\n40102 = \"invalid_grant\"",
];
const HEAD: &str = "display_name = \"Acme\"\ncategories = [\"crm\"]\ndocumentation = \"https://acme.com/\"\n\
                    authorization_endpoint = \"https://acme.com/a\"\ntoken_endpoint = \"https://acme.com/t\"\n\
                    hosts = [\"acme.com\"]\n";
const STATUSES: [u16; 8] = [200, 200, 201, 302, 400, 401, 429, 503];
const TYPES: [&str; 4] = ["application/json", "application/x-www-form-urlencoded", "text/html", ""];
/// Ten years.
const LONGEST: i64 = 10 * 366 * 24 * 3600;

static PROVIDERS: LazyLock<Vec<SharedProvider>> = LazyLock::new(|| {
    let mut catalog = Catalog::default();
    for (number, lines) in ENTRIES.iter().enumerate() {
        let text = format!("{HEAD}{lines}\n");
        catalog.add(&format!("acme-{number}.toml"), &text, Transport::Strict).unwrap();
    }
    catalog.iter().cloned().collect()
});

/// The first byte is the entry, the second the status and the content type, the rest the body.
pub fn run(data: &[u8]) {
    let (entry, data) = choice(data);
    let (how, body) = choice(data);
    let provider = &PROVIDERS[entry % ENTRIES.len()];
    let status = STATUSES[how % STATUSES.len()];
    let content_type = TYPES[how / STATUSES.len() % TYPES.len()];
    match token_response(provider, status, content_type, body, now()) {
        Ok(grant) => {
            assert!((200..300).contains(&status), "a grant with status {status}");
            let tokens = [Some(&grant.access_token), grant.refresh_token.as_ref()];
            assert!(
                tokens.into_iter().flatten().all(|token| !token.expose_secret().is_empty()),
                "an empty token"
            );
            let access_token = grant.access_token.expose_secret();
            assert!(!access_token.chars().any(char::is_control), "a token that breaks a header");
            for lifetime in [grant.expires_in, grant.refresh_token_expires_in].into_iter().flatten() {
                assert!((1..=LONGEST).contains(&lifetime.whole_seconds()), "a lifetime of {lifetime}");
            }
            let broken = |scope: &String| scope.is_empty() || scope.contains(' ');
            assert!(!grant.scopes.iter().flatten().any(broken), "{:?}", grant.scopes);
            let token_type = &grant.token_type;
            assert!(!token_type.is_empty() && !token_type.chars().any(char::is_control), "{token_type:?}");
        }
        Err(failure) => check_words(&failure),
    }
}

/// What a failure says goes into errors and logs: it is short, and of one line.
fn check_words(failure: &Failure) {
    let description = match failure {
        Failure::Refused { description, .. } => description.as_deref().unwrap_or_default(),
        _ => "",
    };
    for words in [&failure.to_string(), description] {
        assert!(words.len() <= 1024 && !words.chars().any(char::is_control), "{words:?}");
    }
}
