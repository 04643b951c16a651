//! TLS under every host name there is, in front of the provider that is on stage.
//!
//! A certificate is made for each name when it is first asked for. Clients may present one that the same authority has
//! signed; the sandbox gets to know it.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::sign::any_ecdsa_type,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use tokenwell::sandbox::PeerCertificate;
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// The listener, and who stands behind it.
pub struct Front {
    pub address: SocketAddr,
    /// The authority's certificate (PEM).
    pub authority: Vec<u8>,
    /// A client's identity that the front believes.
    pub identity: Identity,
    stage: Arc<Mutex<Stage>>,
    task: AbortHandle,
}

/// A client's key and certificate.
pub struct Identity {
    /// PEM of PKCS#8.
    pub key: String,
    /// PEM.
    pub public_key: String,
    /// PEM.
    pub certificate: String,
    pub certificate_der: Vec<u8>,
}

/// The provider on stage.
#[derive(Default)]
struct Stage {
    router: Router,
    /// Hosts and paths that it has.
    addresses: BTreeSet<(String, String)>,
    /// What was asked for and is not there.
    strays: Vec<String>,
    /// What was asked for: method, address and query.
    seen: Vec<String>,
}

/// Certificates for every name.
struct Certificates {
    authority: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Front {
    pub async fn open() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let identity = Identity::signed_by(&authority);
        let pem = authority.pem().into_bytes();

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.der().to_vec())).unwrap();
        let clients = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build().unwrap();
        let certificates =
            Certificates { authority, key: KeyPair::generate().unwrap(), made: Mutex::default() };
        let config = ServerConfig::builder()
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(certificates));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stage = Arc::new(Mutex::new(Stage::default()));
        let router = Router::new().fallback(perform).with_state(stage.clone());
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), router));
        Self { address, authority: pem, identity, stage, task: task.abort_handle() }
    }

    /// Puts a provider on stage, in the place of the one before it.
    pub fn present(&self, router: Router, addresses: BTreeSet<(String, String)>) {
        *self.stage.lock().unwrap() = Stage { router, addresses, ..Stage::default() };
    }

    /// What was asked for that the provider does not have.
    pub fn strays(&self) -> Vec<String> {
        self.stage.lock().unwrap().strays.clone()
    }

    /// What was asked for, oldest first.
    pub fn seen(&self) -> Vec<String> {
        self.stage.lock().unwrap().seen.clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Identity {
    fn signed_by(authority: &CertifiedIssuer<'static, KeyPair>) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        Self {
            key: key.serialize_pem(),
            public_key: key.public_key_pem(),
            certificate: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
        }
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, mut router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if let Some([certificate, ..]) = stream.get_ref().1.peer_certificates() {
                router = router.layer(Extension(PeerCertificate(certificate.to_vec())));
            }
            let service = TowerToHyperService::new(router);
            let served = Builder::new(TokioExecutor::new());
            drop(served.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

/// Hands a request to the provider on stage, if it is one of its addresses.
async fn perform(State(stage): State<Arc<Mutex<Stage>>>, request: Request) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (host, path) = (host.to_owned(), request.uri().path().to_owned());
    let known = {
        let mut stage = stage.lock().unwrap();
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        stage.seen.push(format!("{} https://{host}{path}{query}", request.method()));
        let known = stage.addresses.contains(&(host.clone(), path.clone()));
        if !known {
            stage.strays.push(format!("https://{host}{path}"));
        }
        known.then(|| stage.router.clone())
    };
    match known {
        Some(router) => router.oneshot(request).await.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_owned();
        let mut made = self.made.lock().ok()?;
        if let Some(found) = made.get(&name) {
            return Some(found.clone());
        }
        let params = CertificateParams::new(vec![name.clone()]).ok()?;
        let certificate = params.signed_by(&self.key, &self.authority).ok()?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).ok()?;
        let certified = Arc::new(CertifiedKey::new(chain, any_ecdsa_type(&key).ok()?));
        made.insert(name, certified.clone());
        Some(certified)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}
