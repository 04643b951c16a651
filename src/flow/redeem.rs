//! Redeem: from a code that was examined to a stored connection.

use super::{
    Flows,
    complete::Redeemable,
    failure::{client_failed, exchange_failed},
    persist::persistently,
    scopes::requested,
    token::token_set,
};
use crate::{
    model::{
        Config, Error, Flow, GrantType, OffsetDateTime, Point, Result, SecretMap, SecretString, Secrets,
        TokenSet,
    },
    oauth::{Code, Failure, Grant, Registration, RequestToken},
    provider::{Source, Unfit},
    store::{NewGrant, Placed},
};

/// How often a lookup is tried while the provider is not available, and how long the first pause is.
const LOOKUP_TRIES: u32 = 3;
const LOOKUP_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// What a provider granted, as it will be stored.
struct Fruit {
    tokens: TokenSet,
    token_secret: Option<SecretString>,
    /// Of OAuth 2.0.
    grant: Option<Grant>,
}

impl Flows {
    /// Turns a code into a connection. From here on the flow is spent, whatever happens.
    pub(super) async fn redeem(&self, flow: &Flow, redeemable: Redeemable) -> Result<()> {
        let Redeemable { integration, provider, mut config, code, request_token } = redeemable;
        let provider = &*provider;
        let begun = config.clone();
        let registration = Registration { provider, integration: &integration, config: &begun };
        let asked = self.now();
        let fruit = match request_token {
            Some(token) => {
                let secret = flow.request_token_secret.clone();
                let secret = secret.ok_or_else(|| Error::internal("a flow has no request token secret"))?;
                let request_token = RequestToken { token, secret };
                self.redeem_oauth1(registration, &request_token, &code, &mut config).await?
            }
            None => self.redeem_code(registration, flow, &code, asked).await?,
        };
        let kept = self.keep(registration, flow, &fruit, config, self.since(asked)).await;
        if let Err(error) = &kept
            && flow.grant_type == GrantType::AuthorizationCode
        {
            self.give_up(registration, flow, &fruit.tokens, error).await;
        }
        kept
    }

    /// Stores what was granted, with what is to be known of it.
    async fn keep(
        &self,
        registration: Registration<'_>,
        flow: &Flow,
        fruit: &Fruit,
        mut config: Config,
        asked: OffsetDateTime,
    ) -> Result<()> {
        let provider = registration.provider;
        self.failpoints().reached(Point::RedeemAfterExchange).await?;
        if let Some(grant) = &fruit.grant {
            self.capture_grant(registration, grant, flow.nonce.as_ref(), asked, &mut config).await?;
        }
        let granted = config.clone();
        let registration = Registration { config: &granted, ..registration };
        self.look_up(registration, &fruit.tokens.access_token, &mut config).await?;
        let (config, token_secret) = (config, fruit.token_secret.clone());
        let secrets = Secrets { config: config.secrets, token_secret, ..Secrets::default() };
        let scopes = fruit.grant.as_ref().and_then(|grant| grant.scopes.as_ref());
        let account: Vec<_> = provider.account_fields().collect();
        let new = NewGrant {
            project_id: &flow.project_id,
            integration_row_id: flow.integration_row_id,
            integration_id: &flow.integration_id,
            provider_id: &flow.provider_id,
            connection_id: &flow.connection_id,
            grant_type: flow.grant_type,
            metadata: flow.metadata.as_ref(),
            config: &config.values,
            secrets: &secrets,
            granted_scopes: scopes.unwrap_or(&flow.scopes),
            requested_scopes: &requested(provider, flow, fruit.grant.as_ref(), &fruit.tokens),
            tokens: &fruit.tokens,
            due_time: self.due_time(provider, flow.grant_type, &fruit.tokens)?,
            flow_id: Some(flow.id),
            may_replace: flow.may_replace,
            account: if flow.allow_account_change { &[] } else { &account },
        };
        // The code is spent, and its tokens exist nowhere else: a momentary failure of the database must not lose them.
        if persistently(|| self.store().put_grant(&new, self.now())).await? == Placed::Overtaken {
            return self.overtaken(registration, flow, &fruit.tokens).await;
        }
        if let Some(grant) = &fruit.grant {
            let name = (&flow.project_id, &flow.integration_id, &flow.connection_id);
            self.settle_lifetime(registration, name, grant, asked).await;
        }
        Ok(())
    }

    /// The user has begun anew in the meantime, and that has come to its end before this: the connection is there.
    async fn overtaken(&self, registration: Registration<'_>, flow: &Flow, tokens: &TokenSet) -> Result<()> {
        tracing::info!(flow = %flow.id, "a flow was overtaken by one that was taken later");
        if flow.grant_type == GrantType::AuthorizationCode {
            self.revoke_unclaimed(registration, flow, tokens).await;
        }
        self.store().pass_flow(flow.id, self.now()).await
    }

    async fn redeem_code(
        &self,
        registration: Registration<'_>,
        flow: &Flow,
        code: &SecretString,
        asked: OffsetDateTime,
    ) -> Result<Fruit> {
        let provider = registration.provider;
        let code =
            Code { code, redirect_uri: &flow.redirect_uri, code_verifier: flow.code_verifier.as_ref() };
        let grant = self.oauth().exchange(registration, code).await;
        self.client_met(registration, grant.as_ref().err()).await;
        let grant = grant.map_err(|failure| exchange_failed(failure, provider))?;
        let tokens = token_set(provider, flow.grant_type, &grant, None, self.since(asked));
        Ok(Fruit { tokens, token_secret: None, grant: Some(grant) })
    }

    /// Adds to the config what the token response and its `id_token` say.
    async fn capture_grant(
        &self,
        registration: Registration<'_>,
        grant: &Grant,
        nonce: Option<&SecretString>,
        now: OffsetDateTime,
        config: &mut Config,
    ) -> Result<()> {
        let provider = registration.provider;
        let unfit = |unfit: Unfit| unfit.in_response(provider);
        provider.capture(Source::TokenResponse(grant.answer()), config).map_err(unfit)?;
        if !provider.reads_id_token() {
            return Ok(());
        }
        let claims = self.oauth().id_token_claims(registration, grant, nonce, now).await;
        match claims.map_err(|failure| client_failed(failure, provider))? {
            Some(claims) => provider.capture(Source::IdToken(&claims), config).map_err(unfit),
            None => Ok(()),
        }
    }

    async fn redeem_oauth1(
        &self,
        registration: Registration<'_>,
        request_token: &RequestToken,
        verifier: &SecretString,
        config: &mut Config,
    ) -> Result<Fruit> {
        let provider = registration.provider;
        let asked = self.now();
        let credentials = self.oauth().access_token(registration, request_token, verifier).await;
        self.client_met(registration, credentials.as_ref().err()).await;
        let credentials = credentials.map_err(|failure| exchange_failed(failure, provider))?;
        provider
            .capture(Source::TokenResponse(&credentials.answer), config)
            .map_err(|unfit| unfit.in_response(provider))?;
        let tokens = TokenSet {
            access_token: credentials.token,
            token_type: "OAuth".to_owned(),
            expire_time: credentials.expires_in.map(|lifetime| self.since(asked) + lifetime),
            refresh_token: None,
            refresh_token_expire_time: None,
        };
        Ok(Fruit { tokens, token_secret: Some(credentials.secret), grant: None })
    }

    /// Adds to the config what only an API call tells, if the entry declares one.
    pub(super) async fn look_up(
        &self,
        registration: Registration<'_>,
        access_token: &SecretString,
        config: &mut Config,
    ) -> Result<()> {
        let provider = registration.provider;
        let credentials = SecretMap::from([("access_token".to_owned(), access_token.clone())]);
        let Some(request) = provider.lookup(registration.config, &credentials)? else { return Ok(()) };
        let mut answer = self.oauth().look_up(registration, request.clone()).await;
        for tries in 1..LOOKUP_TRIES {
            if !matches!(answer, Err(Failure::Unavailable { .. })) {
                break;
            }
            // The code is spent: a moment's failure is worth another try.
            tokio::time::sleep(LOOKUP_PAUSE * tries).await;
            answer = self.oauth().look_up(registration, request.clone()).await;
        }
        let answer = answer.map_err(|failure| client_failed(failure, provider))?;
        let captured = provider.capture(Source::Lookup(&answer), config);
        captured.map_err(|unfit| unfit.in_response(provider))
    }
}
