//! Certificates that name callers.

use rcgen::date_time_ymd;
use tokenwell::{
    api::pb::{connection::v1::View, project::v1::RevokeApiKeyRequest},
    model::Duration,
};
use tonic::Code;

use super::{
    Authority, BILLING, CALLERS, REPORTS, Setting, Stage, assert_turned_away, client, end, get_ada, read,
    watch,
};
use crate::support::{TestResult, assert_refused, authority::Pair, steps::until};

#[tokio::test]
async fn a_name_selects_a_project_and_permissions() -> TestResult {
    let stage = Stage::new(Setting::of(CALLERS)).await;
    let billing = stage.channel(Some(&stage.clients.client(&[BILLING])));
    read(&billing, None).await?;
    get_ada(&billing, None, View::Full).await?;
    watch(&billing, None).await?;

    // The connection is another project's, and reading tokens is not permitted at all.
    for name in [REPORTS, "Reports.ACME.example"] {
        let reports = stage.channel(Some(&stage.clients.client(&[name])));
        read(&reports, None).await?;
        let refused = get_ada(&reports, None, View::Basic).await;
        assert_refused(refused, Code::NotFound, "CONNECTION_NOT_FOUND");
        let refused = get_ada(&reports, None, View::Full).await;
        let refusal = assert_refused(refused, Code::PermissionDenied, "PERMISSION_MISSING");
        assert_eq!(refusal.metadata["permission"], "read_credentials");
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_not_the_callers_to_the_letter_is_nobodys() {
    let stage = Stage::new(Setting::of(CALLERS)).await;
    for names in [
        &["spiffe://acme.example/ns/prod/sa/billing2"][..],
        &["spiffe://acme.example/ns/prod/sa"],
        &["spiffe://acme.example/ns/prod/sa/billing/"],
        &["spiffe://acme.example/ns/prod/sa/Billing"],
        &["spiffe://other.example/ns/prod/sa/billing"],
        &["https://acme.example/ns/prod/sa/billing"],
        &["a.reports.acme.example"],
        &["*.acme.example"],
        &["acme.example"],
        // Two URIs are no SPIFFE ID, and names of two callers are nobody's.
        &[BILLING, "spiffe://acme.example/ns/prod/sa/other"],
        &[BILLING, REPORTS],
        &[],
    ] {
        let refused = stage.read_as(&stage.clients.client(names)).await;
        assert_refused(refused, Code::Unauthenticated, "CALLER_UNKNOWN");
    }
    stage.read_as(&stage.clients.client(&[BILLING, "further.acme.example"])).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_turned_away() {
    let stage = Stage::new(Setting::of(CALLERS)).await;
    let at = |not_before, not_after| {
        let mut params = client(&[BILLING]);
        (params.not_before, params.not_after) = (not_before, not_after);
        stage.clients.issue(params)
    };
    let foreign = Authority::new("clients").client(&[BILLING]);
    for (what, pair) in [
        ("of another authority of the same name", foreign),
        ("of the server's authority", stage.authority.client(&[BILLING])),
        ("expired", at(date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1))),
        ("not yet valid", at(date_time_ymd(4000, 1, 1), date_time_ymd(4001, 1, 1))),
    ] {
        let channel = stage.channel(Some(&pair));
        println!("{what}");
        assert_turned_away(read(&channel, None).await);
        assert_turned_away(read(&channel, Some(&stage.server.key)).await);
    }
    stage.read_as(&at(date_time_ymd(2019, 1, 1), date_time_ymd(4000, 1, 1))).await.unwrap();
}

/// What a call says itself comes first: otherwise one who is to use a key might use a proxy's certificate.
#[tokio::test]
async fn a_certificate_speaks_only_for_calls_that_say_nothing() -> TestResult {
    let stage = Stage::new(Setting::of(CALLERS)).await;
    let server = &stage.server;
    let (made, revoked) = server.create_key(&[tokenwell::api::pb::project::v1::Permission::Read]).await;
    server.project(&server.key).revoke_api_key(RevokeApiKeyRequest { api_key_id: made.api_key_id }).await?;
    let channel = stage.channel(Some(&stage.clients.client(&[REPORTS])));
    assert_refused(read(&channel, Some(&revoked)).await, Code::Unauthenticated, "API_KEY_INVALID");
    assert_refused(read(&channel, Some("nonsense")).await, Code::Unauthenticated, "API_KEY_INVALID");
    assert_refused(read(&channel, Some("a.b.c")).await, Code::Unauthenticated, "TOKEN_INVALID");
    // Its project, and its permissions.
    get_ada(&channel, Some(&server.key), View::Full).await?;

    let without = stage.channel(None);
    assert_refused(read(&without, None).await, Code::Unauthenticated, "API_KEY_MISSING");
    read(&without, Some(&server.key)).await?;
    let unknown = stage.channel(Some(&stage.clients.client(&["unknown.example"])));
    read(&unknown, Some(&server.key)).await?;
    Ok(())
}

#[tokio::test]
async fn a_certificate_can_be_required_of_everybody() -> TestResult {
    let stage = Stage::new(Setting { required: true, ..Setting::of(CALLERS) }).await;
    let without = stage.channel(None);
    assert_turned_away(read(&without, None).await);
    assert_turned_away(read(&without, Some(&stage.server.key)).await);
    stage.read_as(&stage.clients.client(&[BILLING])).await?;
    let unknown = stage.channel(Some(&stage.clients.client(&["unknown.example"])));
    read(&unknown, Some(&stage.server.key)).await?;
    Ok(())
}

#[tokio::test]
async fn a_revoked_certificate_is_turned_away() -> TestResult {
    let clients = Authority::new("clients");
    let (billing, reports) = (clients.client(&[BILLING]), clients.client(&[REPORTS]));
    let revoked = Some(vec![billing.clone()]);
    let stage = Stage::new(Setting { revoked, clients: Some(clients), ..Setting::of(CALLERS) }).await;
    assert_turned_away(stage.read_as(&billing).await);
    let channel = stage.channel(Some(&reports));
    read(&channel, None).await?;
    let stream = watch(&channel, None).await?;

    // Also one that has a connection, and what it reads there.
    stage.write("revoked.pem", &stage.clients.revoked(&[&billing, &reports]));
    assert_turned_away(end(stream).await);
    assert_turned_away(stage.read_as(&reports).await);
    stage.read_as(&stage.clients.client(&[REPORTS])).await?;

    stage.write("revoked.pem", &stage.clients.revoked(&[]));
    until(async || stage.read_as(&billing).await.is_ok(), |taken| *taken).await;
    Ok(())
}

/// The client connects again, with another certificate if it has one.
#[tokio::test]
async fn a_connection_ends_with_its_certificate() -> TestResult {
    let stage = Stage::new(Setting::of(CALLERS)).await;
    let mut params = client(&[BILLING]);
    params.not_after = date_time_ymd(2030, 1, 1);
    let pair: Pair = stage.clients.issue(params);
    let channel = stage.channel(Some(&pair));
    let stream = watch(&channel, None).await?;
    stage.server.clock.advance(Duration::days(5 * 365));
    assert_turned_away(end(stream).await);
    assert_turned_away(read(&channel, None).await);
    stage.read_as(&stage.clients.client(&[BILLING])).await?;
    Ok(())
}
