//! Telling who calls: by an API key, by a certificate, or by a token.

use std::sync::Arc;

use super::Flows;
use crate::{
    model::{Caller, Callers, Error, Identity, KeyKind, NamedCaller, OffsetDateTime, Permission, Result},
    oauth::TrustedIssuers,
};

/// Whom the operator has named, and how their tokens are verified.
#[derive(Debug, Default)]
pub(super) struct Known {
    callers: Callers,
    issuers: TrustedIssuers,
}

impl Flows {
    /// Puts other callers in the place of the present ones. Calls that were let in go on; streams end whose caller is gone.
    pub fn replace_callers(&self, callers: Callers) -> Result<()> {
        let issuers = self.oauth().trusted_issuers(callers.issuers(), &self.known().issuers)?;
        self.inner.known.store(Arc::new(Known { callers, issuers }));
        Ok(())
    }

    /// Says who calls with this `Bearer`: an API key, or a token of an issuer.
    pub async fn authenticate(&self, bearer: &str) -> Result<Caller> {
        let prefixes = [KeyKind::Secret.prefix(), KeyKind::Publishable.prefix()];
        if prefixes.iter().any(|prefix| bearer.starts_with(prefix)) {
            let key = self.store().find_api_key(bearer).await?;
            return key.ok_or(Error::ApiKeyInvalid)?.verify(self.now());
        }
        // RFC 7515, section 3.1.
        if bearer.split('.').count() != 3 {
            return Err(Error::ApiKeyInvalid);
        }
        let known = self.known();
        let token = known.issuers.verify(bearer).await?;
        let identity = Identity::Token { issuer: token.issuer, subject: token.subject };
        self.named(known.callers.find(&identity), Some(token.expire_time)).await
    }

    /// Says who calls over a connection whose certificate has these names.
    pub async fn authenticate_certificate(&self, names: &[Identity]) -> Result<Caller> {
        self.named(self.known().callers.find_one(names), None).await
    }

    /// Refuses a caller who does not count any more, or may not do this any more, since they were let in.
    pub(super) async fn still(&self, caller: &Caller, permission: Permission) -> Result<()> {
        if let Identity::Key(id) = caller.identity() {
            let key = self.store().get_api_key(caller.project_id(), *id).await?;
            return key.ok_or(Error::ApiKeyInvalid)?.verify(self.now())?.require(permission);
        }
        if caller.expire_time().is_some_and(|time| time <= self.now()) {
            return Err(Error::TokenInvalid("it has expired"));
        }
        let known = self.known();
        let named = known.callers.find(caller.identity()).ok_or(Error::CallerUnknown)?;
        if named.project_id != *caller.project_id() {
            return Err(Error::CallerUnknown);
        }
        named.caller(None).require(permission)
    }

    /// A project can be created after those who are to call about it are named.
    async fn named(
        &self,
        named: Option<&NamedCaller>,
        expire_time: Option<OffsetDateTime>,
    ) -> Result<Caller> {
        let named = named.ok_or(Error::CallerUnknown)?;
        if self.store().get_project(&named.project_id).await?.is_none() {
            let (caller, project) = (&named.display_name, &named.project_id);
            tracing::warn!(%caller, %project, "a caller is refused, since its project is not there");
            return Err(Error::CallerUnknown);
        }
        Ok(named.caller(expire_time))
    }

    fn known(&self) -> Arc<Known> {
        self.inner.known.load_full()
    }
}
