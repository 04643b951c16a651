//! The life of a token as the room that speaks to providers sees it: how long it lives, what its end is, and what an entry says
//! of both.

mod entry;
mod introspect;
mod own_way;
mod redirect;
mod revoke;
mod time;

use std::sync::Arc;

use tokenwell::{
    api::pb::integration::v1::Integration as PbIntegration,
    model::{
        Breaker, Clock as _, Config, Duration, Integration, IntegrationId, OsRandom, ProjectId, ProviderId,
        SecretString, TokenSet, uuid_v7,
    },
    oauth::{Failure, HttpClient, OAuthClient, Registration, Revoked},
    provider::{Catalog, SharedProvider, Transport},
    sandbox::{Quirks, TokenRequest},
};

use crate::support::{
    Acme,
    acme::{ACME, plain},
    provider::{CLIENT_ID, CLIENT_SECRET},
};

/// A connection at a provider, and the client that a server would use there.
pub struct Life {
    acme: Acme,
    pub oauth: OAuthClient,
    provider: SharedProvider,
    integration: Integration,
    config: Config,
}

/// A server whose refresh tokens stay the same, so that a test can read them from its requests.
fn steady() -> Quirks {
    Quirks { rotate: false, ..plain() }
}

impl Life {
    pub async fn new(quirks: Quirks, entry: &str) -> Self {
        Self::of(Acme::new(quirks, entry).await)
    }

    fn of(acme: Acme) -> Self {
        let (file, text) = acme.provider.entry.clone().unwrap();
        let mut catalog = Catalog::default();
        catalog.add(&file, &text, Transport::LoopbackHttp).unwrap();
        let now = acme.clock.now();
        let integration = Integration {
            row_id: uuid_v7(&OsRandom, now).unwrap(),
            project_id: ProjectId::parse("default").unwrap(),
            id: IntegrationId::parse(ACME).unwrap(),
            provider_id: ProviderId::parse(ACME).unwrap(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: Some(CLIENT_SECRET.into()),
            further_client_secrets: Vec::new(),
            private_key: None,
            private_key_id: None,
            certificate: None,
            allow_private_addresses: false,
            scopes: Vec::new(),
            user_scopes: Vec::new(),
            failure: None,
            breaker: Breaker::default(),
            create_time: now,
            update_time: now,
        };
        let provider = catalog.get(&integration.provider_id).unwrap().clone();
        let http = HttpClient::new(&acme.provider.http).unwrap();
        let oauth = OAuthClient::new(http, Arc::new(acme.clock.clone()), Arc::new(OsRandom));
        Self { acme, oauth, provider, integration, config: Config::default() }
    }

    pub fn registration(&self) -> Registration<'_> {
        Registration { provider: &self.provider, integration: &self.integration, config: &self.config }
    }

    /// Connects and refreshes. Gives the tokens, of which the server hands out but one.
    async fn tokens(&self) -> TokenSet {
        self.acme.connect(&[]).await;
        self.acme.force().await.unwrap();
        let refresh_token = self.acme.last_request().form["refresh_token"].as_str().into();
        TokenSet { refresh_token: Some(refresh_token), ..access_only(&self.acme.token().await.unwrap()) }
    }

    async fn revoke(&self, tokens: &TokenSet) -> Result<Revoked, Failure> {
        let revoked = self.oauth.revoke(self.registration(), tokens).await;
        if let Err(failure) = &revoked {
            let shown = format!("{failure} {failure:?}");
            assert!(!shown.contains("sandbox_") && !shown.contains("canary"), "{shown}");
        }
        revoked
    }

    /// The requests for the end of a token.
    fn requests(&self) -> Vec<TokenRequest> {
        self.acme.provider.sandbox.book().revocation_requests
    }

    /// What the server says of a refresh now.
    async fn refreshes(&self) -> bool {
        self.acme.force().await.is_ok()
    }

    /// Tells the server of the client's key.
    async fn give_key(&mut self, pem: &str) {
        let (client_private_key, client_private_key_id) = (pem.to_owned(), "key-1".to_owned());
        let given = PbIntegration { client_private_key, client_private_key_id, ..PbIntegration::default() };
        self.acme.update_integration(given).await.unwrap();
        self.integration.private_key = Some(pem.into());
        self.integration.private_key_id = Some("key-1".to_owned());
    }
}

fn access_only(access_token: &str) -> TokenSet {
    TokenSet {
        access_token: SecretString::from(access_token),
        token_type: "Bearer".to_owned(),
        expire_time: None,
        refresh_token: None,
        refresh_token_expire_time: None,
    }
}

fn refused(code: &str) -> Result<Revoked, Failure> {
    Err(Failure::Refused { code: code.to_owned(), description: None })
}

/// The tokens without a way to renew them.
fn without_refresh(tokens: &TokenSet) -> TokenSet {
    TokenSet { refresh_token: None, ..tokens.clone() }
}

/// How long the tokens of the sandbox live.
const TTL: Duration = Duration::HOUR;
