//! Credentials: as they are handed out, and as an Import brings them.

use super::{non_empty, pb_connection, time};
use crate::{
    api::pb::{
        connection::v1::{
            ApiKeyCredentials, BasicCredentials, Connection, Credentials as PbCredentials,
            ImportClientCredentials, ImportCredentials, ImportOAuth2, OAuth1Credentials, OAuth2Credentials,
            credentials::Kind, import_credentials,
        },
        provider::v1::GrantType as PbGrantType,
    },
    flow::{Granted, ImportedCredentials},
    model::{Credentials, Error, ExposeSecret as _, GrantType, OwnClient, Result, SecretString},
};

/// A grant type on the wire.
pub(in crate::api) fn pb_grant_type(grant_type: GrantType) -> PbGrantType {
    match grant_type {
        GrantType::AuthorizationCode => PbGrantType::AuthorizationCode,
        GrantType::ClientCredentials => PbGrantType::ClientCredentials,
        GrantType::OAuth1 => PbGrantType::Oauth1,
        GrantType::ApiKey => PbGrantType::ApiKey,
        GrantType::Basic => PbGrantType::Basic,
    }
}

/// A connection on the wire, with credentials.
pub(in crate::api) fn pb_granted(granted: &Granted) -> Connection {
    let Granted { connection, credentials, .. } = granted;
    let kind = match connection.grant_type {
        GrantType::AuthorizationCode | GrantType::ClientCredentials => Kind::Oauth2(OAuth2Credentials {
            access_token: access_token(credentials),
            token_type: credentials.tokens.token_type.clone(),
            expire_time: credentials.tokens.expire_time.map(super::timestamp),
        }),
        GrantType::OAuth1 => Kind::Oauth1(OAuth1Credentials {
            oauth_token: access_token(credentials),
            oauth_token_secret: text(credentials.secrets.token_secret.as_ref()),
            oauth_consumer_key: granted.client_id.clone(),
        }),
        GrantType::ApiKey => Kind::ApiKey(ApiKeyCredentials { api_key: access_token(credentials) }),
        GrantType::Basic => Kind::Basic(BasicCredentials {
            username: text(credentials.secrets.username.as_ref()),
            password: access_token(credentials),
        }),
    };
    let secret_config = &credentials.secrets.config;
    Connection {
        credentials: Some(PbCredentials { kind: Some(kind) }),
        secret_config: secret_config
            .iter()
            .map(|(name, secret)| (name.clone(), text(Some(secret))))
            .collect(),
        ..pb_connection(connection)
    }
}

/// Credentials from the wire.
pub(in crate::api) fn imported(credentials: Option<ImportCredentials>) -> Result<ImportedCredentials> {
    use import_credentials::Kind;

    let kind = credentials.and_then(|credentials| credentials.kind);
    Ok(match kind.ok_or_else(|| Error::field("credentials", "are missing"))? {
        Kind::Oauth2(ImportOAuth2 { access_token, token_type, expire_time, refresh_token, scopes }) => {
            let field = "credentials.oauth2.expire_time";
            ImportedCredentials::OAuth2 {
                access_token: non_empty(access_token).map(Into::into),
                token_type,
                expire_time: expire_time.map(|it| time(field, it)).transpose()?,
                refresh_token: non_empty(refresh_token).map(Into::into),
                scopes,
            }
        }
        Kind::ClientCredentials(ImportClientCredentials { client_id, client_secret, scopes }) => {
            if client_id.is_empty() != client_secret.is_empty() {
                let field = if client_id.is_empty() { "client_id" } else { "client_secret" };
                let field = format!("credentials.client_credentials.{field}");
                return Err(Error::field(field, "is missing: a client has both, or neither is given"));
            }
            let client = non_empty(client_id);
            let client = client.map(|client_id| OwnClient { client_id, client_secret: client_secret.into() });
            ImportedCredentials::ClientCredentials { client, scopes }
        }
        Kind::Oauth1(OAuth1Credentials { oauth_token, oauth_token_secret, .. }) => {
            ImportedCredentials::OAuth1 { token: oauth_token.into(), token_secret: oauth_token_secret.into() }
        }
        Kind::ApiKey(ApiKeyCredentials { api_key }) => ImportedCredentials::ApiKey(api_key.into()),
        Kind::Basic(BasicCredentials { username, password }) => {
            ImportedCredentials::Basic { username: username.into(), password: password.into() }
        }
    })
}

fn access_token(credentials: &Credentials) -> String {
    text(Some(&credentials.tokens.access_token))
}

fn text(secret: Option<&SecretString>) -> String {
    secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default()
}
