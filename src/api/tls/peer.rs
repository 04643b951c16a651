//! What certificates say.

use std::{ops::Range, sync::Arc};

use rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::model::{Identity, OffsetDateTime};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Peer(Option<Arc<[Identity]>>);

impl Peer {
    /// Somebody who has this certificate, which was verified.
    pub(super) fn new(certificate: &CertificateDer<'_>) -> Self {
        Self(Some(names(certificate).into()))
    }

    /// The names in the certificate, if there is one.
    pub(in crate::api) fn names(&self) -> Option<Arc<[Identity]>> {
        self.0.clone()
    }
}

/// When the first of these certificates counts.
pub(super) fn validity(chain: &[CertificateDer<'_>]) -> Option<Range<OffsetDateTime>> {
    let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
    let validity = certificate.validity();
    Some(validity.not_before.to_datetime()..validity.not_after.to_datetime())
}

/// The names by which a certificate says whose it is.
fn names(certificate: &CertificateDer<'_>) -> Vec<Identity> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let (mut uris, mut names) = (Vec::new(), Vec::new());
    for name in &extension.value.general_names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(name) => names.push(Identity::dns(name)),
            _ => {}
        }
    }
    // One that has a SPIFFE ID has no other URI (X.509-SVID, section 2).
    if let [uri] = uris[..] {
        names.extend(Identity::spiffe(uri));
    }
    names
}
