//! Who connects again connects the same account, unless the app says that it may be another one.

use tokenwell::{
    api::pb::{auth::v1::BeginRequest, connection::v1::State},
    sandbox::{OpenIdQuirks, Quirks},
};
use tonic::Code;

use crate::support::{
    Acme, Browser, TestResult, TestServer,
    acme::{ACME, ADA, plain},
    assert_refused,
    database::Kind,
    server::begin,
    steps::{publishable_key, until, walk},
};

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
revocation_endpoint = "PROVIDER/revoke"
[config.user]
title = "User"
capture = [{ token_response = "user" }, { id_token = "sub" }]
account = true
"#;

async fn stage(kind: Kind) -> Acme {
    let openid = OpenIdQuirks { issuer: "http://{host}".to_owned(), always: true, ..OpenIdQuirks::default() };
    Acme::on(kind, Quirks { openid: Some(openid), ..plain() }, ENTRY).await
}

/// A flow with which this account is connected. Gives the error, if it had one.
async fn connect(server: &TestServer, account: &str, request: BeginRequest) -> String {
    let begun = server.begin(request).await.unwrap();
    let mut browser = Browser::new();
    let consent = browser.open(&begun.connect_url).await;
    let callback = browser.decide_as(&consent, account, "approve").await.location().unwrap();
    browser.get(callback.as_str()).await.result("data-error").to_owned()
}

async fn another_account_is_refused(kind: Kind) -> TestResult {
    let acme = stage(kind).await;
    let again = || begin(ACME, ADA);
    assert_eq!(connect(&acme.server, "ada@example.com", again()).await, "");
    let before = acme.token().await?;
    assert_eq!(acme.config().await["user"], "ada@example.com");
    assert_eq!(connect(&acme.server, "ada@example.com", again()).await, "", "it is the same account");
    let kept = acme.token().await?;
    assert_ne!(kept, before);

    assert_eq!(connect(&acme.server, "eve@example.com", again()).await, "ACCOUNT_CHANGED");
    assert_eq!((acme.token().await?, acme.basic().await?.state()), (kept, State::Active));
    assert_eq!(acme.config().await["user"], "ada@example.com");
    // What was granted for nothing is given back.
    let revoked = async || acme.provider.sandbox.book().revocation_requests.len();
    until(revoked, |count| *count > 0).await;

    let allowed = BeginRequest { allow_account_change: true, ..again() };
    assert_eq!(connect(&acme.server, "eve@example.com", allowed.clone()).await, "");
    assert_eq!(acme.config().await["user"], "eve@example.com");
    let key = publishable_key(&acme.server).await;
    let refused = acme.server.auth(&key).begin(allowed).await;
    let refused = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(refused.fields, ["allow_account_change"]);
    Ok(())
}

#[tokio::test]
async fn another_account_is_refused_on_sqlite() -> TestResult {
    another_account_is_refused(Kind::Sqlite).await
}

#[tokio::test]
async fn another_account_is_refused_on_postgresql() -> TestResult {
    another_account_is_refused(Kind::Postgres).await
}

/// Two who race for a new connection: whose account comes first is the connection's.
#[tokio::test]
async fn of_two_accounts_at_once_one_is_connected() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    let race = |account: &'static str| {
        let acme = &acme;
        async move { connect(&acme.server, account, begin(ACME, ADA)).await }
    };
    let (ada, eve) = tokio::join!(race("ada@example.com"), race("eve@example.com"));
    let mut ends = [ada.as_str(), eve.as_str()];
    ends.sort_unstable();
    assert_eq!(ends, ["", "ACCOUNT_CHANGED"]);
    let winner = if ada.is_empty() { "ada@example.com" } else { "eve@example.com" };
    assert_eq!(acme.config().await["user"], winner);
    Ok(())
}

/// What a refresh tells of another account is not believed.
#[tokio::test]
async fn a_refresh_does_not_change_the_account() -> TestResult {
    let acme = stage(Kind::Sqlite).await;
    walk(&acme.server, &mut Browser::new(), begin(ACME, "other")).await;
    assert_eq!(connect(&acme.server, "ada@example.com", begin(ACME, ADA)).await, "");
    acme.answer_next(
        r#"{"access_token":"fresh","token_type":"Bearer","expires_in":3600,"user":"eve@example.com"}"#,
    );
    acme.force().await?;
    assert_eq!(acme.config().await["user"], "ada@example.com");
    Ok(())
}
