//! Begin: from a wish to a page to open; and the opening of that page, which binds the browser.

mod check;

use check::{Asked, check};

use super::{
    Flows,
    failure::{client_failed, unsupported},
};
use crate::{
    model::{
        Caller, ConnectionId, Error, ExposeSecret as _, FLOW_TTL, Flow, GrantType, Integration,
        IntegrationId, KeyKind, Metadata, OffsetDateTime, Proven, Result, SecretString, StringMap, Uuid,
        digest, token, uuid_v7,
    },
    oauth::{Authorization, OAuthClient, Registration, RequestToken},
    provider::Provider,
    store::NewFlow,
};

/// Which account to connect, and how. Its config may hold secrets, so it has no `Debug`.
#[derive(Clone)]
pub struct BeginInput {
    /// The integration.
    pub integration_id: IntegrationId,
    /// The connection, if the caller names it.
    pub connection_id: Option<ConnectionId>,
    /// Config, as given.
    pub connection_config: StringMap,
    /// Further parameters of the authorization URL.
    pub authorization_params: StringMap,
    /// The scopes to ask for, if not the integration's.
    pub scopes: Vec<String>,
    /// The user scopes to ask for, if not the integration's.
    pub user_scopes: Vec<String>,
    /// Metadata to store, if any.
    pub metadata: Option<Metadata>,
    /// Where the browser goes afterwards.
    pub return_url: Option<String>,
    /// What its signature proves.
    pub proven: Proven,
}

/// A flow that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The flow.
    pub flow_id: Uuid,
    /// The gateway's page.
    pub connect_url: SecretString,
    /// The provider's page.
    pub authorization_url: SecretString,
    /// The connection that it will make or renew.
    pub connection_id: ConnectionId,
    /// When it expires.
    pub expire_time: OffsetDateTime,
}

/// What a browser's cookie holds: 32 random bytes as base64url.
#[derive(Debug, Clone)]
pub struct BrowserToken(SecretString);

/// The provider's page for a flow, and how its callback is known.
struct ProviderPage {
    url: SecretString,
    state: SecretString,
    request_token_secret: Option<SecretString>,
}

// === impl BrowserToken ===

impl BrowserToken {
    /// Takes a cookie's value, if it looks like one of ours.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let ours =
            value.len() == 43 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        ours.then(|| Self(value.into()))
    }

    /// What the cookie holds.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    pub(super) fn digest(&self) -> String {
        digest(self.0.expose_secret())
    }
}

// === impl Flows ===

impl Flows {
    /// Begins a flow. Whether the caller may was settled before: by the key and signature layers.
    pub async fn begin(&self, caller: &Caller, input: BeginInput) -> Result<Begun> {
        let project = caller.project_id();
        let integration = self.integration_of(project, &input.integration_id).await?;
        let provider = self.provider(&integration)?;
        let settings = self.settings_of(project).await?;
        let asked = Asked { caller, input: &input, provider: &provider, integration: &integration };
        check(&asked, &settings)?;

        let grant_type = provider.flow_grant_type().ok_or_else(|| unsupported(&provider, "a flow"))?;
        let config = provider.read_config(&input.connection_config)?;
        let now = self.now();
        let connection_id = match input.connection_id.clone() {
            Some(id) => id,
            None => ConnectionId::parse(&uuid_v7(self.random(), now)?.to_string())?,
        };
        let with_nonce = grant_type == GrantType::AuthorizationCode && provider.nonce();
        let with_pkce = grant_type == GrantType::AuthorizationCode && provider.pkce();
        let connect_token = token(self.random())?;
        let mut flow = Flow {
            id: uuid_v7(self.random(), now)?,
            project_id: project.clone(),
            integration_row_id: integration.row_id,
            integration_id: integration.id.clone(),
            connection_id,
            provider_id: integration.provider_id.clone(),
            redirect_uri: self.callback_url(&settings, project, &integration.id),
            code_verifier: with_pkce.then(|| token(self.random())).transpose()?,
            grant_type,
            request_token_secret: None,
            nonce: with_nonce.then(|| token(self.random())).transpose()?,
            config,
            scopes: scopes(&input, &integration, &provider),
            metadata: input.metadata.clone(),
            return_url: input.return_url.clone(),
            completion: settings.completion,
            may_replace: caller.kind() == KeyKind::Secret || input.proven != Proven::Nothing,
            browser_digest: None,
            authorization_url: SecretString::default(),
            parked_query: None,
            create_time: now,
            expire_time: now + FLOW_TTL,
        };
        let asks_provider = grant_type == GrantType::OAuth1 || provider.discovery();
        if let (true, Some(signature)) = (asks_provider, input.proven.once())
            && self.store().has_flow_of(signature).await?
        {
            // It would be refused in the end, but the provider would have been asked.
            return Err(Error::SignatureReplayed);
        }
        let registration =
            Registration { provider: &provider, integration: &integration, config: &flow.config };
        let page = match grant_type {
            GrantType::OAuth1 => self.oauth1_page(registration, &flow, &input).await?,
            _ => self.oauth2_page(registration, &flow, &input).await?,
        };
        flow.authorization_url = page.url;
        flow.request_token_secret = page.request_token_secret;
        self.store()
            .insert_flow(&NewFlow {
                flow: &flow,
                state: &page.state,
                connect_token: &connect_token,
                browser_binding: settings.browser_binding,
                signature: input.proven.once(),
            })
            .await?;
        let connect_url =
            format!("{}/oauth/connect/flows/{}", self.public_url(), connect_token.expose_secret());
        Ok(Begun {
            flow_id: flow.id,
            connect_url: connect_url.into(),
            authorization_url: flow.authorization_url,
            connection_id: flow.connection_id,
            expire_time: flow.expire_time,
        })
    }

    /// Opens a flow in a browser: binds the two, and gives the provider's page. The first browser wins.
    pub async fn open(&self, connect_token: &str, browser: &BrowserToken) -> Result<SecretString> {
        let flow = self.store().get_flow_by_connect_token(connect_token).await?;
        let flow = flow.ok_or(Error::FlowNotFound)?;
        if flow.expire_time <= self.now() {
            return Err(Error::FlowExpired.in_flow(flow.reference()));
        }
        if !self.store().bind_browser(&flow, &browser.digest()).await? {
            return Err(Error::BrowserMismatch);
        }
        Ok(flow.authorization_url)
    }

    /// A new token for a browser that has none.
    pub fn new_browser(&self) -> Result<BrowserToken> {
        token(self.random()).map(BrowserToken)
    }

    async fn oauth2_page(
        &self,
        registration: Registration<'_>,
        flow: &Flow,
        input: &BeginInput,
    ) -> Result<ProviderPage> {
        let state = token(self.random())?;
        let failed = |failure| client_failed(failure, registration.provider);
        let endpoints = self.oauth().endpoints(registration).await.map_err(failed)?;
        let integration = registration.integration;
        let user_scopes =
            if input.user_scopes.is_empty() { &integration.user_scopes } else { &input.user_scopes };
        let authorization = Authorization {
            redirect_uri: &flow.redirect_uri,
            state: &state,
            code_verifier: flow.code_verifier.as_ref(),
            nonce: flow.nonce.as_ref(),
            scopes: &flow.scopes,
            user_scopes,
            params: &input.authorization_params,
        };
        let url = OAuthClient::authorization_url(registration, &endpoints, &authorization);
        Ok(ProviderPage { url: url.map_err(failed)?, state, request_token_secret: None })
    }

    async fn oauth1_page(
        &self,
        registration: Registration<'_>,
        flow: &Flow,
        input: &BeginInput,
    ) -> Result<ProviderPage> {
        let request_token = self.oauth().request_token(registration, &flow.redirect_uri).await;
        self.client_met(registration, request_token.as_ref().err()).await;
        let request_token = request_token.map_err(|failure| client_failed(failure, registration.provider))?;
        let params = &input.authorization_params;
        let url = OAuthClient::oauth1_authorization_url(registration, &request_token, &flow.scopes, params)?;
        let RequestToken { token, secret } = request_token;
        Ok(ProviderPage { url, state: token, request_token_secret: Some(secret) })
    }
}

/// The Begin's scopes, else the integration's, else the provider's.
fn scopes(input: &BeginInput, integration: &Integration, provider: &Provider) -> Vec<String> {
    let choices = [input.scopes.as_slice(), &integration.scopes, provider.default_scopes()];
    choices.into_iter().find(|scopes| !scopes.is_empty()).unwrap_or_default().to_vec()
}
