//! Secrets beside tokens, sealed together as one JSON object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Store, column, seal::Place};
use crate::model::{ExposeSecret as _, Flow, OwnClient, Result, SecretMap, SecretString, Secrets};

/// What is sealed. Members that are not there are left out, and no members at all are no column.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SecretsColumn {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    config: BTreeMap<String, Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<(String, Zeroizing<String>)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asked_scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_secret: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<Zeroizing<String>>,
}

// === impl SecretsColumn ===

impl SecretsColumn {
    pub(super) fn of_connection(secrets: &Secrets) -> Self {
        let client = secrets.client.as_ref();
        Self {
            config: exposed(&secrets.config),
            client: client.map(|it| {
                (it.client_id.clone(), Zeroizing::new(it.client_secret.expose_secret().to_owned()))
            }),
            asked_scopes: secrets.asked_scopes.clone(),
            token_secret: text(secrets.token_secret.as_ref()),
            username: text(secrets.username.as_ref()),
            nonce: None,
        }
    }

    pub(super) fn of_flow(flow: &Flow) -> Self {
        Self {
            config: exposed(&flow.config.secrets),
            token_secret: text(flow.request_token_secret.as_ref()),
            nonce: text(flow.nonce.as_ref()),
            ..Self::default()
        }
    }

    pub(super) fn into_connection(mut self) -> Secrets {
        let client = self.client.take();
        Secrets {
            config: self.config(),
            asked_scopes: std::mem::take(&mut self.asked_scopes),
            client: client.map(|(client_id, it)| OwnClient { client_id, client_secret: secret(it) }),
            token_secret: self.token_secret(),
            username: self.username.take().map(secret),
        }
    }

    pub(super) fn config(&mut self) -> SecretMap {
        let config = std::mem::take(&mut self.config);
        config.into_iter().map(|(name, value)| (name, secret(value))).collect()
    }

    pub(super) fn token_secret(&mut self) -> Option<SecretString> {
        self.token_secret.take().map(secret)
    }

    pub(super) fn nonce(&mut self) -> Option<SecretString> {
        self.nonce.take().map(secret)
    }
}

// === impl Store ===

impl Store {
    pub(super) fn seal_secrets(&self, place: Place<'_>, secrets: &SecretsColumn) -> Result<Option<Vec<u8>>> {
        if *secrets == SecretsColumn::default() {
            return Ok(None);
        }
        let json = SecretString::from(column::json(secrets)?);
        self.keys.seal_text(&*self.random, place, &json).map(Some)
    }

    pub(super) fn open_secrets(&self, place: Place<'_>, sealed: Option<&[u8]>) -> Result<SecretsColumn> {
        let Some(sealed) = sealed else { return Ok(SecretsColumn::default()) };
        column::parse(self.keys.open_text(place, sealed)?.expose_secret())
    }
}

pub(super) fn exposed(secrets: &SecretMap) -> BTreeMap<String, Zeroizing<String>> {
    secrets
        .iter()
        .map(|(name, secret)| (name.clone(), Zeroizing::new(secret.expose_secret().to_owned())))
        .collect()
}

pub(super) fn text(secret: Option<&SecretString>) -> Option<Zeroizing<String>> {
    secret.map(|secret| Zeroizing::new(secret.expose_secret().to_owned()))
}

pub(super) fn secret(mut text: Zeroizing<String>) -> SecretString {
    std::mem::take(&mut *text).into()
}
