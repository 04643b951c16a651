//! Where requests may lead: to public addresses, to private ones if the integration may, to this machine in development.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, http::header, routing::get as on_get};
use tokenwell::{
    api::pb::{
        connection::v1::{GetRequest, ImportClientCredentials, State, import_credentials::Kind},
        integration::v1::{Integration, UpdateRequest},
    },
    model::{OsRandom, SystemClock},
    oauth::{Failure, HttpClient, HttpOptions, OAuthClient},
};
use tonic::Code;

use super::{HOST, Script, Trap, fetch, fetch_by, impatient};
use crate::support::{
    Acme, Browser, Database, ManualClock, Options, TestProvider, TestResult, TestServer,
    acme::{ACME, ADA, import, plain},
    assert_refused,
    server::{begin, get},
    steps::{complete, walk},
    tls,
};

const ENTRY: &str = "authorization_endpoint = \"PROVIDER/authorize\"\ntoken_endpoint = \"PROVIDER/token\"\n";

/// The options of a server as it is by default, beside what the test says of its provider.
fn strict(clock: &ManualClock, provider: &TestProvider) -> Options {
    let mut options = Options { loopback: false, ..Options::with(clock, provider) };
    options.http.loopback = false;
    options
}

fn address(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), 443)
}

#[tokio::test]
async fn a_server_does_not_call_its_own_machine_by_default() -> TestResult {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let database = Database::sqlite();
    let server = TestServer::start(&database, strict(&clock, &provider)).await;
    server.create_integration("sandbox", "sandbox").await;
    let (_, callback) = walk(&server, &mut Browser::new(), begin("sandbox", "u1")).await;
    let refused = complete(&server, &server.key, callback.query().unwrap()).await;
    let refusal = assert_refused(refused, Code::FailedPrecondition, "PROVIDER_ADDRESS_REFUSED");
    assert_eq!(refusal.metadata["provider_id"], "sandbox");
    assert!(refusal.message.contains("allow_private_addresses"), "{}", refusal.message);
    assert!(refusal.retry.is_none() && !refusal.message.contains("127.0.0.1"), "{refusal:?}");
    assert_eq!(provider.sandbox.book().token_requests, [], "the code was sent");
    Ok(())
}

#[tokio::test]
async fn an_address_in_a_url_is_judged_though_nobody_resolves_it() {
    let trap = Trap::set().await;
    let port = trap.address().port();
    let strict = HttpOptions { loopback: false, ..impatient() };
    for host in
        ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]", "localhost"]
    {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}:{port}/");
            assert_eq!(fetch(&strict, &url).await, Err(Failure::Barred), "{url}");
        }
    }
    for host in ["169.254.169.254", "[fd00:ec2::254]", "0.0.0.0", "[::]", "10.0.0.1", "[fe80::1]"] {
        // Not in development either.
        assert_eq!(fetch(&impatient(), &format!("https://{host}/")).await, Err(Failure::Barred), "{host}");
    }
    trap.assert_empty().await;
}

#[tokio::test]
async fn http_is_spoken_to_this_machine_only() {
    let resolver = Script::of(&[&[address("127.0.0.1")]]);
    let options = HttpOptions { resolver: Some(resolver.clone()), ..impatient() };
    for url in ["http://provider.example/", "http://1.1.1.1/"] {
        let failure = fetch(&options, url).await.unwrap_err();
        assert!(matches!(failure, Failure::Unsent { .. }), "{url}: {failure:?}");
    }
    assert_eq!(resolver.asked(), 0);
}

#[tokio::test]
async fn a_name_leads_where_no_address_in_a_url_may() {
    let trap = Trap::set().await;
    let metadata = address("169.254.169.254");
    for (host, answer, loopback) in [
        (HOST, trap.address(), false),
        ("metadata.google.internal", metadata, false),
        ("metadata.google.internal", metadata, true),
        (HOST, address("10.0.0.1"), true),
        (HOST, address("::ffff:169.254.169.254"), true),
        (HOST, address("64:ff9b::a9fe:a9fe"), true),
    ] {
        let resolver = Script::of(&[&[answer]]);
        let http = HttpOptions { resolver: Some(resolver.clone()), loopback, ..impatient() };
        assert_eq!(fetch(&http, &format!("https://{host}/")).await, Err(Failure::Barred), "{host} {answer}");
        assert_eq!(resolver.asked(), 1);
    }
    trap.assert_empty().await;
}

/// What was judged is what is connected to: a name server has one word for a connection, and the next one is judged anew.
#[tokio::test]
async fn a_name_that_is_rebound_leads_nowhere_else() {
    let router = Router::new().route("/", on_get(|| async { ([(header::CONNECTION, "close")], "{}") }));
    let (provider, authority, task) = tls::serve(router, &[HOST]).await;
    let private = address("10.0.0.1");
    let resolver = Script::of(&[&[private, provider], &[private]]);
    let http = HttpOptions {
        extra_roots: vec![authority],
        resolver: Some(resolver.clone()),
        timeout: Duration::from_secs(10),
        ..impatient()
    };
    let client = HttpClient::new(&http).unwrap();
    let url = format!("https://{HOST}/");
    assert_eq!(fetch_by(&client, &url).await, Ok(200));
    assert_eq!(resolver.asked(), 1, "it was resolved once to be judged, and once more to be called");
    let mut called = fetch_by(&client, &url).await;
    if called == Ok(200) {
        // The connection was still there. It is not for ever.
        task.abort();
        called = fetch_by(&HttpClient::new(&http).unwrap(), &url).await;
    }
    assert_eq!(called, Err(Failure::Barred));
    assert_eq!(resolver.asked(), 2);
}

/// A connection that is open may be used by those only who may have made it.
#[tokio::test]
async fn a_connection_of_those_who_reach_further_is_nobody_elses() {
    let router = Router::new().route("/", on_get(|| async { "{}" }).post(|| async { "{}" }));
    let (provider, authority, _task) = tls::serve(router, &[HOST]).await;
    let http = HttpOptions {
        extra_roots: vec![authority],
        resolver: Some(Script::of(&[&[provider]])),
        loopback: false,
        private_webhooks: true,
        timeout: Duration::from_secs(10),
    };
    let http = HttpClient::new(&http).unwrap();
    let oauth = OAuthClient::new(http.clone(), Arc::new(SystemClock), Arc::new(OsRandom));
    let url = format!("https://{HOST}/");
    for _ in 0..2 {
        assert_eq!(oauth.post(&url, &[], "{}".to_owned()).await.map(|it| it.status), Ok(200));
        assert_eq!(fetch_by(&http, &url).await, Err(Failure::Barred));
    }
}

/// An integration at a provider whose host has this address, and what an import of its own client's credentials comes to.
async fn imported(allow_private_addresses: bool, at: &str) -> tonic::Status {
    let clock = ManualClock::new();
    let entry = format!(
        "display_name = \"Git\"\ncategories = [\"test\"]\ndocumentation = \"https://{HOST}/docs\"\nhosts = [\"{HOST}\"]\n\
         grant_types = [\"client_credentials\"]\ntoken_endpoint = \"https://{HOST}/token\"\n"
    );
    let mut options = Options { loopback: false, ..Options::new(&clock) };
    options.providers = vec![(format!("{ACME}.toml"), entry)];
    options.http.timeout = Duration::from_secs(1);
    options.http.resolver = Some(Script::of(&[&[address(at)]]));
    let database = Database::sqlite();
    let server = TestServer::start(&database, options).await;
    server.create_integration(ACME, ACME).await;
    let given =
        Integration { integration_id: ACME.to_owned(), allow_private_addresses, ..Integration::default() };
    let mask = prost_types::FieldMask { paths: vec!["allow_private_addresses".to_owned()] };
    let request = UpdateRequest { integration: Some(given), update_mask: Some(mask) };
    let updated = server.integration(&server.key).update(request).await.unwrap().into_inner();
    assert_eq!(updated.integration.unwrap().allow_private_addresses, allow_private_addresses);
    let client = import(Kind::ClientCredentials(ImportClientCredentials::default()));
    server.connection(&server.key).import(client).await.unwrap_err()
}

#[tokio::test]
async fn an_integration_may_have_its_provider_in_a_private_network() {
    // They are nobody's, or do not answer: that they are called is seen by what became of it.
    for private in ["10.255.255.254", "fdff:ffff:ffff::1", "100.127.255.254"] {
        let refused = imported(false, private).await;
        assert_refused(Err::<(), _>(refused), Code::FailedPrecondition, "PROVIDER_ADDRESS_REFUSED");
        let unreachable = imported(true, private).await;
        assert_refused(Err::<(), _>(unreachable), Code::Unavailable, "PROVIDER_UNAVAILABLE");
    }
    for never in
        ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "127.0.0.1", "::1", "0.0.0.0", "224.0.0.1"]
    {
        let refused = imported(true, never).await;
        assert_refused(Err::<(), _>(refused), Code::FailedPrecondition, "PROVIDER_ADDRESS_REFUSED");
    }
}

/// A provider that may not be called says nothing about itself: neither the grant nor the others suffer.
#[tokio::test]
async fn what_may_not_be_called_is_no_failure_of_the_provider() -> TestResult {
    let acme = Acme::new(plain(), ENTRY).await;
    let names = [ADA, "bea", "eve"];
    for name in names {
        acme.server.connect(ACME, name).await;
    }
    let mut fenced = TestServer::start(&acme.database, strict(&acme.clock, &acme.provider)).await;
    fenced.key.clone_from(&acme.server.key);
    let before = acme.token_requests().len();
    let force = |name: &str| GetRequest { force_refresh: true, ..get(ACME, name) };
    for round in 0..4 {
        for name in &names[..2] {
            let refused = fenced.get(force(name)).await;
            assert_refused(refused, Code::FailedPrecondition, "PROVIDER_ADDRESS_REFUSED");
            // Also while it is left alone.
            let refused = fenced.get(force(name)).await;
            assert_refused(refused, Code::FailedPrecondition, "PROVIDER_ADDRESS_REFUSED");
        }
        if round < 3 {
            acme.clock.advance(tokenwell::model::Duration::minutes(5));
        }
    }
    assert_eq!(acme.token_requests().len(), before, "somebody was asked");
    // Nobody leaves the provider alone for that.
    let (connection, _) = acme.server.get(force("eve")).await?;
    assert_eq!(connection.state(), State::Active);

    // Who is waiting to try again need not wait any longer once the integration may.
    let allowed = Integration { allow_private_addresses: true, ..Integration::default() };
    assert!(acme.update_integration(allowed).await?.allow_private_addresses);
    let (connection, _) = acme.server.get(force(ADA)).await?;
    assert_eq!(connection.state(), State::Active);
    Ok(())
}
