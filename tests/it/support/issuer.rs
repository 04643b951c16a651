//! An issuer of tokens of a test: its keys, and where they are.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::AbortHandle};

/// Serves metadata and keys, and counts who asks.
pub struct Issuer {
    pub address: SocketAddr,
    book: Arc<Mutex<Book>>,
    task: AbortHandle,
}

#[derive(Default)]
struct Book {
    documents: Map<String, Value>,
    asked: Vec<String>,
    down: bool,
}

/// A key that signs.
pub struct Signer {
    pub algorithm: Algorithm,
    key: EncodingKey,
    /// The key as an issuer tells it.
    pub jwk: Value,
}

impl Issuer {
    /// An issuer with these keys.
    pub async fn start(keys: &[&Signer]) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let router = Router::new().route("/{*path}", axum::routing::get(answer)).with_state(book.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }).abort_handle();
        let issuer = Self { address, book, task };
        let name = issuer.name();
        issuer.tell(
            ".well-known/openid-configuration",
            json!({"issuer": name, "jwks_uri": format!("{name}/keys")}),
        );
        issuer.have(keys);
        issuer
    }

    /// What its tokens name as their `iss`.
    pub fn name(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it has these keys.
    pub fn have(&self, keys: &[&Signer]) {
        self.tell("keys", json!({"keys": keys.iter().map(|it| it.jwk.clone()).collect::<Vec<_>>()}));
    }

    /// From now on this is there.
    pub fn tell(&self, path: &str, document: Value) {
        self.book.lock().unwrap().documents.insert(path.to_owned(), document);
    }

    /// Whether it fails at everything.
    pub fn set_down(&self, down: bool) {
        self.book.lock().unwrap().down = down;
    }

    /// How often this has been asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.book.lock().unwrap().asked.iter().filter(|it| *it == path).count()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(book): State<Arc<Mutex<Book>>>, Path(path): Path<String>) -> Response {
    let mut book = book.lock().unwrap();
    book.asked.push(path.clone());
    match book.documents.get(&path) {
        _ if book.down => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(document) => document.to_string().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Signer {
    /// A key of this id that signs with ES256.
    pub fn new(kid: &str) -> Self {
        Self::of(kid, Algorithm::ES256)
    }

    /// A key for this algorithm. Those of RSA are slow to make, so they are given.
    pub fn of(kid: &str, algorithm: Algorithm) -> Self {
        let made = match algorithm {
            Algorithm::ES256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Algorithm::ES384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Algorithm::EdDSA => KeyPair::generate_for(&PKCS_ED25519),
            other => panic!("{other:?} has keys of its own"),
        };
        let made = made.unwrap();
        let (pem, point) = (made.serialize_pem(), made.public_key_raw().to_vec());
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (key, jwk) = if algorithm == Algorithm::EdDSA {
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": text(&point)});
            (EncodingKey::from_ed_pem(pem.as_bytes()), jwk)
        } else {
            let (x, y) = point[1..].split_at(point.len() / 2);
            let curve = if algorithm == Algorithm::ES256 { "P-256" } else { "P-384" };
            let jwk = json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)});
            (EncodingKey::from_ec_pem(pem.as_bytes()), jwk)
        };
        Self { algorithm, key: key.unwrap(), jwk: named(jwk, kid) }
    }

    /// An RSA key, PEM.
    pub fn rsa(kid: &str, algorithm: Algorithm, pem: &str) -> Self {
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        let jwk = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        Self { algorithm, key, jwk: named(jwk, kid) }
    }

    /// Signs these parts, whatever they say.
    pub fn sign_parts(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// The header of its tokens.
    pub fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "typ": "JWT", "kid": self.jwk["kid"]})
    }

    /// Signs claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_parts(&self.header(), claims)
    }
}

fn named(mut jwk: Value, kid: &str) -> Value {
    jwk["kid"] = kid.into();
    jwk["use"] = "sig".into();
    jwk
}
