//! Faulty entries: each is refused when it is read, with its file, the line where that is known, and what is wrong.

use std::path::Path;

use tokenwell::provider::{Catalog, Fault, Transport};

/// An entry without a fault.
const GOOD: &str = r#"display_name = "Acme"
categories = ["crm"]
documentation = "https://acme.com/docs"
authorization_endpoint = "https://{subdomain}.acme.com/authorize"
token_endpoint = "https://{subdomain}.acme.com/token"
hosts = [".acme.com"]

[authorization_params]
prompt = "consent"

[config.subdomain]
title = "Subdomain"
example = "acme"
format = "label"
required = true
"#;

/// The first fault, if there is any.
fn add(file: &str, text: &str, transport: Transport) -> Result<(), Fault> {
    Catalog::default().add(file, text, transport).map_err(|faults| faults[0].clone())
}

#[test]
fn an_entry_without_a_fault_is_loaded() {
    add("acme.toml", GOOD, Transport::Strict).unwrap();
}

#[test]
fn a_faulty_line_is_named() {
    for (from, to, line, problem) in [
        // A key that nobody knows, wherever it stands.
        ("display_name = \"Acme\"", "colour = \"red\"\ndisplay_name = \"Acme\"", 1, "unknown field `colour`"),
        ("hosts = ", "colour = \"red\"\nhosts = ", 6, "unknown field `colour`"),
        ("required = true", "colour = \"red\"", 15, "unknown field `colour`"),
        ("token_endpoint = ", "token_endpiont = ", 5, "unknown field `token_endpiont`"),
        // Types and choices.
        ("hosts = [\".acme.com\"]", "hosts = \".acme.com\"", 6, "invalid type"),
        ("format = \"label\"", "format = \"lable\"", 14, "unknown variant `lable`"),
        ("required = true", "required = \"true\"", 15, "invalid type"),
        ("prompt = \"consent\"", "prompt = 1", 9, "invalid type"),
        // No TOML at all.
        ("categories = [\"crm\"]", "categories = [\"crm\"", 3, ""),
        ("example = \"acme\"", "example = acme", 13, ""),
        ("title = \"Subdomain\"", "title = \"Subdomain\"\ntitle = \"Again\"", 13, "duplicate key"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let fault = add("acme.toml", &GOOD.replacen(from, to, 1), Transport::Strict).unwrap_err();
        assert_eq!((fault.file.as_str(), fault.line), ("acme.toml", Some(line)), "{to}: {fault}");
        assert!(fault.problem.contains(problem), "{to}: {fault}");
        assert!(fault.to_string().starts_with(&format!("acme.toml:{line}: ")), "{fault}");
    }
}

#[test]
fn tenants_issuers_and_keys_fit_the_rest_of_the_entry() {
    for (from, to, problem) in [
        ("[\".acme.com\"]", "[\".co.uk\"]\nhosts_are_tenants = true", "`.co.uk` is a public suffix"),
        ("[\".acme.com\"]", "[\".acme.com\", \".herokuapp.com\"]", "say so by `hosts_are_tenants`"),
        ("[\".acme.com\"]", "[\".acme.com\", \".cloudfront.net\"]", "say so by `hosts_are_tenants`"),
        ("[\".acme.com\"]", "[\".acme.com\"]\nhosts_are_tenants = true", "leave it out"),
        // The issuer and its keys.
        (
            "hosts = ",
            "jwks_uri = \"https://evil.com/keys\"\nhosts = ",
            "its host is not one of the provider's",
        ),
        (
            "hosts = ",
            "jwks_uri = \"https://keys.acme.com/keys\"\nid_token_signing_alg_values_supported = [\"HS256\"]\nhosts = ",
            "has keys for none of the",
        ),
        (
            "hosts = ",
            "id_token_signing_alg_values_supported = [\"HS256\"]\ntoken_endpoint_auth_method = \"none\"\nhosts = ",
            "whose key is the secret of a client that has none",
        ),
        (
            "hosts = ",
            "id_token_signing_alg_values_supported = [\"none\"]\nhosts = ",
            "unknown variant `none`",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let fault = add("acme.toml", &GOOD.replacen(from, to, 1), Transport::Strict)
            .expect_err(&format!("{to} was not refused"));
        assert_eq!(fault.file, "acme.toml");
        assert!(fault.problem.contains(problem), "{to}: {fault}");
        assert!(fault.to_string().starts_with("acme.toml:"), "{to}: {fault}");
    }
}

#[test]
fn an_entry_that_contradicts_itself_is_refused() {
    let long = "a".repeat(64);
    for (from, to, problem) in [
        // Placeholders.
        (
            "https://{subdomain}.acme.com/token",
            "https://{tenant}.acme.com/token",
            "`{tenant}` is not declared",
        ),
        (
            "https://{subdomain}.acme.com/token",
            "https://{subdomain.acme.com/token",
            "has a `{` without a `}`",
        ),
        (
            "https://{subdomain}.acme.com/token",
            "https://subdomain}.acme.com/token",
            "has a `}` without a `{`",
        ),
        ("https://{subdomain}.acme.com/token", "https://{}.acme.com/token", "names no field"),
        (
            "[config.subdomain]",
            "[callback]\nexpect = { shop = \"{shop}.acme.com\" }\n[config.subdomain]",
            "`{shop}` is not declared",
        ),
        // Host pins.
        ("[\".acme.com\"]", "[]", "`hosts` is empty"),
        ("[\".acme.com\"]", "[\".com\"]", "`.com` is no host pin"),
        ("[\".acme.com\"]", "[\"*.acme.com\"]", "`*.acme.com` is no host pin"),
        ("[\".acme.com\"]", "[\"https://acme.com\"]", "is no host pin"),
        ("[\".acme.com\"]", "[\".Acme.com\"]", "is no host pin"),
        ("[\".acme.com\"]", "[\".acme.com\", \"\"]", "is no host pin"),
        ("[\".acme.com\"]", &format!("[\".{long}.com\"]"), "is no host pin"),
        ("[\".acme.com\"]", "[\".acme.org\"]", "its host is not one of the provider's"),
        ("[\".acme.com\"]", "[\"acme.com\"]", "its host is not one of the provider's"),
        ("[\".acme.com\"]", "[\".co.uk\"]", "`.co.uk` is a public suffix"),
        // Endpoints.
        ("https://{subdomain}.acme.com/token", "http://{subdomain}.acme.com/token", "it is not https"),
        (
            "https://{subdomain}.acme.com/authorize",
            "http://{subdomain}.acme.com/authorize",
            "it is not https",
        ),
        ("https://{subdomain}.acme.com/token", "https://{subdomain}.acme.com:8443/token", "it names a port"),
        ("https://{subdomain}.acme.com/token", "https://u:p@{subdomain}.acme.com/token", "it holds a user"),
        ("https://{subdomain}.acme.com/token", "https://{subdomain}.acme.com/token#x", "it has a fragment"),
        ("https://{subdomain}.acme.com/token", "https://127.0.0.1/token", "its host is not one"),
        ("https://{subdomain}.acme.com/token", "https://acme.com.evil.com/token", "its host is not one"),
        ("https://{subdomain}.acme.com/token", "{subdomain}.acme.com/token", "with its examples"),
        // Parameters.
        ("prompt = ", "state = ", "`authorization_params.state` is set by tokenwell itself"),
        ("prompt = ", "redirect_uri = ", "`authorization_params.redirect_uri` is set by tokenwell itself"),
        (
            "prompt = ",
            "code_challenge = ",
            "`authorization_params.code_challenge` is set by tokenwell itself",
        ),
        ("prompt = ", "scope = ", "`authorization_params.scope` is set by tokenwell itself"),
        // PKCE.
        ("hosts = ", "pkce_disabled_reason = \"\"\nhosts = ", "`pkce_disabled_reason` says nothing"),
        ("hosts = ", "pkce_disabled_reason = \"no\"\nhosts = ", "`pkce_disabled_reason` says nothing"),
        (
            "hosts = ",
            "pkce_disabled_reason = \"                          \"\nhosts = ",
            "`pkce_disabled_reason` says nothing",
        ),
        // Config fields.
        ("required = true", "pattern = \"[\"", "`config.subdomain`: regex parse error"),
        ("required = true", "pattern = '(?=a)a'", "`config.subdomain`: regex parse error"),
        ("required = true", "default = \"not valid\"", "`config.subdomain.default` is not a valid value"),
        ("required = true", "default = \"UPPER\"", "`config.subdomain.default` is not a valid value"),
        ("example = \"acme\"", "example = \"acme.evil.com\"", "`config.subdomain.example` is malformed"),
        ("example = \"acme\"", "example = \"\"", "with its examples"),
        ("required = true", "pattern = \"[0-9]+\"", "`config.subdomain.example` is malformed"),
        (
            "format = \"label\"",
            "enum = [{ value = \"b\", title = \"B\" }]",
            "`config.subdomain.example` is malformed: expected one of b",
        ),
        (
            "format = \"label\"",
            "format = \"uri\"\nhosts = [\"com\"]",
            "`config.subdomain`: `com` is no host pin",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let fault = add("acme.toml", &GOOD.replacen(from, to, 1), Transport::Strict)
            .expect_err(&format!("{to} was not refused"));
        assert_eq!(fault.file, "acme.toml");
        assert!(fault.problem.contains(problem), "{to}: {fault}");
        assert!(fault.to_string().starts_with("acme.toml:"), "{to}: {fault}");
    }
}

#[test]
fn the_file_names_the_provider() {
    for file in ["Acme.toml", "a b.toml", ".toml", "acme/../x y.toml", "ä.toml"] {
        let fault = add(file, GOOD, Transport::Strict).expect_err(file);
        assert_eq!(fault.file, file);
        assert!(fault.problem.contains("the file's name"), "{fault}");
    }
}

#[test]
fn http_is_for_loopback_in_development_only() {
    let local = GOOD.replace("https://{subdomain}.acme.com", "http://127.0.0.1:8080");
    let local = local.replace("\".acme.com\"", "\"127.0.0.1\"");
    add("acme.toml", &local, Transport::LoopbackHttp).unwrap();
    let fault = add("acme.toml", &local, Transport::Strict).unwrap_err();
    assert!(fault.problem.contains("`127.0.0.1`, which is allowed in development only"), "{fault}");

    let remote = GOOD.replace("https://{subdomain}.acme.com", "http://{subdomain}.acme.com");
    let fault = add("acme.toml", &remote, Transport::LoopbackHttp).unwrap_err();
    assert!(fault.problem.contains("it is not https"), "{fault}");
}

#[test]
fn all_faulty_files_are_named_and_none_is_taken() {
    let files = [
        ("acme.toml", GOOD.to_owned()),
        ("bad1.toml", GOOD.replace("display_name", "name")),
        ("bad2.toml", GOOD.replace(".acme.com\"]", ".com\"]")),
    ];
    let mut catalog = Catalog::default();
    let files = files.into_iter().map(|(name, text)| (name.to_owned(), text));
    let faults = catalog.add_files(files, Transport::Strict).unwrap_err();
    let mut files: Vec<_> = faults.iter().map(|fault| fault.file.as_str()).collect();
    files.dedup();
    assert_eq!(files, ["bad1.toml", "bad2.toml"]);
    assert_eq!(catalog.iter().count(), 0);
}

/// Every fault of a file is named at once, each with its line.
#[test]
fn all_faults_of_a_file_are_named() {
    let text = GOOD
        .replace("categories = [\"crm\"]", "categories = \"crm\"")
        .replace("prompt = \"consent\"", "prompt = 7")
        .replace("format = \"label\"", "format = \"lable\"\ncolour = \"red\"");
    let faults = Catalog::default().add("acme.toml", &text, Transport::Strict).unwrap_err();
    let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [Some(2), Some(9), Some(14), Some(15)], "{faults:?}");

    let text = GOOD
        .replace("hosts = [\".acme.com\"]", "hosts = [\".acme.com\", \".com\"]")
        .replace("prompt = ", "state = ")
        .replace("required = true", "pattern = \"[\"");
    let faults = Catalog::default().add("acme.toml", &text, Transport::Strict).unwrap_err();
    let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [Some(6), Some(11)], "{faults:?}");
}

/// What would load and then fail its users, or endanger them.
#[test]
fn an_entry_that_would_fail_its_users_is_refused() {
    let verification = "[verification]\nurl = \"https://api.acme.com/me\"\n";
    let lookup = "[lookup]\nurl = \"https://api.acme.com/me\"\n";
    for (from, to, problem) in [
        // Secrets where a browser sees them.
        (
            "prompt = \"consent\"",
            "key = \"{app_key}\"\n[config.app_key]\ntitle = \"Key\"\nsecret = true",
            "holds a secret, which a browser would see",
        ),
        ("required = true", "required = true\nsecret = true", "is secret and cannot be part of an address"),
        // A proof that proves nothing.
        (
            "[authorization_params]",
            &format!("grant_types = [\"api_key\"]\n{verification}[authorization_params]"),
            "`verification` proves nothing",
        ),
        (
            "[authorization_params]",
            &format!(
                "grant_types = [\"basic\"]\n{verification}basic = \"{{api_key}}\"\n[authorization_params]"
            ),
            "`verification` proves nothing",
        ),
        // Parameters with two sources.
        (
            "[authorization_params]",
            "[param_names]\nclient_id = \"state\"\n[authorization_params]",
            "sent already",
        ),
        ("hosts = ", "user_scope_param = \"Redirect_URI\"\nhosts = ", "sent already"),
        ("prompt = \"consent\"", "user_scope = \"x\"", ""),
        // Addresses of choices.
        (
            "format = \"label\"\nrequired = true",
            "enum = [{ value = \"acme\", title = \"A\" }, { value = \"b\", title = \"B\", substitute = \"b.com/\" }]",
            "`b` makes no address on the `hosts`",
        ),
        // Addresses that callers would follow.
        (
            "[config.subdomain]",
            "[config.api]\ntitle = \"API\"\nexample = \"https://x.acme.com\"\npattern = \"https://.*\"\ncapture = [{ token_response = \"api\" }]\n[config.subdomain]",
            "give it the format `uri`",
        ),
        (
            "[config.subdomain]",
            "[config.api]\ntitle = \"API\"\nformat = \"uri\"\ncapture = [{ callback = \"api\" }]\n[config.subdomain]",
            "needs the `hosts` that it may name",
        ),
        // Declarations that contradict each other.
        (
            "required = true",
            "required = true\ncapture = [{ callback = \"x\" }]",
            "cannot be given by callers",
        ),
        (
            "required = true",
            "default = \"acme\"\nsettable = true\ncapture = [{ lookup = \"/x\" }]",
            "its lookup would never replace",
        ),
        (
            "[config.subdomain]",
            &format!(
                "{lookup}[config.x]\ntitle = \"X\"\ndefault = \"a\"\nsettable = true\ncapture = [{{ lookup = \"/x\" }}]\n[config.subdomain]"
            ),
            "its lookup would never replace",
        ),
        ("hosts = ", "authorization_response_iss_parameter_supported = true\nhosts = ", "needs an `issuer`"),
        ("hosts = ", "discovery = true\nhosts = ", "needs an `issuer`"),
        (
            "[authorization_params]",
            "[error_codes]\ndead = \"invalid_grand\"\n[authorization_params]",
            "is no error of RFC 6749",
        ),
        ("hosts = ", "grant_types = [\"oauth1\"]\nhosts = ", "need each other"),
        (
            "hosts = ",
            "token_request_method = \"GET\"\ntoken_request_format = \"json\"\nhosts = ",
            "has no body",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let added = add("acme.toml", &GOOD.replacen(from, to, 1), Transport::Strict);
        if problem.is_empty() {
            added.unwrap();
            continue;
        }
        let fault = added.expect_err(&format!("{to} was not refused"));
        assert!(fault.problem.contains(problem), "{to}: {fault}");
    }
}

/// The entries in the page that teaches writing them are entries.
#[test]
fn the_examples_in_the_docs_are_entries() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/providers.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<_> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    for block in blocks {
        // A part of an entry stands in a whole one.
        let whole = block.contains("display_name");
        let hosts = if block.contains("hosts = ") && block.contains("_endpoint") {
            ""
        } else {
            "hosts = [\"auth.acme.com\", \"api.acme.com\"]\n"
        };
        let authorization = if block.contains("authorization_endpoint") {
            ""
        } else {
            "authorization_endpoint = \"https://auth.acme.com/a\"\n"
        };
        let head = format!(
            "display_name = \"Acme\"\ncategories = [\"crm\"]\ndocumentation = \"https://acme.com\"\n\
             token_endpoint = \"https://auth.acme.com/t\"\n{authorization}{hosts}"
        );
        let text = if whole { block.to_owned() } else { format!("{head}{block}") };
        let added = Catalog::built_in().unwrap().add("acme.toml", &text, Transport::Strict);
        assert!(added.is_ok(), "{text}\n{added:?}");
    }
}
