//! What an entry says of its issuer (RFC 8414, RFC 9207) and of `id_token`s (OpenID Connect).

use url::{Host, Url};

use super::{
    AuthMethod, CallbackQuery, Field, HostPin, Provider, SigningAlgorithm,
    check::Found,
    config,
    definition::{Capture, Definition},
};
use crate::model::{Config, Error, Result};

// === impl Provider ===

impl Provider {
    /// Whether a `nonce` (OpenID Connect) is sent.
    #[must_use]
    pub fn nonce(&self) -> bool {
        self.definition.nonce
    }

    /// Whether anything comes from an `id_token`.
    #[must_use]
    pub fn reads_id_token(&self) -> bool {
        let of_token = |capture: &Capture| matches!(capture, Capture::IdToken(_));
        self.nonce() || self.fields.iter().flat_map(Field::captures).any(of_token)
    }

    /// How its `id_token`s may be signed.
    #[must_use]
    pub fn id_token_algorithms(&self) -> &[SigningAlgorithm] {
        match self.definition.id_token_signing_alg_values_supported.as_slice() {
            [] => &SigningAlgorithm::OF_KEY_PAIRS,
            named => named,
        }
    }

    /// Where the keys are that `id_token`s are signed with, if the entry says so.
    pub fn jwks_uri(&self, config: &Config) -> Result<Option<Url>> {
        self.fill_each(self.jwks_uri.as_ref(), config)
    }

    /// The issuer, as the entry names it: text that is compared, not an address that is called.
    pub fn issuer(&self, config: &Config) -> Result<Option<String>> {
        let issuer = self.issuer.as_ref().map(|issuer| self.fill_text(issuer, config));
        issuer.transpose()
    }

    /// Whether every callback names its issuer.
    #[must_use]
    pub fn requires_issuer(&self) -> bool {
        self.definition.authorization_response_iss_parameter_supported
    }

    /// Checks the issuer (RFC 9207), which a callback need not name unless the entry or the issuer's metadata (`required`)
    /// says so. It counts for refusals, too (section 2.4). Where nobody knows the issuer, it may be none of another
    /// organization's: that is what a callback of another server says that was led here.
    pub fn check_issuer(&self, query: &CallbackQuery, issuer: Option<&str>, required: bool) -> Result<()> {
        let required = required || self.requires_issuer();
        let fits = match (query.get("iss"), issuer) {
            (Some(given), Some(issuer)) => given == issuer,
            (None, _) => !required,
            (Some(given), None) => !required && !self.is_foreign(given),
        };
        if fits {
            Ok(())
        } else {
            Err(Error::CallbackInvalid("its `iss` is not the provider's issuer".to_owned()))
        }
    }

    /// Whether it is an address at somebody else's host. What is no address says nothing: it is not RFC 9207's.
    fn is_foreign(&self, issuer: &str) -> bool {
        let Ok(url) = Url::parse(issuer) else { return false };
        if !matches!(url.scheme(), "https" | "http") {
            return false;
        }
        match url.host() {
            Some(Host::Domain(host)) => !self.pins.iter().any(|pin| pin.is_akin(host)),
            Some(Host::Ipv4(address)) => !self.pins.iter().any(|pin| pin.matches(&address.to_string())),
            Some(Host::Ipv6(_)) | None => true,
        }
    }

    /// Whether endpoints that the entry leaves out come from the issuer's metadata.
    #[must_use]
    pub fn discovery(&self) -> bool {
        self.definition.discovery
    }

    /// Checks an address that an issuer's metadata names as one of the entry's own would be. At a suffix each customer may have
    /// a host, and one's metadata must not lead to another's: there it is the issuer's own host, or one that is pinned by its
    /// whole name.
    pub fn pinned_beside(&self, issuer: &str, address: &str) -> Result<Url> {
        let url = self.pinned(address)?;
        let host = url.host_str();
        let whole = |host: &str| self.pins.iter().any(|pin| !pin.is_suffix() && pin.matches(host));
        let issuer = Url::parse(issuer).ok();
        if issuer.is_some_and(|issuer| issuer.host_str() == host) || host.is_some_and(whole) {
            return Ok(url);
        }
        Err(config::invalid(&self.id, "", "is at another customer's host".to_owned()))
    }
}

// === impl Found ===

impl Found {
    /// Checks what the entry says of its issuer and its keys, but for the templates.
    pub(super) fn issuer(&mut self, provider: &Provider) {
        let Definition {
            authorization_response_iss_parameter_supported: names_itself,
            discovery,
            id_token_signing_alg_values_supported: algorithms,
            jwks_uri,
            ..
        } = &provider.definition;
        self.require(
            provider.issuer.is_some() || !names_itself,
            "authorization_response_iss_parameter_supported",
            "`authorization_response_iss_parameter_supported` needs an `issuer`",
        );
        self.require(provider.issuer.is_some() || !discovery, "discovery", "`discovery` needs an `issuer`");
        let of_keys = provider.id_token_algorithms().iter().any(|it| *it != SigningAlgorithm::Hs256);
        self.require(
            of_keys || jwks_uri.is_none(),
            "jwks_uri",
            "`jwks_uri` has keys for none of the `id_token_signing_alg_values_supported`",
        );
        let mac = algorithms.contains(&SigningAlgorithm::Hs256);
        let secret = !matches!(provider.auth_method(), AuthMethod::None | AuthMethod::PrivateKeyJwt);
        self.require(
            secret || !mac,
            "id_token_signing_alg_values_supported",
            "`id_token_signing_alg_values_supported` names HS256, whose key is the secret of a client that has none",
        );
    }

    /// Checks that what is said of tenants is said of somebody.
    pub(super) fn tenants(&mut self, provider: &Provider) {
        let Definition { hosts, hosts_are_tenants, config, .. } = &provider.definition;
        let of_fields = config.values().flat_map(|field| &field.hosts);
        let some = hosts.iter().chain(of_fields).any(|host| HostPin::is_for_anybody(host));
        self.require(
            some || !hosts_are_tenants,
            "hosts_are_tenants",
            "`hosts_are_tenants` is said of `hosts` that are nobody's: leave it out",
        );
    }
}
