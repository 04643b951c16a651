//! Clients that present a certificate (RFC 8705).

use rcgen::{CertificateParams, KeyPair};
use tokenwell::{
    api::pb::integration::v1::Integration,
    sandbox::{AuthMethod, Client, Quirks},
};
use tonic::Code;

use super::{ENTRY, completed};
use crate::support::{
    Acme, TestResult, assert_refused,
    provider::{CLIENT_ID, client},
};

/// A key, and the certificate that it has signed for itself.
struct Identity {
    key: String,
    certificate: String,
    der: Vec<u8>,
}

impl Identity {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["tokenwell.example".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        Self { key: key.serialize_pem(), certificate: certificate.pem(), der: certificate.der().to_vec() }
    }

    async fn give(&self, acme: &Acme) {
        let given = Integration {
            client_private_key: self.key.clone(),
            client_certificate: self.certificate.clone(),
            ..Integration::default()
        };
        let updated = acme.update_integration(given).await.unwrap();
        assert_eq!(
            (updated.client_private_key.as_str(), updated.client_certificate),
            ("", self.certificate.clone())
        );
    }
}

async fn rejected(acme: &Acme, words: &str) {
    let (_, callback) = acme.callback(&[]).await;
    let refused = completed(acme, &callback).await;
    let refusal = assert_refused(refused, Code::FailedPrecondition, "CLIENT_REJECTED");
    assert!(refusal.message.contains(words), "{}", refusal.message);
}

#[tokio::test]
async fn a_certificate_says_who_the_client_is() -> TestResult {
    let own = Identity::new();
    let known =
        Client { client_id: CLIENT_ID.to_owned(), certificate: Some(own.der.clone()), ..Client::default() };
    let quirks = Quirks { auth_methods: vec![AuthMethod::TlsClientAuth], ..Quirks::default() };
    let entry = format!("{ENTRY}token_endpoint_auth_method = \"tls_client_auth\"");
    let acme = Acme::secure(vec![known], quirks, &entry).await;
    rejected(&acme, "certificate").await;
    let other = Identity::new();
    let mixed = Identity { key: other.key.clone(), ..Identity::new() };
    mixed.give(&acme).await;
    rejected(&acme, "do not fit together").await;
    assert_eq!(acme.token_requests(), [], "nothing was sent without a certificate");
    other.give(&acme).await;
    rejected(&acme, "invalid_client").await;
    assert_eq!(acme.token_requests().len(), 1);

    own.give(&acme).await;
    acme.connect(&[]).await;
    acme.force().await?;
    for request in &acme.token_requests()[2..] {
        assert_eq!((request.form["client_id"].as_str(), &request.authorization), (CLIENT_ID, &None));
        let proofs = ["client_secret", "client_assertion"];
        assert!(proofs.iter().all(|name| !request.form.contains_key(*name)), "{request:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_comes_besides_a_secret_where_the_entry_wants_both() -> TestResult {
    let own = Identity::new();
    let known = Client { certificate: Some(own.der.clone()), ..client() };
    let quirks = || Quirks { certificate_required: true, ..Quirks::default() };
    let acme = Acme::secure(vec![known.clone()], quirks(), ENTRY).await;
    own.give(&acme).await;
    rejected(&acme, "certificate was not presented").await;

    let acme = Acme::secure(vec![known], quirks(), &format!("{ENTRY}tls_client_certificate = true")).await;
    own.give(&acme).await;
    acme.connect(&[]).await;
    assert!(acme.last_request().form.contains_key("client_secret"));
    Ok(())
}

#[tokio::test]
async fn what_is_no_certificate_is_not_stored() {
    let acme = Acme::secure(vec![client()], Quirks::default(), ENTRY).await;
    let identity = Identity::new();
    for text in ["canary", &identity.key, &format!("{}{}", identity.certificate, identity.key)] {
        let given = Integration { client_certificate: text.to_owned(), ..Integration::default() };
        let refused = acme.update_integration(given).await;
        let refusal = assert_refused(refused, Code::InvalidArgument, "FIELD_INVALID");
        assert!(refusal.fields[0].ends_with("client_certificate"), "{refusal:?}");
    }
}
