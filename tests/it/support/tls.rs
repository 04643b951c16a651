//! TLS in front of a provider, and a resolver that leads every host name to it: URLs stay as they are.

use std::{net::SocketAddr, sync::Arc};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{
    DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{self, CryptoProvider},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use tokenwell::sandbox::PeerCertificate;
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_rustls::TlsAcceptor;

/// Leads every name to one address.
#[derive(Debug, Clone)]
pub struct OneAddress(pub SocketAddr);

impl Resolve for OneAddress {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(async move { Ok(addresses) })
    }
}

/// Takes any certificate, or none: who may do what with it is the provider's decision. That the client has its key is
/// proved.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Serves routes over TLS as the given hosts, and tells them the certificate that a client presents. Gives the address, the authority's certificate (PEM), and the task.
pub async fn serve(router: Router, hosts: &[&str]) -> (SocketAddr, Vec<u8>, AbortHandle) {
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    serve_as(router, CertificateParams::new(names).unwrap()).await
}

/// The same, with a certificate of this kind.
pub async fn serve_as(router: Router, certificate: CertificateParams) -> (SocketAddr, Vec<u8>, AbortHandle) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();

    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let clients = Arc::new(AnyClient(Arc::new(crypto::ring::default_provider())));
    let config = rustls::ServerConfig::builder().with_client_cert_verifier(clients);
    let config = config.with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let presented = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let router = match presented {
                    Some(certificate) => router.layer(Extension(PeerCertificate(certificate.to_vec()))),
                    None => router,
                };
                let service = TowerToHyperService::new(router);
                let served = Builder::new(TokioExecutor::new());
                drop(served.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (address, authority.pem().into_bytes(), task.abort_handle())
}
