//! API keys on several servers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokenwell::api::pb::project::v1::{Permission, RevokeApiKeyRequest};
use tokio::sync::RwLock;
use tonic::Code;

use super::{read, watch};
use crate::support::{
    Database, ManualClock, Options, TestResult, TestServer, assert_refused, database::Kind, steps::until,
};

async fn two(kind: Kind) -> (TestServer, TestServer, Database) {
    let clock = ManualClock::new();
    let database = Database::new(kind).await;
    let first = TestServer::start(&database, Options::new(&clock)).await;
    let mut second = TestServer::start(&database, Options::new(&clock)).await;
    second.key.clone_from(&first.key);
    (first, second, database)
}

/// Nobody remembers a key: the call after the answer is refused, on whichever server.
async fn a_revoked_key_stops_at_once_on_all_servers(kind: Kind) -> TestResult {
    let (first, second, _database) = two(kind).await;
    let (here, there) = (first.channel_with(None), second.channel_with(None));
    for _ in 0..5 {
        let (made, key) = first.create_key(&[Permission::Read]).await;
        read(&here, Some(&key)).await?;
        read(&there, Some(&key)).await?;
        let stream = watch(&there, Some(&key)).await?;
        let request = RevokeApiKeyRequest { api_key_id: made.api_key_id };
        first.project(&first.key).revoke_api_key(request).await?;
        assert_refused(read(&there, Some(&key)).await, Code::Unauthenticated, "API_KEY_INVALID");
        assert_refused(read(&here, Some(&key)).await, Code::Unauthenticated, "API_KEY_INVALID");
        assert_refused(super::end(stream).await, Code::Unauthenticated, "API_KEY_INVALID");
    }
    Ok(())
}

#[tokio::test]
async fn a_revoked_key_stops_at_once_on_all_servers_on_sqlite() -> TestResult {
    a_revoked_key_stops_at_once_on_all_servers(Kind::Sqlite).await
}

#[tokio::test]
async fn a_revoked_key_stops_at_once_on_all_servers_on_postgresql() -> TestResult {
    a_revoked_key_stops_at_once_on_all_servers(Kind::Postgres).await
}

/// A backend that calls all the time while its key is replaced, as an operator does it, notices nothing.
async fn a_key_is_replaced_without_an_outage(kind: Kind) -> TestResult {
    let (first, second, _database) = two(kind).await;
    let (mut made, key) = first.create_key(&[Permission::Read]).await;
    let (present, over, calls) = (RwLock::new(key), AtomicBool::new(false), AtomicUsize::new(0));
    let (present, over, calls) = (Arc::new(present), Arc::new(over), Arc::new(calls));
    let backends = [&first, &second].map(|server| {
        let (channel, present) = (server.channel_with(None), present.clone());
        let (over, calls) = (over.clone(), calls.clone());
        tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let key = present.read().await;
                read(&channel, Some(&key)).await?;
                calls.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<_, tonic::Status>(())
        })
    });
    for _ in 0..3 {
        let (next, secret) = first.create_key(&[Permission::Read]).await;
        // By then nobody uses the old one any more.
        *present.write().await = secret;
        let request = RevokeApiKeyRequest { api_key_id: made.api_key_id };
        first.project(&first.key).revoke_api_key(request).await?;
        made = next;
        let seen = calls.load(Ordering::SeqCst);
        until(async || calls.load(Ordering::SeqCst), |now| *now > seen + 10).await;
    }
    over.store(true, Ordering::SeqCst);
    for backend in backends {
        backend.await??;
    }
    Ok(())
}

#[tokio::test]
async fn a_key_is_replaced_without_an_outage_on_sqlite() -> TestResult {
    a_key_is_replaced_without_an_outage(Kind::Sqlite).await
}

#[tokio::test]
async fn a_key_is_replaced_without_an_outage_on_postgresql() -> TestResult {
    a_key_is_replaced_without_an_outage(Kind::Postgres).await
}
