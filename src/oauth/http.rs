//! The way out of the house: one HTTP client for every call to a provider, with all its limits.

use std::{error::Error as _, sync::Arc, time::Duration};

use oauth2::http::{HeaderMap, StatusCode};
use reqwest::{Certificate, Identity, dns::Resolve, redirect::Policy};

use super::Failure;
use crate::model::{Error, ExposeSecret as _, Result, SecretString};

/// How long a call to a provider may take in all. Leases outlast it.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest answer of a token endpoint, after decompression.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// The largest answer of another endpoint.
pub(super) const MAX_METADATA_BYTES: usize = 1024 * 1024;

/// What differs between deployments and tests.
#[derive(Clone)]
pub struct HttpOptions {
    /// How long a call may take in all.
    pub timeout: Duration,
    /// Further certificate authorities, PEM, for providers behind a private one.
    pub extra_roots: Vec<Vec<u8>>,
    /// How host names become addresses, if not by the system.
    pub resolver: Option<Arc<dyn Resolve>>,
}

/// The only HTTP client that leaves the house.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    options: HttpOptions,
}

/// An answer, read whole. It may hold tokens, so it has no `Debug`.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: zeroize::Zeroizing<Vec<u8>>,
}

// === impl HttpOptions ===

impl Default for HttpOptions {
    fn default() -> Self {
        Self { timeout: REQUEST_TIMEOUT, extra_roots: Vec::new(), resolver: None }
    }
}

impl std::fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpOptions").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

// === impl HttpClient ===

impl HttpClient {
    /// Builds the client: no redirects (a token request must reach the pinned host or nobody), no proxy of the
    /// environment, no `Referer`, bounded times.
    pub fn new(options: &HttpOptions) -> Result<Self> {
        // Another part of the process may have chosen the same provider already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = builder(options)?.build().map_err(Error::internal)?;
        Ok(Self { client, options: options.clone() })
    }

    /// The same client, with a certificate of its own (RFC 8705). It is made anew for each call, which is rare.
    pub(super) fn with_identity(&self, key: &SecretString, certificate: &str) -> Result<Self, Failure> {
        let pem = zeroize::Zeroizing::new(format!("{}\n{certificate}", key.expose_secret()));
        let unusable =
            || Failure::unusable("the integration's certificate and private key do not fit together");
        let identity = Identity::from_pem(pem.as_bytes()).map_err(|_| unusable())?;
        let builder = builder(&self.options).map_err(|error| Failure::own_fault(&error))?;
        let client = builder.identity(identity).build().map_err(|_| unusable())?;
        Ok(Self { client, options: self.options.clone() })
    }

    /// Sends a request that is not one for tokens, with the same limits.
    pub async fn fetch(&self, request: oauth2::HttpRequest) -> Result<oauth2::HttpResponse, Failure> {
        let mut answer = self.send(request).await?;
        let mut response = oauth2::HttpResponse::new(std::mem::take(&mut *answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// Gets what is there, without credentials.
    pub(super) async fn get(&self, url: &str, limit: usize) -> Result<Answer, Failure> {
        let mut request = oauth2::HttpRequest::new(Vec::new());
        *request.uri_mut() =
            url.parse().map_err(|_| Failure::unsent("no request could be made of its address"))?;
        self.send_up_to(request, limit).await
    }

    /// Sends a token request and reads the whole answer, up to the limit.
    pub(super) async fn send(&self, request: oauth2::HttpRequest) -> Result<Answer, Failure> {
        self.send_up_to(request, MAX_BODY_BYTES).await
    }

    /// Sends a request and reads of its answer what comes before the body.
    pub(super) async fn send_unread(
        &self,
        request: oauth2::HttpRequest,
    ) -> Result<(StatusCode, HeaderMap), Failure> {
        let request = request.try_into().map_err(|_| Failure::unsent("no request could be made of it"))?;
        let mut response = self.client.execute(request).await.map_err(|error| unavailable(&error))?;
        Ok((response.status(), std::mem::take(response.headers_mut())))
    }

    /// Sends a request and reads the whole answer, up to this limit.
    pub(super) async fn send_up_to(
        &self,
        request: oauth2::HttpRequest,
        limit: usize,
    ) -> Result<Answer, Failure> {
        let request = request.try_into().map_err(|_| Failure::unsent("no request could be made of it"))?;
        let mut response = self.client.execute(request).await.map_err(|error| unavailable(&error))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = zeroize::Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(&error))? {
            if body.len() + chunk.len() > limit {
                if !status.is_success() {
                    // What it is says enough.
                    body.clear();
                    break;
                }
                let failure = Failure::invalid(format!("it has more than {limit} bytes"));
                return Err(failure.with_status(status));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }
}

#[expect(clippy::disallowed_methods, reason = "the one home of the outgoing client")]
fn builder(options: &HttpOptions) -> Result<reqwest::ClientBuilder> {
    let roots = options.extra_roots.iter().map(|pem| Certificate::from_pem(pem));
    let builder = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(options.timeout)
        .user_agent(concat!("tokenwell/", env!("CARGO_PKG_VERSION")))
        .tls_certs_merge(roots.collect::<Result<Vec<_>, _>>().map_err(Error::internal)?);
    Ok(match &options.resolver {
        Some(resolver) => builder.dns_resolver(resolver.clone()),
        None => builder,
    })
}

/// What went wrong on the way, in words of ours: the error's own would name the address, which may hold secrets.
fn unavailable(error: &reqwest::Error) -> Failure {
    let tls = error.source().is_some_and(|source| format!("{source:?}").contains("Certificate"));
    let problem = if error.is_timeout() {
        "it did not answer in time"
    } else if tls {
        "its certificate could not be verified"
    } else if error.is_connect() {
        "it could not be reached"
    } else {
        "the connection to it broke"
    };
    Failure::Unavailable { problem: problem.to_owned(), retry_after: None, unclear: !error.is_connect() }
}
