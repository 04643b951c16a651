//! Lifetimes: as the answer says, as a token says that is a JWT, or as its server says when asked (RFC 7662).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokenwell::{
    model::{Clock as _, Duration, SecretString},
    oauth::{Failure, Grant, Introspection, Members},
    sandbox::Quirks,
};

use super::{Life, TTL, access_only, steady};
use crate::support::{TestResult, provider::CLIENT_ID};

const ENTRY: &str = r#"
authorization_endpoint = "PROVIDER/authorize"
token_endpoint = "PROVIDER/token"
revocation_endpoint = "PROVIDER/revoke"
introspection_endpoint = "PROVIDER/introspect"
"#;
const PATH: &str = "/introspect";
const NEW: &str = "canary-client-secret-new-9Zk";

/// A JWT that ends at this time.
fn jwt(exp: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({ "alg": "RS256" })), part(&json!({ "exp": exp })))
}

fn granted(access_token: &str, expires_in: Option<Duration>) -> Grant {
    Grant {
        access_token: SecretString::from(access_token),
        token_type: "Bearer".to_owned(),
        expires_in,
        refresh_token: None,
        refresh_token_expires_in: None,
        scopes: None,
        members: Members::default(),
    }
}

impl Life {
    /// The lifetime of a token that was asked for now.
    async fn lifetime(&self, grant: &Grant) -> Option<Duration> {
        let asked = self.acme.clock.now();
        match grant.lifetime(asked) {
            None => self.oauth.introspected_lifetime(self.registration(), &grant.access_token, asked).await,
            said => said,
        }
    }

    fn introspections(&self) -> u64 {
        self.acme.provider.sandbox.book().introspections
    }
}

#[tokio::test]
async fn the_answer_comes_first_then_the_token_then_its_server() -> TestResult {
    let life = Life::new(steady(), ENTRY).await;
    let access_token = life.tokens().await.access_token;
    let now = life.acme.clock.now().unix_timestamp();
    let (said, minute) = (Some(Duration::minutes(7)), Duration::MINUTE);
    let in_a_minute = jwt(&json!(now + 60));
    assert_eq!(life.lifetime(&granted(&in_a_minute, said)).await, said);
    assert_eq!(life.lifetime(&granted(&in_a_minute, None)).await, Some(minute));
    assert_eq!(life.introspections(), 0, "nobody was asked");

    let opaque = Grant { access_token, ..granted("", None) };
    life.acme.clock.advance(minute);
    assert_eq!(life.lifetime(&opaque).await, Some(TTL - minute));
    assert_eq!(life.introspections(), 1);
    Ok(())
}

#[tokio::test]
async fn a_jwts_own_end_counts_if_it_can_be_true() {
    let life = Life::new(steady(), &ENTRY.replace("introspection_endpoint", "# ")).await;
    let now = life.acme.clock.now().unix_timestamp();
    let year = 366 * 24 * 3600;
    for (exp, expected) in [
        (json!(now + 3600), Some(3600)),
        (json!(now + 1), Some(1)),
        (json!(now + 10 * year), Some(10 * year)),
        (json!(now + 10 * year + 1), None),
        (json!((now + 3600) * 1000), None),
        (json!(now), None),
        (json!(now - 1), None),
        (json!(0), None),
        (json!("soon"), None),
    ] {
        let lifetime = life.lifetime(&granted(&jwt(&exp), None)).await;
        assert_eq!(lifetime.map(Duration::whole_seconds), expected, "{exp}");
    }
    let fraction = life.lifetime(&granted(&jwt(&json!(1_790_000_000.5 + 60.0)), None)).await;
    assert_eq!(fraction, Some(Duration::milliseconds(60_500)));
    assert_eq!(life.lifetime(&granted("opaque", None)).await, None);
    assert_eq!(life.introspections(), 0, "the entry declares no introspection");
}

#[tokio::test]
async fn an_introspection_that_fails_says_nothing() -> TestResult {
    let life = Life::new(steady(), ENTRY).await;
    let now = life.acme.clock.now().unix_timestamp();
    let grant = Grant { access_token: life.tokens().await.access_token, ..granted("", None) };
    let active = |exp: Value| json!({ "active": true, "exp": exp }).to_string();
    for (status, body) in [
        (200, json!({ "active": false, "exp": now + 60 }).to_string()),
        (200, json!({ "active": true }).to_string()),
        (200, json!({ "exp": now + 60 }).to_string()),
        (200, active(json!(now - 60))),
        (200, active(json!(now * 1000))),
        (200, active(json!("soon"))),
        (200, "no JSON".to_owned()),
        (200, json!({ "error": "access_denied", "active": true, "exp": now + 60 }).to_string()),
        (400, active(json!(now + 60))),
        (401, "{}".to_owned()),
        (404, String::new()),
        (503, String::new()),
    ] {
        life.acme.detour.answer(PATH, status, &body);
        assert_eq!(life.lifetime(&grant).await, None, "{status} {body}");
    }
    life.acme.detour.answer(PATH, 200, &active(json!(now + 60)));
    assert_eq!(life.lifetime(&grant).await, Some(Duration::MINUTE));
    Ok(())
}

/// A new token waits to be stored meanwhile.
#[tokio::test]
async fn an_introspection_that_hangs_is_not_waited_for() {
    let entry = ENTRY.replace("PROVIDER/introspect", "http://127.0.0.1:LATER/introspect");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let life = Life::new(steady(), &entry.replace("LATER", &port)).await;
    let begun = std::time::Instant::now();
    assert_eq!(life.lifetime(&granted("opaque", None)).await, None);
    let waited = begun.elapsed().as_secs();
    assert!((3..10).contains(&waited), "{waited} s");
}

#[tokio::test]
async fn a_server_says_what_a_token_is_worth() -> TestResult {
    let mut life = Life::new(steady(), ENTRY).await;
    let tokens = life.tokens().await;
    let found = life.oauth.introspect(life.registration(), &tokens.access_token).await;
    let expire_time = Some(life.acme.clock.now() + TTL);
    assert_eq!(found, Ok(Introspection { active: true, expire_time }));

    // With another secret, too.
    life.acme.provider.sandbox.replace_secret(CLIENT_ID, NEW.into());
    let refused = life.oauth.introspect(life.registration(), &tokens.access_token).await;
    assert!(matches!(refused, Err(Failure::Refused { code, .. }) if code == "invalid_client"));
    life.integration.further_client_secrets = vec![NEW.into()];
    let found = life.oauth.introspect(life.registration(), &tokens.access_token).await;
    assert_eq!(found, Ok(Introspection { active: true, expire_time }));

    life.revoke(&tokens).await?;
    let dead = Ok(Introspection { active: false, expire_time: None });
    assert_eq!(life.oauth.introspect(life.registration(), &tokens.access_token).await, dead);
    let unknown = access_only("unknown").access_token;
    assert_eq!(life.oauth.introspect(life.registration(), &unknown).await, dead);

    let without = Life::new(Quirks { introspect_path: None, ..steady() }, ENTRY).await;
    let failed = without.oauth.introspect(without.registration(), &unknown).await;
    assert!(matches!(failed, Err(Failure::Invalid { .. })), "{failed:?}");
    Ok(())
}
