//! Why a server does not start.

use std::{net::SocketAddr, path::PathBuf};

use crate::{model::Error, provider::Fault, store::KeyRingError};

/// Why a server did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The sealing keys.
    #[error("{0}")]
    Keys(#[from] KeyRingError),
    /// PostgreSQL without a key: the replicas need the same one, so none is made.
    #[error(
        "there is no sealing key: give TOKENWELL_SEALING_KEYS or --sealing-key-file; `tokenwell keys generate-sealing-key` makes one"
    )]
    NoKeys,
    /// A database without its key.
    #[error("{} is gone, but the database that it opens is there: put it back", .0.display())]
    KeyFileGone(PathBuf),
    /// The catalog.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Catalog(Vec<Fault>),
    /// The public URL.
    #[error("the public URL {0}")]
    PublicUrl(&'static str),
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A file of the gRPC listener's TLS.
    #[error("{}: {problem}", path.display())]
    Tls {
        /// Which.
        path: PathBuf,
        /// What is wrong. Never what the file holds.
        problem: String,
    },
    /// Flags of it that need others.
    #[error("{0}")]
    TlsArgs(&'static str),
    /// The callers file.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Callers(Vec<Fault>),
    /// A listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A command that needs a database was pointed at none.
    #[error("there is no database at {}: check --data-dir, or start the server once", .0.display())]
    NoDatabase(PathBuf),
    /// The schema is old.
    #[error("the database's schema is old (migrations missing: {0}): run `tokenwell migrate`")]
    OldSchema(usize),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("{}", chain(.0))]
    Domain(#[from] Error),
}

/// A domain error as an operator needs it: with its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
