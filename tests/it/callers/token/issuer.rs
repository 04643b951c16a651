//! The keys of issuers: which count, how they are replaced, and what happens while nobody can be asked for them.

use std::{fs, process::Command, time::Duration as StdDuration};

use jsonwebtoken::Algorithm;
use serde_json::json;
use tokenwell::model::Duration;
use tonic::Code;

use super::{KEYS, METADATA, SUBJECT, Stage, callers, change, end, read, watch};
use crate::support::{Issuer, Signer, TestResult, assert_refused, steps::until};

fn rsa_key(bits: u32) -> String {
    let script = format!(
        "console.log(require('crypto').generateKeyPairSync('rsa', {{modulusLength: {bits}}})\
         .privateKey.export({{type: 'pkcs8', format: 'pem'}}))"
    );
    String::from_utf8(Command::new("node").args(["-e", &script]).output().unwrap().stdout).unwrap()
}

#[tokio::test]
async fn keys_of_every_usual_kind_are_known() -> TestResult {
    let stage = Stage::new().await;
    let rsa = Signer::rsa("rsa", Algorithm::RS256, &rsa_key(2048));
    let small = Signer::rsa("small", Algorithm::RS256, &rsa_key(1024));
    let edwards = Signer::of("edwards", Algorithm::EdDSA);
    let p384 = Signer::of("p384", Algorithm::ES384);
    let mut encrypts = Signer::new("encrypts");
    encrypts.jwk["use"] = "enc".into();
    let mut other = Signer::new("other");
    other.jwk["alg"] = "ES384".into();
    let mut plain = Signer::new("plain");
    change(&mut plain.jwk, &json!({"use": null, "alg": null}));
    stage.issuer.have(&[&small, &encrypts, &other, &rsa, &edwards, &p384, &plain]);
    let mut set = json!({"keys": [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "later"}, 7,
    ]});
    let known = [&small, &encrypts, &other, &rsa, &edwards, &p384, &plain];
    set["keys"].as_array_mut().unwrap().extend(known.map(|it| it.jwk.clone()));
    stage.issuer.tell(KEYS, set);
    for signer in [&rsa, &edwards, &plain] {
        stage.read(&signer.sign(&stage.claims())).await?;
    }
    for signer in [&small, &encrypts, &other] {
        let refused = stage.read(&signer.sign(&stage.claims())).await;
        Stage::assert_invalid(refused, "its key is none of its issuer's");
    }
    let refused = stage.read(&p384.sign(&stage.claims())).await;
    Stage::assert_invalid(refused, "its algorithm is not one that its issuer may use");
    // Who names no key has to be of an issuer who has but one of the kind.
    let unnamed = |signer: &Signer| {
        let mut header = signer.header();
        change(&mut header, &json!({"kid": null}));
        signer.sign_parts(&header, &stage.claims())
    };
    stage.read(&unnamed(&edwards)).await?;
    stage.issuer.have(&[&stage.signer, &plain]);
    stage.server.clock.advance(Duration::HOUR);
    Stage::assert_invalid(stage.read(&unnamed(&plain)).await, "its key is none of its issuer's");
    Ok(())
}

#[tokio::test]
async fn an_issuer_may_use_what_is_said_of_it() -> TestResult {
    let stage = Stage::with("algorithms = [\"ES384\"]", true).await;
    let p384 = Signer::of("p384", Algorithm::ES384);
    stage.issuer.have(&[&stage.signer, &p384]);
    stage.read(&p384.sign(&stage.claims())).await?;
    let refused = stage.read(&stage.signer.sign(&stage.claims())).await;
    Stage::assert_invalid(refused, "its algorithm is not one that its issuer may use");
    Ok(())
}

#[tokio::test]
async fn keys_can_be_replaced() -> TestResult {
    let stage = Stage::new().await;
    let (old, new) = (&stage.signer, Signer::new("two"));
    let token = |signer: &Signer| signer.sign(&stage.claims());
    stage.read(&token(old)).await?;

    // Both, for a while; then the old one is gone.
    stage.issuer.have(&[old, &new]);
    stage.wait();
    stage.read(&token(&new)).await?;
    stage.read(&token(old)).await?;
    assert_eq!(stage.issuer.asked(KEYS), 2);
    stage.issuer.have(&[&new]);
    stage.server.clock.advance(Duration::minutes(5));
    stage.read(&token(&new)).await?;
    let gone = async || stage.read(&token(old)).await;
    let refused = until(gone, Result::is_err).await;
    Stage::assert_invalid(refused, "its key is none of its issuer's");
    assert_eq!(stage.issuer.asked(KEYS), 3);
    Ok(())
}

/// Anybody can make up tokens: an issuer does not hear of each.
#[tokio::test]
async fn unknown_keys_are_asked_for_now_and_then_only() -> TestResult {
    let stage = Stage::new().await;
    stage.read(&stage.signer.sign(&stage.claims())).await?;
    stage.wait();
    for asked in 2..4 {
        let calls = (0..50).map(|index| {
            let signer = Signer::new(&format!("unknown-{index}"));
            let token = signer.sign(&stage.claims());
            let channel = stage.channel.clone();
            async move { read(&channel, Some(&token)).await }
        });
        for refused in futures::future::join_all(calls).await {
            Stage::assert_invalid(refused, "its key is none of its issuer's");
        }
        assert_eq!(stage.issuer.asked(KEYS), asked);
        stage.wait();
    }
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_is_down_is_done_without_for_an_hour() -> TestResult {
    let stage = Stage::new().await;
    let token = || stage.signer.sign(&stage.claims());
    stage.issuer.set_down(true);
    for _ in 0..2 {
        let refusal = assert_refused(stage.read(&token()).await, Code::Unavailable, "ISSUER_UNAVAILABLE");
        assert_eq!(refusal.metadata["issuer"], stage.issuer.name());
        assert!(refusal.retry.is_some());
    }
    assert_eq!(stage.issuer.asked(METADATA), 1, "it is left alone for a while");
    stage.issuer.set_down(false);
    stage.wait();
    stage.read(&token()).await?;

    stage.issuer.set_down(true);
    let asked = stage.issuer.asked(METADATA);
    for _ in 0..5 {
        stage.server.clock.advance(Duration::minutes(11));
        stage.read(&token()).await?;
    }
    // Whoever is asked is asked beside the calls, which do not wait.
    until(async || stage.issuer.asked(METADATA), |now| *now > asked).await;
    stage.server.clock.advance(Duration::minutes(5));
    assert_refused(stage.read(&token()).await, Code::Unavailable, "ISSUER_UNAVAILABLE");
    stage.issuer.set_down(false);
    stage.wait();
    stage.read(&token()).await?;
    Ok(())
}

/// A caller who goes away does not keep the others from their answer.
#[tokio::test]
async fn keys_are_fetched_though_their_caller_goes_away() -> TestResult {
    let stage = Stage::new().await;
    let token = stage.signer.sign(&stage.claims());
    for _ in 0..20 {
        let call = tokio::time::timeout(StdDuration::from_micros(500), stage.read(&token));
        drop(call.await);
    }
    until(async || stage.read(&token).await.is_ok(), |taken| *taken).await;
    assert_eq!(stage.issuer.asked(KEYS), 1);
    Ok(())
}

#[tokio::test]
async fn metadata_has_to_be_the_issuers_own() -> TestResult {
    let stage = Stage::new().await;
    let name = stage.issuer.name();
    let keys = format!("{name}/keys");
    for document in [
        json!({"issuer": format!("{name}/"), "jwks_uri": keys}),
        json!({"issuer": "http://127.0.0.1:1", "jwks_uri": keys}),
        json!({"jwks_uri": keys}),
        json!({"issuer": name}),
        json!({"issuer": name, "jwks_uri": "http://issuer.example/keys"}),
        json!({"issuer": name, "jwks_uri": "file:///etc/passwd"}),
        json!({"issuer": name, "jwks_uri": "https://169.254.169.254/keys"}),
        json!("nothing"),
    ] {
        stage.issuer.tell(METADATA, document);
        let refused = stage.read(&stage.signer.sign(&stage.claims())).await;
        assert_refused(refused, Code::Unavailable, "ISSUER_UNAVAILABLE");
        stage.wait();
    }
    assert_eq!(stage.issuer.asked(KEYS), 0);
    stage.issuer.tell(METADATA, json!({"issuer": name, "jwks_uri": format!("{name}/elsewhere")}));
    stage.issuer.tell("elsewhere", json!({"keys": [stage.signer.jwk]}));
    stage.read(&stage.signer.sign(&stage.claims())).await?;
    Ok(())
}

#[tokio::test]
async fn keys_can_be_where_the_file_says() -> TestResult {
    let elsewhere = Issuer::start(&[]).await;
    let stage = Stage::with(&format!("jwks_uri = \"{}/keys\"", elsewhere.name()), true).await;
    elsewhere.have(&[&stage.signer]);
    stage.read(&stage.signer.sign(&stage.claims())).await?;
    assert_eq!((stage.issuer.asked(METADATA), stage.issuer.asked(KEYS)), (0, 0));
    Ok(())
}

/// The rules of the one way out hold.
#[tokio::test]
async fn an_issuer_on_this_machine_is_not_called_outside_of_development() {
    let stage = Stage::with("allow_private_addresses = true", false).await;
    let refused = stage.read(&stage.signer.sign(&stage.claims())).await;
    assert_refused(refused, Code::Unavailable, "ISSUER_UNAVAILABLE");
    assert_eq!(stage.issuer.asked(METADATA), 0);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_its_caller() -> TestResult {
    let stage = Stage::new().await;
    let short = stage.but(&json!({"exp": stage.claims()["iat"].as_i64().unwrap() + 60}));
    let stream = watch(&stage.channel, Some(&stage.signer.sign(&short))).await?;
    let stays = watch(&stage.channel, Some(&stage.signer.sign(&stage.claims()))).await?;
    stage.server.clock.advance(Duration::seconds(120));
    Stage::assert_invalid(end(stream).await, "it has expired");

    let path = stage.file.path().join("callers.toml");
    fs::write(path, callers(&stage.issuer, "").replace(SUBJECT, "somebody else")).unwrap();
    assert_refused(end(stays).await, Code::Unauthenticated, "CALLER_UNKNOWN");
    let refused = stage.read(&stage.signer.sign(&stage.claims())).await;
    assert_refused(refused, Code::Unauthenticated, "CALLER_UNKNOWN");
    // The issuer is the same, so that its keys are known.
    assert_eq!(stage.issuer.asked(KEYS), 1);
    Ok(())
}
