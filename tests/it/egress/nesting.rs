//! JSON that is nested more deeply than anything that says something: it is refused, wherever a provider says it.

use serde_json::{Value, json};
use tokenwell::sandbox::{OpenIdQuirks, Quirks};
use tonic::Code;

use crate::support::{
    Acme, TestResult,
    acme::{beginning, plain},
    assert_refused,
    steps::complete,
};

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"

[lookup]
url = "PROVIDER/me"

[config.owner]
title = "Owner"
capture = [{ lookup = "/owner" }]
"#;

/// Arrays in each other, so many.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

/// An answer with such arrays, as text: what is very deep can't be a value.
fn answer(member: &str, depth: usize) -> String {
    let further = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    format!(r#"{{"{member}": "ada", "expires_in": 3600, "further": {further}}}"#)
}

#[tokio::test]
async fn a_token_response_and_a_lookup_are_as_deep_as_they_may_be() -> TestResult {
    let acme = Acme::new(plain(), ENTRY).await;
    acme.detour.answer("/me", 200, &answer("owner", 31));
    acme.answer_next(&answer("access_token", 31));
    acme.connect(&[]).await;

    for (response, lookup) in [(32, 31), (31, 32), (20_000, 1), (1, 400_000)] {
        acme.detour.answer("/me", 200, &answer("owner", lookup));
        let (_, callback) = acme.callback(&[]).await;
        acme.answer_next(&answer("access_token", response));
        let refused = complete(&acme.server, &acme.server.key, callback.query().unwrap()).await;
        let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
        assert!(refusal.message.contains("nested too deeply"), "{response} {lookup}: {}", refusal.message);
    }
    Ok(())
}

#[tokio::test]
async fn metadata_is_as_deep_as_it_may_be() -> TestResult {
    const CONFIGURATION: &str = "/.well-known/openid-configuration";
    let openid = OpenIdQuirks { issuer: "http://{host}".to_owned(), ..OpenIdQuirks::default() };
    let quirks = Quirks { openid: Some(openid), ..plain() };
    let acme = Acme::new(quirks, "issuer = \"PROVIDER\"\ndiscovery = true\n").await;
    let origin = format!("http://{}", acme.provider.address);
    let document = |depth: usize| {
        json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "further": nested(depth),
        })
    };
    acme.detour.answer(CONFIGURATION, 200, &document(32).to_string());
    let refused = acme.begin(&[]).await;
    assert_refused(refused, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    acme.detour.answer(CONFIGURATION, 200, &document(31).to_string());
    acme.server.begin(beginning(&[])).await?;
    Ok(())
}
