//! Connection config after a connection was made: what callers change, what refreshes bring, what stays secret.

mod captured;

use tokenwell::{
    api::pb::connection::v1::{GetRequest, ListRequest, View},
    model::Duration,
    sandbox::Quirks,
};
use tonic::Code;

use crate::support::{
    Acme, TestResult,
    acme::{beginning, map, plain, sorted},
    assert_refused, database,
    server::get,
    steps::publishable_key,
};

/// A secret of the end user's, which fits its pattern.
const PIN: &str = "canary-pin-90210";

/// An entry with a field of every kind.
const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"

[config.site]
title = "Site"
example = "anvils"
format = "label"
required = true

[config.region]
title = "Region"
default = "eu"
pattern = "[a-z]{2}"

[config.note]
title = "Note"

[config.pin]
title = "PIN"
secret = true
pattern = "canary-pin-[0-9]+"

[config.org]
title = "Organization"
pattern = "org-[0-9]+"
capture = [{ token_response = "org" }]
"#;

/// A provider that names the organization in its token responses.
fn naming() -> Quirks {
    let members = [("org".to_owned(), "org-1".into())];
    Quirks { extra_token_members: members.into_iter().collect(), ..plain() }
}

async fn connected() -> Acme {
    let acme = Acme::new(naming(), ENTRY).await;
    acme.connect(&[("site", "anvils"), ("pin", PIN)]).await;
    acme
}

#[tokio::test]
async fn config_is_set_removed_and_falls_back_to_its_default() -> TestResult {
    let acme = connected().await;
    let first = acme.basic().await?;
    assert_eq!(acme.config().await, sorted(&[("site", "anvils"), ("region", "eu"), ("org", "org-1")]));
    acme.clock.advance(Duration::MINUTE);
    let updated = acme.update_config(&[("note", " hello "), ("region", "us")]).await?;
    let expected = sorted(&[("site", "anvils"), ("region", "us"), ("org", "org-1"), ("note", "hello")]);
    assert_eq!((&updated, acme.config().await), (&expected, expected.clone()));
    let changed = acme.basic().await?;
    assert!(changed.update_time.unwrap().seconds > first.update_time.unwrap().seconds);
    assert_eq!((changed.refresh_time, changed.etag), (first.refresh_time, first.etag));

    let updated = acme.update_config(&[("note", ""), ("region", "")]).await?;
    assert_eq!(updated, sorted(&[("site", "anvils"), ("region", "eu"), ("org", "org-1")]));
    assert_eq!(acme.config().await, updated);
    // Removing what is not there, and giving nothing at all, are no faults.
    assert_eq!(acme.update_config(&[("note", "")]).await?, updated);
    assert_eq!(acme.update_config(&[]).await?, updated);
    Ok(())
}

#[tokio::test]
async fn a_refused_change_writes_nothing() -> TestResult {
    let acme = connected().await;
    let before = acme.get().await?;
    acme.clock.advance(Duration::MINUTE);
    let many: Vec<_> = (0..33).map(|n| format!("k{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    for (change, fields) in [
        (&[("note", "good"), ("other", "x")][..], &["connection_config.other"][..]),
        (&[("note", "good"), ("org", "org-2")], &["connection_config.org"]),
        (&[("note", "good"), ("org", "")], &["connection_config.org"]),
        (&[("note", "good"), ("region", "EUROPE")], &["connection_config.region"]),
        (&[("note", "good"), ("site", "")], &["connection_config.site"]),
        (&[("note", "good"), ("pin", "hunter2")], &["connection_config.pin"]),
        (&[("site", "a/b"), ("region", "EUROPE")], &["connection_config.region", "connection_config.site"]),
        (&many, &["connection_config"]),
    ] {
        let refused = acme.update_config(change).await;
        let mut refusal = assert_refused(refused, Code::InvalidArgument, "CONNECTION_CONFIG_INVALID");
        refusal.fields.sort();
        assert_eq!(refusal.fields, fields);
        assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
        assert_eq!(acme.get().await?, before, "{change:?}");
    }
    Ok(())
}

#[tokio::test]
async fn config_of_a_connection_that_is_not_there_is_not_changed() {
    let acme = Acme::new(naming(), ENTRY).await;
    let refused = acme.update_config(&[("site", "anvils")]).await;
    assert_refused(refused, Code::NotFound, "CONNECTION_NOT_FOUND");
}

#[tokio::test]
async fn secret_config_is_handed_out_only_with_credentials() -> TestResult {
    let acme = connected().await;
    let full = acme.get().await?;
    assert_eq!(full.secret_config, map(&[("pin", PIN)]));
    let updated = acme.update_config(&[("pin", "canary-pin-7")]).await?;
    let mut client = acme.server.connection(&acme.server.key);
    let listed = client.list(ListRequest::default()).await?.into_inner();
    let basic = client.get(GetRequest { view: View::Basic.into(), ..get("acme", "ada") }).await?.into_inner();
    let told = format!("{:?}{updated:?}{:?}{listed:?}{basic:?}", full.connection_config, acme.config().await);
    assert!(told.contains("anvils") && !told.contains("canary") && !told.contains("pin"), "{told}");
    assert_eq!(acme.get().await?.secret_config, map(&[("pin", "canary-pin-7")]));

    // A refresh, and a change of other config, leave it; an empty value takes it away.
    acme.force().await?;
    acme.update_config(&[("note", "x")]).await?;
    assert_eq!(acme.get().await?.secret_config, map(&[("pin", "canary-pin-7")]));
    acme.update_config(&[("pin", "")]).await?;
    assert_eq!(acme.get().await?.secret_config, map(&[]));
    acme.token().await?;
    Ok(())
}

async fn secret_config_is_sealed(kind: database::Kind) -> TestResult {
    let acme = Acme::on(kind, naming(), ENTRY).await;
    // A flow that is under way holds it, too.
    acme.begin(&[("site", "anvils"), ("pin", PIN)]).await?;
    acme.connect(&[("site", "anvils"), ("pin", PIN)]).await;
    acme.update_config(&[("pin", "canary-pin-7")]).await?;
    let contents = acme.database.contents().await;
    let contents = String::from_utf8_lossy(&contents);
    assert!(contents.contains("anvils"), "what is no secret is not found");
    assert!(!contents.contains("canary-pin"), "a secret is there in clear");
    Ok(())
}

#[tokio::test]
async fn secret_config_is_sealed_on_sqlite() -> TestResult {
    secret_config_is_sealed(database::Kind::Sqlite).await
}

#[tokio::test]
async fn secret_config_is_sealed_on_postgresql() -> TestResult {
    secret_config_is_sealed(database::Kind::Postgres).await
}

#[tokio::test]
async fn a_browser_may_not_bring_secret_config() -> TestResult {
    let acme = Acme::new(naming(), ENTRY).await;
    let key = publishable_key(&acme.server).await;
    let refused = acme.server.auth(&key).begin(beginning(&[("site", "anvils"), ("pin", PIN)])).await;
    let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refusal.fields, ["connection_config.pin"]);
    assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    acme.server.auth(&key).begin(beginning(&[("site", "anvils")])).await?;
    acme.begin(&[("site", "anvils"), ("pin", PIN)]).await?;
    Ok(())
}
