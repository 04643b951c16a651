//! OpenID Connect: id tokens, and what a server tells of itself.

use axum::{extract::State, http::StatusCode, response::Response};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Client, Sandbox,
    answer::{self, Refusal},
    call::Call,
    issue::Issued,
    quirks::OpenIdQuirks,
};
use crate::model::{Duration, Error, ExposeSecret as _};

/// Everybody can read this key, and whatever it signs proves nothing. Making one would take a second of every start.
const KEY: &[u8] = include_bytes!("openid.pem");
const KEY_ID: &str = "sandbox";
const ID_TOKEN_TTL: Duration = Duration::minutes(5);

/// Tells the server's issuer and endpoints (OpenID Connect Discovery, section 4).
pub(super) async fn configuration(State(sandbox): State<Sandbox>, call: Call) -> Response {
    sandbox.memory().count(&call.path);
    answer::json(StatusCode::OK, &sandbox.configuration(&call.host))
}

/// Tells the key.
pub(super) async fn jwks(State(sandbox): State<Sandbox>, call: Call) -> Response {
    sandbox.memory().count(&call.path);
    match jwk() {
        Ok(jwk) => answer::json(StatusCode::OK, &json!({ "keys": [jwk] })),
        Err(error) => Refusal::from(error).into_response(),
    }
}

fn key() -> Result<EncodingKey, Error> {
    EncodingKey::from_rsa_pem(KEY).map_err(Error::internal)
}

fn jwk() -> Result<Jwk, Error> {
    let mut jwk = Jwk::from_encoding_key(&key()?, Algorithm::RS256).map_err(Error::internal)?;
    jwk.common.key_id = Some(KEY_ID.to_owned());
    Ok(jwk)
}

// === impl Sandbox ===

impl Sandbox {
    /// The id token that belongs to new tokens, if one does (OpenID Connect Core, section 2).
    pub(super) fn id_token(
        &self,
        client: &Client,
        issued: &Issued,
        host: &str,
    ) -> Result<Option<String>, Refusal> {
        let (Some(openid), Some(account)) = (&self.quirks().openid, &issued.account) else {
            return Ok(None);
        };
        if !openid.always && !issued.scopes.iter().any(|scope| scope == "openid") {
            return Ok(None);
        }
        let now = self.0.clock.now();
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", openid.issuer.replace("{host}", host).into());
        put("sub", account.as_str().into());
        put("aud", client.client_id.as_str().into());
        put("iat", now.unix_timestamp().into());
        put("exp", now.saturating_add(ID_TOKEN_TTL).unix_timestamp().into());
        if let Some(nonce) = &issued.nonce {
            put("nonce", nonce.as_str().into());
        }
        claims.extend(openid.claims.clone());
        let (header, key) = match client.client_secret.as_ref().filter(|_| openid.signs_with_secret) {
            Some(secret) => {
                let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
                (Header::new(Algorithm::HS256), key)
            }
            None => (Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::RS256) }, key()?),
        };
        let token = jsonwebtoken::encode(&header, &claims, &key).map_err(Error::internal)?;
        Ok(Some(token))
    }

    fn configuration(&self, host: &str) -> Value {
        let quirks = self.quirks();
        let url = |path: &str| quirks.url(host, path);
        let issuer = quirks.openid.as_ref().map(|openid| openid.issuer.replace("{host}", host));
        json!({
            "issuer": issuer,
            "authorization_endpoint": url(&quirks.authorize_path),
            "token_endpoint": url(&quirks.token_path),
            "revocation_endpoint": quirks.revoke_path.as_deref().map(url),
            "userinfo_endpoint": url(&quirks.userinfo_path),
            "jwks_uri": quirks.openid.as_ref().map(|openid| url(&openid.keys_path)),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported":
                quirks.auth_methods.iter().map(|method| method.name()).collect::<Vec<_>>(),
            "authorization_response_iss_parameter_supported": quirks.iss.is_some(),
        })
    }
}

// === impl OpenIdQuirks ===

impl OpenIdQuirks {
    /// Where the configuration is: under the issuer's path.
    pub(super) fn configuration_path(&self) -> String {
        let issuer = Url::parse(&self.issuer.replace("{host}", "host.invalid"));
        let path = issuer.as_ref().map_or("", Url::path).trim_end_matches('/');
        format!("{path}/.well-known/openid-configuration")
    }
}
