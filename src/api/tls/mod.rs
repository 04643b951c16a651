//! TLS on the gRPC listener: certificates that are replaced while it serves, and what a client's certificate says.

mod peer;
mod wire;

use std::sync::Arc;

pub(super) use peer::Peer;
use rustls::{
    InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
    version::{TLS12, TLS13},
};
use tokio::sync::watch;
pub(super) use wire::secured;

use crate::model::{Clock, OffsetDateTime};

/// What the files of the listener hold, PEM.
#[derive(Clone, Copy)]
pub struct TlsPems<'a> {
    /// The listener's certificate, and those between it and its authority.
    pub certificate: &'a [u8],
    /// Its private key.
    pub key: &'a [u8],
    /// The authorities of clients' certificates. Without them, none is asked for.
    pub authorities: Option<&'a [u8]>,
    /// The lists of certificates that they have revoked.
    pub revocations: Option<&'a [u8]>,
}

/// One of those files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The listener's certificate.
    Certificate,
    /// Its private key.
    Key,
    /// The authorities.
    Authorities,
    /// The revocations.
    Revocations,
}

/// What is wrong with one of them. It never says what the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsFault {
    /// Which.
    pub file: TlsFile,
    /// What is wrong, and what is expected.
    pub problem: &'static str,
}

/// The TLS of a listener. Clones are the same.
#[derive(Debug, Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    present: watch::Sender<Arc<Setup>>,
    /// Whether a client must have a certificate.
    required: bool,
    clock: Arc<dyn Clock>,
}

/// What connections are made with, at one time.
#[derive(Debug)]
struct Setup {
    config: Arc<ServerConfig>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// The server's time, as rustls asks for it.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

// === impl TlsFault ===

impl TlsFault {
    fn new(file: TlsFile, problem: &'static str) -> Self {
        Self { file, problem }
    }
}

// === impl Tls ===

impl Tls {
    /// TLS with these files. `required` says whether a client must have a certificate, where it may have one.
    pub fn new(pems: TlsPems<'_>, required: bool, clock: Arc<dyn Clock>) -> Result<Self, TlsFault> {
        let setup = Setup::new(pems, required, &clock)?;
        Ok(Self { inner: Arc::new(Inner { present: watch::Sender::new(Arc::new(setup)), required, clock }) })
    }

    /// Puts other files in the place of the present ones. Connections go on, but for those of clients whose certificate no
    /// longer counts.
    pub fn replace(&self, pems: TlsPems<'_>) -> Result<(), TlsFault> {
        let Inner { present, required, clock } = &*self.inner;
        present.send_replace(Arc::new(Setup::new(pems, *required, clock)?));
        Ok(())
    }

    fn present(&self) -> Arc<Setup> {
        self.inner.present.borrow().clone()
    }
}

// === impl Setup ===

impl Setup {
    fn new(pems: TlsPems<'_>, required: bool, clock: &Arc<dyn Clock>) -> Result<Self, TlsFault> {
        let provider = Arc::new(ring::default_provider());
        let key = certified(pems, &provider, clock.now())?;
        let clients = clients(pems, required, &provider)?;
        let builder = ServerConfig::builder_with_details(provider, Arc::new(Time(clock.clone())));
        let builder = builder
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| TlsFault::new(TlsFile::Certificate, "no version of TLS can be spoken with it"))?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A session that is resumed would bring its certificate along unverified.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), clients })
    }

    /// Whether a client's certificate counts.
    fn takes(&self, chain: &[CertificateDer<'_>], now: OffsetDateTime) -> bool {
        let Some((clients, (certificate, between))) = self.clients.as_ref().zip(chain.split_first()) else {
            return false;
        };
        unix(now).is_some_and(|now| clients.verify_client_cert(certificate, between, now).is_ok())
    }
}

fn certified(
    pems: TlsPems<'_>,
    provider: &CryptoProvider,
    now: OffsetDateTime,
) -> Result<CertifiedKey, TlsFault> {
    let fault = |problem| TlsFault::new(TlsFile::Certificate, problem);
    let chain = certificates(pems.certificate).map_err(fault)?;
    let validity =
        peer::validity(&chain).ok_or(fault("its first certificate is not an X.509 certificate"))?;
    if now < validity.start {
        return Err(fault("its certificate is not valid yet"));
    }
    if validity.end <= now {
        return Err(fault("its certificate has expired"));
    }
    let fault = |problem| TlsFault::new(TlsFile::Key, problem);
    let key = PrivateKeyDer::from_pem_slice(pems.key)
        .map_err(|_| fault("it holds no private key; expected PEM: PKCS #8, PKCS #1 or SEC 1"))?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| fault("its key cannot sign; expected RSA, P-256, P-384 or Ed25519"))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => Err(fault("its key is not that of the certificate")),
    }
}

fn clients(
    pems: TlsPems<'_>,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsFault> {
    let Some(authorities) = pems.authorities else { return Ok(None) };
    let fault = |problem| TlsFault::new(TlsFile::Authorities, problem);
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities).map_err(fault)? {
        roots.add(authority).map_err(|_| fault("one of its certificates cannot be an authority"))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if let Some(revocations) = pems.revocations {
        let fault =
            TlsFault::new(TlsFile::Revocations, "it holds no list of revoked certificates; expected PEM");
        let lists = CertificateRevocationListDer::pem_slice_iter(revocations).collect::<Result<Vec<_>, _>>();
        // An empty file would revoke nothing, and nobody would know.
        builder = builder.with_crls(lists.ok().filter(|lists| !lists.is_empty()).ok_or(fault)?);
    }
    if !required {
        builder = builder.allow_unauthenticated();
    }
    let unusable =
        TlsFault::new(TlsFile::Revocations, "one of its lists is not a list of revoked certificates");
    builder.build().map(Some).map_err(|_| unusable)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    found.ok().filter(|found| !found.is_empty()).ok_or("it holds no certificate; expected PEM")
}

fn unix(time: OffsetDateTime) -> Option<UnixTime> {
    let seconds = u64::try_from(time.unix_timestamp()).ok()?;
    Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
}

// === impl Time ===

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        unix(self.0.now())
    }
}
