//! The token endpoint, and the endpoint of refresh tokens if it is another one.

use axum::{extract::State, response::Response};

use super::{
    Client, Quirks, Sandbox, answer::Refusal, authorize, call::Call, issue::Issued, memory::Grant,
    params::Params,
};

/// What a client can have for a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Code,
    RefreshToken,
    ClientCredentials,
}

/// Answers a request to the token endpoint, unless it is to fail.
pub(super) async fn token(State(sandbox): State<Sandbox>, call: Call) -> Response {
    if let Some(failure) = sandbox.note(&call).await {
        return failure;
    }
    match sandbox.tokens(&call) {
        Ok((client, issued)) => sandbox.success(issued, client, &call.host),
        Err(refusal) => refusal.into_quirky_response(&sandbox.quirks().token_error),
    }
}

/// Where the consent page is at the same address: takes what that page sends, and answers requests for tokens.
pub(super) async fn decide_or_token(state: State<Sandbox>, call: Call) -> Response {
    if call.form.get("decision").is_some() {
        authorize::decide(state, call).await
    } else {
        token(state, call).await
    }
}

// === impl Sandbox ===

impl Sandbox {
    /// Writes a request for a token down. Gives the answer, if the request is to fail.
    pub(super) async fn note(&self, call: &Call) -> Option<Response> {
        let failure = {
            let mut memory = self.memory();
            memory.record(call.to_token_request());
            memory.failures.pop_front()
        };
        failure?.play().await
    }

    fn tokens(&self, call: &Call) -> Result<(&Client, Issued), Refusal> {
        let quirks = self.quirks();
        let received = call.params(quirks.token_request.format)?;
        let request = &quirks.token_request;
        let further = [&request.code_params, &request.refresh_params, &request.client_credentials_params];
        let is_further = |name: &str| further.iter().copied().flatten().any(|(further, _)| further == name);
        let params = received.renamed(&quirks.param_names, is_further)?;
        let client = self.authenticate(call, &params)?;
        let offer = quirks.offer(&call.path, &params)?;
        // A `grant_type` among them has been looked at.
        received.check_all(offer.params(quirks).iter().filter(|(name, _)| name != "grant_type"))?;
        for (name, value) in &quirks.token_request.headers {
            if call.header(name) != Some(value) {
                return Err(Refusal::invalid_request(format!("the header {name} is missing or wrong")));
            }
        }
        let issued = match offer {
            Offer::Code => self.exchange(client, &params),
            Offer::RefreshToken => self.refresh(client, &params),
            Offer::ClientCredentials => self.client_credentials(client, &params),
        };
        let mut issued = issued?;
        issued.id_token = self.id_token(client, &issued, &call.host)?;
        Ok((client, issued))
    }

    /// The client credentials grant (RFC 6749, section 4.4), which has no refresh token.
    fn client_credentials(&self, client: &Client, params: &Params) -> Result<Issued, Refusal> {
        if client.is_public() {
            return Err(Refusal::new("unauthorized_client", "the client is public"));
        }
        let scopes = self.quirks().scopes(params.get("scope").unwrap_or_default());
        let fresh = self.fresh_tokens(params, false)?;
        let mut memory = self.memory();
        let grant = memory.open_grant(Grant {
            client_id: client.client_id.clone(),
            account: client.client_id.clone(),
            scopes: scopes.clone(),
            flagged: false,
            ended: false,
        });
        memory.tally.client_credentials += 1;
        let issued = self.issue(&mut memory, grant, fresh, false, None);
        Ok(Issued { scopes, ..issued })
    }
}

// === impl Quirks ===

impl Quirks {
    /// What a request to a path offers: its grant type says so, and where that says nothing, what is in it.
    fn offer(&self, path: &str, params: &Params) -> Result<Offer, Refusal> {
        let silent = self.omits("grant_type");
        if !silent {
            params.required("grant_type")?;
        }
        let possible: Vec<Offer> = [Offer::Code, Offer::RefreshToken, Offer::ClientCredentials]
            .into_iter()
            .filter(|offer| offer.is_welcome(self, path))
            .filter(|offer| silent || params.has("grant_type", offer.grant_type(self)))
            .collect();
        let there = possible.iter().find(|offer| offer.name().is_none_or(|name| params.get(name).is_some()));
        there.or(possible.first()).copied().ok_or_else(|| {
            Refusal::new("unsupported_grant_type", "the grant type is not one of this endpoint")
        })
    }
}

// === impl Offer ===

impl Offer {
    fn is_welcome(self, quirks: &Quirks, path: &str) -> bool {
        match self {
            Self::Code => path == quirks.token_path,
            Self::RefreshToken => path == quirks.refresh_path.as_ref().unwrap_or(&quirks.token_path),
            Self::ClientCredentials => path == quirks.token_path && quirks.client_credentials,
        }
    }

    /// The parameter that it is in.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Code => Some("code"),
            Self::RefreshToken => Some("refresh_token"),
            Self::ClientCredentials => None,
        }
    }

    fn params(self, quirks: &Quirks) -> &[(String, String)] {
        let params = &quirks.token_request;
        match self {
            Self::Code => &params.code_params,
            Self::RefreshToken => &params.refresh_params,
            Self::ClientCredentials => &params.client_credentials_params,
        }
    }

    fn grant_type(self, quirks: &Quirks) -> &str {
        let other = self.params(quirks).iter().find(|(name, _)| name == "grant_type");
        match (other, self) {
            (Some((_, grant_type)), _) => grant_type,
            (None, Self::Code) => "authorization_code",
            (None, Self::RefreshToken) => "refresh_token",
            (None, Self::ClientCredentials) => "client_credentials",
        }
    }
}
