//! A provider whose customers have hosts of their own: what one of them says leads to no other.

use serde_json::json;
use tokenwell::sandbox::{OpenIdQuirks, Quirks};
use tonic::Code;

use crate::support::{
    Database, Detour, ManualClock, Options, TestProvider, TestResult, TestServer, acme::beginning,
    assert_refused, provider::client,
};

const CONFIGURATION: &str = "/.well-known/openid-configuration";
const HOSTS: [&str; 3] = ["mine.acme.example", "other.acme.example", "login.acme.example"];
const ENTRY: &str = r#"
display_name = "Acme"
categories = ["test"]
documentation = "https://acme.example/docs"
issuer = "https://{site}.acme.example"
discovery = true
hosts = [".acme.example", "login.acme.example"]
[config.site]
title = "Site"
example = "mine"
format = "label"
required = true
"#;

#[tokio::test]
async fn the_metadata_of_one_host_names_no_endpoint_of_another_customers() -> TestResult {
    let (clock, detour, database) = (ManualClock::new(), Detour::default(), Database::sqlite());
    let quirks = Quirks { openid: Some(OpenIdQuirks::default()), ..Quirks::default() };
    let around = |router| detour.before(router);
    let provider = TestProvider::quirky_with(vec![client()], quirks, &HOSTS, &clock, around).await;
    let options = || {
        let mut options = Options::with(&clock, &provider);
        options.providers.push(("acme.toml".to_owned(), ENTRY.to_owned()));
        options
    };
    let first = TestServer::start(&database, options()).await;
    first.create_integration("acme", "acme").await;
    let begin = async |document: Option<serde_json::Value>| {
        match document {
            Some(document) => detour.answer(CONFIGURATION, 200, &document.to_string()),
            None => detour.end(CONFIGURATION),
        }
        // Metadata is remembered.
        let mut server = TestServer::start(&database, options()).await;
        server.key.clone_from(&first.key);
        server.begin(beginning(&[("site", "mine")])).await
    };
    let document = |authorization: &str, token: &str| {
        Some(json!({
            "issuer": "https://mine.acme.example",
            "authorization_endpoint": format!("https://{authorization}.acme.example/authorize"),
            "token_endpoint": format!("https://{token}.acme.example/token"),
        }))
    };
    begin(None).await?;
    begin(document("mine", "mine")).await?;
    // A host that is pinned by its whole name is the provider's own.
    begin(document("login", "login")).await?;
    for document in [document("mine", "other"), document("other", "mine"), document("mine", "a.mine")] {
        let refused = begin(document).await;
        assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    }
    Ok(())
}
