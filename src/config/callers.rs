//! Who may call, and how they are known.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// TLS on the gRPC listener.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS of the gRPC listener")]
pub struct TlsArgs {
    /// The certificate of the gRPC listener, PEM, followed by those between it and its authority. With it, the listener speaks
    /// TLS 1.2 or newer, and nothing else. This file and the next three are read again when they change, and on SIGHUP: what
    /// has a fault ends the start, but not a running server, which reports it and stays with the last good ones.
    #[arg(long, env = "TOKENWELL_GRPC_TLS_CERT_FILE", value_name = "FILE")]
    pub grpc_tls_cert_file: Option<PathBuf>,

    /// The private key of that certificate, PEM: PKCS #8, PKCS #1 or SEC 1.
    #[arg(long, env = "TOKENWELL_GRPC_TLS_KEY_FILE", value_name = "FILE")]
    pub grpc_tls_key_file: Option<PathBuf>,

    /// The authorities of clients' certificates, PEM. With it, a client is asked for its certificate, and one that shows a wrong
    /// one is turned away. Who has which name is said in the `--callers-file`.
    #[arg(long, env = "TOKENWELL_GRPC_CLIENT_CA_FILE", value_name = "FILE")]
    pub grpc_client_ca_file: Option<PathBuf>,

    /// The lists of certificates that those authorities have revoked (CRLs), PEM: one of each authority that has issued a
    /// certificate below itself.
    #[arg(long, env = "TOKENWELL_GRPC_CLIENT_CRL_FILE", value_name = "FILE")]
    pub grpc_client_crl_file: Option<PathBuf>,

    /// Whether a client must have a certificate, or may show something else.
    #[arg(long, env = "TOKENWELL_GRPC_CLIENT_AUTH", default_value = "optional", value_name = "WHETHER")]
    pub grpc_client_auth: ClientAuth,
}

/// Whether a client must have a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ClientAuth {
    /// One without is known by its API key or token.
    #[default]
    Optional,
    /// One without is turned away.
    Required,
}

/// Callers without API keys.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Callers")]
pub struct CallerArgs {
    /// A TOML file of callers that are known by their certificate or by a token of an issuer, each with its project and
    /// permissions. It is read again when it changes, and on SIGHUP: one with a fault ends the start, but not a running server,
    /// which reports it and stays with the last good one.
    #[arg(long, env = "TOKENWELL_CALLERS_FILE", value_name = "FILE")]
    pub callers_file: Option<PathBuf>,
}
