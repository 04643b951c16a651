//! The files of the gRPC listener's TLS: read at the start, and again when they change.

use std::{path::PathBuf, sync::Arc};

use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    AppError,
    follow::{self, Follower, Print},
};
use crate::{
    api::{Tls, TlsFault, TlsFile, TlsPems},
    config::{ClientAuth, TlsArgs},
    model::Clock,
};

/// Where the files are.
#[derive(Debug, Clone)]
struct TlsPaths {
    certificate: PathBuf,
    key: PathBuf,
    authorities: Option<PathBuf>,
    revocations: Option<PathBuf>,
}

type Read = Result<Zeroizing<Vec<u8>>, String>;

/// What they hold.
struct TlsReading {
    certificate: Read,
    key: Read,
    authorities: Option<Read>,
    revocations: Option<Read>,
}

/// Replaces the certificates of the listener when their files change.
#[derive(Debug)]
pub(super) struct TlsReloader {
    paths: TlsPaths,
    tls: Tls,
    follower: Follower,
}

/// The listener's TLS, if it is to have any, and what keeps it up to date.
pub(super) async fn start(
    args: &TlsArgs,
    clock: Arc<dyn Clock>,
) -> Result<Option<(Tls, TlsReloader)>, AppError> {
    let Some(paths) = TlsPaths::of(args)? else { return Ok(None) };
    let required = args.grpc_client_auth == ClientAuth::Required;
    let from = paths.clone();
    let (print, reading) =
        tokio::task::spawn_blocking(move || from.read()).await.map_err(crate::model::Error::internal)?;
    let tls = paths.with(&reading, |pems| Tls::new(pems, required, clock))?;
    let reloader = TlsReloader { paths, tls: tls.clone(), follower: Follower::new(print)? };
    Ok(Some((tls, reloader)))
}

// === impl TlsPaths ===

impl TlsPaths {
    fn of(args: &TlsArgs) -> Result<Option<Self>, AppError> {
        let TlsArgs {
            grpc_tls_cert_file, grpc_tls_key_file, grpc_client_ca_file, grpc_client_crl_file, ..
        } = args.clone();
        let required = args.grpc_client_auth == ClientAuth::Required;
        if grpc_client_ca_file.is_none() && (grpc_client_crl_file.is_some() || required) {
            return Err(AppError::TlsArgs(
                "--grpc-client-crl-file and --grpc-client-auth required need --grpc-client-ca-file",
            ));
        }
        match (grpc_tls_cert_file, grpc_tls_key_file) {
            (Some(certificate), Some(key)) => Ok(Some(Self {
                certificate,
                key,
                authorities: grpc_client_ca_file,
                revocations: grpc_client_crl_file,
            })),
            (None, None) if grpc_client_ca_file.is_none() => Ok(None),
            (None, None) => Err(AppError::TlsArgs("--grpc-client-ca-file needs --grpc-tls-cert-file")),
            _ => Err(AppError::TlsArgs("--grpc-tls-cert-file and --grpc-tls-key-file need each other")),
        }
    }

    fn read(&self) -> (Print, TlsReading) {
        let reading = TlsReading {
            certificate: follow::read(&self.certificate),
            key: follow::read(&self.key),
            authorities: self.authorities.as_deref().map(follow::read),
            revocations: self.revocations.as_deref().map(follow::read),
        };
        let TlsReading { certificate, key, authorities, revocations } = &reading;
        (follow::print([certificate, key].into_iter().chain(authorities).chain(revocations)), reading)
    }

    /// Makes something of what was read, or names the file that is at fault.
    fn with<T>(
        &self,
        reading: &TlsReading,
        make: impl FnOnce(TlsPems<'_>) -> Result<T, TlsFault>,
    ) -> Result<T, AppError> {
        let (authorities, revocations) = (reading.authorities.as_ref(), reading.revocations.as_ref());
        let pems = TlsPems {
            certificate: self.bytes(TlsFile::Certificate, &reading.certificate)?,
            key: self.bytes(TlsFile::Key, &reading.key)?,
            authorities: authorities.map(|read| self.bytes(TlsFile::Authorities, read)).transpose()?,
            revocations: revocations.map(|read| self.bytes(TlsFile::Revocations, read)).transpose()?,
        };
        make(pems).map_err(|TlsFault { file, problem }| self.fault(file, problem))
    }

    fn bytes<'a>(&self, file: TlsFile, read: &'a Read) -> Result<&'a [u8], AppError> {
        read.as_ref().map(|bytes| bytes.as_slice()).map_err(|problem| self.fault(file, problem))
    }

    fn fault(&self, file: TlsFile, problem: &str) -> AppError {
        let path = self.path(file).unwrap_or(&self.certificate).clone();
        AppError::Tls { path, problem: problem.to_owned() }
    }

    fn path(&self, file: TlsFile) -> Option<&PathBuf> {
        match file {
            TlsFile::Certificate => Some(&self.certificate),
            TlsFile::Key => Some(&self.key),
            TlsFile::Authorities => self.authorities.as_ref(),
            TlsFile::Revocations => self.revocations.as_ref(),
        }
    }
}

// === impl TlsReloader ===

impl TlsReloader {
    /// Follows the files until the server stops.
    pub(super) async fn run(self, stopping: CancellationToken) {
        let Self { paths, tls, follower } = self;
        let from = paths.clone();
        let take = move |reading: TlsReading| match paths.with(&reading, |pems| tls.replace(pems)) {
            Ok(()) => tracing::info!("reloaded the certificates of the gRPC listener"),
            Err(fault) => {
                tracing::error!(%fault, "the certificates of the gRPC listener have a fault: the last good ones stay");
            }
        };
        follower.run(move || from.read(), take, stopping).await;
    }
}
