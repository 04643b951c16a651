//! How long a call may take, whatever it tries on the way.

use std::{sync::Arc, time::Duration};

use tokenwell::{
    model::OsRandom,
    oauth::{HttpClient, HttpOptions, OAuthClient},
    sandbox::Failure as Trouble,
};

use super::{Life, steady};
use crate::support::provider::CLIENT_ID;

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
"#;

/// A refresh holds a lease that outlasts all of them.
#[tokio::test]
async fn each_secret_may_take_as_long_as_one_call() {
    let mut life = Life::new(steady(), ENTRY).await;
    let refresh_token = life.tokens().await.refresh_token.unwrap();
    let http = HttpOptions { timeout: Duration::from_secs(2), loopback: true, ..HttpOptions::default() };
    let http = HttpClient::new(&http).unwrap();
    life.oauth = OAuthClient::new(http, Arc::new(life.acme.clock.clone()), Arc::new(OsRandom));
    life.acme.provider.sandbox.replace_secret(CLIENT_ID, "new".into());
    life.integration.further_client_secrets = vec!["new".into()];
    // Each of the two is in time, though both together take longer than one may.
    for _ in 0..2 {
        life.acme.provider.sandbox.fail_next(Trouble::Hang(Duration::from_millis(1300)));
    }
    life.oauth.refresh(life.registration(), &refresh_token).await.unwrap();
}
