//! A provider that wants its token requests by `GET`: the secret is in an address, and in no log all the same.

use tempfile::TempDir;
use tokenwell::{
    api::pb::connection::v1::GetRequest,
    sandbox::{Failure, Quirks, RequestFormat, RequestQuirks},
};

use super::{super::Canaries, Output, addresses, serve};
use crate::support::{
    Browser, ManualClock, TestProvider, TestServer,
    server::{begin, get},
};

#[tokio::test]
async fn a_secret_in_an_address_is_in_no_log() {
    let quirks = Quirks {
        token_request: RequestQuirks { format: RequestFormat::Query, ..RequestQuirks::default() },
        ..Quirks::default()
    };
    let provider = TestProvider::plain_with(quirks, &ManualClock::new(), |router| router).await;
    let (data, providers) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (file, entry) = provider.entry.clone().unwrap();
    // By Basic the secret would be in a header.
    let entry = entry.replace("client_secret_basic", "client_secret_post");
    let entry = format!("token_request_method = \"GET\"\n{entry}");
    std::fs::write(providers.path().join(file), entry).unwrap();

    let mut process = serve(&data, &providers);
    let mut stdout = Output::of(process.child.stdout.take().unwrap());
    let mut stderr = Output::of(process.child.stderr.take().unwrap());
    let addresses = stderr.find(addresses).await;
    let key = stdout.find(|line| line.trim().starts_with("tw_sk_").then(|| line.trim().to_owned())).await;
    let server = TestServer::elsewhere(addresses, key);
    server.create_integration("sandbox", "sandbox").await;
    let mut canaries = Canaries::new();

    server.connect("sandbox", "ada").await;
    let request = GetRequest { force_refresh: true, ..get("sandbox", "ada") };
    server.get(request.clone()).await.unwrap();
    provider.sandbox.fail_next(Failure::Status(500));
    canaries.refused(server.get(request).await);
    for failure in [Failure::Status(500), Failure::Redirect("http://127.0.0.1:1/".to_owned()), Failure::Html]
    {
        canaries.pages.push(failed_flow(&server, &provider, failure).await);
    }
    canaries.add_requests(&provider);
    let requests = provider.sandbox.book().token_requests;
    assert!(requests.len() >= 6 && requests.iter().all(|request| request.method == "GET"), "{requests:?}");
    assert!(requests.iter().all(|request| request.form.contains_key("client_secret")), "{requests:?}");
    // Whoever goes away says no address either.
    let (mut browser, callback) = approved(&server).await;
    provider.stop().await;
    canaries.pages.push(browser.get(&callback).await.body);
    process.terminate(&mut stderr).await;

    canaries.assert_absent_on_the_way();
    let (stdout, stderr) = (stdout.read(), stderr.read());
    canaries.assert_absent("standard output", stdout.as_bytes());
    assert!(stderr.contains(&provider.address.to_string()), "the log tells nothing of the way");
    for line in stderr.lines() {
        let found = canaries.found(line.as_bytes());
        assert!(found.is_empty(), "the log holds {found:?}: {line}");
    }
}

/// A flow up to its callback.
async fn approved(server: &TestServer) -> (Browser, String) {
    let mut browser = Browser::new();
    let begun = server.begin(begin("sandbox", "bob")).await.unwrap();
    let back = server.consent(&mut browser, &begun.connect_url, "approve").await;
    (browser, back.location().unwrap().into())
}

async fn failed_flow(server: &TestServer, provider: &TestProvider, failure: Failure) -> String {
    let (mut browser, callback) = approved(server).await;
    provider.sandbox.fail_next(failure);
    let answer = browser.get(&callback).await;
    assert_eq!(answer.result("data-status"), "error", "{}", answer.body);
    answer.body
}
