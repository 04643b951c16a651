//! Keys are replaced without an outage, and a signature does not tell which keys there are.

use super::{NEW, OLD, assert_invalid, full, in_a_minute, keys, set, stage, v1, v2, v2_with};
use crate::support::{Browser, TestResult, server::begin};
use tokenwell::api::pb::{auth::v1::BeginRequest, project::v1::HmacSettings};

#[tokio::test]
async fn a_key_is_replaced_without_an_outage() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let expiry = in_a_minute(&server);
    for (present, accepted, refused) in [
        (keys(&[&OLD]), vec![&OLD[..]], vec![&NEW[..]]),
        (keys(&[&OLD, &NEW]), vec![&OLD[..], &NEW], vec![]),
        (keys(&[&NEW, &OLD]), vec![&OLD[..], &NEW], vec![]),
        (keys(&[&NEW]), vec![&NEW[..]], vec![&OLD[..]]),
    ] {
        set(&server, HmacSettings { required: true, ..present }).await;
        for key in accepted {
            server.begin(v1(key, full())).await?;
            server.begin(v2(key, full(), expiry)).await?;
        }
        for key in refused {
            assert_invalid(&server, v1(key, full())).await;
            assert_invalid(&server, v2(key, full(), expiry)).await;
        }
    }
    Ok(())
}

/// A flow that was begun with a key goes on when the key is gone; so does what is known of its signature.
#[tokio::test]
async fn a_rotation_in_mid_flow_costs_nothing() -> TestResult {
    let (server, _provider, _database) = stage().await;
    let request = v2(&OLD, begin("sandbox", "ada"), in_a_minute(&server));
    let begun = server.begin(request.clone()).await?;
    set(&server, HmacSettings { required: true, ..keys(&[&NEW]) }).await;
    let mut browser = Browser::new();
    let back = server.consent(&mut browser, &begun.connect_url, "approve").await.location().unwrap();
    assert_eq!(browser.get(back.as_str()).await.result("data-status"), "success");
    assert_invalid(&server, request.clone()).await;
    // Whoever takes the old key back does not make its signatures new.
    set(&server, HmacSettings { required: true, ..keys(&[&NEW, &OLD]) }).await;
    let refused = server.begin(request).await;
    crate::support::assert_refused(refused, tonic::Code::AlreadyExists, "SIGNATURE_REPLAYED");
    Ok(())
}

/// A signature by a key that is none of the project's, one with a key id in it, and one that is wrong are one refusal, word for word.
#[tokio::test]
async fn an_unknown_key_looks_like_a_wrong_mac() {
    let (server, _provider, _database) = stage().await;
    let expiry = in_a_minute(&server);
    let good = v2_with(&OLD, full(), expiry, "n");
    let unknown = v2(&NEW, full(), expiry);
    let named = BeginRequest { signature: good.signature.replace(",n=", ",k=1,n="), ..good.clone() };
    let last = if good.signature.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &good.signature[..good.signature.len() - 1]);
    let wrong = BeginRequest { signature: wrong, ..good };
    let mut said = Vec::new();
    for request in [unknown, named, wrong] {
        let status = server.begin(request).await.unwrap_err();
        said.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
    assert_eq!(said[0].0, tonic::Code::Unauthenticated);
}
