//! A signature of scheme v2 begins one flow: on whichever server, for as long as it holds.

use tokenwell::model::Duration;
use tonic::Code;

use super::{OLD, full, in_a_minute, keys, set, signed, stage, v1, v2, v2_with};
use crate::support::{
    Browser, Database, ManualClock, Options, TestProvider, TestResult, TestServer, assert_refused,
    database::Kind, server::begin, steps::publishable_key,
};
use tokenwell::{
    api::pb::{
        auth::v1::BeginRequest,
        project::v1::{HmacSettings, Settings},
    },
    model::{Clock as _, HmacKey},
};

async fn assert_replayed(server: &TestServer, request: BeginRequest) {
    assert_refused(server.begin(request).await, Code::AlreadyExists, "SIGNATURE_REPLAYED");
}

#[tokio::test]
async fn a_v2_signature_begins_one_flow() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let expiry = in_a_minute(&server);
    let request = v2(&OLD, full(), expiry);
    server.begin(request.clone()).await?;
    assert_replayed(&server, request.clone()).await;
    // To the end of the time in which it holds.
    server.clock.advance(Duration::seconds(120));
    assert_replayed(&server, request).await;
    // The nonce keeps two of the same second apart; without one they are the same.
    let expiry = in_a_minute(&server);
    for nonce in ["a", "b", ""] {
        server.begin(v2_with(&OLD, full(), expiry, nonce)).await?;
        assert_replayed(&server, v2_with(&OLD, full(), expiry, nonce)).await;
    }
    // What it proves of a connection that the server names is no more.
    server.begin(v2_with(&OLD, begin("sandbox", ""), expiry, "a")).await?;
    assert_replayed(&server, v2_with(&OLD, begin("sandbox", ""), expiry, "a")).await;
    Ok(())
}

/// There may be other ways to write a number; there is one signature.
#[tokio::test]
async fn another_way_to_write_it_is_no_other_signature() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let request = v2(&OLD, full(), in_a_minute(&server));
    server.begin(request.clone()).await?;
    for (old, new) in [("t=", "t=0"), ("t=", "t=+"), (",v2=", ", v2="), (",v2=", ",v2=0x")] {
        let signature = request.signature.replacen(old, new, 1);
        let refused = server.begin(BeginRequest { signature, ..request.clone() }).await;
        assert_refused(refused, Code::Unauthenticated, "SIGNATURE_INVALID");
    }
    Ok(())
}

/// v1 cannot expire, and so cannot be used up: that is what the project's setting refuses it for.
#[tokio::test]
async fn a_v1_signature_begins_as_many_flows_as_it_is_brought() -> TestResult {
    let (server, _provider, _database) = stage().await;
    for _ in 0..2 {
        server.begin(v1(&OLD, full())).await?;
    }
    Ok(())
}

/// A Begin that fails has begun nothing, and so has not used its signature.
#[tokio::test]
async fn a_begin_that_fails_does_not_use_its_signature() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let request = v2(&OLD, begin("later", "user-1"), in_a_minute(&server));
    assert_refused(server.begin(request.clone()).await, Code::NotFound, "INTEGRATION_NOT_FOUND");
    server.create_integration("later", "sandbox").await;
    server.begin(request.clone()).await?;
    assert_replayed(&server, request).await;
    Ok(())
}

/// Nobody asked for it, but it was checked: then it is used, too.
#[tokio::test]
async fn a_signature_that_nobody_asked_for_is_used_all_the_same() -> TestResult {
    let (server, _provider, _database) = stage().await;
    set(&server, keys(&[&OLD])).await;
    let request = v2(&OLD, full(), in_a_minute(&server));
    server.begin(request.clone()).await?;
    assert_replayed(&server, request).await;
    Ok(())
}

async fn of_twenty_at_once_on_two_servers_one_begins(kind: Kind) {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::new(kind).await;
    let first = TestServer::start(&database, Options::with(&clock, &provider)).await;
    first.create_integration("sandbox", "sandbox").await;
    set(&first, HmacSettings { required: true, ..keys(&[&OLD]) }).await;
    let mut second = TestServer::start(&database, Options::with(&clock, &provider)).await;
    second.key.clone_from(&first.key);
    let request = v2(&OLD, begin("sandbox", "ada"), in_a_minute(&first));
    let calls = (0..20).map(|index| if index % 2 == 0 { &first } else { &second });
    let calls = calls.map(|server| server.begin(request.clone()));
    let (mut begun, mut replayed) = (0, 0);
    for answer in futures::future::join_all(calls).await {
        match answer {
            Ok(_) => begun += 1,
            refused => {
                assert_refused(refused, Code::AlreadyExists, "SIGNATURE_REPLAYED");
                replayed += 1;
            }
        }
    }
    assert_eq!((begun, replayed), (1, 19));
    assert_eq!(database.number("SELECT count(*) FROM flows").await, 1);
}

#[tokio::test]
async fn of_twenty_at_once_on_two_servers_one_begins_on_sqlite() {
    of_twenty_at_once_on_two_servers_one_begins(Kind::Sqlite).await;
}

#[tokio::test]
async fn of_twenty_at_once_on_two_servers_one_begins_on_postgresql() {
    of_twenty_at_once_on_two_servers_one_begins(Kind::Postgres).await;
}

/// What remembers a signature is purged after the signature has ceased to hold, and not before, however long the project lets
/// it hold.
#[tokio::test]
async fn a_purge_does_not_make_a_signature_new() -> TestResult {
    let (server, _provider, database) = stage().await;
    let hour = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    set(&server, HmacSettings { required: true, max_lifetime: hour, ..keys(&[&OLD]) }).await;
    let request = v2(&OLD, full(), server.clock.now().unix_timestamp() + 3660);
    server.begin(request.clone()).await?;
    // The flow itself has long expired.
    server.clock.advance(Duration::seconds(3720));
    server.flows().purge().await?;
    assert_replayed(&server, request.clone()).await;
    server.clock.advance(Duration::days(2));
    server.flows().purge().await?;
    assert_eq!(database.number("SELECT count(*) FROM flows").await, 0);
    assert_refused(server.begin(request).await, Code::Unauthenticated, "SIGNATURE_INVALID");
    Ok(())
}

/// Whoever reads the database finds no signature in it.
#[tokio::test]
async fn the_database_has_no_signature() -> TestResult {
    let (server, _provider, database) = stage().await;
    let request = v2(&OLD, full(), in_a_minute(&server));
    let (_, mac) = request.signature.rsplit_once('=').unwrap();
    server.begin(request.clone()).await?;
    let contents = database.contents().await;
    for secret in [mac.as_bytes().to_vec(), hex::decode(mac)?] {
        assert!(!contents.windows(secret.len()).any(|bytes| bytes == secret));
    }
    Ok(())
}

/// The second click of a double click is what the browser shows: it goes on with the flow of the first.
#[tokio::test]
async fn a_second_click_goes_on_with_the_flow_of_the_first() -> TestResult {
    click_twice(true).await?;
    click_twice(false).await
}

async fn click_twice(browser_binding: bool) -> TestResult {
    let (server, _provider, database) = stage().await;
    let settings = Settings { browser_binding, ..Settings::default() };
    server.update_settings(settings, &["browser_binding"]).await;
    let key = publishable_key(&server).await;
    let request = begin("sandbox", "ada");
    let hmac: HmacKey = OLD.to_vec().into();
    let expiry = in_a_minute(&server);
    let signature = signed("default", &request, |it| it.sign_v2(&hmac, expiry, "n"));
    let query = [("public_key", key.as_str()), ("connection_id", "ada"), ("hmac", &signature)];
    let link = format!("{}/oauth/connect/sandbox", server.public_url);
    let link = url::Url::parse_with_params(&link, query)?.to_string();

    let mut browser = Browser::new();
    let (first, second) = (browser.get(&link).await, browser.get(&link).await);
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (302, 302), "{}", second.body);
    assert_eq!(first.location(), second.location());
    assert_eq!(database.number("SELECT count(*) FROM flows").await, 1);
    // For no other browser, whatever it knows of the link.
    for mut other in [Browser::new(), with_cookie(&server).await] {
        let refused = other.get(&link).await;
        assert_eq!((refused.status.as_u16(), refused.result("data-error")), (409, "SIGNATURE_REPLAYED"));
        assert!(refused.body.contains("This link was used already"), "{}", refused.body);
        assert_eq!((refused.header("location"), refused.header("set-cookie")), ("", ""));
    }
    let consent = browser.open(second.location().unwrap().as_str()).await;
    let back = browser.decide(&consent, "approve").await.location().unwrap();
    assert_eq!(browser.get(back.as_str()).await.result("data-status"), "success");
    // The flow has ended, and the link with it.
    assert_eq!(browser.get(&link).await.result("data-error"), "SIGNATURE_REPLAYED");
    Ok(())
}

/// Somebody who has never been here, and clicks twice: the browser drops the answer to the first click, with all that it brings.
#[tokio::test]
async fn a_first_click_that_nobody_waits_for_uses_nothing_up() -> TestResult {
    let (server, _provider, database) = stage().await;
    let key = publishable_key(&server).await;
    let request = v2(&OLD, begin("sandbox", "ada"), in_a_minute(&server));
    let query = [("public_key", key.as_str()), ("connection_id", "ada"), ("hmac", &request.signature)];
    let link = format!("{}/oauth/connect/sandbox", server.public_url);
    let link = url::Url::parse_with_params(&link, query)?.to_string();
    let dropped = Browser::new().step(&link).await;
    assert_eq!(
        (dropped.status.as_u16(), dropped.location().unwrap().path()),
        (302, "/oauth/connect/sandbox")
    );
    assert_eq!(database.number("SELECT count(*) FROM flows").await, 0);
    let mut browser = Browser::new();
    let second = browser.get(&link).await;
    let consent = browser.open(second.location().unwrap().as_str()).await;
    let back = browser.decide(&consent, "approve").await.location().unwrap();
    assert_eq!(browser.get(back.as_str()).await.result("data-status"), "success");
    Ok(())
}

#[tokio::test]
async fn a_second_click_on_a_flow_that_has_expired_opens_nothing() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let hour = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    set(&server, HmacSettings { required: true, max_lifetime: hour, ..keys(&[&OLD]) }).await;
    let key = publishable_key(&server).await;
    let request = v2(&OLD, begin("sandbox", "ada"), server.clock.now().unix_timestamp() + 3600);
    let query = [("public_key", key.as_str()), ("connection_id", "ada"), ("hmac", &request.signature)];
    let link = format!("{}/oauth/connect/sandbox", server.public_url);
    let link = url::Url::parse_with_params(&link, query)?.to_string();
    let mut browser = Browser::new();
    assert_eq!(browser.get(&link).await.status.as_u16(), 302);
    server.clock.advance(Duration::minutes(10));
    let refused = browser.get(&link).await;
    assert_eq!((refused.status.as_u16(), refused.header("location")), (409, ""));
    Ok(())
}

/// A browser that has a flow of its own, and so a cookie.
async fn with_cookie(server: &TestServer) -> Browser {
    let mut browser = Browser::new();
    let begun = server.begin(v1(&OLD, begin("sandbox", "eve"))).await.unwrap();
    assert_eq!(browser.get(&begun.connect_url).await.status.as_u16(), 302);
    browser
}
