//! A certificate authority of a test.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Issues certificates, and revokes them.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub serial: SerialNumber,
}

impl Authority {
    /// An authority of this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate of this kind.
    pub fn issue(&self, mut params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let serial = SerialNumber::from(key.public_key_raw()[1..9].to_vec());
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem(), serial }
    }

    /// A certificate of a server at `localhost`.
    pub fn server(&self) -> Pair {
        self.issue(CertificateParams::new(vec!["localhost".to_owned()]).unwrap())
    }

    /// A certificate that says whose it is by these URIs and DNS names.
    pub fn client(&self, names: &[&str]) -> Pair {
        self.issue(client(names))
    }

    /// The list of those that it has revoked.
    pub fn revoked(&self, pairs: &[&Pair]) -> String {
        let revoked = |pair: &&Pair| RevokedCertParams {
            serial_number: pair.serial.clone(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: pairs.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// What a client brings who knows the server by this authority, and shows this certificate.
    pub fn brings(&self, pair: Option<&Pair>) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.pem()));
        let tls = tls.domain_name("localhost");
        match pair {
            Some(pair) => tls.identity(Identity::from_pem(&pair.certificate, &pair.key)),
            None => tls,
        }
    }
}

/// A client's certificate, not yet issued.
pub fn client(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let name = |name: &&str| {
        if name.contains("://") {
            SanType::URI((*name).try_into().unwrap())
        } else {
            SanType::DnsName((*name).try_into().unwrap())
        }
    };
    params.subject_alt_names = names.iter().map(name).collect();
    params
}
