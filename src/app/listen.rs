//! Addresses: those that the server listens on, and the one that browsers see.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use url::Url;

use super::AppError;
use crate::model::is_secure;

pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, source })
}

pub(super) fn address(listener: &TcpListener) -> Result<SocketAddr, AppError> {
    listener.local_addr().map_err(|error| AppError::Serve(error.into()))
}

/// The gateway's address as browsers see it: what is given, or its own if it is on loopback.
pub(super) fn public_url(given: Option<&str>, own: SocketAddr) -> Result<String, AppError> {
    match given {
        Some(given) => check_public_url(given),
        None if own.ip().is_loopback() => Ok(format!("http://{own}")),
        None => Err(AppError::PublicUrl("is missing: only a gateway on a loopback address goes without")),
    }
}

fn check_public_url(text: &str) -> Result<String, AppError> {
    let url = Url::parse(text).map_err(|_| AppError::PublicUrl("is not a URL"))?;
    if !is_secure(&url) {
        return Err(AppError::PublicUrl("must be https, or http on a loopback address"));
    }
    if url.path() != "/"
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(AppError::PublicUrl("must be a scheme, a host and perhaps a port"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
