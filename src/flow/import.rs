//! Import: connections that are made of credentials which somebody already has.

use super::{
    Flows,
    config::config_of,
    failure::{client_failed, credentials_failed, unsupported},
    token::token_set,
};
use crate::{
    model::{
        Config, ConnectionId, Error, ExposeSecret as _, GrantType, Integration, IntegrationId, Metadata,
        OffsetDateTime, OwnClient, ProjectId, Result, SecretMap, SecretString, Secrets, StringMap, TokenSet,
        check_scopes, uuid_v7,
    },
    oauth::{Registration, jwt_expiry},
    provider::{AuthMethod, Provider, Source},
    store::NewGrant,
};

/// The longest secret that a provider is known to issue is a fraction of this.
const MAX_SECRET_BYTES: usize = 16 * 1024;

/// A connection to be made. It holds secrets, so it has no `Debug`.
pub struct ImportInput {
    /// The integration.
    pub integration_id: IntegrationId,
    /// The connection, if the caller names it.
    pub connection_id: Option<ConnectionId>,
    /// Config, as given.
    pub connection_config: StringMap,
    /// Metadata to store, if any.
    pub metadata: Option<Metadata>,
    /// What it is made of.
    pub credentials: ImportedCredentials,
}

/// Credentials that somebody already has.
pub enum ImportedCredentials {
    /// Tokens of OAuth 2.0.
    OAuth2 {
        /// The access token. None: the refresh token gets one.
        access_token: Option<SecretString>,
        /// Its type.
        token_type: String,
        /// When it expires.
        expire_time: Option<OffsetDateTime>,
        /// The refresh token.
        refresh_token: Option<SecretString>,
        /// The scopes granted.
        scopes: Vec<String>,
    },
    /// A client that speaks for itself.
    ClientCredentials {
        /// The client, if it is not the integration's.
        client: Option<OwnClient>,
        /// The scopes to ask for, if not the integration's.
        scopes: Vec<String>,
    },
    /// A token of OAuth 1.0a.
    OAuth1 {
        /// The token.
        token: SecretString,
        /// Its shared secret.
        token_secret: SecretString,
    },
    /// A key.
    ApiKey(SecretString),
    /// A user name and a password.
    Basic {
        /// The user name.
        username: SecretString,
        /// The password.
        password: SecretString,
    },
}

/// What is stored of them.
struct Held {
    tokens: TokenSet,
    secrets: Secrets,
    scopes: Vec<String>,
}

// === impl ImportedCredentials ===

impl ImportedCredentials {
    /// How connections with such credentials are made.
    #[must_use]
    pub fn grant_type(&self) -> GrantType {
        match self {
            Self::OAuth2 { .. } => GrantType::AuthorizationCode,
            Self::ClientCredentials { .. } => GrantType::ClientCredentials,
            Self::OAuth1 { .. } => GrantType::OAuth1,
            Self::ApiKey(_) => GrantType::ApiKey,
            Self::Basic { .. } => GrantType::Basic,
        }
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretString)> {
        match self {
            Self::OAuth2 { access_token, refresh_token, .. } => {
                let access_token = access_token.as_ref().map(|token| ("oauth2.access_token", token));
                let refresh_token = refresh_token.as_ref().map(|token| ("oauth2.refresh_token", token));
                access_token.into_iter().chain(refresh_token).collect()
            }
            Self::ClientCredentials { client, .. } => {
                let secret = client.as_ref().map(|client| &client.client_secret);
                secret.map(|secret| ("client_credentials.client_secret", secret)).into_iter().collect()
            }
            Self::OAuth1 { token, token_secret } => {
                vec![("oauth1.oauth_token", token), ("oauth1.oauth_token_secret", token_secret)]
            }
            Self::ApiKey(key) => vec![("api_key.api_key", key)],
            Self::Basic { username, password } => {
                vec![("basic.username", username), ("basic.password", password)]
            }
        }
    }

    fn check(&self) -> Result<()> {
        for (field, secret) in self.secrets() {
            let secret = secret.expose_secret();
            let password = field == "basic.password";
            let unfit = secret.chars().any(char::is_control) || (secret.is_empty() && !password);
            if unfit || secret.len() > MAX_SECRET_BYTES {
                return Err(Error::field(
                    format!("credentials.{field}"),
                    "is malformed: expected at most 16,384 bytes without control characters, and more than none",
                ));
            }
        }
        match self {
            Self::OAuth2 { access_token: None, refresh_token: None, .. } => Err(Error::field(
                "credentials.oauth2",
                "holds no token: give an access token, a refresh token, or both",
            )),
            Self::OAuth2 { token_type, .. } if !is_token_type(token_type) => Err(Error::field(
                "credentials.oauth2.token_type",
                "is malformed: expected at most 64 printable ASCII characters without spaces",
            )),
            Self::OAuth2 { scopes, .. } => {
                check_scopes(scopes).map_err(|problem| Error::field("credentials.oauth2.scopes", problem))
            }
            Self::ClientCredentials { client, scopes } => {
                if client.as_ref().is_some_and(|client| !is_client_id(&client.client_id)) {
                    return Err(Error::field(
                        "credentials.client_credentials.client_id",
                        "is malformed: expected 1 to 1,024 printable ASCII characters",
                    ));
                }
                check_scopes(scopes)
                    .map_err(|problem| Error::field("credentials.client_credentials.scopes", problem))
            }
            _ => Ok(()),
        }
    }
}

/// Whether this may be handed out as a token's type (RFC 6749, appendix A.13). None is `Bearer`.
fn is_token_type(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether this may be a client's id, as for an integration (RFC 6749, appendix A.1).
fn is_client_id(text: &str) -> bool {
    (1..=1024).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

// === impl Flows ===

impl Flows {
    /// Makes a connection of credentials, or gives an existing one new ones. Proves them first where the provider's entry
    /// says how. Gives the connection's id.
    pub async fn import(&self, project: &ProjectId, input: ImportInput) -> Result<ConnectionId> {
        let integration = self.integration_of(project, &input.integration_id).await?;
        let provider = self.provider(&integration)?;
        let grant_type = input.credentials.grant_type();
        if !provider.grant_types().contains(&grant_type) {
            return Err(unsupported(&provider, grant_type.as_str()));
        }
        input.credentials.check()?;
        let keyed = matches!(provider.auth_method(), AuthMethod::PrivateKeyJwt | AuthMethod::TlsClientAuth);
        if let (true, ImportedCredentials::ClientCredentials { client: Some(_), .. }) =
            (keyed, &input.credentials)
        {
            return Err(Error::field(
                "credentials.client_credentials.client_id",
                "cannot be another one: the provider's clients authenticate with the integration's key",
            ));
        }
        let config = self.import_config(project, &provider, &input).await?;
        let connection_id = match input.connection_id.clone() {
            Some(id) => id,
            None => ConnectionId::parse(&uuid_v7(self.random(), self.now())?.to_string())?,
        };
        let flows = self.clone();
        // A token that was fetched for it must not be lost because the caller has gone.
        self.owned(async move {
            flows.import_owned(&integration, &provider, &connection_id, input, config).await?;
            Ok(connection_id)
        })
        .await
    }

    /// The config of a connection that is there already stays, but for the keys that are given.
    async fn import_config(
        &self,
        project: &ProjectId,
        provider: &Provider,
        input: &ImportInput,
    ) -> Result<Config> {
        let Some(id) = &input.connection_id else { return provider.read_config(&input.connection_config) };
        match self.store().get_credentials(project, &input.integration_id, id).await {
            Ok(Some((connection, credentials))) => {
                provider.update_config(&config_of(&connection, &credentials), &input.connection_config)
            }
            // Credentials that do not open are to be replaced, and their config with them.
            Ok(None) | Err(Error::Internal(_)) => provider.read_config(&input.connection_config),
            Err(error) => Err(error),
        }
    }

    async fn import_owned(
        &self,
        integration: &Integration,
        provider: &Provider,
        connection_id: &ConnectionId,
        input: ImportInput,
        mut config: Config,
    ) -> Result<()> {
        let grant_type = input.credentials.grant_type();
        let begun = config.clone();
        let registration = Registration { provider, integration, config: &begun };
        let mut held = match input.credentials {
            ImportedCredentials::ClientCredentials { client, scopes } => {
                self.fetched(registration, client, scopes, &mut config).await?
            }
            credentials => {
                self.proven(registration, &credentials).await?;
                self.held(credentials)
            }
        };
        if grant_type.is_oauth() && held.tokens.valid(self.now()) {
            let granted = config.clone();
            let registration = Registration { config: &granted, ..registration };
            self.look_up(registration, &held.tokens.access_token, &mut config).await?;
        }
        held.secrets.config = config.secrets;
        let new = NewGrant {
            project_id: &integration.project_id,
            integration_row_id: integration.row_id,
            integration_id: &integration.id,
            provider_id: &integration.provider_id,
            connection_id,
            grant_type,
            metadata: input.metadata.as_ref(),
            config: &config.values,
            secrets: &held.secrets,
            granted_scopes: &held.scopes,
            requested_scopes: &[],
            tokens: &held.tokens,
            due_time: self.due_time(provider, grant_type, &held.tokens)?,
            flow_id: None,
            may_replace: true,
            account: &[],
        };
        self.store().put_grant(&new, self.now()).await.map(drop)
    }

    /// Gets the first token of a client that speaks for itself, which proves the client.
    async fn fetched(
        &self,
        registration: Registration<'_>,
        client: Option<OwnClient>,
        scopes: Vec<String>,
        config: &mut Config,
    ) -> Result<Held> {
        let Registration { provider, integration, .. } = registration;
        let own = client.as_ref().map(|client| integration.clone().with_client(client));
        let registration = Registration { integration: own.as_ref().unwrap_or(integration), ..registration };
        let defaults = provider.client_credentials_scopes();
        let choices = [scopes.as_slice(), &integration.scopes, defaults];
        let scopes = choices.into_iter().find(|scopes| !scopes.is_empty()).unwrap_or_default().to_vec();
        let asked = self.now();
        let grant = self.oauth().client_credentials(registration, &scopes).await;
        if own.is_none() {
            self.client_met(registration, grant.as_ref().err()).await;
        }
        let grant = grant.map_err(|failure| match own {
            Some(_) => credentials_failed(failure, provider),
            None => client_failed(failure, provider),
        })?;
        let captured = provider.capture(Source::TokenResponse(grant.answer()), config);
        captured.map_err(|unfit| unfit.in_response(provider))?;
        Ok(Held {
            tokens: token_set(provider, GrantType::ClientCredentials, &grant, None, self.since(asked)),
            secrets: Secrets { client, asked_scopes: scopes.clone(), ..Secrets::default() },
            scopes: grant.scopes.unwrap_or(scopes),
        })
    }

    /// Makes the request that the entry declares as their proof.
    async fn proven(&self, registration: Registration<'_>, credentials: &ImportedCredentials) -> Result<()> {
        let provider = registration.provider;
        let named = match credentials {
            ImportedCredentials::ApiKey(key) => vec![("api_key", key)],
            ImportedCredentials::Basic { username, password } => {
                vec![("username", username), ("password", password)]
            }
            _ => return Ok(()),
        };
        let named: SecretMap =
            named.into_iter().map(|(name, secret)| (name.to_owned(), secret.clone())).collect();
        let Some(request) = provider.verification(registration.config, &named)? else { return Ok(()) };
        let proven = self.oauth().verify(registration, request).await;
        if proven.map_err(|failure| client_failed(failure, provider))? {
            return Ok(());
        }
        Err(Error::CredentialsRejected { provider: provider.id().clone(), description: None })
    }

    fn held(&self, credentials: ImportedCredentials) -> Held {
        let mut secrets = Secrets::default();
        let mut granted = Vec::new();
        let mut tokens = TokenSet {
            access_token: SecretString::default(),
            token_type: String::new(),
            expire_time: None,
            refresh_token: None,
            refresh_token_expire_time: None,
        };
        match credentials {
            ImportedCredentials::OAuth2 { access_token, token_type, expire_time, refresh_token, scopes } => {
                let expire_time = expire_time.or_else(|| jwt_expiry(access_token.as_ref()?));
                // What is not there, or may have expired unseen, counts as expired where the first Get can renew it.
                let unknown = access_token.is_none() || (expire_time.is_none() && refresh_token.is_some());
                tokens.expire_time = if unknown { Some(self.now()) } else { expire_time };
                tokens.access_token = access_token.unwrap_or_default();
                tokens.token_type = if token_type.is_empty() { "Bearer".to_owned() } else { token_type };
                tokens.refresh_token = refresh_token;
                granted = scopes;
            }
            ImportedCredentials::OAuth1 { token, token_secret } => {
                tokens.access_token = token;
                "OAuth".clone_into(&mut tokens.token_type);
                secrets.token_secret = Some(token_secret);
            }
            ImportedCredentials::ApiKey(key) => tokens.access_token = key,
            ImportedCredentials::Basic { username, password } => {
                tokens.access_token = password;
                secrets.username = Some(username);
            }
            ImportedCredentials::ClientCredentials { client, .. } => secrets.client = client,
        }
        Held { tokens, secrets, scopes: granted }
    }
}
