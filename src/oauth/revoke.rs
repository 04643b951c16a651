//! The end of a grant, at the client's wish: RFC 7009, or the provider's own way where its entry declares one.

use oauth2::http::StatusCode;

use super::{Endpoints, Failure, OAuthClient, Registration, http::Answer, response::refused};
use crate::model::{SecretMap, SecretString, TokenSet};

/// Says that a token is dead: to the one who wants it dead, no failure. The last is Slack's.
const DEAD: [&str; 3] = ["invalid_token", "invalid_grant", "token_expired"];
/// Says that tokens of this type cannot be revoked (RFC 7009, section 2.2.1).
const UNSUPPORTED: &str = "unsupported_token_type";

/// What became of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The tokens are worth nothing any more, or were not before.
    Done,
    /// The provider has no way to revoke these tokens.
    Unsupported,
}

// === impl OAuthClient ===

impl OAuthClient {
    /// Ends the grant that these tokens of OAuth 2.0 belong to. What is dead already counts as done.
    ///
    /// Refused with `invalid_token`: the provider's way takes an access token only, and this one is dead or unknown, but its
    /// refresh token may live. With a new access token it can be tried again.
    pub async fn revoke(
        &self,
        registration: Registration<'_>,
        tokens: &TokenSet,
    ) -> Result<Revoked, Failure> {
        if registration.provider.has_revocation() {
            return self.revoke_in_its_way(registration, tokens).await;
        }
        let endpoints = self.endpoints(registration).await?;
        let Some(endpoint) = endpoints.revocation()? else { return Ok(Revoked::Unsupported) };
        // A refresh token takes its access tokens with it (section 2.1).
        let refresh_token = tokens.refresh_token.iter().map(|token| (token, "refresh_token"));
        for about in refresh_token.chain([(&tokens.access_token, "access_token")]) {
            match self.revoke_token(registration, &endpoints, endpoint, about).await {
                Err(Failure::Refused { code, .. }) if code == UNSUPPORTED => {}
                Err(failure) if is_dead(&failure) => return Ok(Revoked::Done),
                done => return done.map(|()| Revoked::Done),
            }
        }
        Ok(Revoked::Unsupported)
    }

    async fn revoke_token(
        &self,
        registration: Registration<'_>,
        endpoints: &Endpoints,
        endpoint: &url::Url,
        about: (&SecretString, &str),
    ) -> Result<(), Failure> {
        let request = |secret| async move {
            let answer = self.post_about(registration, endpoints, endpoint, about, secret).await?;
            self.judged(registration, &answer)
        };
        self.with_secrets(registration, request).await
    }

    async fn revoke_in_its_way(
        &self,
        registration: Registration<'_>,
        tokens: &TokenSet,
    ) -> Result<Revoked, Failure> {
        let Registration { provider, integration, config } = registration;
        if tokens.refresh_token.is_none() && !provider.revocation_names("access_token") {
            return Ok(Revoked::Unsupported);
        }
        let request = |secret: Option<&SecretString>| {
            let named = [
                ("access_token", Some(&tokens.access_token)),
                ("refresh_token", tokens.refresh_token.as_ref()),
                ("client_secret", secret),
            ];
            let mut credentials: SecretMap = named
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.clone())))
                .collect();
            credentials.insert("client_id".to_owned(), integration.client_id.as_str().into());
            async move {
                let request = provider.revocation(config, &credentials);
                let request = request.map_err(|error| Failure::own_fault(&error))?;
                let request = request.ok_or_else(|| Failure::invalid("its entry has no revocation"))?;
                let answer = self.call(registration, request).await?;
                match answer.status {
                    // Who proves itself is the client, or else the token.
                    StatusCode::UNAUTHORIZED if provider.revocation_names("client_secret") => {
                        Err(Failure::Unauthorized)
                    }
                    // GitHub says of a token that has run out that it is not there.
                    StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND | StatusCode::GONE => {
                        Err(refused_token())
                    }
                    _ => self.judged(registration, &answer),
                }
            }
        };
        match self.with_secrets(registration, request).await {
            // A dead refresh token leaves nothing to revoke, and neither does a dead access token that was all there is.
            Err(failure) if is_dead(&failure) => {
                if tokens.refresh_token.is_none() || !provider.revocation_takes_access_token() {
                    Ok(Revoked::Done)
                } else {
                    Err(refused_token())
                }
            }
            done => done.map(|()| Revoked::Done),
        }
    }

    fn judged(&self, registration: Registration<'_>, answer: &Answer) -> Result<(), Failure> {
        match refused(answer, registration.provider, self.clock.now()) {
            Some(failure) => Err(failure),
            None if answer.status.is_success() => Ok(()),
            None if answer.status == StatusCode::UNAUTHORIZED => Err(Failure::Unauthorized),
            None => {
                let status = answer.status.as_u16();
                Err(Failure::invalid(format!("its answer to the revocation has status {status}")))
            }
        }
    }
}

fn is_dead(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused { code, .. } if DEAD.contains(&code.as_str()))
}

fn refused_token() -> Failure {
    Failure::Refused { code: DEAD[0].to_owned(), description: None }
}
