//! What people paste into a config field: what they mean is understood, and what they cannot mean is refused with an
//! example of what is expected.

use tonic::Code;
use url::Url;

use super::Stage;
use crate::support::assert_refused;

#[tokio::test]
async fn a_pasted_address_is_read_down_to_the_subdomain() {
    let stage = Stage::new("zendesk", &["acme.zendesk.com"]).await;
    for pasted in [
        "acme",
        "ACME",
        " acme ",
        "acme.zendesk.com",
        "Acme.Zendesk.com",
        "https://acme.zendesk.com",
        "https://acme.zendesk.com/",
        "https://acme.zendesk.com/agent/x",
        "https://acme.zendesk.com/agent/x?y=z#home",
        "acme.zendesk.com/agent/x",
    ] {
        let begun = stage.begin(&[("subdomain", pasted)], &[]).await.unwrap();
        let url = Url::parse(&begun.authorization_url).unwrap();
        assert_eq!(url.host_str(), Some("acme.zendesk.com"), "{pasted}");
    }
    stage.connect(&[("subdomain", " https://ACME.zendesk.com/agent/x ")], &[]).await;
    let (connection, _) = stage.token().await.unwrap();
    assert_eq!(connection.connection_config["subdomain"], "acme", "the spelling that is kept");
}

/// A URL parser takes a host of digits for an IPv4 address; in front of a suffix it is a name like any other.
#[tokio::test]
async fn a_subdomain_may_be_of_digits_only() {
    let stage = Stage::new("zendesk", &["12345.zendesk.com"]).await;
    for pasted in ["12345", "12345.zendesk.com", "https://12345.zendesk.com/agent"] {
        let begun = stage.begin(&[("subdomain", pasted)], &[]).await.unwrap();
        let url = Url::parse(&begun.authorization_url).unwrap();
        assert_eq!(url.host_str(), Some("12345.zendesk.com"), "{pasted}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_subdomain_is_refused_with_an_example() {
    let stage = Stage::new("zendesk", &["acme.zendesk.com"]).await;
    for pasted in [
        "acme.evil.com",
        "https://user@acme.zendesk.com",
        "https://acme.zendesk.com@evil.com",
        "https://acme.zendesk.com:8443",
        "https://acme.zendesk.com.evil.com",
        "https://evil.com/acme.zendesk.com",
        "ftp://acme.zendesk.com",
        "a.b.zendesk.com",
        ".zendesk.com",
        "-acme",
        "acme_x",
        "acme x",
    ] {
        assert_refused_with_example(&stage, pasted).await;
    }
}

#[tokio::test]
async fn a_label_with_something_behind_it_is_no_address() {
    let stage = Stage::new("zendesk", &["acme.zendesk.com"]).await;
    for pasted in ["acme/x", "acme?x", "acme#x", "acme:443", "//acme", "%61cme/acme"] {
        assert_refused_with_example(&stage, pasted).await;
    }
}

#[tokio::test]
async fn a_missing_value_is_asked_for_with_an_example() {
    let stage = Stage::new("zendesk", &["acme.zendesk.com"]).await;
    for config in [&[][..], &[("subdomain", "")], &[("subdomain", "  ")]] {
        let refused = stage.begin(config, &[]).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "CONNECTION_CONFIG_INVALID");
        assert_eq!(refusal.fields, ["connection_config.subdomain"]);
        assert!(refusal.message.contains("is missing: give the Zendesk subdomain, such as `acme`"));
    }
}

#[tokio::test]
async fn all_faults_are_named_at_once() {
    let stage = Stage::new("salesforce", &["login.salesforce.com"]).await;
    let config =
        [("login_host", "evil.com"), ("instance_url", "https://acme.my.salesforce.com"), ("colour", "red")];
    let refusal =
        assert_refused(stage.begin(&config, &[]).await, Code::InvalidArgument, "CONNECTION_CONFIG_INVALID");
    let mut fields = refusal.fields;
    fields.sort();
    let named =
        ["connection_config.colour", "connection_config.instance_url", "connection_config.login_host"];
    assert_eq!(fields, named);
}

async fn assert_refused_with_example(stage: &Stage, pasted: &str) {
    let refused = stage.begin(&[("subdomain", pasted)], &[]).await;
    let refusal = assert_refused(refused, Code::InvalidArgument, "CONNECTION_CONFIG_INVALID");
    assert_eq!(refusal.fields, ["connection_config.subdomain"], "{pasted}");
    let words =
        "`connection_config.subdomain` is malformed: expected one part of a host name, such as `acme`";
    assert!(refusal.message.ends_with(words), "{pasted}: {}", refusal.message);
    assert!(!refusal.message.contains("evil"), "{pasted}: {}", refusal.message);
    assert_eq!(refusal.metadata["provider_id"], "zendesk");
}
