//! Config that the provider tells, and tells anew with every refresh.

use futures::future::join_all;
use prost_types::Timestamp;
use tokenwell::{
    api::pb::connection::v1::{ImportOAuth2, import_credentials::Kind},
    model::Duration,
};
use tonic::Code;

use super::{ENTRY, connected, naming};
use crate::support::{
    Acme, TestResult,
    acme::{plain, sorted},
    assert_refused, database,
    steps::{complete, works},
};

/// An entry whose lookup tells the account, which a caller may choose, and its owner.
const LOOKUP: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"

[lookup]
url = "PROVIDER/accounts"

[config.account]
title = "Account"
pattern = "[0-9]+"
capture = [{ lookup = "/0/id" }]
settable = true

[config.owner]
title = "Owner"
pattern = "[a-z]+"
capture = [{ lookup = "/0/owner" }]
"#;

fn accounts(acme: &Acme, id: &str, owner: &str) {
    acme.detour.answer("/accounts", 200, &format!(r#"[{{"id": {id}, "owner": "{owner}"}}]"#));
}

/// Lets the next refresh bring this token and organization.
fn renew_next(acme: &Acme, access_token: &str, org: &str) {
    acme.answer_next(&format!(
        r#"{{"access_token":"{access_token}","refresh_token":"r","expires_in":3600,"org":{org}}}"#
    ));
}

async fn a_change_and_a_refresh_at_once_both_survive(kind: database::Kind) -> TestResult {
    let acme = Acme::on(kind, naming(), ENTRY).await;
    acme.connect(&[("site", "anvils")]).await;
    acme.clock.advance(Duration::hours(1));
    renew_next(&acme, "at-2", "\"org-2\"");
    acme.gate.close();
    let change = async {
        acme.gate.arrived(1).await;
        let updated = acme.update_config(&[("note", "hello"), ("pin", "canary-pin-1")]).await;
        acme.gate.open();
        updated
    };
    let (token, updated) = tokio::join!(acme.token(), change);
    let before = [("site", "anvils"), ("region", "eu"), ("note", "hello"), ("org", "org-1")];
    assert_eq!(updated?, sorted(&before), "the change did not wait for the provider");
    assert_eq!(token?, "at-2");
    let after = [("site", "anvils"), ("region", "eu"), ("note", "hello"), ("org", "org-2")];
    assert_eq!(acme.config().await, sorted(&after));
    assert_eq!(acme.get().await?.secret_config["pin"], "canary-pin-1");

    // The refresh token was kept, too.
    acme.clock.advance(Duration::hours(1));
    renew_next(&acme, "at-3", "\"org-3\"");
    assert_eq!(acme.token().await?, "at-3");
    assert_eq!(
        (acme.last_request().form["refresh_token"].as_str(), acme.config().await["org"].as_str()),
        ("r", "org-3")
    );
    Ok(())
}

#[tokio::test]
async fn a_change_and_a_refresh_at_once_both_survive_on_sqlite() -> TestResult {
    a_change_and_a_refresh_at_once_both_survive(database::Kind::Sqlite).await
}

#[tokio::test]
async fn a_change_and_a_refresh_at_once_both_survive_on_postgresql() -> TestResult {
    a_change_and_a_refresh_at_once_both_survive(database::Kind::Postgres).await
}

/// What a refresh of a grant brought is nothing to the grant that has replaced it in the meantime.
#[tokio::test]
async fn a_late_refresh_captures_nothing_for_another_grant() -> TestResult {
    let acme = connected().await;
    acme.clock.advance(Duration::hours(1));
    renew_next(&acme, "at-of-the-old-grant", "\"org-2\"");
    acme.gate.close();
    let replace = async {
        acme.gate.arrived(1).await;
        let tokens = ImportOAuth2 {
            access_token: "at-of-the-new-grant".to_owned(),
            refresh_token: "r".to_owned(),
            expire_time: Some(Timestamp { seconds: i64::from(u32::MAX), nanos: 0 }),
            ..ImportOAuth2::default()
        };
        let imported = acme.import(Kind::Oauth2(tokens)).await;
        acme.gate.open();
        imported
    };
    let (token, imported) = tokio::join!(acme.token(), replace);
    imported?;
    assert_eq!(token?, "at-of-the-new-grant");
    assert_eq!(acme.config().await["org"], "org-1", "a value of the grant that is no longer there");
    Ok(())
}

async fn changes_at_once_all_survive(kind: database::Kind) -> TestResult {
    let acme = Acme::on(kind, naming(), ENTRY).await;
    acme.connect(&[("site", "anvils")]).await;
    for round in 0..5 {
        let (note, pin) = (format!("note {round}"), format!("canary-pin-{round}"));
        let region = ["us", "de", "fr", "jp", "br"][round];
        let changes = [[("note", &*note)], [("region", region)], [("pin", &*pin)]];
        for updated in join_all(changes.iter().map(|change| acme.update_config(change))).await {
            updated?;
        }
        let expected = [("site", "anvils"), ("region", region), ("note", &note), ("org", "org-1")];
        assert_eq!(acme.config().await, sorted(&expected));
        assert_eq!(acme.get().await?.secret_config["pin"], pin);
    }
    Ok(())
}

#[tokio::test]
async fn changes_at_once_all_survive_on_sqlite() -> TestResult {
    changes_at_once_all_survive(database::Kind::Sqlite).await
}

#[tokio::test]
async fn changes_at_once_all_survive_on_postgresql() -> TestResult {
    changes_at_once_all_survive(database::Kind::Postgres).await
}

#[tokio::test]
async fn what_no_longer_fits_leaves_the_old_value_and_the_new_token() -> TestResult {
    let acme = connected().await;
    for (access_token, org) in
        [("at-2", "\"nothing like it\""), ("at-3", "null"), ("at-4", "{\"a\":1}"), ("at-5", "\"\"")]
    {
        acme.clock.advance(Duration::hours(1));
        renew_next(&acme, access_token, org);
        assert_eq!(acme.token().await?, access_token);
        assert_eq!(acme.config().await["org"], "org-1", "{org}");
    }
    acme.clock.advance(Duration::hours(1));
    renew_next(&acme, "at-6", "\"org-6\"");
    acme.token().await?;
    assert_eq!(acme.config().await["org"], "org-6");
    Ok(())
}

/// What is for people to read must not cost a grant.
#[tokio::test]
async fn what_does_not_fit_and_leads_nowhere_is_left_out() -> TestResult {
    let acme = Acme::new(naming(), ENTRY).await;
    let (_, callback) = acme.callback(&[("site", "anvils")]).await;
    renew_next(&acme, "at-1", "\"nothing like it\"");
    complete(&acme.server, &acme.server.key, callback.query().unwrap()).await?;
    assert!(!acme.config().await.contains_key("org"));
    assert_eq!(acme.token().await?, "at-1");
    Ok(())
}

/// Where requests of callers would go must be the provider's.
#[tokio::test]
async fn what_leads_elsewhere_fails_the_flow() {
    let entry = ENTRY.replace("[config.org]", "[config.org]\nformat = \"uri\"\nhosts = [\".acme.com\"]");
    let entry: String =
        entry.lines().filter(|line| !line.starts_with("pattern = \"org")).collect::<Vec<_>>().join("\n");
    let acme = Acme::new(naming(), &entry).await;
    let (_, callback) = acme.callback(&[("site", "anvils")]).await;
    renew_next(&acme, "at-1", "\"https://canary.example.com\"");
    let query = callback.query().unwrap();
    let completed = complete(&acme.server, &acme.server.key, query).await;
    let refusal = assert_refused(completed, Code::FailedPrecondition, "PROVIDER_RESPONSE_INVALID");
    assert!(refusal.message.contains("`org`") && !refusal.message.contains("canary"), "{}", refusal.message);
    assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
}

#[tokio::test]
async fn a_lookup_is_made_again_with_every_refresh() -> TestResult {
    let acme = Acme::new(plain(), LOOKUP).await;
    accounts(&acme, "1", "ada");
    acme.connect(&[]).await;
    assert_eq!(acme.config().await, sorted(&[("account", "1"), ("owner", "ada")]));
    accounts(&acme, "2", "bob");
    acme.token().await?;
    assert_eq!(acme.config().await["owner"], "ada", "a Get that refreshes nothing looks nothing up");
    acme.force().await?;
    assert_eq!(acme.config().await["owner"], "bob");
    Ok(())
}

#[tokio::test]
async fn a_lookup_does_not_replace_what_the_caller_chose() -> TestResult {
    let acme = Acme::new(plain(), LOOKUP).await;
    accounts(&acme, "1", "ada");
    acme.connect(&[("account", "7")]).await;
    assert_eq!(acme.config().await, sorted(&[("account", "7"), ("owner", "ada")]));
    accounts(&acme, "2", "bob");
    acme.force().await?;
    assert_eq!(acme.config().await, sorted(&[("account", "7"), ("owner", "bob")]));
    acme.update_config(&[("account", "8")]).await?;
    acme.force().await?;
    assert_eq!(acme.config().await["account"], "8");
    // Once the caller has no wish any more, the lookup tells.
    acme.update_config(&[("account", "")]).await?;
    acme.force().await?;
    assert_eq!(acme.config().await["account"], "2");
    Ok(())
}

#[tokio::test]
async fn a_lookup_that_fails_ends_a_flow() -> TestResult {
    let acme = Acme::new(plain(), LOOKUP).await;
    let huge = format!(r#"[{{"id": 1, "owner": "ada", "padding": "{}"}}]"#, "x".repeat(1024 * 1024));
    for (status, body, reason) in [
        (503, "{}", "PROVIDER_UNAVAILABLE"),
        (429, "{}", "PROVIDER_UNAVAILABLE"),
        (403, "{}", "PROVIDER_RESPONSE_INVALID"),
        (302, "{}", "PROVIDER_RESPONSE_INVALID"),
        (200, "canary", "PROVIDER_RESPONSE_INVALID"),
        (200, &huge, "PROVIDER_RESPONSE_INVALID"),
    ] {
        acme.detour.answer("/accounts", status, body);
        let answer = acme.try_connect(&[]).await;
        assert_eq!(answer.result("data-error"), reason, "{status} {body:.40}");
        assert!(!answer.body.contains("canary"), "{}", answer.body);
        assert_refused(acme.basic().await, Code::NotFound, "CONNECTION_NOT_FOUND");
    }
    accounts(&acme, "1", "ada");
    acme.connect(&[]).await;
    Ok(())
}

#[tokio::test]
async fn a_lookup_that_fails_on_a_refresh_keeps_the_old_values_and_the_new_token() -> TestResult {
    let acme = Acme::new(plain(), LOOKUP).await;
    accounts(&acme, "1", "ada");
    acme.connect(&[]).await;
    let mut old = acme.token().await?;
    for (status, body) in
        [(503, "{}"), (403, "{}"), (200, "no JSON"), (200, r#"[{"id": "x", "owner": "X"}]"#)]
    {
        acme.detour.answer("/accounts", status, body);
        acme.clock.advance(Duration::hours(1));
        let new = acme.token().await?;
        assert!(new != old && works(&acme.provider, &new).await, "{status} {body}");
        assert_eq!(acme.config().await, sorted(&[("account", "1"), ("owner", "ada")]), "{status} {body}");
        old = new;
    }
    Ok(())
}

/// Of what a refresh tells and a caller has set at the same time, the caller's word counts.
#[tokio::test]
async fn a_lookup_does_not_undo_what_a_caller_sets_meanwhile() -> TestResult {
    let acme = Acme::new(plain(), LOOKUP).await;
    accounts(&acme, "1", "ada");
    acme.connect(&[]).await;
    accounts(&acme, "2", "bob");
    acme.gate.close();
    let change = async {
        acme.gate.arrived(1).await;
        let updated = acme.update_config(&[("account", "7")]).await;
        acme.gate.open();
        updated
    };
    let (forced, updated) = tokio::join!(acme.force(), change);
    forced?;
    updated?;
    assert_eq!(acme.config().await, sorted(&[("account", "7"), ("owner", "bob")]));
    Ok(())
}

/// The code is spent by then: a moment's failure must not cost it.
#[tokio::test]
async fn a_lookup_that_fails_for_a_moment_is_made_again() {
    let entry = LOOKUP.replace("/accounts", "/userinfo").replace("/0/id", "/sub").replace("[0-9]+", ".+");
    let acme = Acme::new(plain(), &entry).await;
    acme.detour.answer_times("/userinfo", 503, "{}", 2);
    acme.connect(&[]).await;
    assert!(acme.config().await.contains_key("account"));
    acme.detour.answer_times("/userinfo", 503, "{}", 3);
    let answer = acme.try_connect(&[]).await;
    assert_eq!(answer.result("data-status"), "error", "{}", answer.body);
}
