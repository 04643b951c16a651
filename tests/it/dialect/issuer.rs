//! Who says in a callback that it is from him (RFC 9207).

use tokenwell::{
    api::pb::project::v1::{Completion, Settings},
    sandbox::Quirks,
};
use tonic::Code;
use url::Url;

use super::{ENTRY, completed};
use crate::support::{
    Acme, Browser, TestResult,
    acme::{beginning, plain},
    assert_refused,
    steps::walk,
};

fn naming(iss: &str) -> Quirks {
    Quirks { iss: Some(iss.to_owned()), ..plain() }
}

/// A mix-up: the code of one server comes as an answer of another one, whose issuer nobody knows. The first says who it is.
#[tokio::test]
async fn where_nobody_knows_the_issuer_it_is_no_stranger() -> TestResult {
    for iss in [
        "https://canary.example",
        "https://canary.example/acme.example",
        "https://acme.example.canary.example",
        "https://api.acme.example@canary.example",
        "http://canary.example",
        "HTTPS://CANARY.EXAMPLE",
        "https://127.0.0.2",
        "https://[::1]",
    ] {
        let acme = Acme::new(naming(iss), ENTRY).await;
        let (_, callback) = acme.callback(&[]).await;
        let refusal =
            assert_refused(completed(&acme, &callback).await, Code::InvalidArgument, "CALLBACK_INVALID");
        assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
        assert_eq!(acme.token_requests(), [], "{iss}");
    }
    // The entry's hosts are 127.0.0.1 and api.acme.example.
    for iss in ["http://{host}", "https://api.acme.example", "https://login.acme.example/tenant", "acme", ""]
    {
        let acme = Acme::new(naming(iss), ENTRY).await;
        acme.connect(&[]).await;
    }
    Ok(())
}

/// Where it is known, it has to be that one, though nobody demands that it is named.
#[tokio::test]
async fn an_issuer_that_need_not_be_named_is_still_no_other() -> TestResult {
    let entry = format!("issuer = \"PROVIDER\"{ENTRY}");
    for iss in ["https://canary.example", "http://{host}/", "https://{host}", "HTTP://{host}", ""] {
        let acme = Acme::new(naming(iss), &entry).await;
        let (_, callback) = acme.callback(&[]).await;
        assert_refused(completed(&acme, &callback).await, Code::InvalidArgument, "CALLBACK_INVALID");
        assert_eq!(acme.token_requests(), [], "{iss}");
    }
    Acme::new(plain(), &entry).await.connect(&[]).await;
    Ok(())
}

/// In a project whose backend confirms, the check comes before anything waits.
#[tokio::test]
async fn the_callback_of_another_issuer_waits_for_no_confirmation() -> TestResult {
    let acme = Acme::new(naming("https://canary.example"), ENTRY).await;
    let settings = Settings {
        completion: Completion::Confirm.into(),
        allowed_return_urls: vec!["https://app.example.com/done".to_owned()],
        ..Settings::default()
    };
    acme.server.update_settings(settings, &["completion", "allowed_return_urls"]).await;
    let mut browser = Browser::new();
    let mut request = beginning(&[]);
    request.return_url = "https://app.example.com/done".to_owned();
    let (_, callback) = walk(&acme.server, &mut browser, request).await;
    let refused = browser.get(callback.as_str()).await;
    assert!(refused.body.contains("CALLBACK_INVALID") || location_of(&refused).contains("CALLBACK_INVALID"));
    assert!(!location_of(&refused).contains("tokenwell_confirmation"), "{refused:?}");
    // The flow goes on with a callback that is its own.
    let own: Vec<_> = callback.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
    let mut callback: Url = callback;
    callback.query_pairs_mut().clear().extend_pairs(own);
    let parked = browser.get(callback.as_str()).await;
    assert!(location_of(&parked).contains("tokenwell_confirmation"), "{parked:?}");
    assert_eq!(acme.token_requests(), []);
    Ok(())
}

fn location_of(answer: &crate::support::browser::Answer) -> String {
    answer.location().map(String::from).unwrap_or_default()
}
