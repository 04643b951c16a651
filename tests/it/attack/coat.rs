//! Cross-tool OAuth account takeover: a code that was granted to an honest integration is delivered to an attacker's.
//!
//! The attacker's provider, which the victim has chosen to connect, sends the victim on to the honest one, with the state of the
//! attacker's flow. Victims who are logged in there are often not even asked.

use tokenwell::{
    api::pb::{integration::v1::CreateRequest, project::v1::Settings},
    sandbox::Quirks,
};
use url::Url;

use crate::support::{
    Browser, Database, ManualClock, Options, TestProvider, TestServer,
    provider::CLIENT_SECRET,
    server::begin,
    steps::{other_project, param},
};

/// An honest provider with an integration in `default`, and the attacker's with one in `mallory`.
struct Stage {
    server: TestServer,
    honest: TestProvider,
    evil: TestProvider,
    mallory: String,
    _database: Database,
}

async fn stage(of_evil_entry: &str) -> Stage {
    let clock = ManualClock::new();
    let naming = || Quirks { iss: Some("http://{host}".to_owned()), ..Quirks::default() };
    let honest = TestProvider::plain_with(naming(), &clock, |router| router).await;
    let evil = TestProvider::plain_with(naming(), &clock, |router| router).await;
    let of_evil_entry = of_evil_entry.replace("EVIL", &evil.address.to_string());
    let mut options = Options::with(&clock, &honest);
    let (_, entry) = evil.entry.clone().unwrap();
    options.providers.push(("evil.toml".to_owned(), format!("{entry}{of_evil_entry}")));
    let database = Database::sqlite();
    let server = TestServer::start(&database, options).await;
    let mut integration = server.create_integration("honest", "sandbox").await;
    let mallory = other_project(&server, "mallory").await;
    "tool".clone_into(&mut integration.integration_id);
    "evil".clone_into(&mut integration.provider_id);
    CLIENT_SECRET.clone_into(&mut integration.client_secret);
    let request = CreateRequest { integration: Some(integration) };
    server.integration(&mallory).create(request).await.unwrap();
    Stage { server, honest, evil, mallory, _database: database }
}

impl Stage {
    fn requests(&self) -> (usize, usize) {
        let count = |provider: &TestProvider| provider.sandbox.book().token_requests.len();
        (count(&self.honest), count(&self.evil))
    }

    async fn share_a_callback_url(&self) {
        let url = format!("{}/oauth/callback", self.server.public_url);
        for key in [&self.server.key, &self.mallory] {
            let settings = Settings { callback_url: url.clone(), ..Settings::default() };
            self.server.update_settings_of(key, settings, &["callback_url"]).await;
        }
    }

    /// The victim begins to connect the attacker's tool, whose provider sends the browser to the honest one. Gives the browser and the
    /// callback with the honest provider's code.
    async fn lure(&self) -> (Browser, Url, Url) {
        let begun =
            self.server.auth(&self.mallory).begin(begin("tool", "victim")).await.unwrap().into_inner();
        let mut victim = Browser::new();
        let at_evil = victim.get(&begun.connect_url).await.location().unwrap();
        let honest = self.server.begin(begin("honest", "bait")).await.unwrap();
        let honest = Url::parse(&honest.authorization_url).unwrap();
        let redirect_uri = param(&honest, "redirect_uri");
        let mut lure = honest.clone();
        lure.query_pairs_mut().clear().extend_pairs(at_evil.query_pairs().map(|(name, value)| {
            let value = if name == "redirect_uri" { redirect_uri.clone() } else { value.into_owned() };
            (name.into_owned(), value)
        }));
        let callback = self.server.consent(&mut victim, lure.as_str(), "approve").await.location().unwrap();
        assert!(callback.as_str().starts_with(&redirect_uri), "{callback}");
        (victim, callback, at_evil)
    }
}

#[tokio::test]
async fn a_code_of_an_honest_integration_is_delivered_to_no_other() {
    let stage = stage("").await;
    let (mut victim, callback, at_evil) = stage.lure().await;
    let page = victim.get(callback.as_str()).await;
    assert_eq!((page.status.as_u16(), page.result("data-error")), (400, "FLOW_NOT_FOUND"));
    // Nor on the route that belongs to nobody.
    let mut bare = callback.clone();
    bare.set_path("/oauth/callback");
    let page = victim.get(bare.as_str()).await;
    assert_eq!((page.status.as_u16(), page.result("data-error")), (400, "FLOW_NOT_FOUND"));
    assert_eq!(stage.requests(), (0, 0));
    // The attempt has cost the flow nothing.
    let own = stage.server.consent(&mut victim, at_evil.as_str(), "approve").await.location().unwrap();
    assert_eq!(victim.get(own.as_str()).await.result("data-status"), "success");
    assert_eq!(stage.requests(), (0, 1));
}

/// Of integrations that share a callback URL only the provider's own name tells one from another (RFC 9207). Where an entry demands
/// it, a foreign code goes nowhere.
#[tokio::test]
async fn with_a_shared_callback_url_the_issuer_tells() {
    let named = "issuer = \"http://EVIL\"\nauthorization_response_iss_parameter_supported = true\n";
    let stage = stage(named).await;
    stage.share_a_callback_url().await;
    let (mut victim, callback, at_evil) = stage.lure().await;
    let page = victim.get(callback.as_str()).await;
    assert_eq!((page.status.as_u16(), page.result("data-error")), (400, "CALLBACK_INVALID"), "{}", page.body);
    assert_eq!(stage.requests(), (0, 0));
    let own = stage.server.consent(&mut victim, at_evil.as_str(), "approve").await.location().unwrap();
    assert_eq!(victim.get(own.as_str()).await.result("data-status"), "success");
}
