//! Complete: from a callback to a stored connection.

use subtle::ConstantTimeEq as _;

use super::{BrowserToken, Flows};
use crate::{
    model::{
        Completion, ConnectionId, Error, ExposeSecret as _, Flow, Integration, IntegrationId, OffsetDateTime,
        PARKED_TTL, ProjectId, Result, SecretString, StringMap, Uuid, token,
    },
    oauth::{Failure, Grant, Registration},
    provider::{CallbackQuery, Provider, SharedProvider, words},
    store::NewGrant,
};

/// Who ends a flow.
#[derive(Debug, Clone)]
pub enum Completer {
    /// The gateway, at the callback: with what the path and the cookie say.
    Gateway {
        /// The project and integration in the path, unless the bare route was called.
        route: Option<CallbackRoute>,
        /// The browser's cookie.
        browser: Option<BrowserToken>,
    },
    /// A backend of this project.
    Backend(ProjectId),
}

/// The project and integration that a callback's path names.
#[derive(Debug, Clone)]
pub struct CallbackRoute {
    /// The project.
    pub project_id: ProjectId,
    /// The integration.
    pub integration_id: IntegrationId,
}

/// What ends a flow.
#[derive(Debug, Clone)]
pub enum CompleteInput {
    /// The callback.
    Callback(CallbackQuery),
    /// The word that a parked flow is right.
    Confirmation {
        /// The flow.
        flow_id: Uuid,
        /// The one-time confirmation.
        code: SecretString,
    },
}

/// A flow that has ended, or waits.
#[derive(Debug, Clone)]
pub struct Completed {
    /// The flow.
    pub flow_id: Uuid,
    /// Its integration.
    pub integration_id: IntegrationId,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// Where the browser goes.
    pub return_url: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a flow.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The connection is stored.
    Connected,
    /// The code waits for this confirmation.
    AwaitingConfirmation(SecretString),
}

/// A callback that was examined: all that redeeming its code takes.
struct Redeemable {
    integration: Integration,
    provider: SharedProvider,
    config: StringMap,
    code: SecretString,
}

impl Flows {
    /// Ends a flow, or parks it for the confirmation that its project asks for.
    pub async fn complete(&self, completer: &Completer, input: CompleteInput) -> Result<Completed> {
        match input {
            CompleteInput::Callback(query) => self.callback(completer, &query).await,
            CompleteInput::Confirmation { flow_id, code } => self.confirm(completer, flow_id, &code).await,
        }
    }

    /// Whether a callback that came as a form is of a flow whose provider sends forms.
    pub async fn expects_form(&self, body: &str) -> Result<bool> {
        let query = CallbackQuery::parse(body)?;
        let flow = self.store().get_flow_by_state(query.get("state").unwrap_or_default()).await?;
        let provider = flow.and_then(|flow| self.catalog().get(&flow.provider_id).ok().cloned());
        Ok(provider.is_some_and(|provider| provider.form_post()))
    }

    /// The origins of pages that a flow's result page may tell.
    pub async fn opener_origins(&self, flow_id: Uuid) -> Result<Vec<String>> {
        match self.store().get_flow_project(flow_id).await? {
            Some(project) => Ok(self.settings_of(&project).await?.allowed_origins),
            None => Ok(Vec::new()),
        }
    }

    async fn callback(&self, completer: &Completer, query: &CallbackQuery) -> Result<Completed> {
        let state = query.get("state").filter(|state| !state.is_empty());
        let state = state.ok_or_else(|| Error::CallbackInvalid("it has no `state`".to_owned()))?;
        let flow = self.store().get_flow_by_state(state).await?;
        let flow = flow.filter(|flow| belongs(flow, completer)).ok_or(Error::FlowNotFound)?;
        let ended = self.end(&flow, completer, query).await;
        ended.map_err(|error| error.in_flow(flow.reference()))
    }

    async fn end(&self, flow: &Flow, completer: &Completer, query: &CallbackQuery) -> Result<Completed> {
        // Everything that does not cost the flow comes first: somebody else's attempt must not end it.
        check_browser(flow, completer)?;
        if flow.expire_time <= self.now() {
            return Err(Error::FlowExpired);
        }
        let redeemable = match self.examine(flow, query).await {
            Ok(redeemable) => redeemable,
            // A no of the user or the provider ends the flow.
            Err(no @ Error::AuthorizationDenied { .. }) => return self.take(flow).await.and(Err(no)),
            Err(error) => return Err(error),
        };
        if flow.completion == Completion::Confirm && matches!(completer, Completer::Gateway { .. }) {
            return self.park(flow, query).await;
        }
        let (flows, flow) = (self.clone(), flow.clone());
        // From the taking on, a browser that goes away must not cost the code that it brought.
        self.owned(async move {
            flows.take(&flow).await?;
            flows.redeem(&flow, redeemable).await
        })
        .await
    }

    async fn take(&self, flow: &Flow) -> Result<()> {
        if self.store().take_flow(flow).await? { Ok(()) } else { Err(Error::FlowNotFound) }
    }

    async fn park(&self, flow: &Flow, query: &CallbackQuery) -> Result<Completed> {
        let confirmation = token(self.random())?;
        let expire_time = self.now() + PARKED_TTL;
        if !self.store().park_flow(flow, query.raw(), &confirmation, expire_time).await? {
            return Err(Error::FlowNotFound);
        }
        Ok(completed(flow, Outcome::AwaitingConfirmation(confirmation)))
    }

    async fn confirm(&self, completer: &Completer, id: Uuid, code: &SecretString) -> Result<Completed> {
        let Completer::Backend(project) = completer else { return Err(Error::FlowNotFound) };
        let flow = self.store().get_parked_flow(project, id, code.expose_secret()).await?;
        let flow = flow.ok_or(Error::FlowNotFound)?;
        let reference = flow.reference();
        let ended = async {
            if flow.expire_time <= self.now() {
                return Err(Error::FlowExpired);
            }
            let query =
                flow.parked_query.as_ref().ok_or_else(|| Error::internal("a parked flow has no query"))?;
            let redeemable = self.examine(&flow, &CallbackQuery::parse(query.expose_secret())?).await?;
            let (flows, code) = (self.clone(), code.clone());
            self.owned(async move {
                if !flows.store().take_parked_flow(&flow, code.expose_secret()).await? {
                    return Err(Error::FlowNotFound);
                }
                flows.redeem(&flow, redeemable).await
            })
            .await
        };
        ended.await.map_err(|error| error.in_flow(reference))
    }

    /// Checks everything about a callback that can be checked without sending its code anywhere.
    async fn examine(&self, flow: &Flow, query: &CallbackQuery) -> Result<Redeemable> {
        let integration = self.store().get_integration_row(&flow.project_id, flow.integration_row_id).await?;
        let integration =
            integration.ok_or_else(|| Error::IntegrationNotFound(flow.integration_id.clone()))?;
        let provider = self.provider(&integration)?;
        provider.check_issuer(query)?;
        let code = read_code(query, &provider)?;
        let mut config = flow.config.clone();
        provider.check_callback(query, &config, integration.client_secret.as_ref())?;
        provider.capture_from_callback(query, &mut config)?;
        Ok(Redeemable { integration, provider, config, code })
    }

    /// Turns a code into a connection. From here on the flow is spent, whatever happens.
    async fn redeem(&self, flow: &Flow, redeemable: Redeemable) -> Result<Completed> {
        let Redeemable { integration, provider, config, code } = redeemable;
        let registration = Registration { provider: &provider, integration: &integration, config: &config };
        let (code, verifier) = (code.expose_secret(), flow.code_verifier.as_ref());
        let asked = self.now();
        let grant = self.oauth().exchange(registration, code, &flow.redirect_uri, verifier).await;
        let grant = grant.map_err(|failure| exchange_failed(failure, &provider))?;
        self.store_grant(flow, &provider, config, &grant, asked).await?;
        Ok(completed(flow, Outcome::Connected))
    }

    async fn store_grant(
        &self,
        flow: &Flow,
        provider: &Provider,
        mut config: StringMap,
        grant: &Grant,
        asked: OffsetDateTime,
    ) -> Result<()> {
        provider.capture_from_response(grant.members(), &mut config)?;
        let tokens = super::token::token_set(provider, grant, None, asked);
        let granted_scopes = grant.scopes.as_ref().unwrap_or(&flow.scopes);
        let new = NewGrant { flow, config: &config, granted_scopes, tokens: &tokens };
        // The code is spent, and its tokens exist nowhere else: a momentary failure of the database must not lose them.
        super::refresh::persistently(|| self.store().put_grant(&new, self.now())).await
    }
}

/// Whether this completer may end this flow at all: what it may not looks like what is not there.
fn belongs(flow: &Flow, completer: &Completer) -> bool {
    match completer {
        Completer::Backend(project) => flow.project_id == *project,
        Completer::Gateway { route: None, .. } => true,
        Completer::Gateway { route: Some(route), .. } => {
            flow.project_id == route.project_id && flow.integration_id == route.integration_id
        }
    }
}

/// Compares digests, in constant time.
fn check_browser(flow: &Flow, completer: &Completer) -> Result<()> {
    match (completer, &flow.browser_digest) {
        (Completer::Gateway { browser, .. }, Some(bound)) => {
            let same = |browser: &BrowserToken| browser.digest().as_bytes().ct_eq(bound.as_bytes()).into();
            let same = browser.as_ref().is_some_and(same);
            if same { Ok(()) } else { Err(Error::BrowserMismatch) }
        }
        // A backend that completes by itself vouches for its user; a flow that no gateway opened is bound to nobody.
        (Completer::Backend(_), _) | (_, None) => Ok(()),
    }
}

fn read_code(query: &CallbackQuery, provider: &Provider) -> Result<SecretString> {
    if let Some(error) = query.get("error") {
        return Err(Error::AuthorizationDenied {
            code: provider.error_code(error),
            description: query.get("error_description").map(words::description),
        });
    }
    let code = query.get("code").filter(|code| !code.is_empty());
    code.map(Into::into).ok_or_else(|| Error::CallbackInvalid("it has neither `code` nor `error`".to_owned()))
}

fn exchange_failed(failure: Failure, provider: &Provider) -> Error {
    let provider = provider.id().clone();
    match failure {
        Failure::Unavailable { problem, retry_after } => {
            Error::ProviderUnavailable { provider, problem, retry_after }
        }
        Failure::Invalid { problem } => Error::ProviderResponseInvalid { provider, problem },
        Failure::Refused { code, description } => match code.as_str() {
            "invalid_client" | "unauthorized_client" => Error::ClientRejected { provider, code, description },
            _ => Error::ProviderRejectedCode { provider, code, description },
        },
    }
}

fn completed(flow: &Flow, outcome: Outcome) -> Completed {
    Completed {
        flow_id: flow.id,
        integration_id: flow.integration_id.clone(),
        connection_id: flow.connection_id.clone(),
        return_url: flow.return_url.clone(),
        outcome,
    }
}
