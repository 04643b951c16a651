//! The signature of Begin: verified over the message itself, before the handler sees it.

use std::{
    io::Read as _,
    task::{Context, Poll},
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use prost::Message as _;
use tonic::body::Body;
use tower::{Layer, Service};

use super::{super::convert::string_map, super::pb::auth::v1::BeginRequest, Answer, method, refuse};
use crate::{
    flow::Flows,
    model::{Caller, Error, Proven, Result, Signature, Signed},
};

const BEGIN: &str = "/tokenwell.auth.v1.AuthService/Begin";
/// Compression flag and length (gRPC over HTTP/2, Length-Prefixed-Message).
const PREFIX_BYTES: usize = 5;

/// Lets a Begin through only if the project's settings are content with its signature.
#[derive(Debug, Clone)]
pub struct SignatureLayer {
    flows: Flows,
    limit: usize,
}

/// The layer's service.
#[derive(Debug, Clone)]
pub struct SignatureCheck<S> {
    inner: S,
    flows: Flows,
    limit: usize,
}

/// Proof that a Begin went through this layer: only this module makes one, and the handler asks for it.
#[derive(Debug, Clone)]
pub struct SignatureVerified {
    proven: Proven,
}

impl SignatureVerified {
    /// What the signature proves.
    pub(in crate::api) fn proven(&self) -> &Proven {
        &self.proven
    }
}

impl SignatureLayer {
    /// A layer for messages of at most `limit` bytes.
    #[must_use]
    pub fn new(flows: Flows, limit: usize) -> Self {
        Self { flows, limit }
    }
}

impl<S> Layer<S> for SignatureLayer {
    type Service = SignatureCheck<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SignatureCheck { inner, flows: self.flows.clone(), limit: self.limit }
    }
}

impl<S> Service<Request<Body>> for SignatureCheck<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if method(&request) != BEGIN {
            return Box::pin(inner.call(request));
        }
        let (flows, limit) = (self.flows.clone(), self.limit);
        Box::pin(async move {
            match verify(&flows, request, limit).await {
                Ok(request) => inner.call(request).await,
                Err(error) => Ok(refuse(&error)),
            }
        })
    }
}

async fn verify(flows: &Flows, request: Request<Body>, limit: usize) -> Result<Request<Body>> {
    let (mut parts, body) = request.into_parts();
    let body = Limited::new(body, limit + PREFIX_BYTES).collect().await;
    let frame = body.map_err(|_| too_large(limit))?.to_bytes();
    let gzip = parts.headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
    let message = message(&frame, gzip, limit)?;
    let begin = BeginRequest::decode(message).map_err(|_| malformed())?;
    let caller = parts.extensions.get::<Caller>();
    let caller = caller.ok_or_else(|| Error::internal("a Begin came to its signature without a caller"))?;
    let proven = check(flows, caller, begin).await?;
    parts.extensions.insert(SignatureVerified { proven });
    Ok(Request::from_parts(parts, Body::new(Full::new(frame))))
}

/// The message in the frame, decompressed if it was compressed.
fn message(frame: &Bytes, gzip: bool, limit: usize) -> Result<Bytes> {
    let (prefix, message) = frame.split_first_chunk::<PREFIX_BYTES>().ok_or_else(malformed)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if usize::try_from(length) != Ok(message.len()) {
        return Err(malformed());
    }
    match prefix[0] {
        0 => Ok(frame.slice(PREFIX_BYTES..)),
        1 if gzip => {
            let mut plain = Vec::new();
            let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            GzDecoder::new(message).take(bound).read_to_end(&mut plain).map_err(|_| malformed())?;
            if plain.len() > limit { Err(too_large(limit)) } else { Ok(plain.into()) }
        }
        _ => Err(malformed()),
    }
}

async fn check(flows: &Flows, caller: &Caller, begin: BeginRequest) -> Result<Proven> {
    let settings = flows.get_settings(caller.project_id()).await?;
    if begin.signature.is_empty() {
        return if settings.hmac_required { Err(Error::SignatureMissing) } else { Ok(Proven::Nothing) };
    }
    if settings.hmac_keys.is_empty() {
        return Ok(Proven::Nothing);
    }
    let signature = Signature::parse(&begin.signature).ok_or(Error::SignatureInvalid)?;
    if settings.hmac_refuse_v1 && matches!(signature, Signature::V1(_)) {
        return Err(Error::SignatureInvalid);
    }
    let signed = Signed {
        project_id: caller.project_id().as_str(),
        integration_id: &begin.integration_id,
        connection_id: &begin.connection_id,
        connection_config: &string_map(begin.connection_config),
        authorization_params: &string_map(begin.authorization_params),
        scopes: &begin.scopes,
        user_scopes: &begin.user_scopes,
        return_url: &begin.return_url,
    };
    let lifetime = settings.hmac_max_lifetime();
    let valid = signature.verify(&signed, &settings.hmac_keys, lifetime, flows.now());
    if valid { Ok(signature.proves()) } else { Err(Error::SignatureInvalid) }
}

fn malformed() -> Error {
    Error::field("request", "is not one gRPC message")
}

fn too_large(limit: usize) -> Error {
    Error::field("request", format!("is too large: expected at most {limit} bytes"))
}
