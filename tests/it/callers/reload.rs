//! Certificates and callers that change while the server serves.

use tonic::Code;

use super::{Authority, BILLING, CALLERS, REPORTS, Setting, Stage, assert_turned_away, end, read, watch};
use crate::support::{TestResult, assert_refused, authority::Pair, steps::until};

/// Waits until new connections of somebody who knows the server by this authority are served.
async fn until_known_by(stage: &Stage, authority: &Authority) {
    let key = Some(stage.server.key.as_str());
    let served = async || read(&stage.server.channel_with(Some(authority.brings(None))), key).await.is_ok();
    until(served, |served| *served).await;
}

async fn until_taken(stage: &Stage, pair: &Pair) {
    until(async || stage.read_as(pair).await.is_ok(), |taken| *taken).await;
}

#[tokio::test]
async fn the_servers_certificate_can_be_replaced() -> TestResult {
    let stage = Stage::new(Setting::of(CALLERS)).await;
    let old = stage.channel(Some(&stage.clients.client(&[BILLING])));
    let stream = watch(&old, None).await?;

    let next = Authority::new("next");
    let pair = next.server();
    stage.write("server.pem", &pair.certificate);
    stage.write("server.key", &pair.key);
    until_known_by(&stage, &next).await;
    assert_turned_away(read(&stage.channel(None), Some(&stage.server.key)).await);

    // Who is there stays: the new certificate is none that it knows, so that it cannot have connected again.
    read(&old, None).await?;
    drop(stream);
    Ok(())
}

#[tokio::test]
async fn authorities_of_clients_can_be_added_and_taken_away() -> TestResult {
    let stage = Stage::new(Setting::of(CALLERS)).await;
    let (first, next) = (stage.clients.client(&[BILLING]), Authority::new("next"));
    let second = next.client(&[REPORTS]);
    assert_turned_away(stage.read_as(&second).await);

    stage.write("clients.pem", &format!("{}{}", stage.clients.pem(), next.pem()));
    until_taken(&stage, &second).await;
    let (of_first, of_second) = (stage.channel(Some(&first)), stage.channel(Some(&second)));
    let ends = watch(&of_first, None).await?;
    let mut stays = watch(&of_second, None).await?;

    stage.write("clients.pem", &next.pem());
    assert_turned_away(end(ends).await);
    assert_turned_away(stage.read_as(&first).await);
    read(&of_second, None).await?;
    // A second message comes at the next heartbeat only; what matters is that the stream has not ended.
    let silent = tokio::time::timeout(std::time::Duration::from_secs(1), stays.message()).await;
    assert!(silent.is_err(), "{silent:?}");
    Ok(())
}

#[tokio::test]
async fn callers_can_be_added_changed_and_removed() -> TestResult {
    let stage = Stage::new(Setting::of(CALLERS)).await;
    let pair = stage.clients.client(&["new.acme.example"]);
    let channel = stage.channel(Some(&pair));
    assert_refused(read(&channel, None).await, Code::Unauthenticated, "CALLER_UNKNOWN");

    let new = |permission: &str| {
        format!(
            "{CALLERS}\n[[caller]]\ndisplay_name = \"New\"\nproject = \"default\"\n\
             permissions = [\"{permission}\"]\ndns_name = \"new.acme.example\"\n"
        )
    };
    stage.write("callers.toml", &new("read"));
    // Over the same connection.
    until(async || read(&channel, None).await.is_ok(), |taken| *taken).await;
    let stream = watch(&channel, None).await?;
    let billing = stage.channel(Some(&stage.clients.client(&[BILLING])));
    let stays = watch(&billing, None).await?;

    stage.write("callers.toml", &new("write"));
    let refusal = assert_refused(end(stream).await, Code::PermissionDenied, "PERMISSION_MISSING");
    assert_eq!(refusal.metadata["permission"], "read");

    stage.write("callers.toml", &new("read"));
    until(async || read(&channel, None).await.is_ok(), |taken| *taken).await;
    let stream = watch(&channel, None).await?;
    stage.write("callers.toml", CALLERS);
    assert_refused(end(stream).await, Code::Unauthenticated, "CALLER_UNKNOWN");
    assert_refused(read(&channel, None).await, Code::Unauthenticated, "CALLER_UNKNOWN");

    stage.write("callers.toml", "");
    assert_refused(end(stays).await, Code::Unauthenticated, "CALLER_UNKNOWN");
    Ok(())
}

/// A file may name a project before it is made.
#[tokio::test]
async fn a_caller_of_a_project_that_is_not_there_is_nobody() -> TestResult {
    let callers = "[[caller]]\ndisplay_name = \"Early\"\nproject = \"later\"\npermissions = [\"read\"]\n\
                   dns_name = \"early.acme.example\"\n";
    let stage = Stage::new(Setting::of(callers)).await;
    let channel = stage.channel(Some(&stage.clients.client(&["early.acme.example"])));
    assert_refused(read(&channel, None).await, Code::Unauthenticated, "CALLER_UNKNOWN");
    stage.server.create_project("later").await;
    read(&channel, None).await?;
    Ok(())
}
