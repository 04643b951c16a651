//! How long a call may take, whatever it tries on the way.

use std::{sync::Arc, time::Duration};

use tokenwell::{
    model::OsRandom,
    oauth::{Failure, HttpClient, HttpOptions, OAuthClient},
    sandbox::Failure as Trouble,
};

use super::{Life, steady};
use crate::support::provider::CLIENT_ID;

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;

/// A refresh holds a lease that outlasts one call, and not several.
#[tokio::test]
async fn all_secrets_together_take_no_longer_than_one_may() {
    let mut life = Life::new(steady(), ENTRY).await;
    let refresh_token = life.tokens().await.refresh_token.unwrap();
    let http = HttpOptions { timeout: Duration::from_secs(2), ..HttpOptions::default() };
    let http = HttpClient::new(&http).unwrap();
    life.oauth = OAuthClient::new(http, Arc::new(life.acme.clock.clone()), Arc::new(OsRandom));
    life.acme.provider.sandbox.replace_secret(CLIENT_ID, "new".into());
    life.integration.further_client_secrets = vec!["new".into()];
    // Each of the two would be in time, but not both of them.
    for _ in 0..2 {
        life.acme.provider.sandbox.fail_next(Trouble::Hang(Duration::from_millis(1300)));
    }
    let late = life.oauth.refresh(life.registration(), &refresh_token).await;
    assert!(matches!(late, Err(Failure::Unavailable { .. })), "{late:?}");
    life.oauth.refresh(life.registration(), &refresh_token).await.unwrap();
}
