//! What an entry says of the life and the end of tokens.

use url::Url;

use super::{ApiRequest, Definition, Provider, check::Found};
use crate::model::{Config, GrantType, Result, SecretMap};

/// What an error code, or a status without one, means at a refresh, where the entry says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshError {
    /// The grant is gone.
    Final,
    /// Nothing is known of the grant: it can be tried again.
    Transient,
}

/// Statuses that say nothing of a grant, whoever answers with them.
const ALWAYS_TRANSIENT: [u16; 2] = [408, 429];

// === impl Provider ===

impl Provider {
    /// What an error code means at a refresh, if the entry says so. The code is that of RFC 6749 where the entry names one.
    #[must_use]
    pub fn refresh_error(&self, code: &str) -> Option<RefreshError> {
        let named = |codes: &[String]| codes.iter().any(|named| named == code);
        let errors = &self.definition.refresh_errors;
        if named(&errors.last) {
            return Some(RefreshError::Final);
        }
        named(&errors.transient).then_some(RefreshError::Transient)
    }

    /// What a status means at a refresh beside which the answer names no error, if the entry says so.
    #[must_use]
    pub fn refresh_status(&self, status: u16) -> Option<RefreshError> {
        let errors = &self.definition.refresh_errors;
        if errors.final_statuses.contains(&status) {
            return Some(RefreshError::Final);
        }
        errors.transient_statuses.contains(&status).then_some(RefreshError::Transient)
    }

    /// The lifetime of a refresh token in seconds, from when it was issued, when the answer does not say.
    #[must_use]
    pub fn refresh_token_expires_in(&self) -> Option<u32> {
        self.definition.refresh_token_expires_in
    }

    /// How many seconds a refresh token lives without being used. Each use starts them anew, whether it brings a new token or
    /// not.
    #[must_use]
    pub fn refresh_token_idle_expires_in(&self) -> Option<u32> {
        self.definition.refresh_token_idle_expires_in
    }

    /// Where tokens are revoked (RFC 7009), if the entry says so.
    pub fn revocation_endpoint(&self, config: &Config) -> Result<Option<Url>> {
        self.fill_each(self.revocation_endpoint.as_ref(), config)
    }

    /// Whether the end of one token ends all grants of the same user to the same client: then a token that is left over must
    /// not be revoked while the user has another grant.
    #[must_use]
    pub fn revocation_ends_all_grants(&self) -> bool {
        self.definition.revocation_ends_all_grants
    }

    /// Where tokens are introspected (RFC 7662), if the entry says so.
    pub fn introspection_endpoint(&self, config: &Config) -> Result<Option<Url>> {
        self.fill_each(self.introspection_endpoint.as_ref(), config)
    }

    /// Whether tokens can be introspected.
    #[must_use]
    pub fn introspects(&self) -> bool {
        self.introspection_endpoint.is_some()
    }

    /// Whether there is a way to end a grant at the client's wish. With discovery, the metadata may still know of none.
    #[must_use]
    pub fn can_revoke(&self) -> bool {
        self.revocation_endpoint.is_some() || self.has_revocation() || self.discovery()
    }

    /// Whether grants are ended by a request of the provider's own, in the place of RFC 7009.
    #[must_use]
    pub fn has_revocation(&self) -> bool {
        self.revocation.is_some()
    }

    /// Whether that request names this credential.
    #[must_use]
    pub fn revocation_names(&self, credential: &str) -> bool {
        self.revocation.as_ref().is_some_and(|request| request.names(credential))
    }

    /// Whether that request ends the grant of an access token, which must be alive for it, and not of a refresh token.
    #[must_use]
    pub fn revocation_takes_access_token(&self) -> bool {
        self.has_revocation() && !self.revocation_names("refresh_token")
    }

    /// The request that ends a grant, if the entry has one.
    pub fn revocation(&self, config: &Config, credentials: &SecretMap) -> Result<Option<ApiRequest>> {
        self.revocation.as_ref().map(|request| self.request(request, config, credentials)).transpose()
    }
}

// === impl Found ===

impl Found {
    /// Checks all that, but for the templates.
    pub(super) fn life(&mut self, provider: &Provider) {
        let Definition {
            revocation_endpoint,
            revocation_ends_all_grants,
            refresh_token_expires_in,
            refresh_token_idle_expires_in,
            refresh_errors,
            ..
        } = &provider.definition;
        if let Some(request) = &provider.revocation {
            self.require(
                revocation_endpoint.is_none(),
                "revocation",
                "`revocation` and `revocation_endpoint` are two ways to the same end: choose one",
            );
            self.require(
                request.names("access_token") || request.names("refresh_token"),
                "revocation",
                "`revocation` names no token: send `{access_token}` or `{refresh_token}`",
            );
            self.require(
                !provider.grant_types().contains(&GrantType::OAuth1),
                "revocation",
                "`revocation` is not signed: an entry for `oauth1` cannot have one",
            );
        }
        let revokes = provider.revocation.is_some() || revocation_endpoint.is_some() || provider.discovery();
        self.require(
            revokes || !revocation_ends_all_grants,
            "revocation_ends_all_grants",
            "`revocation_ends_all_grants` needs a `revocation_endpoint` or a `revocation`",
        );
        for (path, seconds) in [
            ("refresh_token_expires_in", refresh_token_expires_in),
            ("refresh_token_idle_expires_in", refresh_token_idle_expires_in),
        ] {
            self.require(*seconds != Some(0), path, format!("`{path}` is 0: leave it out"));
        }
        for (path, codes) in [
            ("refresh_errors.final", &refresh_errors.last),
            ("refresh_errors.transient", &refresh_errors.transient),
        ] {
            for code in codes {
                self.refresh_code(provider, path, code);
            }
        }
        for (path, statuses) in [
            ("refresh_errors.final_statuses", &refresh_errors.final_statuses),
            ("refresh_errors.transient_statuses", &refresh_errors.transient_statuses),
        ] {
            for status in statuses {
                // The others are a success, or known to say nothing of the grant.
                self.require(
                    (400..500).contains(status) && !ALWAYS_TRANSIENT.contains(status),
                    path,
                    format!("`{path}` names {status}: expected 400 to 499, but for 408 and 429"),
                );
                let both = refresh_errors.final_statuses.contains(status)
                    && refresh_errors.transient_statuses.contains(status);
                self.require(
                    !both,
                    path,
                    format!("`{path}` names {status}, which is both final and transient"),
                );
            }
        }
    }

    fn refresh_code(&mut self, provider: &Provider, path: &str, code: &str) {
        let mapped = provider.error_code(code);
        self.require(
            mapped == code,
            path,
            format!("`{path}` names `{code}`, which never gets that far: it is known as `{mapped}`"),
        );
        let other = ["final", "transient"].iter().all(|list| {
            let errors = &provider.definition.refresh_errors;
            let codes = if *list == "final" { &errors.last } else { &errors.transient };
            codes.iter().any(|named| named == code)
        });
        self.require(!other, path, format!("`{path}` names `{code}`, which is both final and transient"));
    }
}
