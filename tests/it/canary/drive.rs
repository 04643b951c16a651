//! Everything that a secret goes through, and every way to fail on the way.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokenwell::{
    api::pb::{
        auth::v1::{
            BeginRequest, Callback, CompleteRequest, CompleteResponse, Confirmation, complete_request::End,
        },
        connection::v1::GetRequest,
        project::v1::{ApiKeyKind, Completion, CreateApiKeyRequest, HmacSettings, Permission, Settings},
        webhook::v1::{CreateRequest as CreateWebhookRequest, RotateSecretRequest, Webhook},
    },
    sandbox::Failure,
};
use tonic::{Code, Status};
use url::Url;

use super::Canaries;
use crate::support::{
    Browser, TestProvider, TestServer,
    provider::CLIENT_SECRET,
    server::{begin, get},
    steps::until,
};

const HMAC_KEYS: [&str; 2] =
    ["canary-hmac-key-one-of-32-bytes-or-more", "canary-hmac-key-two-of-32-bytes-or-more"];
const RETURN_URL: &str = "https://app.example.com/done";

/// A server, its provider, and what was seen there.
struct Drive<'a> {
    server: &'a TestServer,
    provider: &'a TestProvider,
    canaries: Canaries,
}

/// Drives a server that has the integration `sandbox`. Afterwards it holds connections, one flow that waits for its
/// callback, one that waits for its confirmation, and several that have ended.
pub async fn drive(server: &TestServer, provider: &TestProvider) -> Canaries {
    let mut drive = Drive { server, provider, canaries: Canaries::new() };
    drive.keys().await;
    drive.webhook().await;
    drive.succeed().await;
    drive.fail_before_the_exchange().await;
    drive.fail_at_the_exchange().await;
    drive.fail_at_the_refresh().await;
    drive.confirm().await;
    drive.canaries.add_requests(provider);
    drive.canaries
}

impl Drive<'_> {
    /// HMAC keys, API keys, and a link that names both.
    async fn keys(&mut self) {
        self.canaries.add("an API key", &self.server.key);
        for key in HMAC_KEYS {
            self.canaries.add("an HMAC key", key);
        }
        let keys = HMAC_KEYS.map(|key| key.as_bytes().to_vec()).to_vec();
        let settings = Settings {
            hmac: Some(HmacSettings { keys, required: true, ..HmacSettings::default() }),
            allowed_return_urls: vec![RETURN_URL.to_owned()],
            ..Settings::default()
        };
        self.server.update_settings(settings, &["hmac.keys", "hmac.required", "allowed_return_urls"]).await;

        let mut keys = Vec::new();
        for kind in [ApiKeyKind::Secret, ApiKeyKind::Publishable] {
            let request = CreateApiKeyRequest {
                display_name: "canary".to_owned(),
                kind: kind.into(),
                permissions: vec![Permission::Begin.into()],
                expire_time: None,
            };
            let created = self.server.project(&self.server.key).create_api_key(request).await.unwrap();
            keys.push(created.into_inner().secret);
            self.canaries.add("an API key", keys.last().unwrap());
        }

        let mut mac = Hmac::<Sha256>::new_from_slice(HMAC_KEYS[0].as_bytes()).unwrap();
        mac.update(b"sandbox:linked");
        let signature = hex::encode(mac.finalize().into_bytes());
        self.canaries.add("a signature", &signature);
        let link = |signature: &str| {
            let (gateway, key) = (self.server.gateway(), &keys[1]);
            format!("{gateway}/oauth/connect/sandbox?public_key={key}&connection_id=linked&hmac={signature}")
        };
        let mut browser = Browser::new();
        let opened = browser.get(&link(&signature)).await;
        let page = opened.location().unwrap_or_else(|| panic!("{}", opened.body));
        let (_, state) = page.query_pairs().find(|(name, _)| name == "state").unwrap();
        self.canaries.add("a state", &state);
        let forged = signature.chars().rev().collect::<String>();
        let refused = browser.get(&link(&forged)).await;
        assert_eq!(refused.result("data-error"), "SIGNATURE_INVALID");
        self.canaries.pages.push(refused.body);
        let unsigned = BeginRequest { signature: forged, ..begin("sandbox", "unsigned") };
        let refused = self.server.begin(unsigned).await;
        self.canaries.refused(refused);

        let wrong = "tw_sk_canaryCanaryCanaryCanaryCanaryCanaryCanary0";
        self.canaries.add("a wrong API key", wrong);
        self.canaries.refused(self.server.connection(wrong).get(get("sandbox", "ada")).await);
        self.canaries.refused(self.server.connection(&keys[0]).get(get("sandbox", "ada")).await);

        let settings = Settings { hmac: Some(HmacSettings::default()), ..Settings::default() };
        self.server.update_settings(settings, &["hmac.required"]).await;
    }

    /// A webhook that nobody answers, with a secret that was rotated.
    async fn webhook(&mut self) {
        let mut client = self.server.webhook(&self.server.key);
        let webhook = Webhook { url: "http://127.0.0.1:1/hook".to_owned(), ..Webhook::default() };
        let request = CreateWebhookRequest { webhook: Some(webhook) };
        let created = client.create(request).await.unwrap().into_inner();
        let webhook_id = created.webhook.unwrap().webhook_id;
        let rotated = client.rotate_secret(RotateSecretRequest { webhook_id }).await.unwrap().into_inner();
        for secret in [created.secret, rotated.secret] {
            self.canaries.add("a webhook's secret", secret.strip_prefix("whsec_").unwrap());
            self.canaries.add("a webhook's secret", &secret);
        }
    }

    /// Two connections, each with a refresh.
    async fn succeed(&mut self) {
        for id in ["ada", "bob"] {
            let (mut browser, callback) = self.approve(id).await;
            let answer = browser.get(callback.as_str()).await;
            assert_eq!(answer.header("location").split('?').next(), Some(RETURN_URL), "{}", answer.body);
            self.canaries.pages.push(answer.header("location").to_owned());
            for force_refresh in [false, true] {
                let request = GetRequest { force_refresh, ..get("sandbox", id) };
                let (_, token) = self.server.get(request).await.unwrap();
                assert!(token.access_token.starts_with("sandbox_at_"));
                self.canaries.add("an access token", &token.access_token);
            }
            // A second time, the same callback finds nothing.
            let replayed = browser.get(callback.as_str()).await;
            assert_eq!(replayed.result("data-error"), "FLOW_NOT_FOUND");
            self.canaries.pages.push(replayed.body);
        }
    }

    async fn fail_before_the_exchange(&mut self) {
        let (_, callback) = self.approve("carl").await;
        let stranger = Browser::new().get(callback.as_str()).await;
        assert!(stranger.header("location").contains("BROWSER_MISMATCH"), "{}", stranger.body);
        self.canaries.pages.push(stranger.header("location").to_owned());
        let query = format!("{}&code=again", callback.query().unwrap());
        let refused = self.complete(query).await;
        self.canaries.refused(refused);
        let elsewhere = callback.as_str().replace("/sandbox?", "/another?");
        self.canaries.pages.push(Browser::new().get(&elsewhere).await.body);

        let (mut browser, callback) = self.walk("dora", "deny").await;
        let denied = browser.get(callback.as_str()).await;
        assert!(denied.header("location").contains("AUTHORIZATION_DENIED"), "{}", denied.body);
        self.canaries.pages.push(denied.header("location").to_owned());
    }

    async fn fail_at_the_exchange(&mut self) {
        for (failure, code) in [
            (leaky(400, "invalid_grant"), Code::FailedPrecondition),
            (leaky(401, "invalid_client"), Code::FailedPrecondition),
            (
                Failure::Garbage(format!("{{\"access_token\":1,\"refresh_token\":\"{RT}\"}}")),
                Code::FailedPrecondition,
            ),
            (Failure::Garbage(format!("<{RT}> {CLIENT_SECRET}")), Code::FailedPrecondition),
            (
                Failure::Garbage(format!(
                    "{{\"access_token\":\"{AT}\",\"expires_in\":[\"{RT}\"],\"token_type\":{{}}}}"
                )),
                Code::Ok,
            ),
            (Failure::Redirect(format!("http://127.0.0.1:1/?token={RT}")), Code::FailedPrecondition),
            (Failure::RetryAfter(503, RT.to_owned()), Code::Unavailable),
            (Failure::Huge(70_000), Code::FailedPrecondition),
        ] {
            let (_, callback) = self.approve("emil").await;
            self.provider.sandbox.fail_next(failure);
            let ended = self.complete(callback.query().unwrap().to_owned()).await;
            assert_eq!(ended.as_ref().err().map_or(Code::Ok, Status::code), code, "{ended:?}");
            if ended.is_err() {
                self.canaries.refused(ended);
            }
        }
        let (mut browser, callback) = self.approve("fred").await;
        self.provider.sandbox.fail_next(leaky(400, "invalid_grant"));
        let failed = browser.get(callback.as_str()).await;
        assert!(failed.header("location").contains("PROVIDER_REJECTED_CODE"), "{}", failed.body);
        self.canaries.pages.push(failed.header("location").to_owned());
    }

    async fn fail_at_the_refresh(&mut self) {
        for (failure, reason) in [
            (leaky(400, "server_error"), Code::Unavailable),
            (leaky(401, "invalid_client"), Code::FailedPrecondition),
            (
                Failure::Garbage(format!("{{\"access_token\":1,\"refresh_token\":\"{RT}\"}}")),
                Code::FailedPrecondition,
            ),
            (leaky(400, "invalid_grant"), Code::FailedPrecondition),
        ] {
            let asked = self.provider.sandbox.book().token_requests.len();
            self.provider.sandbox.fail_next(failure);
            // Until the provider is no longer left alone after the last failure: a server elsewhere has a clock of its own.
            let failed = until(
                async || {
                    self.server.clock.wait_out();
                    let request = GetRequest { force_refresh: true, ..get("sandbox", "bob") };
                    let failed = self.server.get(request).await;
                    (failed, self.provider.sandbox.book().token_requests.len() > asked)
                },
                |(_, reached)| *reached,
            );
            let (failed, _) = failed.await;
            assert_eq!(failed.as_ref().err().map(Status::code), Some(reason), "{failed:?}");
            self.canaries.refused(failed);
        }
    }

    /// A flow that is confirmed after a wrong confirmation, one that waits for it, and one that waits for its callback.
    async fn confirm(&mut self) {
        let settings = Settings { completion: Completion::Confirm.into(), ..Settings::default() };
        self.server.update_settings(settings, &["completion"]).await;
        for (id, confirmed) in [("gina", true), ("hugo", false)] {
            let (mut browser, callback) = self.approve(id).await;
            let back = browser.get(callback.as_str()).await.location().unwrap();
            let param = |name: &str| back.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
            let (flow_id, code) = (param("tokenwell_flow_id"), param("tokenwell_confirmation"));
            self.canaries.add("a confirmation", &code);
            self.canaries.add("a code", &callback.query_pairs().find(|(key, _)| key == "code").unwrap().1);
            let wrong = code.chars().rev().collect::<String>();
            let refused = self
                .end(End::Confirmation(Confirmation {
                    flow_id: flow_id.clone(),
                    code: wrong,
                    ..Confirmation::default()
                }))
                .await;
            self.canaries.refused(refused);
            if confirmed {
                self.end(End::Confirmation(Confirmation { flow_id, code, ..Confirmation::default() }))
                    .await
                    .unwrap();
            }
        }
        self.approve("ida").await;
    }

    async fn approve(&mut self, connection_id: &str) -> (Browser, Url) {
        self.walk(connection_id, "approve").await
    }

    /// Begins a flow and goes to the provider and back, but for the callback itself.
    async fn walk(&mut self, connection_id: &str, decision: &str) -> (Browser, Url) {
        let request = BeginRequest { return_url: RETURN_URL.to_owned(), ..begin("sandbox", connection_id) };
        let begun = self.server.begin(request).await.unwrap();
        self.canaries.add_begun(&begun);
        let mut browser = Browser::new();
        let back = self.server.consent(&mut browser, &begun.connect_url, decision).await;
        let cookie = browser.cookie(&self.server.public_url, "tokenwell_browser").expect("no cookie was set");
        self.canaries.add("a cookie", cookie);
        (browser, back.location().unwrap())
    }

    async fn complete(&self, query: String) -> Result<CompleteResponse, Status> {
        self.end(End::Callback(Callback { query, ..Callback::default() })).await
    }

    async fn end(&self, end: End) -> Result<CompleteResponse, Status> {
        let mut client = self.server.auth(&self.server.key);
        client.complete(CompleteRequest { end: Some(end) }).await.map(tonic::Response::into_inner)
    }
}

/// Tokens that the provider sends where none belongs.
const AT: &str = "sandbox_at_canaryCanaryCanaryCanaryCanaryCanaryCanary";
const RT: &str = "sandbox_rt_canaryCanaryCanaryCanaryCanaryCanaryCanary";

/// An error whose description tells tokens and the client's secret.
fn leaky(status: u16, code: &str) -> Failure {
    let description = format!("no: {RT} token={AT} '{CLIENT_SECRET}' ({RT})");
    Failure::Error { status, code: code.to_owned(), description }
}
