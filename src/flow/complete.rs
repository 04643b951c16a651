//! Complete: from a callback to a stored connection.

use subtle::ConstantTimeEq as _;

use super::{BrowserToken, Flows, failure::client_failed};
use crate::{
    model::{
        Completion, Config, ConnectionId, Error, ExposeSecret as _, Flow, GrantType, Integration,
        IntegrationId, PARKED_TTL, ProjectId, Result, SecretString, Uuid, token,
    },
    oauth::Registration,
    provider::{CallbackQuery, Provider, SharedProvider, Source, words},
};

/// Where some providers of OAuth 1.0a put the request token of a flow that the user has refused.
const OAUTH1_DENIED: &str = "denied";
/// What others add beside the token then.
const OAUTH1_PROBLEM: &str = "oauth_problem";

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

/// What whoever ends a flow knows of it by himself. Nothing that is empty is compared.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Its integration.
    pub integration_id: String,
    /// Its connection.
    pub connection_id: String,
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
pub(super) struct Redeemable {
    pub(super) integration: Integration,
    pub(super) provider: SharedProvider,
    pub(super) config: Config,
    /// The code, or the verifier of OAuth 1.0a.
    pub(super) code: SecretString,
    /// OAuth 1.0a: the token that was verified.
    pub(super) request_token: Option<SecretString>,
}

impl Flows {
    /// Ends a flow, or parks it for the confirmation that its project asks for.
    pub async fn complete(
        &self,
        completer: &Completer,
        input: CompleteInput,
        expected: &Expected,
    ) -> Result<Completed> {
        match input {
            CompleteInput::Callback(query) => self.callback(completer, &query, expected).await,
            CompleteInput::Confirmation { flow_id, code } => {
                self.confirm(completer, flow_id, &code, expected).await
            }
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

    async fn callback(
        &self,
        completer: &Completer,
        query: &CallbackQuery,
        expected: &Expected,
    ) -> Result<Completed> {
        let (state, oauth1) = state_of(query)?;
        let flow = self.store().get_flow_by_state(state).await?;
        let fits = |flow: &Flow| {
            let same_protocol = oauth1 == (flow.grant_type == GrantType::OAuth1);
            same_protocol && self.belongs(flow, completer) && expected.fits(flow)
        };
        let flow = flow.filter(fits).ok_or(Error::FlowNotFound)?;
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
            Err(no @ Error::AuthorizationDenied { .. }) => {
                let (flows, flow) = (self.clone(), flow.clone());
                let denied = async move {
                    flows.take(&flow).await?;
                    flows.spent(&flow, Err(no)).await
                };
                return self.owned(denied).await;
            }
            Err(error) => return Err(error),
        };
        if flow.completion == Completion::Confirm && matches!(completer, Completer::Gateway { .. }) {
            return self.park(flow, query).await;
        }
        let (flows, flow) = (self.clone(), flow.clone());
        // From the taking on, a browser that goes away must not cost the code that it brought.
        self.owned(async move {
            flows.take(&flow).await?;
            let redeemed = flows.redeem(&flow, redeemable).await;
            flows.spent(&flow, redeemed).await?;
            Ok(completed(&flow, Outcome::Connected))
        })
        .await
    }

    async fn take(&self, flow: &Flow) -> Result<()> {
        if self.store().take_flow(flow).await? { Ok(()) } else { Err(Error::FlowNotFound) }
    }

    /// Notes why a flow that was taken has failed, if it has.
    async fn spent<T>(&self, flow: &Flow, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome
            && let Err(unnoted) = self.store().fail_flow(flow.id, error.reason(), self.now()).await
        {
            // Whoever follows the flow learns it when the flow has expired.
            tracing::warn!(error = %unnoted, "the end of a flow could not be noted");
        }
        outcome
    }

    async fn park(&self, flow: &Flow, query: &CallbackQuery) -> Result<Completed> {
        let confirmation = token(self.random())?;
        let expire_time = self.now() + PARKED_TTL;
        if !self.store().park_flow(flow, query.raw(), &confirmation, expire_time).await? {
            return Err(Error::FlowNotFound);
        }
        Ok(completed(flow, Outcome::AwaitingConfirmation(confirmation)))
    }

    async fn confirm(
        &self,
        completer: &Completer,
        id: Uuid,
        code: &SecretString,
        expected: &Expected,
    ) -> Result<Completed> {
        let Completer::Backend(project) = completer else { return Err(Error::FlowNotFound) };
        let flow = self.store().get_parked_flow(project, id, code.expose_secret()).await?;
        let flow = flow.filter(|flow| expected.fits(flow)).ok_or(Error::FlowNotFound)?;
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
                let redeemed = flows.redeem(&flow, redeemable).await;
                flows.spent(&flow, redeemed).await?;
                Ok(completed(&flow, Outcome::Connected))
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
        let mut config = flow.config.clone();
        let (code, request_token) = if flow.grant_type == GrantType::OAuth1 {
            (read_verifier(query)?, query.get("oauth_token").map(Into::into))
        } else {
            self.check_issuer(flow, query, &provider, &integration).await?;
            (read_code(query, &provider)?, None)
        };
        provider.check_callback(query, &config, integration.client_secrets())?;
        let captured = provider.capture(Source::Callback(query), &mut config);
        captured.map_err(|unfit| unfit.in_callback(&provider))?;
        Ok(Redeemable { integration, provider, config, code, request_token })
    }

    async fn check_issuer(
        &self,
        flow: &Flow,
        query: &CallbackQuery,
        provider: &Provider,
        integration: &Integration,
    ) -> Result<()> {
        let registration = Registration { provider, integration, config: &flow.config };
        let endpoints = self.oauth().endpoints(registration).await;
        let endpoints = endpoints.map_err(|failure| client_failed(failure, provider))?;
        provider.check_issuer(query, endpoints.issuer(), endpoints.requires_issuer())
    }

    /// Whether this completer may end this flow at all: what it may not looks like what is not there.
    fn belongs(&self, flow: &Flow, completer: &Completer) -> bool {
        match completer {
            Completer::Backend(project) => flow.project_id == *project,
            // For callback URLs that several integrations share. A flow with a route of its own comes back there, or not at all.
            Completer::Gateway { route: None, .. } => {
                flow.redirect_uri != self.own_callback_url(&flow.project_id, &flow.integration_id)
            }
            Completer::Gateway { route: Some(route), .. } => {
                flow.project_id == route.project_id && flow.integration_id == route.integration_id
            }
        }
    }
}

impl Expected {
    fn fits(&self, flow: &Flow) -> bool {
        let fits = |expected: &str, found: &str| expected.is_empty() || expected == found;
        fits(&self.integration_id, flow.integration_id.as_str())
            && fits(&self.connection_id, flow.connection_id.as_str())
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
    let code = provider.code(query);
    code.map(Into::into).ok_or_else(|| Error::CallbackInvalid("it has neither `code` nor `error`".to_owned()))
}

/// OAuth 1.0a (RFC 5849, section 2.2).
fn read_verifier(query: &CallbackQuery) -> Result<SecretString> {
    if query.get(OAUTH1_DENIED).is_some() || query.get(OAUTH1_PROBLEM).is_some() {
        return Err(Error::AuthorizationDenied { code: "access_denied".to_owned(), description: None });
    }
    let verifier = query.get("oauth_verifier").filter(|verifier| !verifier.is_empty());
    verifier.map(Into::into).ok_or_else(|| Error::CallbackInvalid("it has no `oauth_verifier`".to_owned()))
}

/// What finds the flow of a callback: its `state`, or with OAuth 1.0a its request token, which some providers call `denied`
/// when the user has said no.
fn state_of(query: &CallbackQuery) -> Result<(&str, bool)> {
    let find = |name: &str| query.get(name).filter(|value| !value.is_empty());
    let oauth1 = || find("oauth_token").or_else(|| find(OAUTH1_DENIED)).map(|token| (token, true));
    let state = find("state").map(|state| (state, false)).or_else(oauth1);
    state.ok_or_else(|| Error::CallbackInvalid("it has neither `state` nor `oauth_token`".to_owned()))
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
