//! The way out of the house: one HTTP client for every call to a provider, with all its limits.

use std::{
    error::Error as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use oauth2::http::{HeaderMap, StatusCode};
use reqwest::{Certificate, Identity, dns::Resolve, redirect::Policy};

use super::{
    Failure,
    guard::{self, Guard},
};
use crate::model::{Error, ExposeSecret as _, Reach, Result, SecretString};

/// How long a call to a provider may take in all. Leases outlast it.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest answer of a token endpoint, after decompression.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// The largest answer of another endpoint.
pub(super) const MAX_METADATA_BYTES: usize = 1024 * 1024;
/// The names and values of an answer's headers, together.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// What differs between deployments and tests.
#[derive(Clone)]
pub struct HttpOptions {
    /// How long a call may take in all.
    pub timeout: Duration,
    /// Further certificate authorities, PEM, for providers behind a private one.
    pub extra_roots: Vec<Vec<u8>>,
    /// How host names become addresses, if not by the system.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// Whether this machine's own addresses may be called: for development, the demo and tests.
    pub loopback: bool,
    /// Whether webhooks may be sent to private networks and to this machine.
    pub private_webhooks: bool,
}

/// The only HTTP client that leaves the house.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    reach: Reach,
    options: Arc<HttpOptions>,
    /// Those that reach further, once somebody needs them: a connection to a private network is nobody else's to use.
    further: Arc<Mutex<Vec<(Reach, reqwest::Client)>>>,
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
        Self {
            timeout: REQUEST_TIMEOUT,
            extra_roots: Vec::new(),
            resolver: None,
            loopback: false,
            private_webhooks: false,
        }
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
        let reach = Reach { private: false, loopback: options.loopback };
        let client = builder(options, reach)?.build().map_err(Error::internal)?;
        Ok(Self { client, reach, options: Arc::new(options.clone()), further: Arc::default() })
    }

    /// The same client, for a provider that may be in a private network, or may not.
    pub(super) fn to_provider(&self, private: bool) -> Result<Self, Failure> {
        self.reaching(Reach { private, loopback: self.options.loopback })
    }

    /// The same client, for webhooks.
    pub(super) fn to_webhooks(&self) -> Result<Self, Failure> {
        self.reaching(self.webhook_reach())
    }

    /// Which addresses webhooks may be sent to.
    pub(super) fn webhook_reach(&self) -> Reach {
        let private = self.options.private_webhooks;
        Reach { private, loopback: private || self.options.loopback }
    }

    /// The same client, for an issuer whose tokens callers show, and who may have certificate authorities of its own.
    pub(super) fn to_issuer(&self, private: bool, roots: impl Iterator<Item = Vec<u8>>) -> Result<Self> {
        let reach = Reach { private, loopback: self.options.loopback };
        let mut options = HttpOptions::clone(&self.options);
        options.extra_roots.extend(roots);
        let client = builder(&options, reach)?.build().map_err(Error::internal)?;
        Ok(Self { client, reach, ..self.clone() })
    }

    fn reaching(&self, reach: Reach) -> Result<Self, Failure> {
        if reach == self.reach {
            return Ok(self.clone());
        }
        let mut further = self.further.lock().unwrap_or_else(PoisonError::into_inner);
        let known = further.iter().find(|(known, _)| *known == reach).map(|(_, client)| client.clone());
        let client = if let Some(client) = known {
            client
        } else {
            let own_fault = |error| Failure::own_fault(&error);
            let builder = builder(&self.options, reach).map_err(own_fault)?;
            let client = builder.build().map_err(|error| own_fault(Error::internal(error)))?;
            further.push((reach, client.clone()));
            client
        };
        Ok(Self { client, reach, ..self.clone() })
    }

    /// The same client, with a certificate of its own (RFC 8705). It is made anew for each call, which is rare.
    pub(super) fn with_identity(&self, key: &SecretString, certificate: &str) -> Result<Self, Failure> {
        let pem = zeroize::Zeroizing::new(format!("{}\n{certificate}", key.expose_secret()));
        let unusable =
            || Failure::unusable("the integration's certificate and private key do not fit together");
        let identity = Identity::from_pem(pem.as_bytes()).map_err(|_| unusable())?;
        let builder = builder(&self.options, self.reach).map_err(|error| Failure::own_fault(&error))?;
        let client = builder.identity(identity).build().map_err(|_| unusable())?;
        Ok(Self { client, ..self.clone() })
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
        let mut response = self.execute(request).await?;
        Ok((response.status(), std::mem::take(response.headers_mut())))
    }

    /// Sends a request and reads the whole answer, up to this limit.
    pub(super) async fn send_up_to(
        &self,
        request: oauth2::HttpRequest,
        limit: usize,
    ) -> Result<Answer, Failure> {
        let mut response = self.execute(request).await?;
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

    async fn execute(&self, request: oauth2::HttpRequest) -> Result<reqwest::Response, Failure> {
        let request: reqwest::Request =
            request.try_into().map_err(|_| Failure::unsent("no request could be made of it"))?;
        guard::check(request.url(), self.reach)?;
        let response = self.client.execute(request).await.map_err(|error| unavailable(&error))?;
        let headers = response.headers().iter();
        let bytes: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > MAX_HEADER_BYTES as usize {
            let failure = Failure::invalid(format!("its headers have more than {MAX_HEADER_BYTES} bytes"));
            return Err(failure.with_status(response.status()));
        }
        Ok(response)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one home of the outgoing client")]
fn builder(options: &HttpOptions, reach: Reach) -> Result<reqwest::ClientBuilder> {
    let roots = options.extra_roots.iter().map(|pem| Certificate::from_pem(pem));
    let guard = Guard { reach, resolver: options.resolver.clone() };
    let builder = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(options.timeout)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .dns_resolver(guard)
        .user_agent(concat!("tokenwell/", env!("CARGO_PKG_VERSION")))
        .tls_certs_merge(roots.collect::<Result<Vec<_>, _>>().map_err(Error::internal)?);
    Ok(builder)
}

/// What went wrong on the way, in words of ours: the error's own would name the address, which may hold secrets.
fn unavailable(error: &reqwest::Error) -> Failure {
    if guard::was_barred(error) {
        return Failure::Barred;
    }
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
