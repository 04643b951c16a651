//! The directory of catalog files, while the server runs.

mod limits;
mod mounts;

use std::{fs, path::Path};

use tempfile::TempDir;
use tokenwell::api::pb::{
    integration::v1::{CreateRequest, CreateResponse, Integration},
    provider::v1::{GetRequest, ListRequest, Provider},
};
use tonic::{Code, Status};
use url::Url;

use crate::support::{
    Browser, Database, ManualClock, Options, TestProvider, TestServer, assert_refused, server::begin, steps,
    steps::until,
};

/// A server that follows a directory.
struct Stage {
    directory: TempDir,
    server: TestServer,
    provider: TestProvider,
    _database: Database,
}

/// A catalog entry on a host of its own.
pub fn entry(display_name: &str, host: &str) -> String {
    format!(
        "display_name = \"{display_name}\"\ncategories = [\"crm\"]\n\
         documentation = \"https://{host}/docs\"\nauthorization_endpoint = \"https://{host}/authorize\"\n\
         token_endpoint = \"https://{host}/token\"\nhosts = [\"{host}\"]\n"
    )
}

impl Stage {
    /// The directory holds what `prepare` puts there. The entry `sandbox` comes from elsewhere.
    async fn new(prepare: impl FnOnce(&Path)) -> Self {
        Self::at("", prepare).await
    }

    /// As `new`, but the server follows what is at this path in the directory.
    async fn at(path: &str, prepare: impl FnOnce(&Path)) -> Self {
        let clock = ManualClock::new();
        let provider = TestProvider::plain(&clock).await;
        Self::with(path, prepare, Options::with(&clock, &provider), provider).await
    }

    async fn with(path: &str, prepare: impl FnOnce(&Path), options: Options, provider: TestProvider) -> Self {
        let directory = TempDir::new().unwrap();
        prepare(directory.path());
        let providers_dir = Some(directory.path().join(path));
        let database = Database::sqlite();
        let server = TestServer::start(&database, Options { providers_dir, ..options }).await;
        Self { directory, server, provider, _database: database }
    }

    /// Writes a file in place, as `cp` does.
    fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.path().join(file), text).unwrap();
    }

    async fn get(&self, provider_id: &str) -> Result<Provider, Status> {
        let request = GetRequest { provider_id: provider_id.to_owned() };
        let response = self.server.provider(&self.server.key).get(request).await?;
        Ok(response.into_inner().provider.unwrap())
    }

    /// Waits until a provider has this name.
    async fn named(&self, provider_id: &str, display_name: &str) {
        let is_it =
            |it: &Result<Provider, Status>| it.as_ref().is_ok_and(|it| it.display_name == display_name);
        until(async || self.get(provider_id).await, is_it).await.unwrap();
    }

    /// Waits until a provider is not there.
    async fn gone(&self, provider_id: &str) {
        let gone = until(async || self.get(provider_id).await, Result::is_err).await;
        assert_refused(gone, Code::NotFound, "PROVIDER_NOT_FOUND");
    }

    async fn listed(&self) -> Vec<String> {
        let response = self
            .server
            .provider(&self.server.key)
            .list(ListRequest { page_size: 500, ..ListRequest::default() })
            .await
            .unwrap();
        response.into_inner().providers.into_iter().map(|provider| provider.provider_id).collect()
    }

    async fn create(&self, integration_id: &str, provider_id: &str) -> Result<CreateResponse, Status> {
        let integration = Integration {
            integration_id: integration_id.to_owned(),
            provider_id: provider_id.to_owned(),
            client_id: "client".to_owned(),
            client_secret: "secret".to_owned(),
            ..Integration::default()
        };
        let request = CreateRequest { integration: Some(integration) };
        self.server.integration(&self.server.key).create(request).await.map(tonic::Response::into_inner)
    }

    /// The host of the provider's page that a Begin answers.
    async fn begun_at(&self, integration_id: &str) -> Result<String, Status> {
        let begun = self.server.begin(begin(integration_id, "ada")).await?;
        Ok(Url::parse(&begun.authorization_url).unwrap().host_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn an_entry_can_be_added_changed_and_removed() {
    let stage = Stage::new(|_| {}).await;
    assert_refused(stage.create("app", "acme").await, Code::NotFound, "PROVIDER_NOT_FOUND");
    let before = stage.listed().await;

    stage.write("acme.toml", &entry("Acme", "one.acme.com"));
    stage.named("acme", "Acme").await;
    let after = stage.listed().await;
    assert_eq!(after.len(), before.len() + 1);
    assert!(after.contains(&"acme".to_owned()) && before.iter().all(|id| after.contains(id)), "{after:?}");
    stage.create("app", "acme").await.unwrap();
    assert_eq!(stage.begun_at("app").await.unwrap(), "one.acme.com");

    stage.write("acme.toml", &entry("Acme", "two.acme.com"));
    let two = |host: &Result<String, Status>| host.as_ref().is_ok_and(|host| host == "two.acme.com");
    until(async || stage.begun_at("app").await, two).await.unwrap();

    fs::remove_file(stage.directory.path().join("acme.toml")).unwrap();
    stage.gone("acme").await;
    assert_eq!(stage.listed().await, before);
    assert_refused(stage.create("other", "acme").await, Code::NotFound, "PROVIDER_NOT_FOUND");
    assert_refused(stage.begun_at("app").await, Code::NotFound, "PROVIDER_NOT_FOUND");

    // It comes back, and its integration with it.
    stage.write("acme.toml", &entry("Acme", "three.acme.com"));
    stage.named("acme", "Acme").await;
    assert_eq!(stage.begun_at("app").await.unwrap(), "three.acme.com");
    stage.server.stop().await;
}

#[tokio::test]
async fn a_flow_that_began_before_a_change_completes() {
    let clock = ManualClock::new();
    let provider = TestProvider::plain(&clock).await;
    let (file, text) = provider.entry.clone().unwrap();
    let options = Options { providers: Vec::new(), ..Options::with(&clock, &provider) };
    let prepare = |directory: &Path| fs::write(directory.join(&file), &text).unwrap();
    let stage = Stage::with("", prepare, options, provider).await;
    stage.server.create_integration("app", "sandbox").await;

    let mut browser = Browser::new();
    let (begun, callback) = steps::walk(&stage.server, &mut browser, begin("app", "ada")).await;
    let pages = text.replace("/authorize\"", "/elsewhere\"").replace("\"Sandbox\"", "\"Changed\"");
    stage.write(&file, &pages);
    stage.named("sandbox", "Changed").await;
    let later = stage.server.begin(begin("app", "bob")).await.unwrap();
    assert!(
        later.authorization_url.contains("/elsewhere?") && begun.authorization_url.contains("/authorize?")
    );

    let answer = browser.get(callback.as_str()).await;
    assert_eq!(answer.result("data-status"), "success", "{}", answer.body);
    let (_, token) = stage.server.token("app", "ada").await.unwrap();
    assert!(steps::works(&stage.provider, &token.access_token).await);
    // Its tokens are renewed with the new entry.
    stage.server.clock.advance(tokenwell::model::Duration::hours(1));
    let (_, renewed) = stage.server.token("app", "ada").await.unwrap();
    assert!(renewed.access_token != token.access_token);
    assert!(steps::works(&stage.provider, &renewed.access_token).await);
}

#[tokio::test]
async fn what_the_surroundings_add_stays() {
    let stage = Stage::new(|_| {}).await;
    stage.server.create_integration("sandbox", "sandbox").await;
    stage.write("acme.toml", &entry("Acme", "acme.com"));
    stage.named("acme", "Acme").await;
    stage.server.connect("sandbox", "ada").await;
    fs::remove_file(stage.directory.path().join("acme.toml")).unwrap();
    stage.gone("acme").await;
    stage.server.connect("sandbox", "bob").await;
}

#[tokio::test]
async fn a_built_in_entry_can_be_replaced_and_comes_back() {
    let stage = Stage::new(|_| {}).await;
    stage.named("zendesk", "Zendesk").await;
    stage.write("zendesk.toml", &entry("Our Zendesk", "zendesk.acme.com"));
    stage.named("zendesk", "Our Zendesk").await;
    fs::remove_file(stage.directory.path().join("zendesk.toml")).unwrap();
    stage.named("zendesk", "Zendesk").await;
}

/// Calls see one catalog or the other, and never none.
#[tokio::test]
async fn calls_do_not_notice_a_change() {
    let stage = Stage::new(|directory| {
        fs::write(directory.join("acme.toml"), entry("Acme 0", "acme.com")).unwrap();
    })
    .await;
    stage.create("app", "acme").await.unwrap();
    for round in 1..=5 {
        let name = format!("Acme {round}");
        stage.write("acme.toml", &entry(&name, "acme.com"));
        let seen = until(
            async || {
                assert_eq!(stage.begun_at("app").await.unwrap(), "acme.com");
                stage.get("acme").await.unwrap().display_name
            },
            |seen| *seen == name,
        );
        seen.await;
    }
}
