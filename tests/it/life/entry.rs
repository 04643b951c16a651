//! What an entry says of the life and the end of tokens, and what it may not say.

use tokenwell::{
    model::{Config, ProviderId, SecretMap},
    provider::{Catalog, RefreshError, SharedProvider, Transport},
};

const GOOD: &str = r#"display_name = "Acme"
categories = ["crm"]
documentation = "https://acme.com/docs"
authorization_endpoint = "https://acme.com/authorize"
token_endpoint = "https://acme.com/token"
hosts = ["acme.com"]
"#;

fn load(lines: &str) -> Result<SharedProvider, String> {
    let mut catalog = Catalog::default();
    let text = format!("{GOOD}{lines}");
    catalog.add("acme.toml", &text, Transport::Strict).map_err(|faults| faults[0].to_string())?;
    Ok(catalog.get(&ProviderId::parse("acme").unwrap()).unwrap().clone())
}

fn built_in(id: &str) -> SharedProvider {
    Catalog::built_in().unwrap().get(&ProviderId::parse(id).unwrap()).unwrap().clone()
}

#[test]
fn errors_at_a_refresh_mean_what_the_entry_says() {
    let lines = "[error_codes]\n40102 = \"invalid_grant\"\n\
                 [refresh_errors]\nfinal = [\"consent_required\"]\ntransient = [\"internal_error\", \"invalid_request\"]";
    let provider = load(lines).unwrap();
    for (code, expected) in [
        ("consent_required", Some(RefreshError::Final)),
        ("internal_error", Some(RefreshError::Transient)),
        ("invalid_request", Some(RefreshError::Transient)),
        ("invalid_grant", None),
        ("Consent_Required", None),
        ("", None),
    ] {
        assert_eq!(provider.refresh_error(code), expected, "{code}");
    }
    assert_eq!(built_in("outlook").refresh_error("interaction_required"), Some(RefreshError::Final));
    assert_eq!(built_in("slack").refresh_error("internal_error"), Some(RefreshError::Transient));
    assert_eq!(built_in("xero").refresh_error("interaction_required"), None);
}

#[test]
fn refresh_tokens_live_as_long_as_the_entry_says() {
    let said = |provider: &SharedProvider| {
        (provider.refresh_token_expires_in(), provider.refresh_token_idle_expires_in())
    };
    assert_eq!(said(&load("").unwrap()), (None, None));
    let lines = "refresh_token_expires_in = 86400\nrefresh_token_idle_expires_in = 3600\n";
    assert_eq!(said(&load(lines).unwrap()), (Some(86400), Some(3600)));
    assert_eq!(said(&built_in("xero")), (Some(60 * 86400), None));
    assert_eq!(said(&built_in("gmail")), (None, Some(180 * 86400)));
}

#[test]
fn the_end_of_one_token_may_be_the_end_of_all() {
    assert!(!load("").unwrap().revocation_ends_all_grants());
    assert!(!built_in("github").revocation_ends_all_grants());
    for id in ["google", "gmail", "facebook", "square", "strava", "slack"] {
        assert!(built_in(id).revocation_ends_all_grants(), "{id}");
    }
}

#[test]
fn an_entry_that_contradicts_itself_is_refused() {
    let own = "[revocation]\nurl = \"https://acme.com/end\"\n";
    for (lines, problem) in [
        (format!("revocation_endpoint = \"https://acme.com/revoke\"\n{own}"), "choose one"),
        (format!("{own}authorization = \"Client {{client_secret}}\""), "names no token"),
        (format!("{own}basic = \"{{client_id}}:{{client_secret}}\""), "names no token"),
        (format!("{own}params = {{ key = \"{{api_key}}\" }}"), "`{api_key}` is not declared"),
        (format!("{own}json = {{ token = \"{{access_token}}\" }}"), "which `GET` does not send"),
        (
            format!("{own}method = \"POST\"\nbody = \"null\"\nform = {{ token = \"{{access_token}}\" }}"),
            "more than one of `body`, `json` and `form`",
        ),
        (format!("{own}method = \"PUT\""), "unknown variant `PUT`"),
        ("[revocation]\nurl = \"https://acme.org/end\"\n".to_owned(), "`revocation.url` with its examples"),
        ("[revocation]\nurl = \"https://{client_id}.acme.com/end\"\n".to_owned(), "with its examples"),
        ("[revocation]\nurl = \"https://acme.com/{access_token}\"\n".to_owned(), "is not declared"),
        ("token_headers = { x-client = \"{client_id}\" }\n".to_owned(), "`{client_id}` is not declared"),
        ("[lookup]\nurl = \"https://acme.com/{client_id}\"\n".to_owned(), "`{client_id}` is not declared"),
        (
            "[lookup]\nurl = \"https://acme.com/me\"\nmethod = \"DELETE\"\n".to_owned(),
            "only a revocation deletes",
        ),
        (
            "[lookup]\nurl = \"https://acme.com/me\"\nparams = { t = \"{refresh_token}\" }\n".to_owned(),
            "`{refresh_token}` is not declared",
        ),
        ("[config.refresh_token]\ntitle = \"Token\"\n".to_owned(), "none of credentials"),
        ("revocation_ends_all_grants = true\n".to_owned(), "needs a `revocation_endpoint`"),
        ("introspection_endpoint = \"https://acme.org/introspect\"\n".to_owned(), "with its examples"),
        ("introspection_endpoint = \"https://{site}.acme.com/i\"\n".to_owned(), "`{site}` is not declared"),
        ("refresh_token_expires_in = 0\n".to_owned(), "is 0"),
        ("refresh_token_idle_expires_in = 0\n".to_owned(), "is 0"),
        ("refresh_token_expires_in = -1\n".to_owned(), ""),
        ("[refresh_errors]\nfinal = [\"a\"]\ntransient = [\"a\"]\n".to_owned(), "both final and transient"),
        ("[refresh_errors]\nfinal = [\"\"]\n".to_owned(), "never gets that far"),
        (
            "[error_codes]\ndead = \"invalid_grant\"\n[refresh_errors]\nfinal = [\"dead\"]\n".to_owned(),
            "it is known as `invalid_grant`",
        ),
        (
            "[refresh_errors]\nfinal_statuses = [403]\ntransient_statuses = [404, 403]\n".to_owned(),
            "both final",
        ),
        ("[refresh_errors]\nfinal_statuses = [200]\n".to_owned(), "expected 400 to 499"),
        ("[refresh_errors]\nfinal_statuses = [399]\n".to_owned(), "expected 400 to 499"),
        ("[refresh_errors]\nfinal_statuses = [429]\n".to_owned(), "but for 408 and 429"),
        ("[refresh_errors]\ntransient_statuses = [500]\n".to_owned(), "expected 400 to 499"),
        ("[refresh_errors]\nfinal_statuses = [-1]\n".to_owned(), "expected u16"),
        ("[refresh_errors]\nforever = [\"a\"]\n".to_owned(), "unknown field `forever`"),
    ] {
        let fault = load(&lines).expect_err(&lines);
        assert!(fault.contains(problem), "{lines}: {fault}");
    }
    for good in [
        own.to_owned(),
        format!("revocation_ends_all_grants = true\n{own}"),
        format!("{own}method = \"DELETE\"\njson = {{ token = \"{{refresh_token}}\" }}\nauthorization = \"\""),
        "[revocation]\nurl = \"https://acme.com/{client_id}/end\"\n".to_owned(),
    ] {
        load(&good).unwrap_or_else(|fault| panic!("{good}: {fault}"));
    }
    let signed =
        format!("grant_types = [\"oauth1\"]\nrequest_token_endpoint = \"https://acme.com/request\"\n{own}");
    assert!(load(&signed).unwrap_err().contains("is not signed"));
}

#[test]
fn a_revocation_holds_no_credential_that_it_does_not_name() {
    let provider = built_in("github");
    assert!(provider.has_revocation() && provider.revocation_names("client_secret"));
    assert!(provider.revocation_names("access_token") && !provider.revocation_names("refresh_token"));
    let credentials: SecretMap = ["access_token", "refresh_token", "client_id", "client_secret"]
        .into_iter()
        .map(|name| (name.to_owned(), format!("canary-{name}").into()))
        .collect();
    let request = provider.revocation(&Config::default(), &credentials).unwrap().unwrap();
    assert_eq!(request.url.as_str(), "https://api.github.com/applications/canary-client_id/token");
}
